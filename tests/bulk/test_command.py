from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from langchain_tale.cli import bulk as command
from langchain_tale.cli import run
from langchain_tale.sandbox import Fault
from tests.bulk.stories import MODEL, Storyteller, rows, story_of, theme_in, themes, written

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from langchain_tale.sandbox.pytest_plugin import StartSandbox


@pytest.fixture
def teller(openrouter_sandbox: StartSandbox, monkeypatch: pytest.MonkeyPatch) -> Storyteller:
    engine = Storyteller()
    openrouter_sandbox(engine=engine)
    return engine


@pytest.fixture
def asking(tmp_path: Path) -> list[str]:
    """The arguments of a run of five."""
    requests = written(tmp_path / "r.jsonl", themes(5))
    return ["bulk", str(requests), "--out", str(tmp_path / "stories.jsonl"), "--model", MODEL]


def test_stories_go_to_the_file_and_all_else_to_stderr(
    teller: Storyteller, asking: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(asking) == 0

    told = {row["line"]: row["content"] for row in rows(tmp_path / "stories.jsonl")}
    assert told == {n: story_of(f"fox {n}") for n in range(1, 6)}
    shown = capsys.readouterr()
    assert shown.out == ""
    first, *_, last = shown.err.splitlines()
    assert first == "0 of 5 told · $0.0000 · 0 under way · 0.0/s"
    assert "5 of 5 told" in shown.err
    assert last == f"Stories: {tmp_path / 'stories.jsonl'}."


def test_some_that_failed_are_code_1_and_can_be_tried_again(
    openrouter_sandbox: StartSandbox,
    asking: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    refused = {"fox 2", "fox 4"}

    def moderated(body: Mapping[str, Any]) -> Fault | None:
        return Fault.moderated() if theme_in(body) in refused else None

    openrouter_sandbox({MODEL: moderated}, engine=Storyteller())

    assert run(asking) == 1
    assert "3 of 5 told · 2 failed" in capsys.readouterr().err
    refused.clear()
    assert run([*asking, "--retry-failed"]) == 0
    assert "5 of 5 told (2 in this run)" in capsys.readouterr().err
    assert not (tmp_path / "stories.failed.jsonl").exists()


def test_an_output_that_is_there_is_code_2(
    teller: Storyteller, asking: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(asking) == 0
    capsys.readouterr()

    assert run(asking) == 2
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .endswith(
            "stories.jsonl has been written to already; resume that run, or choose another output."
        )
    )
    assert run([*asking, "--resume", "--ordered"]) == 0
    assert len(teller.themes) == 5


@pytest.mark.parametrize("is_set_up", [False, True])
def test_tries_are_lines_only_where_logging_is_set_up(
    openrouter_sandbox: StartSandbox,
    asking: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    is_set_up: bool,
) -> None:
    monkeypatch.setenv("TALE_AI_SERVICE__RETRY_DELAY", "0")
    openrouter_sandbox({MODEL: [Fault(status=500)]}, engine=Storyteller())
    if not is_set_up:  # pytest's own handlers are some
        monkeypatch.setattr(logging.Logger, "hasHandlers", lambda _: False)

    assert run(asking) == 0

    assert bool(caplog.records) == is_set_up


def test_the_budget_is_code_1(
    teller: Storyteller, asking: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*asking, "--budget", "0.00001", "--concurrency", "1"]) == 1
    assert "The budget of $0.00001 is spent" in capsys.readouterr().err


def test_the_summary_is_json_on_wish(
    teller: Storyteller, asking: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*asking, "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["told"] == 5


def test_a_cache_makes_a_second_output_free(
    teller: Storyteller, asking: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cached = [*asking, "--cache", str(tmp_path / "answers")]
    assert run(cached) == 0
    other = [arg.replace("stories.jsonl", "others.jsonl") for arg in cached]

    assert run(other) == 0

    assert "5 from the cache" in capsys.readouterr().err
    assert len(teller.themes) == 5
    assert {row["spent_usd"] for row in rows(tmp_path / "others.jsonl")} == {0}


def test_a_mistake_in_what_was_asked_is_code_2(
    teller: Storyteller, asking: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*asking, "--concurrency", "0"]) == 2
    assert capsys.readouterr().err.strip() == "concurrency must be from 1 to 10,000."


def test_a_key_is_needed_for_batches(asking: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*asking, "--via", "batch"]) == 2
    assert capsys.readouterr().err.strip().startswith("--via batch needs OPENROUTER_API_KEY")


def test_batches_have_no_concurrency(
    teller: Storyteller, asking: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*asking, "--via", "batch", "--concurrency", "8"]) == 2
    assert capsys.readouterr().err.strip().startswith("A batch has no concurrency")
    assert teller.themes == []


def test_on_a_terminal_there_is_one_line(
    teller: Storyteller,
    asking: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")

    assert run(asking) == 0

    shown = capsys.readouterr().err
    assert " of 5 told · $0.000" in shown
    assert "\x1b[2K" in shown  # a line is taken back


def test_without_a_terminal_there_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, said = [0.0], list[str]()
    monkeypatch.setattr(command, "say", said.append)
    lines = command._Lines(lambda: now[0])
    progress: Any = "half"

    for now[0] in (100.0, 100.25, 105.0, 109.9, 110.0, 110.25, 120.5):
        lines(progress)

    assert said == ["half"] * 3
