"""Thousands of stories through three `kill -9` and a server that is killed, in flat memory.

`TALE_DRILL_STORIES=10000` makes it a whole night's run, of several minutes.
"""

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
STORIES: Final = int(os.environ.get("TALE_DRILL_STORIES", "2500"))
AT_ONCE: Final = 256
KILLED_AT: Final = (200, 500, 900)
"""Stories on disk when the run is killed; what follows goes on to the end in one process."""
RESTARTED_AT: Final = STORIES * 2 // 3
GROWTH_MB: Final = 30
PAGE_MB: Final = os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "asked.log").start()
    yield server
    server.kill()


@pytest.fixture
def start(server: Server) -> Iterator[Callable[..., Bulk]]:
    """A function that starts a run; whatever happens, none outlives its test."""
    started: list[Bulk] = []

    def starting(requests: Path, out: Path, *more: str) -> Bulk:
        started.append(Bulk(server, requests, out, *more))
        return started[-1]

    yield starting
    for bulk in started:
        bulk.kill()


class Bulk:
    """The command line's run, in a process of its own."""

    def __init__(self, server: Server, requests: Path, out: Path, *more: str) -> None:
        self.out = out
        command = [sys.executable, "-m", "langchain_tale", "bulk", str(requests), "--out", str(out)]
        options = ["--model", "a/b", "--concurrency", str(AT_ONCE), "--json", *more]
        where = {
            "OPENROUTER_API_BASE": f"http://127.0.0.1:{server.port}/api/v1",
            "OPENROUTER_API_KEY": server.key,
        }
        self.process = subprocess.Popen(  # noqa: S603 (our own)
            [*command, *options],
            cwd=ROOT,
            env={**os.environ, **where},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),  # noqa: PLW1509 (as `&` of a shell does)
        )
        self._seen = self._read = 0

    def told(self) -> int:
        """Lines of the ledger."""
        if self.out.exists():
            with self.out.open("rb") as file:
                file.seek(self._read)
                content = file.read()
            self._seen += content.count(b"\n")
            self._read += len(content)
        return self._seen

    def memory_mb(self) -> float:
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as file:  # noqa: PTH123 (no file of ours)
            return int(file.read().split()[1]) * PAGE_MB

    def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for it, while the run goes on."""
        while self.process.poll() is None and not is_so():
            try:
                self.process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
        assert self.process.poll() is None, self.process.communicate()

    def kill(self) -> None:
        """As `kill -9` does."""
        self.process.kill()
        self.process.communicate()

    def ended(self) -> dict[str, Any]:
        """The summary, once it is over."""
        shown, said = self.process.communicate()
        assert self.process.returncode == 0, said
        summary: dict[str, Any] = json.loads(shown)
        return summary


def test_every_story_is_told_once_in_flat_memory(
    server: Server, start: Callable[..., Bulk], tmp_path: Path
) -> None:
    records = [{"id": theme, "theme": theme} for theme in themes(STORIES)]
    requests, out = written(tmp_path / "requests.jsonl", records), tmp_path / "stories.jsonl"

    for killed_at in KILLED_AT:
        bulk = start(requests, out, *(["--resume"] if out.exists() else []))
        bulk.until(lambda bulk=bulk, told=killed_at: bulk.told() >= told)  # type: ignore[misc]  # no free variables of a loop
        bulk.kill()
    asked_before = server.asked().total()
    told_before = len(out.read_bytes().splitlines())

    bulk, memory_mb = start(requests, out, "--resume"), list[float]()
    grown_up_at = max(1_000, told_before + AT_ONCE)  # it has had a crowd of its own by then
    bulk.until(lambda: bulk.told() >= grown_up_at)

    def measured(told: int) -> bool:
        memory_mb.append(bulk.memory_mb())
        return bulk.told() >= told

    bulk.until(lambda: measured(RESTARTED_AT))
    server.kill()
    server.start()
    bulk.until(lambda: measured(STORIES - AT_ONCE))
    summary = bulk.ended()

    told = {row["id"]: row["content"] for row in rows(out)}
    assert told == {theme: story_of(theme) for theme in themes(STORIES)}
    assert len(rows(out)) == summary["told"] == STORIES
    assert not (tmp_path / "stories.failed.jsonl").exists()
    growth_mb = max(memory_mb) - memory_mb[0]
    print(f"{growth_mb:.1f} MB more than {memory_mb[0]:.0f} MB")  # noqa: T201 (for -s)
    assert growth_mb < GROWTH_MB
    # What was asked for in vain was under way when a process was killed.
    assert asked_before - told_before <= AT_ONCE * len(KILLED_AT)
    assert server.asked().total() - asked_before <= STORIES - told_before + AT_ONCE


def test_ctrl_c_is_told_how_to_go_on(
    server: Server, start: Callable[..., Bulk], tmp_path: Path
) -> None:
    requests, out = written(tmp_path / "r.jsonl", themes(2_000)), tmp_path / "stories.jsonl"
    bulk = start(requests, out, "--concurrency", "16")
    bulk.until(lambda: bulk.told() >= 100)

    bulk.process.send_signal(signal.SIGINT)
    _, said = bulk.process.communicate()

    assert bulk.process.returncode == 130
    assert "Go on with the same command and --resume." in said
    told = [row["line"] for row in rows(out)]
    assert len(told) == len(set(told)) == server.asked().total()  # all under way were told

    again = start(requests, out, "--concurrency", "16", "--resume", "--ordered")
    assert again.ended()["told"] == 2_000
    assert [row["line"] for row in rows(out)] == list(range(1, 2_001))
    assert set(server.asked().values()) == {1}


INTERRUPTED: Final = """
import asyncio, signal, sys
from langchain_core.runnables import RunnableLambda
from langchain_tale import StoryGenerationResult, tell_all

signal.signal(signal.SIGINT, signal.default_int_handler)

async def tell(request):
    if request.theme == "fox 100":
        print("ready", flush=True)
        await asyncio.sleep(600)
    return StoryGenerationResult("Once.", "a/b", {})

def run():
    themes = [f"fox {n}" for n in range(1, 201)]
    tell_all(themes, out=sys.argv[1], chain=RunnableLambda(tell), concurrency=1)

async def in_a_notebook():
    run()

try:
    if sys.argv[2] == "notebook":  # whose loop leaves Ctrl-C to Python
        asyncio.new_event_loop().run_until_complete(in_a_notebook())
    run()
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("where", ["script", "notebook"])
def test_ctrl_c_in_python_is_a_keyboard_interrupt_and_loses_nothing(
    tmp_path: Path, where: str
) -> None:
    out = tmp_path / "stories.jsonl"
    command = [sys.executable, "-c", INTERRUPTED, str(out), where]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)  # noqa: S603 (our own)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    process.send_signal(signal.SIGINT)
    try:
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()

    assert (said, process.returncode) == ("interrupted\n", 0)
    assert [row["line"] for row in rows(out)] == list(range(1, 100))
