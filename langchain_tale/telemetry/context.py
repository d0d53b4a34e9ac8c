"""The request id: one word that all events, log lines and errors of a logical call share.

A caller's own id counts first: that of `with request_id("…")`, then that of
`config["metadata"]["request_id"]`; else each logical call makes one.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REQUEST_ID: Final = "request_id"
"""The name under which LangChain's metadata carries it."""
MAX_CHARS: Final = 256
"""As long as OpenRouter lets ids be."""

_CURRENT: Final[ContextVar[str | None]] = ContextVar("langchain_tale_request_id", default=None)


@contextmanager
def request_id(value: str | None = None) -> Iterator[str]:
    """Everything that is asked inside shares one request id.

    It is in every event, every log line and, as `client_request_id`, on every error. Threads of
    `batch` and tasks that are started inside have it too. A stream takes the id that is in
    force when its first chunk is asked for, and keeps it.

    Args:
        value: The id, up to 256 printable characters; None makes one.

    Yields:
        The id.

    Raises:
        ConfigurationError: `value` is empty, too long or not printable.

    Example:
        >>> with request_id("night-42") as known:
        ...     print(known)
        night-42
    """
    known = new_request_id() if value is None else _checked(value)
    token = _CURRENT.set(known)
    try:
        yield known
    finally:
        _CURRENT.reset(token)


def new_request_id() -> str:
    """An id that nobody else has: 32 hexadecimal digits."""
    return os.urandom(16).hex()


def current_request_id() -> str | None:
    """The id of the `with request_id(…)` around us, if there is one."""
    return _CURRENT.get()


def given_request_id(metadata: Mapping[str, Any] | None = None) -> str | None:
    """The caller's id of a logical call that begins here; None where one is to be made.

    Args:
        metadata: LangChain's metadata of the call, of which `request_id` counts.
    """
    known = _CURRENT.get()
    if known is None and metadata and REQUEST_ID in metadata:
        return _of_metadata(metadata)
    return known


def _of_metadata(metadata: Mapping[str, Any]) -> str | None:
    """What a config says, if it can serve: a config must not break a call."""
    said = str(metadata[REQUEST_ID] or "")[:MAX_CHARS]
    return said if said.isprintable() and said.strip() else None


def _checked(value: object) -> str:
    if isinstance(value, str) and value.strip() and value.isprintable() and len(value) <= MAX_CHARS:
        return value
    msg = f"request_id takes up to {MAX_CHARS} printable characters, or nothing to make one."
    raise ConfigurationError(msg)
