"""HTTP answers, of whichever library brought them: a head, and a body that comes in parts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping  # noqa: TC003 (a dataclass's field)
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import httpx2
from aiohttp.http_exceptions import ContentEncodingError

if TYPE_CHECKING:
    from collections.abc import Iterator

_IN_HTTPX_WORDS: Final[tuple[tuple[type[Exception], type[httpx2.RequestError]], ...]] = (
    (aiohttp.ConnectionTimeoutError, httpx2.ConnectTimeout),
    (TimeoutError, httpx2.ReadTimeout),
    (aiohttp.ClientConnectorError, httpx2.ConnectError),
    (aiohttp.ServerDisconnectedError, httpx2.RemoteProtocolError),
    (aiohttp.ClientConnectionError, httpx2.ReadError),
    (aiohttp.TooManyRedirects, httpx2.TooManyRedirects),
    (aiohttp.ClientError, httpx2.RemoteProtocolError),
)
"""The first that fits: so one list of exceptions holds for both libraries."""


@dataclass(slots=True)
class Answer:
    """An answer whose body has not been read.

    Attributes:
        status_code: HTTP status.
        headers: Names in lower case.
        key: The API key that it was asked for with.
    """

    status_code: int
    headers: Mapping[str, str]
    key: str

    @property
    def is_success(self) -> bool:
        """Whether the status is a 2xx."""
        return 200 <= self.status_code < 300  # noqa: PLR2004 (HTTP's own borders)

    def failure(self, body: bytes) -> Any:
        """The body of an answer that is no success: JSON, else its text."""
        kind = {"content-type": self.headers.get("content-type", "")}
        response = httpx2.Response(self.status_code, headers=kind, content=body)
        try:
            return response.json()
        except ValueError:
            return response.text


class SyncAnswer(Answer):
    """One of httpx2's, read by a thread."""

    def __init__(self, response: httpx2.Response, key: str) -> None:
        super().__init__(response.status_code, _lower(response.headers), key)
        self._response = response
        self._parts = response.iter_bytes()

    def more(self) -> bytes | None:
        """The next part of the body, as soon as it comes; None at the end."""
        return next(self._parts, None)

    def close(self) -> None:
        """Leave; what has not come yet is given up."""
        self._response.close()


class AsyncAnswer(Answer):
    """The twin of `SyncAnswer`, read by a coroutine."""

    def __init__(self, response: httpx2.Response, key: str) -> None:
        super().__init__(response.status_code, _lower(response.headers), key)
        self._response = response
        self._parts = response.aiter_bytes()

    async def more(self) -> bytes | None:
        """The next part of the body, as soon as it comes; None at the end."""
        return await anext(self._parts, None)

    async def close(self) -> None:
        """Leave; what has not come yet is given up."""
        await self._response.aclose()


class SessionAnswer(Answer):
    """The same of aiohttp's.

    Args:
        response: The answer.
        key: The API key that it was asked for with.
        read_s: Seconds to wait for each part; None for no limit.
    """

    def __init__(self, response: aiohttp.ClientResponse, key: str, read_s: float | None) -> None:
        super().__init__(response.status, _joined(response.headers), key)
        self._response = response
        self._read_s = read_s
        connection = response.connection
        if connection is not None and connection.protocol is not None:
            # aiohttp would count on while nobody reads
            connection.protocol.read_timeout = None
            connection.protocol.start_timeout()

    async def more(self) -> bytes | None:
        """The next part of the body, as soon as it comes; None at the end."""
        content = self._response.content
        if content.at_eof():
            return None
        with in_httpx_words():
            if part := content.read_nowait():
                return part
            async with asyncio.timeout(self._read_s):
                return await content.readany()

    async def close(self) -> None:
        """Leave; a connection whose answer has not come to its end is closed."""
        self._response.release()


@contextmanager
def in_httpx_words() -> Iterator[None]:
    """Exceptions of aiohttp as httpx2's."""
    try:
        yield
    except (aiohttp.ClientError, TimeoutError) as error:
        raise _kind(error)(type(error).__name__) from error


def _kind(error: BaseException) -> type[httpx2.RequestError]:
    if isinstance(error, aiohttp.ClientPayloadError):  # says why in its cause
        if isinstance(error.__cause__, OSError):
            return httpx2.ReadError
        if isinstance(error.__cause__, ContentEncodingError):
            return httpx2.DecodingError
    return next(theirs for ours, theirs in _IN_HTTPX_WORDS if isinstance(error, ours))


def _lower(headers: httpx2.Headers) -> dict[str, str]:
    """httpx2's headers, names in lower case."""
    return {name.lower(): value for name, value in headers.items()}


def _joined(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers of aiohttp, names in lower case; what was sent twice as one, as httpx2 does it."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        name = name.lower()  # noqa: PLW2901 (the same name)
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found
