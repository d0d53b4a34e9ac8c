from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx2
import pytest

from langchain_tale.openrouter.answers import AsyncAnswer, SessionAnswer, in_httpx_words
from langchain_tale.openrouter.chat_models import ChatOpenRouter
from langchain_tale.openrouter.connections import PerLoopAsyncClient, forget_connections
from langchain_tale.openrouter.sending import Sending, asend
from tests.conftest import chat_model
from tests.openrouter.scripted_answers import ScriptedAnswers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_tale.sandbox import Sandbox

OK = (200, {"content-type": "application/json"})


@pytest.fixture
def fresh_connections() -> Iterator[None]:
    """Connections that know the environment of this test."""
    forget_connections()
    yield
    forget_connections()


async def answer(llm: ChatOpenRouter, content: str = "x") -> Any:
    body = {"model": "a/b", "messages": [{"role": "user", "content": content}]}
    sending = Sending("/chat/completions", body, {}, {}, 10, 0, None)
    found = await asend(llm.root_async_client, sending)
    while await found.more() is not None:
        pass
    await found.close()
    return found


async def test_as_many_connections_as_calls_at_once_and_no_more() -> None:
    with ScriptedAnswers(OK) as server:
        llm = ChatOpenRouter(model="a/b", api_key="x", base_url=server.url)
        for _ in range(5):
            await asyncio.gather(*(llm.ainvoke("x") for _ in range(4)))

    assert len(server.requests) == 20
    assert server.connections <= 4


def test_a_loop_that_is_closed_early_leaves_no_warning(sandbox: Sandbox) -> None:
    llm = chat_model(sandbox)
    client: Any = llm.root_async_client._client
    for _ in range(3):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(llm.ainvoke("x"))
        loop.close()
    asyncio.run(llm.ainvoke("x"))
    gc.collect()

    assert not any(loop.is_closed() for loop in client._sessions)


async def test_short_requests_go_by_aiohttp_and_long_ones_by_httpx2() -> None:
    with ScriptedAnswers(OK) as server:
        llm = ChatOpenRouter(model="a/b", api_key="x", base_url=server.url)

        assert isinstance(await answer(llm), SessionAnswer)
        assert isinstance(await answer(llm, "x" * 70_000), AsyncAnswer)


@pytest.mark.usefixtures("fresh_connections")
async def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedAnswers(OK) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.server_port}")
        monkeypatch.setenv("NO_PROXY", "localhost")
        llm = ChatOpenRouter(model="a/b", api_key="x", base_url="http://127.0.0.1:9/v1")
        await llm.ainvoke("x")

    assert proxy.requests == ["POST http://127.0.0.1:9/v1/chat/completions HTTP/1.1"]


async def test_a_proxy_of_the_model_is_used() -> None:
    with ScriptedAnswers(OK) as proxy:
        address = f"http://127.0.0.1:{proxy.server_port}"
        llm = ChatOpenRouter(
            model="a/b", api_key="x", base_url="http://127.0.0.1:9/v1", openai_proxy=address
        )
        await llm.ainvoke("x")

    assert proxy.requests == ["POST http://127.0.0.1:9/v1/chat/completions HTTP/1.1"]


@pytest.mark.parametrize("no_proxy", ["openrouter.ai", "*"])
def test_no_proxy_is_heeded(no_proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", no_proxy)

    assert not PerLoopAsyncClient().goes_through_proxy("https://openrouter.ai/api/v1/x")
    monkeypatch.setenv("NO_PROXY", "example.org")
    assert PerLoopAsyncClient().goes_through_proxy("https://openrouter.ai/api/v1/x")


def every_kind(of: type[Exception]) -> Iterator[type[Exception]]:
    yield of
    for kind in of.__subclasses__():
        if kind.__module__.startswith("aiohttp"):
            yield from every_kind(kind)


@pytest.mark.parametrize("kind", sorted({*every_kind(aiohttp.ClientError), TimeoutError}, key=repr))
def test_every_exception_of_aiohttp_has_a_name_in_httpx2(kind: type[Exception]) -> None:
    is_late = issubclass(kind, TimeoutError)
    expected = httpx2.TimeoutException if is_late else httpx2.RequestError

    with pytest.raises(expected), in_httpx_words():
        raise kind.__new__(kind)


async def test_the_wait_for_an_answer_counts_while_somebody_waits(sandbox: Sandbox) -> None:
    llm = chat_model(sandbox, timeout=5.0)
    client: Any = llm.root_async_client
    body = {"model": llm.model_name, "messages": [{"role": "user", "content": "x"}]}
    found: Any = await asend(client, Sending("/chat/completions", body, {}, {}, 5.0, 0, None))

    connection = found._response.connection
    assert connection is None or connection.protocol.read_timeout is None
    assert found._read_s == 5.0
    await found.close()
