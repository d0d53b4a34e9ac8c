"""The way to OpenRouter, where it is none."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

import httpx2
import pytest

from langchain_tale import errors
from langchain_tale.openrouter import connections, transport
from langchain_tale.openrouter.chat_models import ChatOpenRouter
from langchain_tale.sandbox import Sandbox
from langchain_tale.sandbox.engines import ScriptedEngine
from tests.conftest import chat_model
from tests.openrouter.replies import STOP, Wire, event, reply

STREAM = "".join(
    f"data: {json.dumps(one)}\n\n" for one in (event({"content": "Once"}), event(choice=STOP))
)
DONE = f"{STREAM}data: [DONE]\n\n"
Answer = Callable[[httpx2.Request], httpx2.Response]


def raising(error: Exception) -> Answer:
    def answer(_request: httpx2.Request) -> httpx2.Response:
        raise error

    return answer


@pytest.mark.parametrize(
    "raised",
    [
        kind("x")
        for kind in (
            httpx2.ConnectError,
            httpx2.ReadError,
            httpx2.RemoteProtocolError,
            httpx2.ProxyError,
            httpx2.DecodingError,
            httpx2.ConnectTimeout,
            httpx2.ReadTimeout,
            httpx2.PoolTimeout,
        )
    ],
    ids=lambda error: type(error).__name__,
)
async def test_every_exception_of_the_http_library_becomes_ours(raised: Exception) -> None:
    late = isinstance(raised, httpx2.TimeoutException)
    expected = errors.RequestTimeoutError if late else errors.ConnectionFailedError
    llm = Wire(raising(raised)).llm()

    with pytest.raises(expected, match="a/b"):
        llm.invoke("x")
    with pytest.raises(expected):
        list(llm.stream("x"))
    with pytest.raises(expected):
        await llm.ainvoke("x")
    with pytest.raises(expected):
        await anext(llm.astream("x"))


@pytest.mark.parametrize(
    ("content_type", "content"),
    [("text/html", b"<html>"), ("application/json", b"{"), ("application/json", b"")],
    ids=["html", "cut", "nothing"],
)
def test_a_200_that_is_no_json_raises(content_type: str, content: bytes) -> None:
    headers = {"content-type": content_type}
    llm = Wire(lambda _: httpx2.Response(200, headers=headers, content=content)).llm()

    with pytest.raises(errors.MalformedReplyError, match=content_type) as caught:
        llm.invoke("x")
    assert caught.value.status_code == 200
    with pytest.raises(errors.MalformedReplyError):
        list(llm.stream("x"))


def test_garbage_that_claims_to_be_gzip_raises() -> None:
    good = gzip.compress(b'{"choices": []}')
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    body = Bytes(good[:12] + b"?")
    llm = Wire(lambda _: httpx2.Response(200, headers=headers, stream=body)).llm()

    with pytest.raises(errors.ExternalServiceError):
        llm.invoke("x")


class Bytes(httpx2.SyncByteStream):
    """A body as it comes from the wire."""

    def __init__(self, *parts: bytes) -> None:
        self.parts = parts

    def __iter__(self) -> Any:
        yield from self.parts


@pytest.mark.parametrize(
    ("content_type", "content"),
    [
        ("application/json", json.dumps(reply({"content": "Once"}))),
        ("text/event-stream; charset=utf-8", DONE),
        ("text/plain", DONE),
        ("application/json", f": OPENROUTER PROCESSING\n\n{STREAM}"),
    ],
    ids=["one body", "stream", "a stream that is called text", "one that is called json"],
)
async def test_a_stream_is_read_whatever_it_is_called(content_type: str, content: str) -> None:
    headers = {"content-type": content_type}
    llm = Wire(lambda _: httpx2.Response(200, headers=headers, content=content)).llm()

    assert "".join(chunk.text for chunk in llm.stream("x")) == "Once"
    assert "".join([chunk.text async for chunk in llm.astream("x")]) == "Once"


def test_a_body_may_begin_with_the_space_that_kept_the_connection_alive() -> None:
    padded = "\n   \n" * 20 + json.dumps(reply({"content": "Once"}))
    llm = Wire(lambda _: httpx2.Response(200, content=padded)).llm()

    assert llm.invoke("x").text == "Once"


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_events_may_be_cut_anywhere_on_their_way(line_end: str, size: int) -> None:
    content = f": OPENROUTER PROCESSING\n\n{STREAM}".replace("\n", line_end).encode()
    parts = [content[start : start + size] for start in range(0, len(content), size)]
    headers = {"content-type": "text/event-stream"}
    llm = Wire(lambda _: httpx2.Response(200, headers=headers, stream=Bytes(*parts))).llm()

    assert "".join(chunk.text for chunk in llm.stream("x")) == "Once"


def test_keep_alives_do_not_hold_off_the_deadline() -> None:
    now = 0.0
    deadline = transport.Deadline(10, clock=lambda: now)

    now = 9.0
    deadline.check()
    deadline.restart()
    now = 19.5
    with pytest.raises(TimeoutError):
        deadline.check()
    now = 1e9
    transport.Deadline(None, clock=lambda: now).check()


async def test_a_server_that_only_keeps_alive_times_out() -> None:
    class Silent(ScriptedEngine):
        async def generate(self, request: Mapping[str, Any]) -> AsyncGenerator[Any]:
            await asyncio.Event().wait()
            async for item in super().generate(request):
                yield item

    with Sandbox(engine=Silent()) as silent:
        llm = chat_model(silent, timeout=0.2)
        with pytest.raises(errors.RequestTimeoutError):
            llm.invoke("x")
        with pytest.raises(errors.RequestTimeoutError):
            await anext(llm.astream("x"))


def test_clients_are_shared_between_models() -> None:
    one, two = ChatOpenRouter(api_key="a"), ChatOpenRouter(api_key="b")

    assert one.root_client._client is two.root_client._client
    assert one.root_async_client._client is two.root_async_client._client


def test_a_forked_child_makes_its_own_connections() -> None:
    before = connections.shared_http_client()
    connections.forget_connections()

    assert connections.shared_http_client() is not before
    before.close()


def test_each_event_loop_has_its_own_connections_and_closes_them(sandbox: Sandbox) -> None:
    llm = chat_model(sandbox)
    sessions: list[Any] = []

    async def ask() -> None:
        await llm.ainvoke("x")
        pool: Any = llm.root_async_client._client
        sessions.append(await pool.session())

    asyncio.run(ask())
    asyncio.run(ask())

    assert sessions[0] is not sessions[1]
    assert all(session.closed for session in sessions)
