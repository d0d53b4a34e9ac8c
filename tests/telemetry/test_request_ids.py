"""One id for all that belongs to a logical call, however it is made and whoever names it."""

from __future__ import annotations

import asyncio
import pickle
import threading
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.utils.uuid import uuid7

import langchain_tale
from langchain_tale.client import OpenRouterClient
from langchain_tale.errors import AllModelsFailedError, ConfigurationError, ExternalServiceError
from langchain_tale.sandbox import Fault, Sandbox
from langchain_tale.story.chain import create_story_chain
from langchain_tale.telemetry.context import current_request_id, given_request_id, request_id
from langchain_tale.telemetry.events import ApiCalled, AttemptStarted
from langchain_tale.telemetry.scopes import Scope
from tests.conftest import chat_model
from tests.telemetry.conftest import EVERY_WAY, QUICK, logged

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from langchain_core.language_models import BaseChatModel
    from langchain_core.runnables import RunnableConfig

    from langchain_tale.sandbox.pytest_plugin import StartSandbox
    from tests.telemetry.conftest import Heard


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """One for all: it does not fail."""
    with Sandbox(engine="scripted", lateness_s=0.0) as running:
        yield running


ALONE_OR_NOT = pytest.mark.parametrize("make", [lambda llm: llm, lambda llm: llm.with_retry(QUICK)])


def of(name: str) -> RunnableConfig:
    """A config that names a request id."""
    return {"metadata": {"request_id": name}}


# ── the context manager ─────────────────────────────────────────────────────


def test_it_is_public() -> None:
    assert langchain_tale.request_id is request_id


def test_an_id_holds_inside_and_only_there() -> None:
    with request_id("outer") as outer:
        with request_id() as inner:
            assert current_request_id() == inner
            assert len(inner) == 32
        assert current_request_id() == outer == "outer"
    assert current_request_id() is None


@pytest.mark.parametrize("wrong", ["", "  ", "two\nlines", "x" * 257, 7])
def test_what_is_no_id_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="request_id takes"), request_id(wrong):
        pass


@pytest.mark.parametrize("odd", [None, "", "two\nlines", 0])
def test_a_config_with_an_odd_id_breaks_nothing(odd: Any) -> None:
    assert given_request_id({"request_id": odd}) is None
    assert len(Scope(given_request_id({"request_id": odd})).request_id) == 32


def test_an_id_of_a_config_is_cut_and_made_a_string() -> None:
    assert given_request_id({"request_id": "x" * 300}) == "x" * 256
    assert given_request_id({"request_id": 7}) == "7"


def test_ids_that_are_made_differ_in_what_people_are_shown() -> None:
    made = {Scope(None, uuid7()).request_id[:8] for _ in range(100)}
    made |= {Scope(None).request_id[:8] for _ in range(100)}

    assert len(made) == 200


def test_a_runs_id_may_be_a_word(sandbox: Sandbox) -> None:
    config: Any = {"run_id": str(uuid7())}

    assert chat_model(sandbox).with_retry(QUICK).invoke("Hello", config).text


def test_stories_in_one_step_have_an_id_each(sandbox: Sandbox, heard: Heard) -> None:
    client = OpenRouterClient(sandbox.api_key, base_url=sandbox.base_url)

    def step(prompts: list[str]) -> int:
        return len([client.generate_story(prompt) for prompt in prompts])

    RunnableLambda(step).invoke(["a fox", "a hen"])

    assert len({event.request_id for event in heard.of(ApiCalled)}) == 2


# ── where it comes from ─────────────────────────────────────────────────────


@EVERY_WAY
@ALONE_OR_NOT
async def test_each_call_makes_its_own(sandbox: Sandbox, heard: Heard, ask: Any, make: Any) -> None:
    llm = make(chat_model(sandbox))

    await ask(llm)
    await ask(llm)

    ids = [event.request_id for event in heard.of(ApiCalled)]
    assert len(set(ids)) == len(heard.request_ids) == 2


@EVERY_WAY
@ALONE_OR_NOT
async def test_the_callers_own_counts(sandbox: Sandbox, heard: Heard, ask: Any, make: Any) -> None:
    with request_id("night-42"):
        await ask(make(chat_model(sandbox)))

    assert heard.request_ids == {"night-42"}


