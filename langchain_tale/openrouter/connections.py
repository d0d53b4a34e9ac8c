"""The connections of this process: one pool for all threads, and one for each event loop.

Asynchronous requests go through aiohttp, which takes much less CPU than httpx2 does and
does not slow down with the number of its connections. What aiohttp does otherwise than httpx2
(proxies, SOCKS, slow uploads) stays with httpx2, and so do all requests of a client of the
caller's own.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import os
import sys
import warnings
import weakref
from contextlib import suppress
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Final, cast

import aiohttp
import httpx2
import openai

from langchain_tale.openrouter.writing import PromptRequest

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine

_KEEP_ALIVE_S: Final = 5.0
"""As httpx2: servers close idle connections, and a request may cross that on its way."""
_MAX_HEADER_BYTES: Final = 100 * 1024
"""As httpx2."""


class PerLoopAsyncClient(openai.DefaultAsyncHttpxClient):
    """An HTTP client that may be used in any event loop, one after the other or at once.

    A pool of connections belongs to the loop that opened them. This client keeps pools for each
    running loop and sends every request through those of the loop it is sent from.
    """

    def __init__(self, *, proxy: str | None = None) -> None:
        super().__init__(proxy=proxy)
        self._proxy_of_each = proxy
        self._by_loop: weakref.WeakKeyDictionary[
            asyncio.AbstractEventLoop, openai.DefaultAsyncHttpxClient
        ] = weakref.WeakKeyDictionary()
        self._proxied: dict[str, bool] = {}
        self._sessions: dict[asyncio.AbstractEventLoop, aiohttp.ClientSession] = {}

    async def send(self, request: httpx2.Request, **kwargs: Any) -> httpx2.Response:
        """Send through the running loop's own connections."""
        loop = asyncio.get_running_loop()
        client = self._by_loop.get(loop)
        if client is None:
            client = openai.DefaultAsyncHttpxClient(proxy=self._proxy_of_each)
            self._by_loop[loop] = client
            await _at_shutdown(client, client.aclose)
        return await client.send(request, **kwargs)

    def goes_through_proxy(self, url: str) -> bool:
        """Whether a proxy stands between us and `url`, by argument or environment."""
        origin = url[: url.find("/", len("https://"))]
        known = self._proxied.get(origin)
        if known is None:
            known = self._transport_for_url(httpx2.URL(origin)) is not self._transport
            self._proxied[origin] = known
        return known

    async def session(self) -> aiohttp.ClientSession:
        """The running loop's session, which knows no proxy."""
        loop = asyncio.get_running_loop()
        session = self._sessions.get(loop)
        if session is None or session.closed:
            self._drop_sessions_of_closed_loops()
            session = self._sessions[loop] = _new_session()
            await _at_shutdown(session, self._end_session)
        return session

    async def _end_session(self) -> None:
        if (session := self._sessions.pop(asyncio.get_running_loop(), None)) is not None:
            await session.close()

    def _drop_sessions_of_closed_loops(self) -> None:
        """Let go of what loops left behind that were closed before their generators were."""
        closed = [loop for loop in list(self._sessions) if loop.is_closed()]
        for loop in closed:
            if (session := self._sessions.pop(loop, None)) is not None:
                _run_to_its_end(session.close())
        if closed:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                gc.collect()  # their sockets can only be closed so, and would complain


def _new_session() -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_S, ssl=_trusted())
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(),
        request_class=aiohttp.ClientRequest if sys.version_info >= (3, 12) else PromptRequest,
        skip_auto_headers=("Content-Type",),
        max_line_size=_MAX_HEADER_BYTES,
        max_field_size=_MAX_HEADER_BYTES,
    )


@lru_cache
def _trusted() -> ssl.SSLContext:
    """Whom httpx2 trusts: `SSL_CERT_FILE`, `SSL_CERT_DIR`, else certifi's list."""
    return httpx2.create_ssl_context()


def _run_to_its_end(closing: Coroutine[None, None, None]) -> None:
    """Run a coroutine that has nothing to wait for, since its loop is closed."""
    with suppress(StopIteration, RuntimeError):
        closing.send(None)
    closing.close()


async def _at_shutdown(client: object, close: Callable[[], Awaitable[None]]) -> None:
    """Have the running loop call `close` when it shuts down, if `client` is still there.

    `asyncio.run` closes the asynchronous generators of its loop last; one that waits with the
    client in hand is the only hook a library has there.
    """

    async def until_shutdown() -> AsyncIterator[None]:
        try:
            yield
        finally:
            await close()

    guard = until_shutdown()
    await anext(guard)
    _GUARDS[client] = guard


_GUARDS: Final[weakref.WeakKeyDictionary[Any, AsyncIterator[None]]] = weakref.WeakKeyDictionary()


class SharedClient(openai.DefaultHttpxClient):
    """The HTTP client of all threads; a request of ours to it needs no merging with its own."""

    @cached_property
    def base_headers(self) -> dict[str, str]:
        """What it adds to all requests."""
        return dict(self.headers)


@lru_cache
def shared_http_client(proxy: str | None = None) -> httpx2.Client:
    """The connections of all threads of this process."""
    client = SharedClient(proxy=proxy)
    atexit.register(client.close)
    return client


@lru_cache
def shared_http_async_client(proxy: str | None = None) -> httpx2.AsyncClient:
    """The connections of all event loops of this process."""
    return cast("httpx2.AsyncClient", PerLoopAsyncClient(proxy=proxy))


def forget_connections() -> None:
    """A forked child must not write to its parent's sockets."""
    shared_http_client.cache_clear()
    shared_http_async_client.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget_connections)
