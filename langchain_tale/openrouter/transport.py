"""The way to OpenRouter: connections, headers, deadlines, and what can go wrong on it.

The openai SDK sends, authenticates and retries; what comes back is read here as plain JSON.
Connections are pooled: one pool for all threads, and one for each event loop, which is closed
with its loop.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import math
import os
import time
import weakref
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import httpx2
import openai
from openai import Omit
from openai._streaming import SSEDecoder

from langchain_tale import errors
from langchain_tale.openrouter.exchanges import current_exchanges, sending_for
from langchain_tale.openrouter.failures import Source, error_from_body
from langchain_tale.openrouter.quoting import without_keys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence

    from langchain_tale.openrouter.exchanges import Exchanges
    from langchain_tale.openrouter.keys import KeyRing

USER_AGENT: Final = "langchain-tale"
_SDK_HEADERS: Final = ("x-stainless-", "openai-")
_NO_SDK_HEADERS: Final = {"x-stainless-retry-count": Omit(), "x-stainless-read-timeout": Omit()}
_DONE: Final = "[DONE]"
_LAST_EVENT_ENDS: Final = b"\n\n"
"""Some servers close the connection instead of ending their last event."""


class SyncSDK(openai.OpenAI):
    """The SDK's client, which tells OpenRouter nothing of OpenAI's or of this machine."""

    @property
    def default_headers(self) -> dict[str, str | Omit]:
        """Our own headers and the caller's; no platform facts, organization or project."""
        return _own_headers(super().default_headers)

    def _send_request(self, request: httpx2.Request, **kwargs: Any) -> httpx2.Response:
        if (exchanges := current_exchanges()) is None:
            return super()._send_request(request, **kwargs)
        exchanges.sends(request)
        try:
            response = super()._send_request(request, **kwargs)
        except BaseException as error:
            exchanges.lost(error)
            raise
        exchanges.answered(response)
        return response


class AsyncSDK(openai.AsyncOpenAI):
    """The twin of `SyncSDK`."""

    @property
    def default_headers(self) -> dict[str, str | Omit]:
        """Our own headers and the caller's; no platform facts, organization or project."""
        return _own_headers(super().default_headers)

    async def _send_request(self, request: httpx2.Request, **kwargs: Any) -> httpx2.Response:
        if (exchanges := current_exchanges()) is None:
            return await super()._send_request(request, **kwargs)
        exchanges.sends(request)
        try:
            response = await super()._send_request(request, **kwargs)
        except BaseException as error:
            exchanges.lost(error)
            raise
        exchanges.answered(response)
        return response


def _own_headers(headers: Mapping[str, str | Omit]) -> dict[str, str | Omit]:
    own = {k: v for k, v in headers.items() if not k.lower().startswith(_SDK_HEADERS)}
    return {**own, "User-Agent": USER_AGENT}


class PerLoopAsyncClient(openai.DefaultAsyncHttpxClient):
    """An HTTP client that may be used in any event loop, one after the other or at once.

    A pool of connections belongs to the loop that opened them. This client keeps one client
    for each running loop and sends every request through that of the loop it is sent from.
    """

    def __init__(self, *, proxy: str | None = None) -> None:
        super().__init__(proxy=proxy)
        self._proxy_of_each = proxy
        self._by_loop: weakref.WeakKeyDictionary[
            asyncio.AbstractEventLoop, openai.DefaultAsyncHttpxClient
        ] = weakref.WeakKeyDictionary()

    async def send(self, request: httpx2.Request, **kwargs: Any) -> httpx2.Response:
        """Send through the running loop's own connections."""
        loop = asyncio.get_running_loop()
        client = self._by_loop.get(loop)
        if client is None:
            client = openai.DefaultAsyncHttpxClient(proxy=self._proxy_of_each)
            self._by_loop[loop] = client
            await _close_with_loop(client)
        return await client.send(request, **kwargs)


async def _close_with_loop(client: httpx2.AsyncClient) -> None:
    """Have the running loop close `client` when it shuts down.

    `asyncio.run` closes the asynchronous generators of its loop last; one that waits with the
    client in hand is the only hook a library has there.
    """

    async def until_shutdown() -> AsyncIterator[None]:
        try:
            yield
        finally:
            await client.aclose()

    guard = until_shutdown()
    await anext(guard)
    _GUARDS[client] = guard


_GUARDS: Final[weakref.WeakKeyDictionary[httpx2.AsyncClient, AsyncIterator[None]]] = (
    weakref.WeakKeyDictionary()
)


@lru_cache
def shared_http_client(proxy: str | None = None) -> httpx2.Client:
    """The connections of all threads of this process."""
    client = openai.DefaultHttpxClient(proxy=proxy)
    atexit.register(client.close)
    return client


@lru_cache
def shared_http_async_client(proxy: str | None = None) -> httpx2.AsyncClient:
    """The connections of all event loops of this process."""
    return PerLoopAsyncClient(proxy=proxy)


def _forget_connections() -> None:
    """A forked child must not write to its parent's sockets."""
    shared_http_client.cache_clear()
    shared_http_async_client.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_connections)