@ALONE_OR_NOT
async def test_that_of_a_config_counts_in_every_way(
    sandbox: Sandbox, heard: Heard, make: Any
) -> None:
    llm = make(chat_model(sandbox))

    llm.invoke("Hello", of("a"))
    await llm.ainvoke("Hello", of("b"))
    list(llm.stream("Hello", of("c")))
    _ = [chunk async for chunk in llm.astream("Hello", of("d"))]
    _ = [event async for event in llm.astream_events("Hello", of("e"), version="v2")]

    assert [event.request_id for event in heard.of(ApiCalled)] == ["a", "b", "c", "d", "e"]
    assert len(heard.request_ids) == 5


@ALONE_OR_NOT
async def test_that_of_a_chain_reaches_the_model(sandbox: Sandbox, heard: Heard, make: Any) -> None:
    chain = ChatPromptTemplate.from_template("Tell me of {what}.") | make(chat_model(sandbox))

    chain.invoke({"what": "a fox"}, of("a"))
    await chain.ainvoke({"what": "a fox"}, of("b"))
    list(chain.stream({"what": "a fox"}, of("c")))
    _ = [chunk async for chunk in chain.astream({"what": "a fox"}, of("d"))]

    assert [event.request_id for event in heard.of(ApiCalled)] == ["a", "b", "c", "d"]
    assert len(heard.request_ids) == 4


def test_the_context_counts_before_a_config(sandbox: Sandbox, heard: Heard) -> None:
    with request_id("of the context"):
        chat_model(sandbox).invoke("Hello", of("of the config"))

    assert heard.request_ids == {"of the context"}


def test_a_story_chain_takes_that_of_its_config(sandbox: Sandbox, heard: Heard) -> None:
    chain = create_story_chain("a/b", api_key=sandbox.api_key, base_url=sandbox.base_url)

    chain.invoke("a fox", of("a"))

    assert heard.request_ids == {"a"}


# ── threads, tasks, batches, streams ────────────────────────────────────────


@ALONE_OR_NOT
async def test_a_batch_shares_that_of_its_context(
    sandbox: Sandbox, heard: Heard, make: Any
) -> None:
    llm = make(chat_model(sandbox))

    with request_id("night-42"):
        llm.batch(["a", "b", "c"])
        await llm.abatch(["d", "e", "f"])

    assert heard.request_ids == {"night-42"}
    assert len(heard.of(ApiCalled)) == 6


@ALONE_OR_NOT
async def test_each_of_a_batch_may_have_its_own(sandbox: Sandbox, heard: Heard, make: Any) -> None:
    llm = make(chat_model(sandbox))

    llm.batch(["x"] * 3, [of("a"), of("b"), of("c")])
    await llm.abatch(["x"] * 3, [of("d"), of("e"), of("f")])

    assert sorted(str(event.request_id) for event in heard.of(ApiCalled)) == list("abcdef")


async def test_tasks_do_not_mix_theirs(sandbox: Sandbox, heard: Heard) -> None:
    llm = chat_model(sandbox).with_retry(QUICK)

    async def ask(name: str) -> None:
        with request_id(name):
            await llm.ainvoke("Hello")

    await asyncio.gather(*map(ask, "abc"))

    assert heard.request_ids == set("abc")
    assert len(heard.of(ApiCalled)) == 3


