"""How far the simulation of `bulk/cluster` is off: a small run on Ray, measured and simulated.

```
uv run python -m tests.benchmarks.cluster
uv run python -m tests.benchmarks.cluster "by the answers"
```

prints a Markdown table: real Ray with two workers, real `redis-server`, real HTTP to a scripted
sandbox whose answers take a log-normal time and some of which fail. Measured is the time from the
first request that reached the sandbox to its last answer. Its failures come at once, where those
of the simulation take as long as answers.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from math import log
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.bulk.cluster.simulation import Outcome, Scenario, simulate
from langchain_tale.sandbox import Fault, FaultMix, Sandbox
from langchain_tale.sandbox.engines import ScriptedEngine
from tests.resilience.test_breaker_redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from langchain_tale.sandbox.engines import End, Piece

ROOT: Final = Path(__file__).parents[2]
_Z95: Final = 1.6449
SCENARIOS: Final = {
    "by the rate limit": Scenario(
        stories=600, concurrency=32, batch=300, requests_per_minute=900, median_s=1.0, p95_s=2.5
    ),
    "by the answers": Scenario(
        stories=600, concurrency=8, batch=300, median_s=1.0, p95_s=2.5, failure_rate=0.05
    ),
    "in small batches": Scenario(stories=600, concurrency=16, batch=30, median_s=1.0, p95_s=2.5),
}
COLUMNS: Final = ("held up", "measured s", "simulated s", "off by", "requests", "simulated")
SEEDS: Final = range(20)


class SlowEngine(ScriptedEngine):
    """Answers after a log-normal time, and remembers when the first and the last one was."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__()
        self._scenario, self._chance = scenario, random.Random(1)  # noqa: S311 (no secret)
        self.first_at = self.last_at = 0.0

    async def generate(self, request: Mapping[str, Any]) -> AsyncGenerator[Piece | End]:
        self.first_at = self.first_at or time.monotonic()
        spread = log(self._scenario.p95_s / self._scenario.median_s) / _Z95
        await asyncio.sleep(self._chance.lognormvariate(log(self._scenario.median_s), spread))
        self.last_at = time.monotonic()
        async for item in super().generate(request):
            yield item


def measure(scenario: Scenario, *, seed: int = 1) -> tuple[float, int]:
    """Seconds that a run took, and the requests that it made."""
    engine = SlowEngine(scenario)
    mix = FaultMix(share=scenario.failure_rate, kinds=[Fault(kind="empty")], seed=seed)
    redis_server = RedisServer()
    try:
        with (
            Sandbox(engine, faults={"*": mix}) as sandbox,
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        ):
            _run(scenario, redis_server, sandbox, Path(folder))
            return engine.last_at - engine.first_at, sum(sandbox.requests.values())
    finally:
        redis_server.kill()


def _run(scenario: Scenario, redis_server: RedisServer, sandbox: Sandbox, folder: Path) -> None:
    records = [{"id": f"{n}", "theme": f"fox {n}"} for n in range(scenario.stories)]
    requests = folder / "requests.jsonl"
    requests.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
    job = {
        "requests": str(requests),
        "out": str(folder / "stories"),
        "batch": scenario.batch,
        "temp": str(folder / "ray"),
        "notes": str(folder / "workers.log"),
        "writer": {
            "run": "measured",
            "redis_url": redis_server.url,
            "models": "a/b",
            "concurrency": scenario.concurrency,
            "requests_per_minute": scenario.requests_per_minute,
        },
    }
    environment = {
        "OPENROUTER_API_BASE": sandbox.base_url,
        "OPENROUTER_API_KEY": sandbox.api_key,
        "PYTHONPATH": str(ROOT),
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    subprocess.run(  # noqa: S603 (our own)
        [sys.executable, "-m", "tests.drills.cluster_job", json.dumps(job)],
        cwd=ROOT,
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
    )


def row(name: str, measured: tuple[float, int], simulated: Sequence[Outcome]) -> str:
    """A row of the table: of the simulated runs the median, and in brackets the range."""
    took_s, requests = measured
    takes_s = sorted(outcome.takes_s for outcome in simulated)
    cells = (
        name,
        f"{took_s:.1f}",
        f"{median(takes_s):.1f} ({takes_s[0]:.1f}–{takes_s[-1]:.1f})",
        f"{median(takes_s) / took_s - 1:+.0%}",
        f"{requests}",
        f"{median(outcome.requests for outcome in simulated):.0f}",
    )
    return f"| {' | '.join(cells)} |"


def main(names: Sequence[str] = tuple(SCENARIOS)) -> None:
    """Measure, simulate, and print both."""
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{' --- |' * len(COLUMNS)}"]
    for name in names:
        scenario = SCENARIOS[name]
        simulated = [simulate(scenario, seed=seed) for seed in SEEDS]
        lines.append(row(name, measure(scenario), simulated))
    print(*lines, sep="\n")  # noqa: T201 (its result)


if __name__ == "__main__":
    main(sys.argv[1:] or tuple(SCENARIOS))
