"""An event loop in a thread of its own, which works while a cell does something else or nothing.

A notebook's own loop cannot be waited for from inside a cell, and it stands still while a cell
computes. One loop serves the whole process, so that connections are kept between calls.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from concurrent.futures import Future

STOPPING_S: Final = 2.0
"""What is still under way when the process ends has so long to be cancelled."""


def begin(work: Coroutine[Any, Any, None]) -> Future[None]:
    """Start `work` in the background; cancelling the future cancels it.

    Context variables are those of the caller, so that tracing finds its parents.
    """
    return asyncio.run_coroutine_threadsafe(work, _loop())


@lru_cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=_serve, args=(loop,), name="storyteller", daemon=True)
    thread.start()
    atexit.register(_end, loop, thread)
    return loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    is_running = True
    while is_running:
        try:
            loop.run_forever()
            is_running = False
        except (KeyboardInterrupt, SystemExit):  # of one task; the others go on
            continue
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def _end(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    if thread.is_alive():  # it is not in a forked child
        loop.call_soon_threadsafe(loop.stop)
        thread.join(STOPPING_S)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_loop.cache_clear)