def test_threads_do_not_mix_theirs(sandbox: Sandbox, heard: Heard) -> None:
    llm = chat_model(sandbox).with_retry(QUICK)

    def ask(name: str) -> None:
        with request_id(name):
            llm.invoke("Hello")

    threads = [threading.Thread(target=ask, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert heard.request_ids == set("abc")


def begun(llm: BaseChatModel, name: str) -> Iterator[Any]:
    """A stream that was begun under an id, which holds no longer."""
    with request_id(name):
        chunks = llm.stream("Tell me of a fox.")
        next(chunks)
    return chunks


async def abegun(llm: BaseChatModel, name: str) -> AsyncIterator[Any]:
    with request_id(name):
        chunks = llm.astream("Tell me of a fox.")
        await anext(chunks)
    return chunks


@ALONE_OR_NOT
def test_interleaved_streams_do_not_mix_theirs(sandbox: Sandbox, heard: Heard, make: Any) -> None:
    llm = make(chat_model(sandbox))
    streams = [begun(llm, "a"), begun(llm, "b")]

    with request_id("of somebody else"):
        for _ in zip_longest(*streams):
            assert current_request_id() == "of somebody else"

    assert [event.request_id for event in heard.of(ApiCalled)] == ["a", "b"]
    assert heard.request_ids == {"a", "b"}
    assert current_request_id() is None


@ALONE_OR_NOT
async def test_interleaved_async_streams_do_not_mix_theirs(
    sandbox: Sandbox, heard: Heard, make: Any
) -> None:
    llm = make(chat_model(sandbox))
    streams = [await abegun(llm, "a"), await abegun(llm, "b")]

    with request_id("of somebody else"):
        while streams:
            for stream in list(streams):
                if await anext(stream, None) is None:
                    streams.remove(stream)
            assert current_request_id() == "of somebody else"

    assert heard.request_ids == {"a", "b"}


@ALONE_OR_NOT
def test_a_stream_that_is_left_in_another_context_leaves_nothing_behind(
    sandbox: Sandbox, heard: Heard, make: Any
) -> None:
    chunks = begun(make(chat_model(sandbox)), "a")
    thread = threading.Thread(target=chunks.close)  # type: ignore[attr-defined]  # a generator
    thread.start()
    thread.join()

    assert heard.one(ApiCalled).request_id == "a"
    assert heard.one(ApiCalled).outcome == "cancelled"


# ── where it goes ───────────────────────────────────────────────────────────


@EVERY_WAY
@ALONE_OR_NOT
async def test_it_is_on_every_error_and_in_every_line(
    faulty: StartSandbox, ask: Any, make: Any
) -> None:
    sandbox = faulty({"a/b": [Fault(status=503)] * 4})
    lines = logged()

    with request_id("night-42"), pytest.raises(ExternalServiceError) as caught:
        await ask(make(chat_model(sandbox, "a/b")))

    assert caught.value.client_request_id == "night-42"
    if isinstance(caught.value, AllModelsFailedError):
        errors = [attempt.error for attempt in caught.value.attempts]
        assert {getattr(error, "client_request_id", None) for error in errors} == {"night-42"}
    assert {row["request_id"] for row in lines.rows} == {"night-42"}
    assert {row["event"] for row in lines.rows} >= {"api.called", "attempt.failed", "call.failed"}


def test_an_error_that_travels_keeps_it(faulty: StartSandbox) -> None:
    sandbox = faulty({"a/b": [Fault(status=400)]})
    with request_id("night-42"), pytest.raises(ExternalServiceError) as caught:
        chat_model(sandbox, "a/b").invoke("Hello")

    copy = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 (we wrote it)

    assert copy.client_request_id == "night-42"


def test_openrouter_is_told_on_wish(faulty: StartSandbox) -> None:
    sent: list[Mapping[str, Any]] = []
    sandbox = faulty({"a/b": sent.append})

    with request_id("night-42"):
        chat_model(sandbox, "a/b").invoke("Hello")
        telling = chat_model(sandbox, "a/b", sends_request_id=True)
        telling.invoke("Hello")
        telling.with_retry(QUICK).invoke("Hello")
        telling.invoke("Hello", trace={"trace_name": "night", "trace_id": "my own"})

    assert [request.get("trace") for request in sent] == [
        None,
        {"trace_id": "night-42"},
        {"trace_id": "night-42"},
        {"trace_id": "my own", "trace_name": "night"},
    ]


def test_an_attempt_that_is_told_has_it_before_anything_is_sent(
    sandbox: Sandbox, heard: Heard
) -> None:
    with request_id("night-42"):
        chat_model(sandbox).with_retry(QUICK).invoke("Hello")

    assert heard[0] == heard.one(AttemptStarted)
    assert heard[0].request_id == "night-42"
