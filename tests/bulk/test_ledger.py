from __future__ import annotations

import csv
import json
import logging
import os
import stat
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from langchain_tale import ConfigurationError, StoryGenerationResult
from langchain_tale.bulk.asked import asked
from langchain_tale.bulk.index import Known, State
from langchain_tale.bulk.ledger import Ledger
from langchain_tale.bulk.rows import COLUMNS
from langchain_tale.errors import OutputError, UnavailableError
from tests.bulk.stories import rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STORY = StoryGenerationResult("Once.\nThe end.", "a/b", {}, {"id": "gen-1"}, cost_usd=0.5)
DOWN = UnavailableError("a/b is down", status_code=503)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "stories.jsonl"


@pytest.fixture
def open_ledger(out: Path) -> Iterator[Any]:
    """A function that opens the ledger of an output, and closes the one before."""
    opened: list[Ledger] = []

    def opening(path: Path = out, *, goes_on: bool = True) -> tuple[Ledger, list[dict[str, Any]]]:
        for ledger in opened:
            ledger.close()
        seen: list[dict[str, Any]] = []
        opened.append(Ledger(path))
        opened[-1].open(goes_on=goes_on, seen=seen.append)
        return opened[-1], seen

    yield opening
    for ledger in opened:
        ledger.close()


def tell(ledger: Ledger, *lines: int) -> None:
    for line in lines:
        request = asked(line, f"fox {line}")
        ledger.told(request, ledger.index.ask(request), STORY)


def fail(ledger: Ledger, *lines: int) -> None:
    for line in lines:
        request = asked(line, f"fox {line}")
        known = ledger.index.known(request.key)
        known = known if known.is_asked else ledger.index.ask(request)
        ledger.failed(request, known, DOWN, ())


def state_of(ledger: Ledger, line: int) -> State:
    return ledger.index.known(asked(line, f"fox {line}").key).state


# ── what is written ─────────────────────────────────────────────────────────


def test_a_story_is_on_disk_when_told_returns(open_ledger: Any, out: Path) -> None:
    ledger, _ = open_ledger()
    tell(ledger, 1)

    [row] = rows(out)
    assert (row["line"], row["content"], row["generation_id"]) == (1, "Once.\nThe end.", "gen-1")
    assert set(COLUMNS) <= row.keys()


def test_neither_file_says_who_asked_for_what(open_ledger: Any, out: Path) -> None:
    ledger, _ = open_ledger()
    request = asked(1, {"theme": "secret fox", "child_name": "Mia", "id": "x"})
    ledger.failed(request, ledger.index.ask(request), DOWN, ())
    tell(ledger, 2)

    text = out.read_text() + ledger.failed_path.read_text()
    assert "secret" not in text
    assert "Mia" not in text


