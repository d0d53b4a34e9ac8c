"""One request and the SDK's retries of it, by our own hand.

The SDK's own hand takes as much time for a request as everything else together. What it decides
is asked of it all the same: which key, which answers to retry, and after how long.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import httpx2
import openai
import orjson
from openai import NotGiven, Omit
from openai._httpx2 import (
    is_legacy_httpx_async_client,
    is_legacy_httpx_sync_client,
    normalize_httpx2_timeout,
    normalize_legacy_httpx_timeout,
    request_exceptions,
    timeout_exceptions,
)
from openai._models import FinalRequestOptions
from openai._utils._json import openapi_dumps
from yarl import URL

from langchain_tale.openrouter.answers import (
    AsyncAnswer,
    SessionAnswer,
    SyncAnswer,
    in_httpx_words,
)
from langchain_tale.openrouter.connections import PerLoopAsyncClient, SharedClient

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from langchain_tale.openrouter.exchanges import Exchanges

USER_AGENT: Final = "langchain-tale"
_AS_THE_SDK: Final = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
_SDK_HEADERS: Final = ("x-stainless-", "openai-")
_AT_ONCE_BYTES: Final = 64 * 1024
"""What a socket takes without waiting: for a longer body there is httpx2, which limits the wait."""
_TOO_MANY_REDIRECTS: Final = 21
"""One more than httpx2 follows."""


class QuietSDK:
    """What our clients of the SDK have in common: they tell OpenRouter nothing of OpenAI's.

    Nothing of this machine either; headers are our own and the caller's.
    """

    if TYPE_CHECKING:
        qs: Any
        _custom_query: Mapping[str, object]

        def _prepare_url(self, url: str) -> httpx2.URL: ...

    @property
    def default_headers(self) -> dict[str, str | Omit]:
        """Our own headers and the caller's; no platform facts, organization or project."""
        headers: Mapping[str, str | Omit] = super().default_headers  # type: ignore[misc]  # the SDK's
        own = {k: v for k, v in headers.items() if not k.lower().startswith(_SDK_HEADERS)}
        return {**own, "User-Agent": USER_AGENT}

    @cached_property
    def settled(self) -> dict[str, str | Omit]:
        """The headers of all requests, names in lower case."""
        return {name.lower(): value for name, value in self.default_headers.items()}

    @cached_property
    def urls(self) -> Callable[[str], httpx2.URL]:
        """The URL that a path has; those of late are remembered."""
        return lru_cache(maxsize=16)(self._prepare_url)

    def url(self, path: str, query: Mapping[str, Any]) -> httpx2.URL:
        """Where a request goes."""
        known = self.urls(path)
        asked = {**self._custom_query, **query}
        if not asked:
            return known
        given = {**dict(known.params.items()), **asked}
        plain = {name: value for name, value in given.items() if not isinstance(value, Omit)}
        return known.copy_with(params=self.qs.stringify(plain))


class SyncSDK(QuietSDK, openai.OpenAI):
    """The SDK's client, which tells OpenRouter nothing of OpenAI's or of this machine."""


class AsyncSDK(QuietSDK, openai.AsyncOpenAI):
    """The twin of `SyncSDK`."""


@dataclass(slots=True)
class Sending:
    """A request that lacks only its key, and how often it may be tried.

    Attributes:
        path: Below the base URL, or a URL.
        body: What to send as JSON; None to GET.
        query: Query parameters.
        headers: Beyond those of every request.
        timeout: Seconds, or what else the SDK takes; None for no limit.
        max_retries: How often to try again.
        exchanges: Who is told of each request.
    """

    path: str
    body: Any
    query: Mapping[str, Any]
    headers: Mapping[str, str]
    timeout: Any
    max_retries: int
    exchanges: Exchanges | None
    content: bytes | None = field(init=False)

    def __post_init__(self) -> None:
        self.content = None if self.body is None else _as_json(self.body)

    @property
    def method(self) -> str:
        """HTTP's."""
        return "GET" if self.content is None else "POST"

    def options(self) -> FinalRequestOptions:
        """What the SDK calls it."""
        return FinalRequestOptions.construct(
            method=self.method.lower(), url=self.path, max_retries=self.max_retries
        )

    def headers_for(self, client: QuietSDK, key: str) -> dict[str, str]:
        """All headers; the call's own count last."""
        own = {name.lower(): value for name, value in self.headers.items()}
        every = {"authorization": f"Bearer {key}", **client.settled, **own}
        if self.content is None:
            every.pop("content-type", None)
        return {name: value for name, value in every.items() if not isinstance(value, Omit)}

    def is_last(self, retries: int) -> bool:
        """Whether there is no further retry after so many."""
        return retries >= self.max_retries


def _as_json(body: Any) -> bytes:
    """JSON as the SDK writes it, in a fraction of the time where orjson writes the same."""
    try:
        content = orjson.dumps(body, option=_AS_THE_SDK)
    except TypeError:  # pydantic's models, numbers as keys, large integers
        return openapi_dumps(body)
    return openapi_dumps(body) if b"null" in content else content  # it may have been a NaN