def attribution_headers(
    app_url: str | None, app_title: str | None, categories: Sequence[str] | None = None
) -> dict[str, str]:
    """The headers that credit an application in OpenRouter's rankings (§3)."""
    named = {
        "HTTP-Referer": app_url,
        "X-OpenRouter-Title": app_title,
        "X-OpenRouter-Categories": ",".join(categories or ()),
    }
    return {name: value for name, value in named.items() if value}


# ── one request ─────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Deadline:
    """Wall-clock seconds for bytes to arrive; keep-alives do not stop it as they would a socket's.

    Attributes:
        timeout_s: Seconds from the start, or None for no limit.
        clock: Seconds on a clock that never goes back.
    """

    timeout_s: float | None
    clock: Callable[[], float] = time.monotonic
    _ends_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Count from now."""
        self._ends_at = math.inf if self.timeout_s is None else self.clock() + self.timeout_s

    def check(self) -> None:
        """Raise TimeoutError once the time is over."""
        if self.clock() > self._ends_at:
            raise TimeoutError


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to OpenRouter.

    Attributes:
        path: Below the base URL, e.g. `"/chat/completions"`.
        model: The model being asked, for error messages.
        body: What to send as JSON; None to GET.
        query: Query parameters.
        headers: Beyond those of every request.
        timeout: Seconds, or what else the SDK takes; None for no limit.
        max_retries: Retries by the SDK, and whether other keys are tried here.
        keys: The keys that may take each other's place.
        has_fallbacks: Whether OpenRouter may ask other models in its place.
        exchanges: Who is told of each request, where a chat model asks.
    """

    path: str
    model: str
    body: dict[str, Any] | None = field(default=None, repr=False)
    query: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    timeout: Any = None
    max_retries: int = 0
    keys: KeyRing | None = None
    has_fallbacks: bool = False
    exchanges: Exchanges | None = None

    def arguments(self) -> dict[str, Any]:
        """The arguments of the SDK's `post` or `get`, for an answer that is read raw."""
        options = {
            "timeout": self.timeout,
            "max_retries": self.max_retries,
            "params": self.query,
            "headers": {**_NO_SDK_HEADERS, **self.headers},
        }
        sent = {} if self.body is None else {"body": self.body}
        return {"cast_to": httpx2.Response, "options": options, "stream": True, **sent}

    def source(self, status_code: int, headers: Mapping[str, str], key: str) -> Source:
        """Whose answer it is."""
        messages = (self.body or {}).get("messages")
        return Source(self.model, status_code, headers, self.has_fallbacks, messages, key)

    def raise_or_change_keys(self, error: openai.APIStatusError) -> None:
        """Raise ours, unless another key is there to be tried."""
        found = _status_error(error, self)
        if self.keys is not None:
            found.has_other_key = self.keys.refuse(_key_of(error.response), found)
        if not (found.has_other_key and self.max_retries):
            raise found from None

    def deadline(self) -> Deadline:
        """The wall-clock limit that belongs to `timeout`."""
        return Deadline(self.timeout if isinstance(self.timeout, int | float) else None)


def fetch(client: openai.OpenAI, call: Call) -> tuple[Any, Source]:
    """Send a request and read the whole answer.

    Returns:
        The decoded JSON of a 2xx, and what it answers.

    Raises:
        ExternalServiceError: Anything else.
    """
    with _translating(call) as sources, _sent(client, call) as response:
        sources.append(source := _source(response, call))
        deadline, content = call.deadline(), bytearray()
        for chunk in response.iter_bytes():
            deadline.check()
            content += chunk
        return _decoded(bytes(content), source), source


async def afetch(client: openai.AsyncOpenAI, call: Call) -> tuple[Any, Source]:
    """The twin of `fetch`."""
    with _translating(call) as sources:
        async with _asent(client, call) as response:
            sources.append(source := _source(response, call))
            deadline, content = call.deadline(), bytearray()
            async for chunk in response.aiter_bytes():
                deadline.check()
                content += chunk
            return _decoded(bytes(content), source), source


@contextmanager
def events(client: openai.OpenAI, call: Call) -> Iterator[tuple[Iterator[Any], Source]]:
    """Send a request and read the answer's events as they come; leaving cancels it.

    The timeout is for each wait for an event; keep-alive comments are no events. A server that
    answers with one JSON body instead of a stream gives one event.

    Yields:
        The decoded events, and what they answer.

    Raises:
        ExternalServiceError: The request, an event or the connection failed.
    """
    with _translating(call) as sources, _sent(client, call) as response:
        sources.append(source := _source(response, call))
        deadline = call.deadline()

        def watched() -> Iterator[bytes]:
            for chunk in response.iter_bytes():
                deadline.check()
                yield chunk
            yield _LAST_EVENT_ENDS

        def decoded() -> Iterator[Any]:
            if not _is_stream(response):
                yield from _events_in(b"".join(watched()), source)
                return
            for sse in SSEDecoder().iter_bytes(watched()):
                if sse.data.startswith(_DONE):
                    return
                deadline.restart()
                yield _decoded(sse.data, source)

        yield decoded(), source