def test_a_row_that_finds_no_room_leaves_nothing(
    open_ledger: Any, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, _ = open_ledger()
    tell(ledger, 1)
    write = os.write

    def full(descriptor: int, content: Any) -> int:
        if len(content) > 100:
            return write(descriptor, content[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OutputError, match=r"Cannot write .*: No space left on device\."):
        tell(ledger, 2)
    monkeypatch.undo()
    tell(ledger, 3)

    assert [row["line"] for row in rows(out)] == [1, 3]
    assert state_of(ledger, 2) is State.UNTOLD


def test_output_is_as_readable_as_any_new_file(open_ledger: Any, out: Path) -> None:
    before = os.umask(0o027)
    try:
        open_ledger()
    finally:
        os.umask(before)

    assert stat.S_IMODE(out.stat().st_mode) == 0o640


# ── going on ────────────────────────────────────────────────────────────────


def test_what_was_written_is_taken_over(open_ledger: Any) -> None:
    ledger, seen = open_ledger()
    assert not seen
    tell(ledger, 1, 2)
    fail(ledger, 3)

    ledger, seen = open_ledger()

    assert [row["line"] for row in seen] == [1, 2]
    assert [state_of(ledger, line) for line in (1, 2, 3, 4)] == [
        State.TOLD,
        State.TOLD,
        State.FAILED,
        State.UNTOLD,
    ]


@pytest.mark.parametrize("kept", [1, 50, -40, -2])
def test_half_a_row_is_cut_off(
    open_ledger: Any, out: Path, kept: int, caplog: pytest.LogCaptureFixture
) -> None:
    ledger, _ = open_ledger()
    tell(ledger, 1, 2)
    first, second = out.read_bytes().splitlines(keepends=True)
    out.write_bytes(first + second[:kept])

    with caplog.at_level(logging.WARNING):
        ledger, seen = open_ledger()
    tell(ledger, 3)

    assert [row["line"] for row in seen] == [1]
    assert [row["line"] for row in rows(out)] == [1, 3]
    assert caplog.messages == ["the last line of stories.jsonl was half-written and is removed"]


def test_a_row_that_lacks_only_its_end_is_whole(open_ledger: Any, out: Path) -> None:
    ledger, _ = open_ledger()
    tell(ledger, 1, 2)
    out.write_bytes(out.read_bytes()[:-1])

    ledger, seen = open_ledger()
    tell(ledger, 3)

    assert [row["line"] for row in seen] == [1, 2]
    assert [row["line"] for row in rows(out)] == [1, 2, 3]


def test_zeros_that_a_power_cut_left_are_cut_off(open_ledger: Any, out: Path) -> None:
    ledger, _ = open_ledger()
    tell(ledger, 1)
    out.write_bytes(out.read_bytes() + b"\0" * 4096)

    _, seen = open_ledger()

    assert [row["line"] for row in seen] == [1]
    assert len(rows(out)) == 1


def test_another_broken_line_is_one_sentence(open_ledger: Any, out: Path) -> None:
    ledger, _ = open_ledger()
    tell(ledger, 1, 2)
    first, second = out.read_bytes().splitlines(keepends=True)
    out.write_bytes(first + b"garbage\n" + second)

    with pytest.raises(OutputError, match=r"Line 2 of stories\.jsonl is no row that a run has"):
        open_ledger()
    assert out.read_bytes() == first + b"garbage\n" + second


def test_a_file_of_somebody_elses_is_left_alone(open_ledger: Any, out: Path) -> None:
    out.write_text('{"theme": "a fox"}\n')

    with pytest.raises(OutputError, match=r"Line 1 of stories\.jsonl is no row"):
        open_ledger()
    assert out.read_text() == '{"theme": "a fox"}\n'


def test_a_story_counts_before_a_failure_and_only_once(open_ledger: Any, out: Path) -> None:
    ledger, _ = open_ledger()
    tell(ledger, 1)
    fail(ledger, 1)
    out.write_bytes(out.read_bytes() * 2)

    ledger, seen = open_ledger()

    assert len(seen) == 1
    assert state_of(ledger, 1) is State.TOLD


# ── who may write ───────────────────────────────────────────────────────────


def test_an_output_that_is_there_is_refused_unless_the_run_goes_on(
    open_ledger: Any, out: Path
) -> None:
    ledger, _ = open_ledger()
    tell(ledger, 1)
    before = out.read_bytes()

    with pytest.raises(ConfigurationError, match=r"has been written to already; resume that run"):
        open_ledger(goes_on=False)
    assert out.read_bytes() == before


def test_failures_alone_are_an_output_too(open_ledger: Any, out: Path) -> None:
    ledger, _ = open_ledger()
    fail(ledger, 1)

    with pytest.raises(ConfigurationError, match="has been written to already"):
        open_ledger(goes_on=False)


def test_two_runs_cannot_write_one_output(open_ledger: Any, out: Path) -> None:
    open_ledger()
    other = Ledger(out)

    with pytest.raises(OutputError, match=r"Another run is writing .*stories\.jsonl; wait for it"):
        other.open(goes_on=True, seen=print)
    other.close()


@pytest.mark.parametrize("name", ["stories.txt", "stories", "stories.json"])
def test_another_kind_of_output_is_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"stories are written to \.jsonl, \.csv and"):
        Ledger(tmp_path / name)


def test_an_output_that_cannot_be_made_is_one_sentence(open_ledger: Any, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"Cannot write .*: No such file or directory\."):
        open_ledger(tmp_path / "nowhere" / "stories.jsonl")


# ── the last form ───────────────────────────────────────────────────────────


def test_stories_are_put_in_order_on_wish(open_ledger: Any, out: Path) -> None:
    ledger, _ = open_ledger()
    tell(ledger, 3, 1, 2)
    ledger.finish(ordered=False)
    assert [row["line"] for row in rows(out)] == [3, 1, 2]

    ledger.finish(ordered=True)

    assert [row["line"] for row in rows(out)] == [1, 2, 3]
    assert len(open_ledger()[1]) == 3


def test_failures_that_came_to_something_are_struck_off(open_ledger: Any, out: Path) -> None:
    ledger, _ = open_ledger()
    fail(ledger, 1, 2, 3, 2)
    tell(ledger, 4)
    ledger, _ = open_ledger()
    tell(ledger, 1, 3)

    ledger.finish(ordered=False)

    assert [row["line"] for row in rows(ledger.failed_path)] == [2]
    assert rows(ledger.failed_path)[0]["error"] == "UnavailableError"


def test_without_failures_there_is_no_file_of_them(open_ledger: Any) -> None:
    ledger, _ = open_ledger()
    fail(ledger, 1)
    ledger, _ = open_ledger()
    tell(ledger, 1)

    ledger.finish(ordered=False)

    assert not ledger.failed_path.exists()


def test_a_line_that_was_mended_and_given_an_id_has_failed_no_more(open_ledger: Any) -> None:
    ledger, _ = open_ledger()
    fail(ledger, 1)
    ledger, _ = open_ledger()
    request = asked(1, {"theme": "a fox", "id": "x"})
    ledger.told(request, ledger.index.ask(request), STORY)

    ledger.finish(ordered=False)

    assert not ledger.failed_path.exists()


def test_csv_is_written_from_the_ledger_in_order(open_ledger: Any, tmp_path: Path) -> None:
    out = tmp_path / "stories.csv"
    ledger, _ = open_ledger(out)
    tell(ledger, 2, 1)
    ledger.finish(ordered=False)

    with out.open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [row["line"] for row in table] == ["1", "2"]
    assert table[0]["content"] == "Once.\nThe end."
    assert list(table[0]) == list(COLUMNS)
    assert len(rows(tmp_path / "stories.ledger.jsonl")) == 2


def test_parquet_is_written_in_row_groups(
    open_ledger: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("langchain_tale.bulk.tables.ROWS_IN_GROUP", 10)
    out = tmp_path / "stories.parquet"
    ledger, _ = open_ledger(out)
    tell(ledger, *reversed(range(1, 36)))
    ledger.finish(ordered=False)

    with pq.ParquetFile(out) as file:
        assert file.num_row_groups == 4
        table = file.read().to_pylist()
    assert [row["line"] for row in table] == list(range(1, 36))
    assert (table[0]["cost_usd"], table[0]["is_cached"], table[0]["latency_s"]) == (
        0.5,
        False,
        None,
    )


def test_an_empty_table_has_its_columns(open_ledger: Any, tmp_path: Path) -> None:
    for name in ("stories.parquet", "stories.csv"):
        ledger, _ = open_ledger(tmp_path / name)
        ledger.finish(ordered=False)

    assert pq.read_schema(tmp_path / "stories.parquet").names == list(COLUMNS)
    assert (tmp_path / "stories.csv").read_text().strip() == ",".join(COLUMNS)


def test_a_table_without_its_ledger_cannot_be_gone_on_with(
    open_ledger: Any, tmp_path: Path
) -> None:
    out = tmp_path / "stories.csv"
    out.write_text("id\n")

    with pytest.raises(ConfigurationError, match=r"its ledger stories\.ledger\.jsonl is not"):
        open_ledger(out)
    with pytest.raises(ConfigurationError, match="has been written to already"):
        open_ledger(out, goes_on=False)
    assert not (tmp_path / "stories.ledger.jsonl").exists()


def test_without_the_extra_a_parquet_output_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)

    with pytest.raises(ConfigurationError, match=r"pip install 'langchain-tale\[scale\]'"):
        Ledger(tmp_path / "stories.parquet")


def test_a_story_that_is_no_unicode_is_written_all_the_same(open_ledger: Any, out: Path) -> None:
    ledger, _ = open_ledger()
    request = asked(1, "a fox")
    story = StoryGenerationResult("half \ud83d", "a/b", {})
    ledger.told(request, ledger.index.ask(request), story)

    assert json.loads(out.read_text(encoding="utf-8"))["content"] == "half ?"


# ── the index ───────────────────────────────────────────────────────────────


def test_two_requests_with_one_id_are_an_error_that_names_both(open_ledger: Any) -> None:
    ledger, _ = open_ledger()
    ledger.index.ask(asked(3, {"theme": "a", "id": "x"}))

    with pytest.raises(ConfigurationError, match=r"Lines 3 and 17 have the same id 'x'"):
        ledger.index.ask(asked(17, {"theme": "b", "id": "x"}))


def test_a_line_that_has_changed_since_it_was_told_is_noticed(open_ledger: Any) -> None:
    ledger, _ = open_ledger()
    tell(ledger, 1)
    ledger, _ = open_ledger()

    with pytest.raises(ConfigurationError, match=r"Line 1 has changed since its story was told"):
        ledger.index.ask(asked(1, "a hen"))


def test_a_line_that_has_failed_may_change(open_ledger: Any) -> None:
    ledger, _ = open_ledger()
    fail(ledger, 1)
    ledger, _ = open_ledger()

    assert ledger.index.ask(asked(1, "a hen")).state is State.FAILED


def test_a_request_with_an_id_may_change_and_move(open_ledger: Any) -> None:
    ledger, _ = open_ledger()
    request = asked(1, {"theme": "a", "id": "x"})
    ledger.told(request, ledger.index.ask(request), STORY)
    ledger, _ = open_ledger()

    assert ledger.index.ask(asked(9, {"theme": "b", "id": "x"})).state is State.TOLD


def test_costs_are_remembered_over_failures_and_runs(open_ledger: Any) -> None:
    ledger, _ = open_ledger()
    request = asked(1, "fox 1")
    ledger.failed(request, Known(spent_usd=0.25, line=1), DOWN, ())
    ledger, _ = open_ledger()

    known = ledger.index.ask(request)
    assert known.spent_usd == 0.25
    assert ledger.index.spent() == (0.25, 1)
