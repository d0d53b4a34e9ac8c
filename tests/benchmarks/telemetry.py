"""What telemetry costs: CPU time of calls without it, and with each part of it.

```
uv run python -m tests.benchmarks.telemetry
uv run python -m tests.benchmarks.telemetry --calls 2000 --way metrics --way budget
```

prints a Markdown table of one run for each of two kinds of calls, stories told by
`create_story_chain` and bare answers of a chat model made by `with_retry`: so many calls each way,
to a scripted sandbox in a process of its own. The ways take turns, a block of calls each, so that
whatever else the machine does meets all of them alike.

- *CPU ms*: `time.process_time` of a call, all threads of the process together.
- *more CPU*: than without, over all calls, give or take twice the standard error that the
  scatter of the rounds tells of; in brackets the median over the rounds.
"""

from __future__ import annotations

import argparse
import gc
import logging
import math
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from langchain_tale import (
    AuditLog,
    Budget,
    ChatOpenRouter,
    StoryMetrics,
    configure_logging,
    create_story_chain,
)
from tests.benchmarks.scripted_sandbox import scripted_sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from langchain_core.runnables import Runnable, RunnableConfig

    Way = Callable[[Path], AbstractContextManager[RunnableConfig]]
    Asking = tuple[Runnable[Any, Any], Any]

WITHOUT: Final = "without"
EVERYTHING: Final = "everything"
COLUMNS: Final = ("way", "calls", "CPU ms", "more CPU")
_MODEL: Final = "openai/gpt-4o-mini"
_KEY: Final = "sk-or-v1-sandbox"
_WARMING_UP: Final = 20


@contextmanager
def metrics(_folder: Path) -> Iterator[RunnableConfig]:
    """`StoryMetrics` among the callbacks."""
    yield {"callbacks": [StoryMetrics()]}


@contextmanager
def budget(_folder: Path) -> Iterator[RunnableConfig]:
    """A `Budget` among the callbacks; unlike metrics it wants to see every attempt."""
    yield {"callbacks": [Budget(usd=1_000_000)]}


@contextmanager
def logs(folder: Path) -> Iterator[RunnableConfig]:
    """JSON lines at INFO, into a file."""
    logger = logging.getLogger("langchain_tale")
    handlers, level, propagates = logger.handlers[:], logger.level, logger.propagate
    with (folder / "log.jsonl").open("a", encoding="utf-8") as stream:
        configure_logging("INFO", json=True, stream=stream)
        try:
            yield {}
        finally:
            logger.handlers[:] = handlers
            logger.setLevel(level)
            logger.propagate = propagates


@contextmanager
def audit(folder: Path) -> Iterator[RunnableConfig]:
    """An `AuditLog` of every request."""
    with AuditLog(folder / "audit.jsonl"):
        yield {}


PARTS: Final[dict[str, Way]] = {"metrics": metrics, "logs": logs, "audit": audit}
"""What `everything` is made of."""


@contextmanager
def everything(folder: Path) -> Iterator[RunnableConfig]:
    """All parts at once."""
    callbacks: list[Any] = []
    with ExitStack() as stack:
        for part in PARTS.values():
            config: Any = stack.enter_context(part(folder))
            callbacks += config.get("callbacks", [])
        yield {"callbacks": callbacks}


@contextmanager
def without(_folder: Path) -> Iterator[RunnableConfig]:
    """Nothing listens."""
    yield {}


WAYS: Final[dict[str, Way]] = {
    WITHOUT: without,
    **PARTS,
    "budget": budget,
    EVERYTHING: everything,
}


def stories(base_url: str) -> Asking:
    """A chain that tells a child's story, checks it and reports."""
    chain = create_story_chain(_MODEL, api_key=_KEY, base_url=base_url)
    return chain, {"theme": "a fox who learns to share", "child_name": "Mia", "age": 5}


