"""How fast chat models are beside each other, on one machine in one run.

```
uv run python -m tests.benchmarks.speed
uv run python -m tests.benchmarks.speed --task invoke --rounds 15
uv run python -m tests.benchmarks.speed --peer +policy --yardstick langchain_tale
```

prints a Markdown table. A server that costs next to nothing answers from a process of its own;
the peers take turns, task by task and round by round, so that whatever else the machine does
meets all of them alike. A cell is the median of the rounds, and in brackets the median of its
ratios to ChatOpenAI, or to another yardstick, in the same rounds. A peer that fails at a task has
no figure there.

Where calls are made at once, the most connections that a round opened are told as well.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import sys
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Final

from tests.benchmarks.canned_server import canned_server
from tests.benchmarks.speed_memory import peak_kib
from tests.benchmarks.speed_peers import PEERS, YARDSTICK
from tests.benchmarks.speed_tasks import CHUNKS, TASKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from langchain_core.language_models import BaseChatModel

    from tests.benchmarks.canned_server import CannedServer
    from tests.benchmarks.speed_tasks import Task

MEMORY: Final = "memory"
_MOST_MEMORY: Final = 1.05
_NAMES: Final = itertools.count()
_PER_UNIT: Final = {"ms": 1e3, "µs": 1e6, "MB": 1 / 1024}


@dataclass(slots=True)
class Line:
    """One line of the table.

    Attributes:
        title: What was measured.
        limit: What ours may take of ChatOpenAI's.
        unit: Of the figures shown.
        figures: The figures of each peer, a round each, in seconds or KiB.
        connections: The most connections that a round opened, where that is of interest.
        yardstick: The peer that ratios are to.
    """

    title: str
    limit: float
    unit: str
    figures: dict[str, list[float]] = field(default_factory=dict)
    connections: dict[str, int] = field(default_factory=dict)
    yardstick: str = YARDSTICK

    def ratio(self, peer: str) -> float | None:
        """The median of a peer's ratios to the yardstick."""
        pairs = zip(self.figures.get(peer, ()), self.figures[self.yardstick], strict=False)
        ratios = [own / theirs for own, theirs in pairs]
        return median(ratios) if ratios else None

    def cell(self, peer: str) -> str:
        """What is shown of a peer."""
        ratio = self.ratio(peer)
        if ratio is None:
            return "fails"
        figure = median(self.figures[peer]) * _PER_UNIT[self.unit]
        opened = f", {self.connections[peer]} conn." if peer in self.connections else ""
        return f"{figure:.3g} {self.unit} ({ratio:.2f} ×{opened})"


def measured(
    task: Task,
    server: CannedServer,
    runner: asyncio.Runner,
    peers: Sequence[str],
    *,
    rounds: int,
    times: int,
) -> Line:
    """Let the peers take turns at a task.

    Args:
        task: The task.
        server: Whom to ask.
        runner: The event loop of all peers.
        peers: Who asks.
        rounds: How often each has its turn, after one that does not count.
        times: How often each asks in a round.
    """
    line, still = Line(task.title, task.limit, task.unit), list(peers)
    for number in range(rounds + 1):
        for peer in list(still):
            name = f"{peer}-{next(_NAMES)}"
            model = PEERS[peer](server.base_url(name, ms=task.ms, chunks=CHUNKS))
            try:
                figure = _turn(task, model, runner, times)
            except Exception as error:  # noqa: BLE001 (that is a result)
                sys.stderr.write(f"{task.title}: {peer} fails ({type(error).__name__})\n")
                still.remove(peer)
                line.figures.pop(peer, None)
                continue
            if number:
                line.figures.setdefault(peer, []).append(figure)
            if number and task.ms:
                opened = max(line.connections.get(peer, 0), server.connections(name))
                line.connections[peer] = opened
    return line


def _turn(task: Task, model: BaseChatModel, runner: asyncio.Runner, times: int) -> float:
    task.measure(model, runner, max(1, times // 10))
    gc.collect()
    return task.measure(model, runner, times)


def memory(server: CannedServer, peers: Sequence[str], *, rounds: int, times: int) -> Line:
    """The peak memory of the peers, each in a process of its own."""
    line = Line("peak memory, `batch` and `abatch` of 200", _MOST_MEMORY, "MB")
    for _ in range(rounds):
        for peer in peers:
            line.figures.setdefault(peer, []).append(
                peak_kib(peer, server.base_url(peer, ms=50), times)
            )
    return line


def table(lines: Sequence[Line], peers: Sequence[str]) -> str:
    """The lines as a Markdown table."""
    head = ["", *peers, "wanted"]
    rows = [[line.title, *map(line.cell, peers), f"≤ {line.limit:.2f} ×"] for line in lines]
    return "\n".join(_row(cells) for cells in (head, ["---"] * len(head), *rows))


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", action="append", choices=[*TASKS, MEMORY], metavar="NAME")
    parser.add_argument("--peer", action="append", choices=PEERS, metavar="NAME")
    parser.add_argument("--yardstick", default=YARDSTICK, choices=PEERS, metavar="NAME")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--times", type=int, metavar="N", help="calls of a round, of every task")
    chosen = parser.parse_args()
    peers = list(dict.fromkeys([*(chosen.peer or PEERS), chosen.yardstick]))
    lines = []
    with canned_server() as server, asyncio.Runner() as runner:
        for name in chosen.task or [*TASKS, MEMORY]:
            if name == MEMORY:
                line = memory(
                    server, peers, rounds=min(3, chosen.rounds), times=chosen.times or 200
                )
            else:
                task, times = TASKS[name], chosen.times or TASKS[name].times
                line = measured(task, server, runner, peers, rounds=chosen.rounds, times=times)
            line.yardstick = chosen.yardstick
            lines.append(line)
            sys.stderr.write(f"{_row([line.title, *map(line.cell, peers)])}\n")
    sys.stdout.write(f"{table(lines, peers)}\n")


if __name__ == "__main__":
    main()
