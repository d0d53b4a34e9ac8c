"""What `speed` measures: each task asks one chat model, and tells a figure of it.

All asynchronous ones share an event loop, since not every peer survives a change of loops.
"""

from __future__ import annotations

import asyncio
import gc
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.language_models import BaseChatModel

    Task = Callable[[BaseChatModel, asyncio.Runner], float]

PROMPT: Final = "Tell Mia, who is five, of a fox who learns to share."
CHUNKS: Final = 500
INVOKES: Final = 20
STREAMS: Final = 5
BATCH: Final = 200


def invoke_s(model: BaseChatModel, _runner: asyncio.Runner) -> float:
    """Seconds of one `invoke`."""
    began = time.perf_counter()
    for _ in range(INVOKES):
        model.invoke(PROMPT)
    return (time.perf_counter() - began) / INVOKES


def first_chunk_s(model: BaseChatModel, _runner: asyncio.Runner) -> float:
    """Seconds until a stream's first chunk."""
    total = 0.0
    for _ in range(INVOKES):
        began = time.perf_counter()
        chunks = model.stream(PROMPT)
        next(chunks)
        total += time.perf_counter() - began
        for _chunk in chunks:
            pass
    return total / INVOKES


def stream_cpu_s(model: BaseChatModel, _runner: asyncio.Runner) -> float:
    """CPU seconds of a streamed chunk."""
    began = time.process_time()
    for _ in range(STREAMS):
        for _chunk in model.stream(PROMPT):
            pass
    return (time.process_time() - began) / STREAMS / CHUNKS


def astream_cpu_s(model: BaseChatModel, runner: asyncio.Runner) -> float:
    """CPU seconds of a chunk streamed asynchronously."""

    async def read() -> float:
        await model.ainvoke(PROMPT)
        began = time.process_time()
        for _ in range(STREAMS):
            async for _chunk in model.astream(PROMPT):
                pass
        return time.process_time() - began

    return runner.run(read()) / STREAMS / CHUNKS


async def _crowd(model: BaseChatModel, calls: int, at_once: int) -> None:
    left = iter(range(calls))

    async def worker() -> None:
        for _ in left:
            await model.ainvoke(PROMPT)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(worker())


def crowd(at_once: int, calls: int, clock: Callable[[], float]) -> Task:
    """Seconds of a call by `clock`, so many at once in one event loop."""

    def measure(model: BaseChatModel, runner: asyncio.Runner) -> float:
        async def run() -> float:
            await _crowd(model, at_once, at_once)
            gc.collect()
            began = clock()
            await _crowd(model, calls, at_once)
            return clock() - began

        return runner.run(run()) / calls

    return measure


def batch_s(model: BaseChatModel, _runner: asyncio.Runner) -> float:
    """Seconds of a `batch`."""
    began = time.perf_counter()
    model.batch([PROMPT] * BATCH)
    return time.perf_counter() - began


def abatch_s(model: BaseChatModel, runner: asyncio.Runner) -> float:
    """Seconds of an `abatch`."""

    async def all_of_it() -> None:
        await model.abatch([PROMPT] * BATCH)

    began = time.perf_counter()
    runner.run(all_of_it())
    return time.perf_counter() - began