def answers(base_url: str) -> Asking:
    """A chat model under a policy."""
    model = ChatOpenRouter(model=_MODEL, api_key=_KEY, base_url=base_url)
    return model.with_retry(), "Tell Mia, who is five, of a fox who learns to share."


KINDS: Final[dict[str, Callable[[str], Asking]]] = {"stories": stories, "answers": answers}


@dataclass(slots=True)
class Cost:
    """What one way of calling cost.

    Attributes:
        blocks_s: CPU seconds of each block.
        calls: Calls in all.
    """

    blocks_s: list[float] = field(default_factory=list)
    calls: int = 0

    @property
    def ms_per_call(self) -> float:
        return 1000 * sum(self.blocks_s) / self.calls

    def more_than(self, other: Cost) -> tuple[float, float, float]:
        """How much more, as a share: over all calls, its margin, and the median of the rounds.

        The margin is two standard errors of a ratio of sums (Cochran, "Sampling Techniques",
        1977, 6.4), so that of twenty runs one is off by more.
        """
        rounds = list(zip(self.blocks_s, other.blocks_s, strict=True))
        ratio, n = self.ms_per_call / other.ms_per_call, len(rounds)
        squares = sum((mine - ratio * theirs) ** 2 for mine, theirs in rounds)
        error = math.sqrt(squares * n / max(1, n - 1)) / sum(other.blocks_s)
        return ratio - 1, 2 * error, median(mine / theirs for mine, theirs in rounds) - 1


def measure(
    ways: Sequence[str], *, calls: int, block: int, kind: str = "stories"
) -> dict[str, Cost]:
    """Call so often each way, in blocks that take turns."""
    costs = {way: Cost() for way in ways}
    with scripted_sandbox() as base_url, tempfile.TemporaryDirectory() as folder:
        asking = KINDS[kind](base_url)
        for way in ways:
            _cpu_s(asking, WAYS[way], Path(folder), _WARMING_UP)
        order = list(ways)
        for _ in range(max(1, calls // block)):
            for way in order:
                costs[way].blocks_s.append(_cpu_s(asking, WAYS[way], Path(folder), block))
                costs[way].calls += block
            order.append(order.pop(0))
    return costs


def _cpu_s(asking: Asking, way: Way, folder: Path, calls: int) -> float:
    runnable, asked = asking
    with way(folder) as config:
        gc.collect()
        began_s = time.process_time()
        for _ in range(calls):
            runnable.invoke(asked, config)
        return time.process_time() - began_s


def table(costs: dict[str, Cost]) -> str:
    """The costs as Markdown."""
    lines = [_line(COLUMNS), _line("---" for _ in COLUMNS)]
    for way, cost in costs.items():
        overall, margin, of_rounds = cost.more_than(costs[WITHOUT])
        more = "" if way == WITHOUT else f"{overall:+.1%} ± {margin:.1%} ({of_rounds:+.1%})"
        lines.append(_line((way, cost.calls, f"{cost.ms_per_call:.3f}", more)))
    return "\n".join(lines)


def _line(values: Iterable[object]) -> str:
    return f"| {' | '.join(map(str, values))} |"


def main() -> None:
    """Print the table."""
    others = [way for way in WAYS if way != WITHOUT]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=10_000, metavar="N", help="each way")
    parser.add_argument("--block", type=int, default=100, metavar="N", help="calls in a row")
    parser.add_argument("--kind", action="append", choices=KINDS, metavar="NAME")
    parser.add_argument("--way", action="append", choices=others, metavar="NAME")
    chosen = parser.parse_args()
    ways = [WITHOUT, *(chosen.way or others)]
    for kind in chosen.kind or KINDS:
        costs = measure(ways, calls=chosen.calls, block=chosen.block, kind=kind)
        sys.stdout.write(f"{kind}\n\n{table(costs)}\n\n")
    sys.stdout.write(f"{EVERYTHING}: {', '.join(PARTS)}\n")


if __name__ == "__main__":
    main()
