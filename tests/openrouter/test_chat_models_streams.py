"""What others see of a call: callbacks, events, logs, traces; over real HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.callbacks import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
    get_usage_metadata_callback,
)
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from langchain_tale import errors
from langchain_tale.sandbox import Fault
from tests.conftest import chat_model
from tests.openrouter.replies import STOP, USAGE, Wire, call, event, joined

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.outputs import LLMResult

    from langchain_tale.openrouter.chat_models import ChatOpenRouter
    from langchain_tale.sandbox import Sandbox

FACTS = {"id", "model_name", "provider_name", "finish_reason", "native_finish_reason", "cost"}


class Watcher(BaseCallbackHandler):
    """Sees what LangChain shows to every listener."""

    def __init__(self) -> None:
        self.started: list[dict[str, Any]] = []
        self.tokens: list[str] = []
        self.ended: list[AIMessage] = []
        self.errors: list[BaseException] = []

    def on_chat_model_start(self, *_: Any, **kwargs: Any) -> None:
        self.started.append(kwargs)

    def on_llm_new_token(self, token: Any, **_: Any) -> None:
        self.tokens.append(token)

    def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        message = response.generations[0][0].message  # type: ignore[union-attr]
        assert isinstance(message, AIMessage)
        self.ended.append(message)

    def on_llm_error(self, error: BaseException, **_: Any) -> None:
        self.errors.append(error)


class AsyncWatcher(AsyncCallbackHandler):
    """The twin of `Watcher`, for tokens."""

    def __init__(self) -> None:
        self.tokens: list[Any] = []

    async def on_llm_new_token(self, token: Any, **_: Any) -> None:
        self.tokens.append(token)


def same_facts(one: Any, other: Any) -> bool:
    """Whether two answers to the same question say the same of themselves, but for their ids."""
    names = FACTS - {"id"}
    facts = [{name: message.response_metadata[name] for name in names} for message in (one, other)]
    return facts[0] == facts[1] and one.usage_metadata == other.usage_metadata


# ── callbacks ───────────────────────────────────────────────────────────────


def test_a_listener_sees_the_tokens_and_the_whole_answer(llm: ChatOpenRouter) -> None:
    watcher = Watcher()
    whole = llm.invoke("Tell me of a fox.", {"callbacks": [watcher]})
    assert (watcher.tokens, watcher.ended) == ([], [whole])

    chunks = list(llm.stream("Tell me of a fox.", {"callbacks": [watcher]}))
    assert watcher.tokens == [chunk.text for chunk in chunks]
    assert len(watcher.tokens) > 10
    assert watcher.ended[1].text == "".join(watcher.tokens) == whole.text
    assert same_facts(watcher.ended[1], whole)


async def test_an_asynchronous_listener_sees_them_too(llm: ChatOpenRouter) -> None:
    watcher, asynchronous = Watcher(), AsyncWatcher()
    async for _chunk in llm.astream("x", {"callbacks": [watcher, asynchronous]}):
        pass

    assert watcher.tokens == asynchronous.tokens
    assert "".join(watcher.tokens) == watcher.ended[0].text == llm.invoke("x").text


def test_a_listener_is_told_whom_and_what_was_asked(llm: ChatOpenRouter) -> None:
    watcher = Watcher()
    llm.bind(top_k=3).invoke("x", {"callbacks": [watcher]})
    started = watcher.started[0]

    assert started["metadata"]["ls_provider"] == "openrouter"
    assert started["metadata"]["ls_model_name"] == "openai/gpt-4o-mini"
    assert started["invocation_params"]["_type"] == "openrouter-chat"
    assert started["invocation_params"]["top_k"] == 3


def test_a_listener_is_told_of_a_stream_that_broke(faulty: Callable[..., Sandbox]) -> None:
    watcher = Watcher()
    sandbox = faulty({"a/b": [Fault(kind="midstream", status=502, after_chunks=3)]})

    with pytest.raises(errors.UnavailableError) as caught:
        list(chat_model(sandbox, "a/b").stream("x", {"callbacks": [watcher]}))
    assert watcher.errors == [caught.value]
    assert "".join(watcher.tokens) == caught.value.partial_text
    assert watcher.ended == []


@pytest.mark.parametrize("is_streamed", [True, False], ids=["streamed", "whole"])
def test_usage_is_counted_by_langchains_own_handler(llm: ChatOpenRouter, is_streamed: Any) -> None:
    with get_usage_metadata_callback() as counted:
        message = joined(llm.stream("x")) if is_streamed else llm.invoke("x")

    assert message.usage_metadata is not None
    total = counted.usage_metadata["openai/gpt-4o-mini"]["total_tokens"]
    assert total == message.usage_metadata["total_tokens"] > 0


# ── events and logs ─────────────────────────────────────────────────────────


@pytest.mark.filterwarnings("ignore:astream_events version='v1' is deprecated")
@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_events_have_the_tokens_and_the_whole_answer(
    llm: ChatOpenRouter, version: Any
) -> None:
    whole = llm.invoke("Tell me of a fox.")
    events = [event async for event in llm.astream_events("Tell me of a fox.", version=version)]
    names = [event["event"] for event in events]
    chunks = [event["data"]["chunk"] for event in events if "chunk" in event["data"]]

    assert (names[0], names[-1]) == ("on_chat_model_start", "on_chat_model_end")
    assert set(names[1:-1]) == {"on_chat_model_stream"}
    assert joined(chunks).text == events[-1]["data"]["output"].text == whole.text
    assert same_facts(events[-1]["data"]["output"], whole)


async def test_a_model_within_a_chain_streams_where_the_chain_is_watched(
    llm: ChatOpenRouter,
) -> None:
    chain = ChatPromptTemplate.from_template("{x}") | llm | StrOutputParser()
    events = [event async for event in chain.astream_events({"x": "x"})]
    tokens = [e["data"]["chunk"].text for e in events if e["event"] == "on_chat_model_stream"]

    assert len(tokens) > 10
    assert "".join(tokens) == llm.invoke("x").text


@pytest.mark.filterwarnings("ignore:The method .* is in beta")
async def test_the_newest_events_have_the_tokens_and_the_whole_answer(llm: ChatOpenRouter) -> None:
    whole = llm.invoke("Tell me of a fox.")
    stream = llm.stream_events("Tell me of a fox.", version="v3")
    asynchronous = await llm.astream_events("Tell me of a fox.", version="v3")

    assert len(list(stream.text)) > 10
    for message in (stream.output, await asynchronous.output):
        assert message.text == whole.text
        assert same_facts(message, whole)


@pytest.mark.filterwarnings("ignore:astream_log is deprecated")
async def test_the_log_has_the_whole_answer(llm: ChatOpenRouter) -> None:
    patches: list[Any] = [patch async for patch in llm.astream_log("x")]
    state = sum(patches[1:], start=patches[0]).state

    assert state["final_output"].text == llm.invoke("x").text
    assert len(state["streamed_output"]) > 10


@pytest.mark.filterwarnings("ignore:The method .* is in beta")
def test_reasoning_and_tool_calls_are_events_too() -> None:
    events = [
        event({"reasoning": "h"}),
        event({"reasoning": "m"}),
        event({"tool_calls": [call("f", '{"a"', index=0)]}),
        event({"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]}),
        event(choice=STOP, usage=USAGE),
    ]
    stream = Wire(events).llm().stream_events("x", version="v3")

    assert "".join(stream.reasoning) == "hm"
    assert [(c["name"], c["args"]) for c in stream.output.tool_calls] == [("f", {"a": 1})]
    assert stream.output.usage_metadata is not None
    assert stream.output.usage_metadata["total_tokens"] == 3


# ── what streams add up to ──────────────────────────────────────────────────


async def test_a_stream_adds_up_to_the_whole_answer(llm: ChatOpenRouter) -> None:
    whole = llm.invoke("Tell me of a fox.")
    chunks = list(llm.stream("Tell me of a fox."))
    asynchronous = [chunk async for chunk in llm.astream("Tell me of a fox.")]

    for parts in (chunks, asynchronous):
        together = joined(parts)
        assert isinstance(together, AIMessageChunk)
        assert len(parts) > 10
        assert together.text == whole.text
        assert same_facts(together, whole)
        assert together.response_metadata["finish_reason"] == "stop"
        assert parts[-1].chunk_position == "last"


def test_an_answer_that_is_asked_for_as_a_stream_is_the_same_answer(sandbox: Sandbox) -> None:
    whole = chat_model(sandbox).invoke("x")
    gathered = chat_model(sandbox, streaming=True).invoke("x")

    assert type(gathered) is AIMessage
    assert gathered.text == whole.text
    assert same_facts(gathered, whole)


def test_where_streaming_is_switched_off_there_is_one_chunk(sandbox: Sandbox) -> None:
    chunks = list(chat_model(sandbox, disable_streaming=True).stream("x"))

    assert len(chunks) == 1
    assert chunks[0].text == chat_model(sandbox).invoke("x").text
