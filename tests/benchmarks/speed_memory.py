"""The peak memory of one peer: `python -m tests.benchmarks.speed_memory PEER BASE_URL TIMES`.

A process of its own makes a `batch`, an `abatch` and a stream, and prints its peak in KiB.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

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
    print(own_peak_kib())  # noqa: T201 (its result)


def own_peak_kib() -> int:
    """The peak of this process, as Linux has it.

    `getrusage` would tell the peak of the process that started this one, where that is higher:
    it outlives `exec`.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peaks = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return int(peaks[0])


if __name__ == "__main__":
    main()