def send(client: SyncSDK, sending: Sending) -> SyncAnswer:
    """Send a request, and again where the SDK would.

    Returns:
        An answer of any status, to be closed.
    """
    client._validate_max_retries(sending.max_retries)  # noqa: SLF001 (the SDK's own rules)
    for retries in itertools.count():
        key = client._refresh_api_key()  # noqa: SLF001 (as above)
        try:
            answer = _once(client, sending, key)
        except _lost():
            if sending.is_last(retries):
                raise
            answer = None
        if answer is not None:
            if not _is_to_be_retried(client, sending, answer, retries):
                return answer
            answer.close()
        client._sleep_for_retry(**_wait(sending, answer, retries))  # noqa: SLF001 (as above)
    raise AssertionError


async def asend(client: AsyncSDK, sending: Sending) -> AsyncAnswer | SessionAnswer:
    """The twin of `send`."""
    client._validate_max_retries(sending.max_retries)  # noqa: SLF001 (as above)
    for retries in itertools.count():
        key = await client._refresh_api_key()  # noqa: SLF001 (as above)
        try:
            answer = await _aonce(client, sending, key)
        except _lost():
            if sending.is_last(retries):
                raise
            answer = None
        if answer is not None:
            if not _is_to_be_retried(client, sending, answer, retries):
                return answer
            await answer.close()
        await client._sleep_for_retry(**_wait(sending, answer, retries))  # noqa: SLF001 (as above)
    raise AssertionError


def _lost() -> tuple[type[BaseException], ...]:
    """The exceptions after which the SDK tries again."""
    return (*timeout_exceptions(), *request_exceptions())


def _is_to_be_retried(
    client: SyncSDK | AsyncSDK, sending: Sending, answer: Any, retries: int
) -> bool:
    if answer.is_success or sending.is_last(retries):
        return False
    return client._should_retry(answer)  # noqa: SLF001 (as above)


def _wait(sending: Sending, answer: Any, retries: int) -> dict[str, Any]:
    """The arguments with which the SDK waits."""
    return {
        "retries_taken": retries,
        "max_retries": sending.max_retries,
        "options": sending.options(),
        "response": answer,
    }


def _once(client: SyncSDK, sending: Sending, key: str) -> SyncAnswer:
    http, exchanges = client._client, sending.exchanges  # noqa: SLF001 (as above)
    headers = sending.headers_for(client, key)
    sent_with = headers.get("authorization", "").removeprefix("Bearer ")
    if exchanges is not None:
        exchanges.sends(sent_with)
    try:
        response = http.send(_request(client, http, sending, headers), stream=True)
    except BaseException as error:
        if exchanges is not None:
            exchanges.lost(error)
        raise
    answer = SyncAnswer(response, sent_with)
    if exchanges is not None:
        exchanges.answered(answer.status_code, answer.headers)
    return answer


async def _aonce(client: AsyncSDK, sending: Sending, key: str) -> AsyncAnswer | SessionAnswer:
    exchanges = sending.exchanges
    headers = sending.headers_for(client, key)
    sent_with = headers.get("authorization", "").removeprefix("Bearer ")
    if exchanges is not None:
        exchanges.sends(sent_with)
    try:
        answer = await _answer(client, sending, headers, sent_with)
    except BaseException as error:
        if exchanges is not None:
            exchanges.lost(error)
        raise
    if exchanges is not None:
        exchanges.answered(answer.status_code, answer.headers)
    return answer


async def _answer(
    client: AsyncSDK, sending: Sending, headers: dict[str, str], key: str
) -> AsyncAnswer | SessionAnswer:
    http: Any = client._client  # noqa: SLF001 (as above)
    url = str(client.url(sending.path, sending.query))
    if not isinstance(http, PerLoopAsyncClient) or not _goes_by_aiohttp(http, url, sending):
        request = _request(client, http, sending, headers)
        return AsyncAnswer(await http.send(request, stream=True), key)
    limits = _limits(client, sending.timeout)
    session = await http.session()
    with in_httpx_words():
        response = await session.request(
            sending.method,
            _yarl(url),
            data=sending.content,
            headers=headers,
            timeout=aiohttp.ClientTimeout(connect=limits.connect, sock_read=limits.read),
            max_redirects=_TOO_MANY_REDIRECTS,
        )
    return SessionAnswer(response, key, limits.read)


def _goes_by_aiohttp(http: PerLoopAsyncClient, url: str, sending: Sending) -> bool:
    is_short = len(sending.content or b"") <= _AT_ONCE_BYTES
    return is_short and not http.goes_through_proxy(url)


def _request(
    client: SyncSDK | AsyncSDK, http: Any, sending: Sending, headers: dict[str, str]
) -> Any:
    if isinstance(http, SharedClient) and not http.cookies:
        return httpx2.Request(
            sending.method,
            client.url(sending.path, sending.query),
            content=sending.content,
            headers={**http.base_headers, **headers},
            extensions={"timeout": _limits(client, sending.timeout).as_dict()},
        )
    timeout = client.timeout if isinstance(sending.timeout, NotGiven) else sending.timeout
    is_legacy = is_legacy_httpx_sync_client(http) or is_legacy_httpx_async_client(http)
    in_its_words = normalize_legacy_httpx_timeout if is_legacy else normalize_httpx2_timeout
    return http.build_request(
        sending.method,
        client.url(sending.path, sending.query),
        content=sending.content,
        headers=headers,
        timeout=in_its_words(timeout),
    )


def _limits(client: SyncSDK | AsyncSDK, timeout: Any) -> httpx2.Timeout:
    given = client.timeout if isinstance(timeout, NotGiven) else timeout
    return httpx2.Timeout(normalize_httpx2_timeout(given))


@lru_cache(maxsize=64)
def _yarl(url: str) -> URL:
    return URL(url, encoded=True)
