"""Stories by batch through three `kill -9`: what was submitted is collected, and not paid twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.bulk.stories import rows, story_of, themes, written
from tests.conftest import ROOT
from tests.drills.serving import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow
STORIES: Final = 600
SIZE: Final = 50

RUN: Final = """
import json, sys
from langchain_tale import Batching, RetryPolicy, tell_all

requests, out, base_url, key, is_resumed = sys.argv[1:]
summary = tell_all(
    requests, out=out, models="a/b", base_url=base_url, api_key=key, resume=is_resumed == "yes",
    via=Batching(size=50, gather_s=0.5, first_look_s=0.5, longest_wait_s=1.0),
    retry=RetryPolicy(max_retries=1),
)
print(json.dumps(summary.to_dict()))
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "asked.log", looks=2).start()
    yield server
    server.kill()


class Process:
    """A process of ours that may be killed."""

    def __init__(self, command: list[str], **environment: str) -> None:
        self.process = subprocess.Popen(  # noqa: S603 (our own)
            [sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def until(self, is_so: Callable[[], bool]) -> None:
        while self.process.poll() is None and not is_so():
            try:
                self.process.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
        assert self.process.poll() is None, self.process.communicate()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    """A function that starts a process; none outlives its test."""
    started: list[Process] = []

    def starting(*command: str, **environment: str) -> Process:
        started.append(Process(list(command), **environment))
        return started[-1]

    yield starting
    for one in started:
        one.kill()


def registered(out: Path) -> list[dict[str, Any]]:
    """The whole lines of the file of batches."""
    path = out.with_name("stories.batches.jsonl")
    if not path.exists():
        return []
    lines = path.read_bytes().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def batches(out: Path) -> int:
    return sum("batch" in row for row in registered(out))


def in_doubt(out: Path) -> int:
    """Requests whose submission has no second line."""
    found = registered(out)
    ended = {row["posting"] for row in found if "letters" not in row and "posting" in row}
    return sum(
        len(row["letters"]) for row in found if "letters" in row and row["posting"] not in ended
    )


def told(out: Path) -> int:
    return out.read_bytes().count(b"\n") if out.exists() else 0


def test_a_run_that_is_killed_three_times_pays_once(
    server: Server, start: Callable[..., Process], tmp_path: Path
) -> None:
    requests, out = (
        written(tmp_path / "requests.jsonl", themes(STORIES)),
        tmp_path / "stories.jsonl",
    )
    moments: list[Callable[[], bool]] = [
        lambda: batches(out) >= 2,
        lambda: batches(out) >= 6,
        lambda: told(out) >= STORIES // 2,
    ]
    doubtful = 0

    def run() -> Process:
        resumed = "yes" if out.exists() else "no"
        return start("-c", RUN, str(requests), str(out), server.base_url, server.key, resumed)

    for moment in moments:
        process = run()
        process.until(moment)
        process.kill()
        doubtful += in_doubt(out)
    last = run()
    shown, said = last.process.communicate()

    assert last.process.returncode == 0, said
    summary = json.loads(shown)
    assert (summary["told"], summary["failed"], summary["stopped"]) == (STORIES, 0, None)
    assert {row["line"]: row["content"] for row in rows(out)} == {
        n: story_of(theme) for n, theme in enumerate(themes(STORIES), 1)
    }
    assert len(rows(out)) == STORIES
    assert registered(out) == []
    asked = server.asked()
    assert set(asked) == set(themes(STORIES))
    assert asked.total() - STORIES <= doubtful <= SIZE * len(moments)


def test_ctrl_c_leaves_the_batches_and_says_how_to_come_back(
    tmp_path: Path, start: Callable[..., Process]
) -> None:
    server = Server(tmp_path / "asked.log", looks=1).start()
    requests, out = written(tmp_path / "requests.jsonl", themes(20)), tmp_path / "stories.jsonl"
    where = {"OPENROUTER_API_BASE": server.base_url, "OPENROUTER_API_KEY": server.key}
    command = ["-m", "langchain_tale", "bulk", str(requests), "--out", str(out), "--model", "a/b"]

    try:
        first = start(*command, "--via", "batch", **where)
        first.until(lambda: batches(out) == 1)
        first.process.send_signal(signal.SIGINT)
        _, said = first.process.communicate()
        again = start(*command, "--via", "batch", "--resume", **where)
        _, told_at_the_end = again.process.communicate()
    finally:
        server.kill()

    assert first.process.returncode == 130
    assert "Still with OpenRouter, and paid for: 1 batch; resume" in said
    assert "Go on with the same command and --resume." in said
    assert again.process.returncode == 0, told_at_the_end
    assert "20 of 20 told" in told_at_the_end
    assert set(server.asked().values()) == {1}
