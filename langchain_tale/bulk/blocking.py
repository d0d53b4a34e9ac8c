"""Waiting for a coroutine from code that is not asynchronous, also inside a running loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

ResultT = TypeVar("ResultT")


def wait_for(coroutine: Coroutine[Any, Any, ResultT]) -> ResultT:
    """What a coroutine returns.

    In a notebook, whose loop is busy with this very call, it runs in a thread of its own.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    return _in_thread(coroutine)


def _in_thread(coroutine: Coroutine[Any, Any, ResultT]) -> ResultT:
    begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = Future()
    ended: Future[ResultT] = Future()
    context = contextvars.copy_context()

    async def working() -> ResultT:
        task = asyncio.current_task()
        if task is not None:
            begun.set_result((asyncio.get_running_loop(), task))
        return await coroutine

    def run() -> None:
        try:
            ended.set_result(context.run(asyncio.run, working()))
        except BaseException as error:  # noqa: BLE001 (it is raised where the result is awaited)
            ended.set_exception(error)

    threading.Thread(target=run, name="langchain_tale-bulk", daemon=True).start()
    try:
        return ended.result()
    except KeyboardInterrupt:
        loop, task = begun.result()
        loop.call_soon_threadsafe(task.cancel)
        ended.exception()
        raise
