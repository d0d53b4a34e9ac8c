"""The peak memory of one peer: `python -m tests.benchmarks.speed_memory PEER BASE_URL TIMES`.

A process of its own makes a `batch`, an `abatch` and a stream, and prints its peak in KiB.
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys

from tests.benchmarks.canned_server import ROOT
from tests.benchmarks.speed_peers import PEERS
from tests.benchmarks.speed_tasks import PROMPT, abatch_s, batch_s


def peak_kib(peer: str, base_url: str, times: int = 200) -> float:
    """The peak of a fresh process."""
    command = [sys.executable, "-m", "tests.benchmarks.speed_memory", peer, base_url, str(times)]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)  # noqa: S603 (ourselves)
    return float(ran.stdout)


def main() -> None:
    """Ask, and print."""
    peer, base_url, times = sys.argv[1:]
    model = PEERS[peer](base_url)
    with asyncio.Runner() as runner:
        batch_s(model, runner, int(times))
        abatch_s(model, runner, int(times))
    for _ in model.stream(PROMPT):
        pass
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # noqa: T201 (its result)


if __name__ == "__main__":
    main()
