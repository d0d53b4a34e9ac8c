"""One instance in many threads and event loops, and the connections that it uses there."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from langchain_tale.openrouter.chat_models import ChatOpenRouter
from tests.conftest import chat_model
from tests.openrouter.loopback import Loopback
from tests.openrouter.replies import event, reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_tale.sandbox import Sandbox

PATH = "/chat/completions"


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback(reply({"content": "Hello."})) as running:
        yield running


def asking(server: Loopback, **options: Any) -> ChatOpenRouter:
    """A chat model that talks to a server by hand."""
    given = {"base_url": server.url, "api_key": "sk-or-v1-x", "max_retries": 0, **options}
    return ChatOpenRouter(model="a/b", **given)


# ── threads and loops ───────────────────────────────────────────────────────


async def every_way(llm: ChatOpenRouter) -> set[str]:
    """What it answers to the same question in all asynchronous ways."""
    streamed = [chunk.text async for chunk in llm.astream("x")]
    batch = await llm.abatch(["x", "x"])
    one = await llm.ainvoke("x")
    return {"".join(streamed), one.text, *(message.text for message in batch)}


def test_it_works_in_many_threads(llm: ChatOpenRouter) -> None:
    with ThreadPoolExecutor(8) as pool:
        texts = {message.text for message in pool.map(llm.invoke, ["x"] * 32)}

    assert len(texts) == 1


def test_it_works_in_event_loops_one_after_the_other(llm: ChatOpenRouter) -> None:
    texts = {text for _ in range(4) for text in asyncio.run(every_way(llm))}

    assert texts == {llm.invoke("x").text}


def test_it_works_in_two_event_loops_at_once(llm: ChatOpenRouter) -> None:
    both_are_running = threading.Barrier(2, timeout=10)

    async def ask() -> set[str]:
        before = await every_way(llm)
        await asyncio.to_thread(both_are_running.wait)
        return before | await every_way(llm)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(asyncio.run, [ask(), ask()])

    assert first == second == {llm.invoke("x").text}


async def test_it_may_be_asked_synchronously_inside_a_loop(llm: ChatOpenRouter) -> None:
    asynchronous = await llm.ainvoke("x")

    assert llm.invoke("x").text == asynchronous.text
    assert "".join(chunk.text for chunk in llm.stream("x")) == asynchronous.text


def test_a_batch_keeps_its_order(llm: ChatOpenRouter) -> None:
    prompts: list[Any] = [f"Story number {n}" for n in range(8)]
    texts = [llm.invoke(prompt).text for prompt in prompts]

    assert len(set(texts)) > 1
    assert [message.text for message in llm.batch(prompts)] == texts
    assert [message.text for message in asyncio.run(llm.abatch(prompts))] == texts


# ── connections ─────────────────────────────────────────────────────────────


def test_a_loop_closes_its_connections_when_it_ends(server: Loopback) -> None:
    llm = asking(server)

    for _ in range(2):
        asyncio.run(llm.ainvoke("x"))
        assert server.left.acquire(timeout=10)
    gc.collect()  # what is left open would warn, and warnings are errors


def test_a_connection_is_used_again(server: Loopback) -> None:
    async def twice() -> None:
        await llm.ainvoke("x")
        await llm.ainvoke("x")

    llm = asking(server)
    asyncio.run(twice())

    assert len(server.asked) == 2
    assert server.left.acquire(timeout=10)
    assert not server.left.acquire(blocking=False)


def test_leaving_a_stream_closes_its_connection() -> None:
    with Loopback([event({"content": "Once"})]) as server:
        stream = asking(server).stream("x")
        assert next(stream).text == "Once"
        stream.close()  # type: ignore[attr-defined]

        assert server.left.acquire(timeout=10)


async def test_leaving_an_asynchronous_stream_closes_its_connection() -> None:
    with Loopback([event({"content": "Once"})]) as server:
        stream = asking(server).astream("x")
        assert (await anext(stream)).text == "Once"
        await stream.aclose()  # type: ignore[attr-defined]

        assert await asyncio.to_thread(server.left.acquire, timeout=10)


@pytest.mark.parametrize("is_streamed", [True, False], ids=["stream", "whole"])
async def test_cancelling_a_call_closes_its_connection(is_streamed: Any) -> None:
    with Loopback([event({"content": "Once"})]) as server:
        call = asyncio.create_task(read(asking(server), is_streamed=is_streamed))
        assert await asyncio.to_thread(server.begun.acquire, timeout=10)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

        assert await asyncio.to_thread(server.left.acquire, timeout=10)


async def read(llm: ChatOpenRouter, *, is_streamed: bool) -> None:
    """Ask one way or the other."""
    if is_streamed:
        _ = [chunk async for chunk in llm.astream("x")]
    else:
        await llm.ainvoke("x")


# ── clients of ones own ─────────────────────────────────────────────────────


async def test_clients_of_ones_own_are_used(sandbox: Sandbox) -> None:
    seen: list[str] = []

    async def anote(request: httpx2.Request) -> None:
        seen.append(f"async {request.url.path}")

    with httpx2.Client(event_hooks={"request": [lambda r: seen.append(r.url.path)]}) as client:
        async with httpx2.AsyncClient(event_hooks={"request": [anote]}) as async_client:
            llm = chat_model(sandbox, http_client=client, http_async_client=async_client)
            llm.invoke("x")
            list(llm.stream("x"))
            await llm.ainvoke("x")
            _ = [chunk async for chunk in llm.astream("x")]

    assert seen == [f"/api/v1{PATH}"] * 2 + [f"async /api/v1{PATH}"] * 2


async def test_a_proxy_is_asked_instead(server: Loopback) -> None:
    llm = asking(server, base_url="http://localhost:1/api/v1", openai_proxy=server.url)

    assert llm.invoke("x").text == (await llm.ainvoke("x")).text == "Hello."
    assert server.asked == [f"http://localhost:1/api/v1{PATH}"] * 2


def test_a_proxy_of_one_model_is_not_that_of_another(server: Loopback) -> None:
    asking(server, openai_proxy=server.url).invoke("x")
    asking(server).invoke("x")

    assert server.asked == [f"{server.url}{PATH}", PATH]


def test_nothing_but_the_request_is_sent(server: Loopback) -> None:
    asking(server).invoke("x")

    assert server.bodies == [
        {
            "model": "a/b",
            "messages": [{"role": "user", "content": "x"}],
            "max_tokens": 4096,
            "stream": False,
        }
    ]
