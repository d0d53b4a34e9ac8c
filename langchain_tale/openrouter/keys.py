"""Where API keys come from: a string, several, or a function that is asked before each request."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

from langchain_tale.errors import (
    AuthenticationError,
    ConfigurationError,
    InsufficientCreditsError,
    ModerationError,
    PermissionDeniedError,
)
from langchain_tale.telemetry.events import KeyRetired
from langchain_tale.telemetry.scopes import tell

if TYPE_CHECKING:
    from langchain_tale.errors import ExternalServiceError

_SHORT_CHARS: Final = 8

SyncKey = str | Callable[[], str]
AsyncKey = str | Callable[[], Awaitable[str]]
NO_KEY: Final = (
    "No OpenRouter API key: set OPENROUTER_API_KEY or pass api_key (https://openrouter.ai/keys)."
)


class KeyRing:
    """API keys of which one is used until OpenRouter refuses it, and then the next.

    A function is asked before each request, so that a new key needs no restart.

    Args:
        source: Keys, best first, or a function that returns one or several.
    """

    def __init__(self, source: Sequence[str | SecretStr] | Callable[[], Any]) -> None:
        self._source = source
        self._refused: set[str] = set()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"KeyRing({'a function' if callable(self._source) else len(self._source)})"

    def __call__(self) -> str:
        """The key to use; when all were refused, the first, for the server to say why."""
        keys = self._keys()
        return next((key for key in keys if _digest(key) not in self._refused), keys[0])

    def refuse(self, key: str, error: ExternalServiceError) -> bool:
        """Hear what a request with `key` came to.

        Returns:
            Whether the key was the reason, and there is another to ask with.
        """
        if not _is_about_the_key(error):
            return False
        with self._lock:
            is_news = _digest(key) not in self._refused
            self._refused.add(_digest(key))
        if is_news:
            reason, status = type(error).__name__, error.status_code
            tell(KeyRetired, key_hint=hint_of(key), error=reason, status_code=status)
        try:
            return _digest(self()) not in self._refused
        except ConfigurationError:
            return False

    def _keys(self) -> list[str]:
        found = self._source() if callable(self._source) else self._source
        several = found if isinstance(found, Sequence) and not isinstance(found, str) else [found]
        return [_checked(key) for key in several] or [_checked(None)]


def _is_about_the_key(error: ExternalServiceError) -> bool:
    """Whether another key may fare better: not where the content, the region or time is it."""
    if isinstance(error, PermissionDeniedError):
        envelope = error.raw.get("error") if isinstance(error.raw, dict) else None
        is_explained = isinstance(envelope, dict) and "availability" in envelope
        return not (isinstance(error, ModerationError) or is_explained)
    is_passing = error.retry_after_s is not None
    return isinstance(error, AuthenticationError | InsufficientCreditsError) and not is_passing


def _digest(key: str) -> str:
    return sha256(key.encode()).hexdigest()


def hint_of(key: str) -> str | None:
    """What may be shown of a key: its last four characters, unless that is most of it."""
    return key[-4:] if len(key) > _SHORT_CHARS else None


def ring_of(api_key: Any) -> KeyRing | None:
    """The keys that may take each other's place, where there can be several."""
    if isinstance(api_key, KeyRing):
        return api_key
    if callable(api_key) and not inspect.iscoroutinefunction(api_key):
        return KeyRing(api_key)
    return None


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
