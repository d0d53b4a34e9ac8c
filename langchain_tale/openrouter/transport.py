"""The way to OpenRouter: connections, headers, deadlines, and what can go wrong on it.

What is sent, and how often, is in `sending`; what comes back is read here as plain JSON.
"""

from __future__ import annotations

import json
import math
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import jiter
import openai
from openai._httpx2 import request_exceptions, timeout_exceptions

from langchain_tale import errors
from langchain_tale.openrouter.exchanges import told_of
from langchain_tale.openrouter.failures import Source, error_from_body
from langchain_tale.openrouter.quoting import without_keys
from langchain_tale.openrouter.sending import Sending, asend, send
from langchain_tale.openrouter.sse import EventDecoder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from langchain_tale.openrouter.answers import Answer, AsyncAnswer, SessionAnswer, SyncAnswer
    from langchain_tale.openrouter.exchanges import Exchanges
    from langchain_tale.openrouter.keys import KeyRing
    from langchain_tale.openrouter.sending import AsyncSDK, SyncSDK

_DONE: Final = b"[DONE]"


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

    def sending(self) -> Sending:
        """The request as it is sent."""
        return Sending(
            path=self.path,
            body=self.body,
            query=self.query,
            headers=self.headers,
            timeout=self.timeout,
            max_retries=self.max_retries,
            exchanges=self.exchanges,
        )

    def source(self, answer: Answer) -> Source:
        """Whose answer it is."""
        messages = (self.body or {}).get("messages")
        status, headers, key = answer.status_code, answer.headers, answer.key
        return Source(self.model, status, headers, self.has_fallbacks, messages, key)

    def raise_or_change_keys(self, answer: Answer, content: bytes) -> None:
        """Raise ours, unless another key is there to be tried."""
        found = error_from_body(answer.failure(content), self.source(answer))
        if self.keys is not None:
            with told_of(self.exchanges):
                found.has_other_key = self.keys.refuse(answer.key, found)
        if not (found.has_other_key and self.max_retries):
            raise found

    def deadline(self) -> Deadline:
        """The wall-clock limit that belongs to `timeout`."""
        return Deadline(self.timeout if isinstance(self.timeout, int | float) else None)


def fetch(client: SyncSDK, call: Call) -> tuple[Any, Source]:
    """Send a request and read the whole answer.

    Returns:
        The decoded JSON of a 2xx, and what it answers.

    Raises:
        ExternalServiceError: Anything else.
    """
    with _translating(call) as sources, _sent(client, call) as answer:
        sources.append(source := call.source(answer))
        return _whole(_read(answer, call.deadline()), source), source


async def afetch(client: AsyncSDK, call: Call) -> tuple[Any, Source]:
    """The twin of `fetch`."""
    with _translating(call) as sources:
        async with _asent(client, call) as answer:
            sources.append(source := call.source(answer))
            return _whole(await _aread(answer, call.deadline()), source), source


@contextmanager
def events(client: SyncSDK, call: Call) -> Iterator[tuple[Iterator[Any], Source]]:
    """Send a request and read the answer's events as they come; leaving cancels it.

    The timeout is for each wait for an event; keep-alive comments are no events. A server that
    answers with one JSON body instead of a stream gives one event.

    Yields:
        The decoded events, and what they answer.

    Raises:
        ExternalServiceError: The request, an event or the connection failed.
    """
    with _translating(call) as sources, _sent(client, call) as answer:
        sources.append(source := call.source(answer))
        deadline = call.deadline()

        def decoded() -> Iterator[Any]:
            if not _is_stream(answer):
                yield from _events_in(_read(answer, deadline), source)
                return
            decoder, is_over = EventDecoder(), False
            while not is_over:
                part = answer.more()
                is_over = part is None
                deadline.check()
                for data in decoder.finish() if part is None else decoder.feed(part):
                    if data.startswith(_DONE):
                        return
                    deadline.restart()
                    yield _event(data, source)

        yield decoded(), source


@asynccontextmanager
async def aevents(client: AsyncSDK, call: Call) -> AsyncIterator[tuple[AsyncIterator[Any], Source]]:
    """The twin of `events`."""
    with _translating(call) as sources:
        async with _asent(client, call) as answer:
            sources.append(source := call.source(answer))
            deadline = call.deadline()

            async def decoded() -> AsyncIterator[Any]:
                if not _is_stream(answer):
                    for event in _events_in(await _aread(answer, deadline), source):
                        yield event
                    return
                decoder, is_over = EventDecoder(), False
                while not is_over:
                    part = await answer.more()
                    is_over = part is None
                    deadline.check()
                    for data in decoder.finish() if part is None else decoder.feed(part):
                        if data.startswith(_DONE):
                            return
                        deadline.restart()
                        yield _event(data, source)

            yield decoded(), source


