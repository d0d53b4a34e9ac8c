"""Asking again for what is known to be briefly late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from tenacity import AsyncRetrying, Retrying, retry_if_result, stop_after_attempt

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from langchain_tale.resilience.attempts import Timing

T = TypeVar("T")

_LATENESS: Final[dict[str, Any]] = {
    "retry": retry_if_result(lambda found: found is None),
    "wait": lambda state: min(0.25 * 2 ** (state.attempt_number - 1), 2.0),
    "stop": stop_after_attempt(6),
    "retry_error_callback": lambda state: state.outcome.result(),
}


def ask_until_found(ask: Callable[[], T | None], timing: Timing) -> T | None:
    """Ask for what is known to be briefly late, up to six times within about six seconds."""
    return Retrying(sleep=timing.sleep, **_LATENESS)(ask)


async def aask_until_found(ask: Callable[[], Awaitable[T | None]], timing: Timing) -> T | None:
    """The twin of `ask_until_found`."""

    async def asking() -> T | None:  # tenacity awaits only what is declared a coroutine function
        return await ask()

    return await AsyncRetrying(sleep=timing.asleep, **_LATENESS)(asking)
