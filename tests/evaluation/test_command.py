"""`langchain-tale evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from langchain_tale.cli import run
from langchain_tale.evaluation.results import RESULTS
from langchain_tale.sandbox import Fault, Sandbox

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_tale.sandbox.pytest_plugin import StartSandbox

FIRST, SECOND = "made/first", "made/second"


def use(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", sandbox.api_key)
    monkeypatch.setenv("OPENROUTER_API_BASE", sandbox.base_url)
    monkeypatch.setenv("TALE_AI_SERVICE__RETRY_DELAY", "0")
    monkeypatch.setenv("TALE_AI_SERVICE__MAX_RETRIES", "0")


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    path = tmp_path / "requests.jsonl"
    path.write_text('{"id": "fox", "theme": "a fox"}\n{"theme": "the moon", "age": 4}\n')
    return path


def test_it_prints_a_table_and_writes_the_files(
    sandbox: Sandbox,
    asked: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    use(sandbox, monkeypatch)
    out = tmp_path / "out"

    code = run(
        ["evaluate", "--models", f"{FIRST},{SECOND}", "--requests", str(asked), "--out", str(out)]
    )

    shown, said = capsys.readouterr()
    assert code == 0
    assert FIRST in shown
    assert SECOND in shown
    assert "of 2 (" in shown
    assert "4/4" in said
    assert {path.name for path in out.iterdir()} == {RESULTS, "results.csv", "report.html"}
    assert sandbox.requests == {FIRST: 2, SECOND: 2}


def test_resume_sends_only_what_failed(
    faulty: StartSandbox,
    asked: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sandbox = faulty({FIRST: [Fault(status=503), None, None]})
    use(sandbox, monkeypatch)
    command = [
        "evaluate",
        "--models",
        FIRST,
        "--requests",
        str(asked),
        "--out",
        str(tmp_path / "o"),
    ]

    assert run([*command, "--concurrency", "1"]) == 1
    assert "failed: UnavailableError" in capsys.readouterr().err
    assert run(command) == 2
    assert "resume" in capsys.readouterr().err
    assert run([*command, "--resume"]) == 0
    assert sandbox.requests == {FIRST: 3}


def test_a_budget_stops_it_and_says_how_to_go_on(
    sandbox: Sandbox,
    asked: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    use(sandbox, monkeypatch)
    out = tmp_path / "out"
    command = ["evaluate", "--model", FIRST, "--requests", str(asked), "--out", str(out)]

    assert run([*command, "--budget", "0.0000001", "--concurrency", "1"]) == 1

    said = capsys.readouterr().err
    assert "The budget of" in said
    assert "--resume" in said
    assert len((out / RESULTS).read_text().splitlines()) == 1


def test_resume_needs_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", "--resume"]) == 2
    assert "--out" in capsys.readouterr().err
