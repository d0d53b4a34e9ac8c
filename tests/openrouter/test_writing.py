from __future__ import annotations

import asyncio
from contextlib import suppress

from langchain_tale.openrouter.chat_models import ChatOpenRouter
from langchain_tale.openrouter.writing import begun
from tests.openrouter.loopback import Loopback
from tests.openrouter.replies import reply


async def test_a_request_is_written_before_the_loop_turns_to_others() -> None:
    with Loopback(reply({"content": "ok"})) as server:
        llm = ChatOpenRouter(model="a/b", api_key="x", base_url=server.url)
        await llm._agenerate([])  # there is a connection now
        server.begun.acquire()

        call = asyncio.create_task(llm._agenerate([]))
        await asyncio.sleep(0)

        assert server.begun.acquire(timeout=10)  # the loop stands still meanwhile
        await call


async def test_what_needs_no_waiting_is_done_at_once() -> None:
    done: list[str] = []

    async def write() -> None:
        done.append("all")

    rest = begun(write())

    assert done == ["all"]
    await asyncio.create_task(rest)


async def test_what_waits_goes_on_in_its_task() -> None:
    done: list[str] = []
    room = asyncio.get_running_loop().create_future()

    async def write() -> None:
        done.append("some")
        done.append(await room)
        await asyncio.sleep(0)
        done.append("all")

    task = asyncio.create_task(begun(write()))

    assert done == ["some"]
    room.set_result("more")
    await task
    assert done == ["some", "more", "all"]


async def test_what_waits_can_be_cancelled() -> None:
    done: list[str] = []

    async def write() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            done.append("cancelled")

    for turns in (0, 1):
        task = asyncio.create_task(begun(write()))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    assert done == ["cancelled"] * 2
