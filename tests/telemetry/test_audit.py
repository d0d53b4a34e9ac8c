"""The audit log: one line for each request, whatever becomes of the process and of the disk."""

from __future__ import annotations

import copy
import json
import logging
import os
import pickle
import threading
from collections import defaultdict
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from langchain_tale import AuditLog, ConfigurationError
from langchain_tale.telemetry.emitting import emit
from langchain_tale.telemetry.events import ApiCalled, CircuitClosed

if TYPE_CHECKING:
    from pathlib import Path

AT = datetime(2026, 11, 23, 4, 5, 6, 789_123, tzinfo=UTC)
MODEL = "openai/gpt-4o-mini"


def call(**facts: Any) -> ApiCalled:
    return ApiCalled(**{"model": MODEL, "outcome": "succeeded", "time": AT, **facts})


def records(path: Path) -> list[dict[str, Any]]:
    """What any JSON reader finds in the file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


# ── lines ───────────────────────────────────────────────────────────────────


def test_a_request_is_a_line_with_every_fact(path: Path) -> None:
    facts = {
        "request_id": "night-42",
        "key_hint": "3f2a",
        "model": "openai/gpt-4o",
        "answered_by": MODEL,
        "provider_name": "OpenAI",
        "generation_id": "gen-1",
        "outcome": "succeeded",
        "status_code": 200,
        "input_tokens": 12,
        "output_tokens": 345,
        "cost_usd": 0.000225,
        "latency_s": 1.234,
        "is_streamed": True,
    }
    with AuditLog(path):
        emit(call(**facts))

    assert records(path) == [{"time": "2026-11-23T04:05:06.789123+00:00", **facts}]
    assert [*records(path)[0]][:2] == ["time", "request_id"]
    assert path.read_bytes().count(b"\n") == 1


def test_what_is_unknown_is_null(path: Path) -> None:
    with AuditLog(path):
        emit(call(outcome="ConnectionFailedError"))

    (record,) = records(path)
    assert record["outcome"] == "ConnectionFailedError"
    known = {name for name, value in record.items() if value is not None}
    assert known == {"time", "model", "outcome", "is_streamed"}


def test_times_are_in_utc(path: Path) -> None:
    with AuditLog(path):
        emit(call(time=AT.astimezone(timezone(timedelta(hours=9)))))

    assert records(path)[0]["time"] == "2026-11-23T04:05:06.789123+00:00"


@pytest.mark.parametrize("usd", [float("nan"), float("inf"), "0.1", {"total": 1}])
def test_a_cost_that_is_no_number_is_null(path: Path, usd: Any) -> None:
    with AuditLog(path):
        emit(call(cost_usd=usd))

    assert records(path)[0]["cost_usd"] is None


def test_any_words_fit_into_one_line(path: Path) -> None:
    model = "a/b\nc\u2028\ud800 лиса"
    with AuditLog(path):
        emit(call(model=model))

    (record,) = records(path)
    assert record["model"] == model
    assert record["time"] == "2026-11-23T04:05:06.789123+00:00"


def test_never_more_than_four_characters_of_a_key(path: Path) -> None:
    with AuditLog(path):
        emit(call(key_hint="sk-or-v1-0123456789abcdef"))

    assert records(path)[0]["key_hint"] == "cdef"


def test_other_events_are_none_of_its_lines(path: Path) -> None:
    with AuditLog(path):
        emit(CircuitClosed(model=MODEL, base_url="https://openrouter.ai/api/v1"))

    assert path.read_bytes() == b""


# ── beginning and end ───────────────────────────────────────────────────────


def test_it_listens_from_when_it_is_made_until_it_is_closed(path: Path) -> None:
    emit(call(request_id="before"))
    log = AuditLog(path)
    emit(call(request_id="within"))
    assert [each["request_id"] for each in records(path)] == ["within"]
    log.close()
    log.close()
    emit(call(request_id="after"))

    assert [each["request_id"] for each in records(path)] == ["within"]


def test_the_end_of_a_block_closes_it(path: Path) -> None:
    log = AuditLog(path)
    with suppress(KeyError), log:
        emit(call())
        assert repr(log) == f"AuditLog({str(path)!r}, open)"
        raise KeyError
    emit(call())

    assert len(records(path)) == 1
    assert repr(log) == f"AuditLog({str(path)!r}, closed)"


def test_a_log_that_nobody_keeps_goes_on(path: Path) -> None:
    AuditLog(path)  # its owner is the process
    emit(call())
    assert len(records(path)) == 1

    again = AuditLog(path)
    again.close()
    emit(call())
    assert len(records(path)) == 2
    _close_all(path)


def _close_all(path: Path) -> None:
    from langchain_tale.telemetry.audit import _TRAILS

    while (trail := _TRAILS._by_path.get(path)) is not None:
        _TRAILS.leave(trail)


def test_two_logs_on_one_path_share_their_lines(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.jsonl").symlink_to(path)
    with AuditLog(path) as first:
        with AuditLog("audit.jsonl"), AuditLog(tmp_path / "link.jsonl"):
            emit(call(request_id="shared"))
        emit(call(request_id="alone"))
        first.close()
        emit(call(request_id="after"))

    assert [each["request_id"] for each in records(path)] == ["shared", "alone"]


def test_two_paths_have_lines_of_their_own(tmp_path: Path) -> None:
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    with AuditLog(one):
        emit(call())
        with AuditLog(two):
            emit(call())

    assert (len(records(one)), len(records(two))) == (2, 1)


def test_a_relative_path_does_not_follow_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with AuditLog("audit.jsonl") as log:
        monkeypatch.chdir("/")
        emit(call())
        assert list(log) == records(tmp_path / "audit.jsonl")

    assert len(records(tmp_path / "audit.jsonl")) == 1


def test_a_file_of_yesterday_goes_on(path: Path) -> None:
    for day in ("yesterday", "today"):
        with AuditLog(path):
            emit(call(request_id=day))

    assert [each["request_id"] for each in records(path)] == ["yesterday", "today"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_bytes": 0}, "a max_bytes of at least 1"),
        ({"backups": 0}, "a backups of at least 1"),
        ({"backups": -1}, "a backups of at least 1"),
    ],
)
def test_a_limit_below_one_is_refused(path: Path, options: dict[str, int], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        AuditLog(path, **options)
    assert not path.exists()


@pytest.mark.parametrize(
    ("name", "reason"),
    [("no/audit.jsonl", "No such file or directory"), ("", "no regular file"), ("p", "no regular")],
    ids=["no folder", "a folder", "a pipe"],
)
def test_a_path_that_cannot_be_written_is_said_at_once(
    tmp_path: Path, name: str, reason: str
) -> None:
    os.mkfifo(tmp_path / "p")
    with pytest.raises(ConfigurationError, match=reason):
        AuditLog(tmp_path / name)


# ── copies, children ────────────────────────────────────────────────────────


def test_a_pickle_is_another_log_on_the_same_path(path: Path) -> None:
    with AuditLog(path, max_bytes=1_000, backups=3) as log:
        for twin in (pickle.loads(pickle.dumps(log)), copy.deepcopy(log)):  # noqa: S301 (our own)
            assert (twin.path, twin._limits) == (log.path, (1_000, 3))
            emit(call())  # one line, although two logs are open
            twin.close()
        assert len(records(path)) == 2
    emit(call())

    assert len(records(path)) == 2


def test_a_pickle_of_a_closed_log_is_closed(path: Path) -> None:
    log = AuditLog(path)
    log.close()

    twin = pickle.loads(pickle.dumps(log))  # noqa: S301 (our own)
    emit(call())

    assert "closed" in repr(twin)
    assert records(path) == []


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # since 3.12, beside threads
def test_a_forked_child_writes_into_the_same_file(path: Path) -> None:
    with AuditLog(path):
        emit(call(request_id="parent"))
        child = os.fork()
        if child == 0:
            emit(call(request_id="child"))
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        emit(call(request_id="parent again"))

    found = [each["request_id"] for each in records(path)]
    assert found == ["parent", "child", "parent again"]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # since 3.12, beside threads
def test_a_child_that_was_forked_amid_a_line_of_another_thread_is_not_stuck(path: Path) -> None:
    with AuditLog(path) as log:
        assert log._trail is not None
        held, release = threading.Event(), threading.Event()

        def be_amid_a_line() -> None:
            with log._trail.file._thread_lock:  # type: ignore[union-attr]  # asserted above
                held.set()
                release.wait()

        thread = threading.Thread(target=be_amid_a_line)
        thread.start()
        held.wait()
        child = os.fork()
        if child == 0:
            emit(call(request_id="child"))
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        release.set()
        thread.join()

    assert [each["request_id"] for each in records(path)] == ["child"]


# ── a disk that fails ───────────────────────────────────────────────────────


def test_a_disk_that_fails_is_said_once_and_breaks_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "logs" / "audit.jsonl"
    path.parent.mkdir()
    with AuditLog(path):
        emit(call(request_id="1"))
        path.rename(tmp_path / "kept.jsonl")
        path.parent.rmdir()
        for number in "234":
            emit(call(request_id=number))
        path.parent.mkdir()
        emit(call(request_id="5"))
        emit(call(request_id="6"))

    assert [each["request_id"] for each in records(path)] == ["5", "6"]
    why = "No such file or directory"
    assert warnings_in(caplog) == [
        f"The audit log {path} cannot be written ({why}): calls go on, and are not in it.",
        f"The audit log {path} goes on; it lacks 3 calls.",
    ]


def test_a_torn_line_is_set_aside_and_said(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with AuditLog(path):
        emit(call(request_id="1"))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:50])

    with AuditLog(path):
        assert path.read_bytes() == whole
        emit(call(request_id="2"))

    assert [each["request_id"] for each in records(path)] == ["1", "2"]
    assert path.with_name("audit.jsonl.torn").read_bytes() == whole[:50] + b"\n"
    assert "half-written" in warnings_in(caplog)[0]


# ── reading ─────────────────────────────────────────────────────────────────


def test_sums_per_key_over_all_files(path: Path) -> None:
    with AuditLog(path, max_bytes=1_000) as log:
        for number in range(20):
            emit(
                call(request_id=str(number), key_hint="aaaa" if number % 2 else "bbbb", cost_usd=1)
            )
        assert path.with_name("audit.jsonl.2").exists()

        spent_usd: dict[str, float] = defaultdict(float)
        for record in AuditLog.read(path):
            spent_usd[record["key_hint"]] += record["cost_usd"]

        assert spent_usd == {"aaaa": 10, "bbbb": 10}
        assert [each["request_id"] for each in log] == [str(number) for number in range(20)]


def test_a_limit_of_files_holds(path: Path) -> None:
    with AuditLog(path, max_bytes=1, backups=2) as log:
        for number in range(6):
            emit(call(request_id=str(number)))

        assert [each["request_id"] for each in log] == ["3", "4", "5"]


def test_reading_passes_over_what_is_no_record(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(b'{"a":1}\n{"a":\n\0\0\0\n\xff\n[1]\n{"a":2}\n{"a"')

    assert list(AuditLog.read(path)) == [{"a": 1}, {"a": 2}]
    assert warnings_in(caplog) == [f"5 lines of {path} are no whole records."]


def test_a_file_that_is_not_there_cannot_be_read(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        AuditLog.read(path)