@contextmanager
def _sent(client: SyncSDK, call: Call) -> Iterator[SyncAnswer]:
    answer = _successful(client, call)
    try:
        yield answer
    finally:
        answer.close()


@asynccontextmanager
async def _asent(client: AsyncSDK, call: Call) -> AsyncIterator[AsyncAnswer | SessionAnswer]:
    answer = await _asuccessful(client, call)
    try:
        yield answer
    finally:
        await answer.close()


def _successful(client: SyncSDK, call: Call) -> SyncAnswer:
    sending = call.sending()
    while True:
        answer = send(client, sending)
        if answer.is_success:
            return answer
        try:
            content = _read(answer, Deadline(None))
        finally:
            answer.close()
        call.raise_or_change_keys(answer, content)


async def _asuccessful(client: AsyncSDK, call: Call) -> AsyncAnswer | SessionAnswer:
    sending = call.sending()
    while True:
        answer = await asend(client, sending)
        if answer.is_success:
            return answer
        try:
            content = await _aread(answer, Deadline(None))
        finally:
            await answer.close()
        call.raise_or_change_keys(answer, content)


def _read(answer: SyncAnswer, deadline: Deadline) -> bytes:
    content = bytearray()
    while (part := answer.more()) is not None:
        deadline.check()
        content += part
    return bytes(content)


async def _aread(answer: AsyncAnswer | SessionAnswer, deadline: Deadline) -> bytes:
    content = bytearray()
    while (part := await answer.more()) is not None:
        deadline.check()
        content += part
    return bytes(content)


@contextmanager
def _translating(call: Call) -> Iterator[list[Source]]:
    """Every exception of the SDK and of the HTTP library as one of ours.

    Yields:
        A list for the source of the answer, once there is one.
    """
    sources: list[Source] = []
    try:
        yield sources
    except _late() as error:
        msg = f"{call.model} did not answer in time; try again, or raise timeout."
        raise errors.RequestTimeoutError(msg, model=call.model, **_ids(sources)) from error
    except request_exceptions() as error:
        reason = type(error).__name__
        lost = f"No connection to OpenRouter for {call.model} ({reason})"
        msg = f"{lost}; check the network and base_url."
        raise errors.ConnectionFailedError(msg, model=call.model, **_ids(sources)) from error
    except openai.OpenAIError as error:
        raise errors.ConfigurationError(without_keys(str(error))) from error


def _late() -> tuple[type[BaseException], ...]:
    return (*timeout_exceptions(), TimeoutError)


def _ids(sources: list[Source]) -> dict[str, Any]:
    """What is known of an answer that was lost on its way."""
    ids = {} if not sources else sources[-1].ids({})
    return {name: ids.get(name) for name in ("generation_id", "request_id")}


def _is_stream(answer: Answer) -> bool:
    return "event-stream" in answer.headers.get("content-type", "")


def _events_in(body: bytes, source: Source) -> Iterator[Any]:
    """The events of a whole body: one of JSON, or those of a stream that is not called one."""
    if not body.lstrip().startswith((b"data:", b":")):
        yield _decoded(body, source)
        return
    decoder = EventDecoder()
    for data in (*decoder.feed(body), *decoder.finish()):
        if data.startswith(_DONE):
            return
        yield _event(data, source)


def _event(data: bytes, source: Source) -> Any:
    try:
        return jiter.from_json(data)
    except ValueError:  # no JSON, or half a character (a lone surrogate), as some providers send
        return _decoded(data.decode(errors="replace"), source)


def _whole(content: bytes, source: Source) -> Any:
    try:
        return jiter.from_json(content)
    except ValueError:  # as above, or in another encoding
        return _decoded(content, source)


def _decoded(content: bytes | str, source: Source) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        kind = source.headers.get("content-type", "no content type").split(";")[0]
        msg = f"{source.model} answered with {kind} that is no JSON; try again or another model."
        raise errors.MalformedReplyError(
            msg, model=source.model, raw=source.kept(content), **source.ids({})
        ) from None
