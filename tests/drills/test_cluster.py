"""A thousand stories on a real Ray cluster of two workers, one of which is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import pyarrow.parquet as pq
import pytest

from langchain_tale import SharedRun
from tests.bulk.stories import story_of, themes, written
from tests.conftest import ROOT
from tests.drills.serving import Server
from tests.resilience.test_breaker_redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow
STORIES: Final = 1_000
BATCH: Final = 50
AT_ONCE: Final = 16
KILLED_AT: Final = 300
PATIENCE_S: Final = 420


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "asked.log", takes_s=0.2).start()
    yield server
    server.kill()


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.kill()


@pytest.fixture
def start(
    server: Server, redis_server: RedisServer, tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[[], Job]:
    """A function that starts a job; all of them have one output."""
    records = [{"id": theme, "theme": theme, "age": 5} for theme in themes(STORIES)]
    requests = written(tmp_path / "requests.jsonl", records)

    def starting() -> Job:
        job = Job(server, redis_server, requests, tmp_path)
        request.addfinalizer(job.end)
        return job

    return starting


class Job:
    """A driver in a process of its own, below which Ray starts its cluster."""

    def __init__(
        self, server: Server, redis_server: RedisServer, requests: Path, folder: Path
    ) -> None:
        self.out, self._notes = folder / "stories", folder / "workers.log"
        self._notes.unlink(missing_ok=True)
        # Not below pytest's folder, since paths of sockets must be short.
        self._temp = tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True)
        job = {
            "requests": str(requests),
            "out": str(self.out),
            "batch": BATCH,
            "temp": self._temp.name,
            "notes": str(self._notes),
            "writer": {
                "run": "drill",
                "redis_url": redis_server.url,
                "models": "a/b",
                "concurrency": AT_ONCE,
                "lease_s": 10,
            },
        }
        environment = {
            "OPENROUTER_API_BASE": f"http://127.0.0.1:{server.port}/api/v1",
            "OPENROUTER_API_KEY": server.key,
            "PYTHONPATH": str(ROOT),
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        self.process = subprocess.Popen(  # noqa: S603 (our own)
            [sys.executable, "-m", "tests.drills.cluster_job", json.dumps(job)],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def workers(self) -> dict[str, int]:
        """The processes that have made a `StoryWriter`, by its name."""
        lines = self._notes.read_text().splitlines() if self._notes.exists() else []
        return {name: int(process) for process, name in map(str.split, lines)}

    def until(self, is_so: Callable[[], bool]) -> None:
        while self.process.poll() is None and not is_so():
            try:
                self.process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
        assert self.process.poll() is None, self.process.communicate()[0]

    def ended(self) -> None:
        said, _ = self.process.communicate(timeout=PATIENCE_S)
        assert self.process.returncode == 0, said

    def end(self) -> None:
        """Ray's own processes end with their driver, to which SIGTERM is a way out."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.communicate()
        self._temp.cleanup()

    def rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = pq.read_table(self.out).to_pylist()
        return rows


def leased(redis_server: RedisServer) -> list[str]:
    """The workers that are telling stories, the busiest first."""
    with redis_server.client() as client:
        leases = list(client.scan_iter(match="langchain_tale|run|drill|lease|*"))
        holders = Counter(filter(None, client.mget(leases)))
    return [name.decode() for name, _ in holders.most_common()]


def test_each_story_is_told_once_though_a_worker_is_killed(
    start: Callable[[], Job], server: Server, redis_server: RedisServer
) -> None:
    job = start()
    job.until(lambda: len(job.workers()) == 2 and server.asked().total() >= KILLED_AT)
    busy: list[str] = []

    def is_amid_a_batch() -> bool:
        busy[:] = leased(redis_server)
        return bool(busy)

    job.until(is_amid_a_batch)
    os.kill(job.workers()[busy[0]], signal.SIGKILL)
    job.ended()

    assert len(job.workers()) == 3  # Ray has made another one
    told = {row["id"]: row["content"] for row in job.rows()}
    assert told == {theme: story_of(theme) for theme in themes(STORIES)}
    assert len(job.rows()) == STORIES
    asked = server.asked()
    print(f"{asked.total()} requests for {STORIES} stories")  # noqa: T201 (for -s)
    # What was asked for twice was under way in the worker that was killed.
    assert asked.total() <= STORIES + AT_ONCE
    assert max(asked.values()) <= 2
    run = SharedRun(redis_server.url, "drill")
    assert (run.told, run.failed) == (STORIES, 0)
    assert run.spent_usd >= sum(row["cost_usd"] for row in job.rows()) * (1 - 1e-9)
    # The worker that was killed had not left its last seconds.
    assert STORIES // 2 <= run.metrics().snapshot().overall.calls <= STORIES + AT_ONCE

    # A job over the same output tells what it lacks, also when Redis knows nothing any more.
    [spoilt, *_] = sorted(job.out.glob("*.parquet"))
    lost = pq.read_table(spoilt).num_rows
    os.truncate(spoilt, 100)  # as a job that is killed leaves it
    run.forget()
    before = server.asked().total()
    again = start()
    again.ended()

    assert sorted(row["id"] for row in again.rows()) == sorted(themes(STORIES))
    assert server.asked().total() == before + lost
    assert spoilt.with_name(f"_{spoilt.name}.torn").exists()
