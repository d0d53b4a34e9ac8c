"""What `speed` measures: each task asks one chat model so many times, and tells a figure of it.

All asynchronous ones share an event loop, since not every peer survives a change of loops.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.language_models import BaseChatModel

    Measure = Callable[[BaseChatModel, asyncio.Runner, int], float]

PROMPT: Final = "Tell Mia, who is five, of a fox who learns to share."
CHUNKS: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One line of the table.

    Attributes:
        title: What it says there.
        measure: Takes a model, a runner and how often to ask; returns a time.
        times: How often to ask.
        ms: Milliseconds that the server takes for an answer.
        limit: What the ratio to ChatOpenAI shall be at most.
        unit: `"ms"` or `"µs"`.
    """

    title: str
    measure: Measure
    times: int
    limit: float
    ms: int = 0
    unit: str = "ms"


def invoke_s(model: BaseChatModel, _runner: asyncio.Runner, times: int) -> float:
    """Seconds of one `invoke`."""
    began = time.perf_counter()
    for _ in range(times):
        model.invoke(PROMPT)
    return (time.perf_counter() - began) / times


def first_chunk_s(model: BaseChatModel, _runner: asyncio.Runner, times: int) -> float:
    """Seconds until a stream's first chunk."""
    total = 0.0
    for _ in range(times):
        began = time.perf_counter()
        chunks = model.stream(PROMPT)
        next(chunks)
        total += time.perf_counter() - began
        for _chunk in chunks:
            pass
    return total / times


def stream_cpu_s(model: BaseChatModel, _runner: asyncio.Runner, times: int) -> float:
    """CPU seconds of a streamed chunk."""
    began = time.process_time()
    for _ in range(times):
        for _chunk in model.stream(PROMPT):
            pass
    return (time.process_time() - began) / times / CHUNKS


def astream_cpu_s(model: BaseChatModel, runner: asyncio.Runner, times: int) -> float:
    """CPU seconds of a chunk streamed asynchronously."""

    async def read() -> float:
        began = time.process_time()
        for _ in range(times):
            async for _chunk in model.astream(PROMPT):
                pass
        return time.process_time() - began

    return runner.run(read()) / times / CHUNKS


def at_once(calls: int, clock: Callable[[], float]) -> Measure:
    """Seconds of a call by `clock`, so many under way in one event loop all the time."""

    def measure(model: BaseChatModel, runner: asyncio.Runner, times: int) -> float:
        async def run() -> float:
            left = iter(range(times))

            async def worker() -> None:
                for _ in left:
                    await model.ainvoke(PROMPT)

            began = clock()
            await asyncio.gather(*(worker() for _ in range(calls)))
            return clock() - began

        return runner.run(run()) / times

    return measure


def batch_s(model: BaseChatModel, _runner: asyncio.Runner, times: int) -> float:
    """Seconds of a `batch`."""
    began = time.perf_counter()
    model.batch([PROMPT] * times)
    return time.perf_counter() - began


def abatch_s(model: BaseChatModel, runner: asyncio.Runner, times: int) -> float:
    """Seconds of an `abatch`."""

    async def run() -> float:
        began = time.perf_counter()
        await model.abatch([PROMPT] * times)
        return time.perf_counter() - began

    return runner.run(run())


_WALL: Final = time.perf_counter
_CPU: Final = time.process_time
TASKS: Final = {
    "invoke": Task(title="`invoke`", measure=invoke_s, times=30, limit=0.60),
    "first chunk": Task(
        title="first chunk of `stream`", measure=first_chunk_s, times=20, limit=0.75
    ),
    "stream": Task(
        title="CPU of a chunk, `stream`", measure=stream_cpu_s, times=5, limit=0.30, unit="µs"
    ),
    "astream": Task(
        title="CPU of a chunk, `astream`", measure=astream_cpu_s, times=5, limit=0.25, unit="µs"
    ),
    "64 at once": Task(
        title="64 `ainvoke`s at once, a call",
        measure=at_once(64, _WALL),
        times=640,
        ms=50,
        limit=1 / 2.4,
    ),
    "64 at once, CPU": Task(
        title="the same, CPU of a call", measure=at_once(64, _CPU), times=640, ms=50, limit=0.35
    ),
    "512 at once": Task(
        title="512 `ainvoke`s at once, a call",
        measure=at_once(512, _WALL),
        times=3072,  # of fewer calls one collection of garbage more or less decides
        ms=50,
        limit=1 / 2.4,
    ),
    "batch": Task(title="`batch` of 200", measure=batch_s, times=200, ms=50, limit=0.40),
    "abatch": Task(title="`abatch` of 200", measure=abatch_s, times=200, ms=50, limit=0.40),
}
