"""Where an API key comes from: a string, or a function that is asked before each request."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final

from pydantic import SecretStr

from langchain_tale.errors import ConfigurationError

SyncKey = str | Callable[[], str]
AsyncKey = str | Callable[[], Awaitable[str]]
NO_KEY: Final = (
    "No OpenRouter API key: set OPENROUTER_API_KEY or pass api_key (https://openrouter.ai/keys)."
)


def has_key(api_key: Any) -> bool:
    """Whether there is a key, or a function that may know one."""
    return bool(api_key.get_secret_value().strip() if isinstance(api_key, SecretStr) else api_key)


def key_sources(api_key: Any) -> tuple[SyncKey | None, AsyncKey]:
    """A key as the SDK's sync and async clients want it.

    Args:
        api_key: A `SecretStr`, a function or coroutine function that returns a key, or None
            in a process that has no key.

    Returns:
        For the sync client (None where only a coroutine can tell), and for the async one.

    Raises:
        ConfigurationError: From the functions returned, when the one given returns no key.
    """
    if isinstance(api_key, SecretStr):
        key = api_key.get_secret_value().strip()
        return key, key
    if api_key is None:
        return _none, _anone
    if inspect.iscoroutinefunction(api_key):

        async def ask() -> str:
            return _checked(await api_key())

        return None, ask

    async def ask_in_thread() -> str:
        return await asyncio.to_thread(lambda: _checked(api_key()))

    return lambda: _checked(api_key()), ask_in_thread


def _none() -> str:
    raise ConfigurationError(NO_KEY)


async def _anone() -> str:
    return _none()


def _checked(key: Any) -> str:
    if isinstance(key, SecretStr):
        key = key.get_secret_value()
    if not isinstance(key, str) or not key.strip():
        msg = "The api_key function returned no key."
        raise ConfigurationError(msg)
    return key.strip()
