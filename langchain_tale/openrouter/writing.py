"""Requests that are written as soon as they are made, as aiohttp itself does from Python 3.12 on.

On Python 3.11 aiohttp writes in a task of its own. Where many calls are under way in one event
loop, each of them then waits until all the others are as far; they go out in one burst, and so
do their answers come.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import aiohttp


class PromptRequest(aiohttp.ClientRequest):
    """A request of aiohttp that is written at once, as far as the socket takes it."""

    def write_bytes(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, None]:
        """What is left to write, for aiohttp's task."""
        return begun(super().write_bytes(*args, **kwargs))


def begun(coroutine: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None]:
    """Run a coroutine up to its first wait.

    Args:
        coroutine: One that has not started.

    Returns:
        What is left of it; it needs a task only if there is anything.
    """
    try:
        waits_for = coroutine.send(None)
    except StopIteration:
        return _nothing()
    return _Begun(coroutine, waits_for)


async def _nothing() -> None:
    pass


class _Begun(Coroutine[Any, Any, None]):
    """A coroutine that waits already: its task is told first what for."""

    def __init__(self, rest: Coroutine[Any, Any, None], waits_for: Any) -> None:
        self._rest = rest
        self._waiting = [waits_for]

    def send(self, value: Any) -> Any:
        return self._waiting.pop() if self._waiting else self._rest.send(value)

    def throw(self, *error: Any) -> Any:
        self._waiting.clear()
        return self._rest.throw(*error)

    def close(self) -> None:
        self._rest.close()

    def __await__(self) -> Any:
        raise NotImplementedError  # only a task runs it