@asynccontextmanager
async def aevents(
    client: openai.AsyncOpenAI, call: Call
) -> AsyncIterator[tuple[AsyncIterator[Any], Source]]:
    """The twin of `events`."""
    with _translating(call) as sources:
        async with _asent(client, call) as response:
            sources.append(source := _source(response, call))
            deadline = call.deadline()

            async def watched() -> AsyncIterator[bytes]:
                async for chunk in response.aiter_bytes():
                    deadline.check()
                    yield chunk
                yield _LAST_EVENT_ENDS

            async def decoded() -> AsyncIterator[Any]:
                if not _is_stream(response):
                    body = b"".join([chunk async for chunk in watched()])
                    for event in _events_in(body, source):
                        yield event
                    return
                async for sse in SSEDecoder().aiter_bytes(watched()):
                    if sse.data.startswith(_DONE):
                        return
                    deadline.restart()
                    yield _decoded(sse.data, source)

            yield decoded(), source


@contextmanager
def _sent(client: openai.OpenAI, call: Call) -> Iterator[httpx2.Response]:
    with sending_for(call.exchanges):
        response = _send(client, call)
    try:
        yield response
    finally:
        response.close()


@asynccontextmanager
async def _asent(client: openai.AsyncOpenAI, call: Call) -> AsyncIterator[httpx2.Response]:
    with sending_for(call.exchanges):
        response = await _asend(client, call)
    try:
        yield response
    finally:
        await response.aclose()


def _send(client: openai.OpenAI, call: Call) -> httpx2.Response:
    send = client.get if call.body is None else client.post
    while True:
        try:
            response: httpx2.Response = send(
                call.path, stream_cls=openai.Stream[Any], **call.arguments()
            )
        except openai.APIStatusError as error:
            call.raise_or_change_keys(error)
        else:
            return response


async def _asend(client: openai.AsyncOpenAI, call: Call) -> httpx2.Response:
    send = client.get if call.body is None else client.post
    while True:
        try:
            response: httpx2.Response = await send(
                call.path, stream_cls=openai.AsyncStream[Any], **call.arguments()
            )
        except openai.APIStatusError as error:
            call.raise_or_change_keys(error)
        else:
            return response


@contextmanager
def _translating(call: Call) -> Iterator[list[Source]]:
    """Every exception of the SDK and of the HTTP library as one of ours.

    Yields:
        A list for the source of the answer, once there is one.
    """
    sources: list[Source] = []
    try:
        yield sources
    except (openai.APITimeoutError, httpx2.TimeoutException, TimeoutError) as error:
        msg = f"{call.model} did not answer in time; try again, or raise timeout."
        raise errors.RequestTimeoutError(msg, model=call.model, **_ids(sources)) from error
    except (openai.APIConnectionError, httpx2.RequestError) as error:
        reason = type(error.__cause__ or error).__name__
        lost = f"No connection to OpenRouter for {call.model} ({reason})"
        msg = f"{lost}; check the network and base_url."
        raise errors.ConnectionFailedError(msg, model=call.model, **_ids(sources)) from error
    except openai.OpenAIError as error:
        raise errors.ConfigurationError(without_keys(str(error))) from error


def _ids(sources: list[Source]) -> dict[str, Any]:
    """What is known of an answer that was lost on its way."""
    ids = {} if not sources else sources[-1].ids({})
    return {name: ids.get(name) for name in ("generation_id", "request_id")}


def _status_error(error: openai.APIStatusError, call: Call) -> errors.ExternalServiceError:
    response = error.response
    try:
        body: Any = response.json()
    except ValueError:
        body = response.text
    headers = {name.lower(): value for name, value in response.headers.items()}
    return error_from_body(body, call.source(response.status_code, headers, _key_of(response)))


def _source(response: httpx2.Response, call: Call) -> Source:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return call.source(response.status_code, headers, _key_of(response))


def _key_of(response: httpx2.Response) -> str:
    """The key that a request was sent with."""
    sent: str = response.request.headers.get("authorization", "")
    return sent.removeprefix("Bearer ")


def _is_stream(response: httpx2.Response) -> bool:
    return "event-stream" in response.headers.get("content-type", "")


def _events_in(body: bytes, source: Source) -> Iterator[Any]:
    """The events of a whole body: one of JSON, or those of a stream that is not called one."""
    if not body.lstrip().startswith((b"data:", b":")):
        yield _decoded(body, source)
        return
    for sse in SSEDecoder().iter_bytes(iter([body])):
        if sse.data.startswith(_DONE):
            return
        yield _decoded(sse.data, source)


def _decoded(content: bytes | str, source: Source) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        kind = source.headers.get("content-type", "no content type").split(";")[0]
        msg = f"{source.model} answered with {kind} that is no JSON; try again or another model."
        raise errors.MalformedReplyError(
            msg, model=source.model, raw=source.kept(content), **source.ids({})
        ) from None
