"""`ChatOpenRouter` over real HTTP: answers, tools, and what LangChain wants to know of it."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai.chat_models.base import BaseChatOpenAI

from langchain_tale.catalogue import OpenRouterModel
from langchain_tale.openrouter.chat_models import ChatOpenRouter
from langchain_tale.resilience.chat_models import ResilientChatModel
from tests.conftest import chat_model
from tests.openrouter.replies import STOP, Wire, event, joined, reply

if TYPE_CHECKING:
    from langchain_tale.sandbox import Sandbox

FACTS = {"id", "model_name", "provider_name", "finish_reason", "native_finish_reason", "cost"}


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


# ── answers ─────────────────────────────────────────────────────────────────


async def test_an_answer_carries_its_facts(llm: ChatOpenRouter) -> None:
    for message in (llm.invoke("Tell me of a fox."), await llm.ainvoke("Tell me of a fox.")):
        assert message.text.startswith("# The Tale of")
        assert message.response_metadata.keys() >= FACTS
        assert message.response_metadata["model_name"] == "openai/gpt-4o-mini"
        assert message.response_metadata["provider_name"] == "Sandbox (scripted)"
        assert message.response_metadata["id"].startswith("gen-")
        assert message.response_metadata["cost"] > 0
        assert message.usage_metadata is not None
        assert message.usage_metadata["output_tokens"] > 10


def test_each_answer_is_a_generation_of_its_own(llm: ChatOpenRouter) -> None:
    answers = [llm.invoke("x"), llm.invoke("x"), joined(llm.stream("x"))]

    assert len({message.response_metadata["id"] for message in answers}) == 3


@pytest.mark.parametrize("is_streamed", [True, False], ids=["streamed", "whole"])
def test_tools_are_called_and_answered(llm: ChatOpenRouter, is_streamed: Any) -> None:
    bound = llm.bind_tools([weather])
    question = HumanMessage("How is the weather?")
    asking = joined(bound.stream([question])) if is_streamed else bound.invoke([question])  # type: ignore[arg-type]

    assert [call["name"] for call in asking.tool_calls] == ["weather"]
    assert asking.response_metadata["finish_reason"] == "tool_calls"
    answer = ToolMessage(
        weather.invoke(asking.tool_calls[0]["args"]), tool_call_id=asking.tool_calls[0]["id"]
    )
    assert bound.invoke([question, asking, answer]).text


def test_usage_of_several_is_added_up(llm: ChatOpenRouter) -> None:
    result = llm.generate([[HumanMessage("one")], [HumanMessage("two")]])
    costs = [g[0].message.response_metadata["cost"] for g in result.generations]  # type: ignore[union-attr]

    assert result.llm_output is not None
    usage = result.llm_output["token_usage"]
    assert usage["cost"] == pytest.approx(sum(costs))
    assert usage["is_byok"] is False


@pytest.mark.parametrize(
    "given",
    [
        {"reasoning": {"effort": "low"}},
        {"model": "openai/gpt-5-codex"},
        {"use_responses_api": True},
        {"truncation": "auto"},
        {"output_version": "responses/v1"},
        {"include": ["x"]},
    ],
    ids=str,
)
async def test_it_never_asks_the_responses_endpoint(given: dict[str, Any]) -> None:
    whole, stream = Wire(), Wire([event({"content": "x"}, choice=STOP)])
    tools = [{"type": "openrouter:web_search"}]
    whole.llm(**given).bind_tools(tools).invoke("x")
    list(stream.llm(**given).stream("x"))
    await whole.llm(**given).ainvoke("x")

    paths = {request.url.path for request in (*whole.requests, *stream.requests)}
    assert paths == {"/api/v1/chat/completions"}


def test_an_enum_member_is_a_slug(sandbox: Sandbox) -> None:
    llm = chat_model(sandbox, OpenRouterModel.GPT_4O)

    assert type(llm.model_name) is str
    assert llm.invoke("x").response_metadata["model_name"] == "openai/gpt-4o"
    assert llm.for_model(OpenRouterModel.CLAUDE_3_HAIKU).model_name == "anthropic/claude-3-haiku"


def test_reasoning_goes_back_over_the_wire_and_to_nobody_else() -> None:
    details = [{"type": "reasoning.encrypted", "index": 0, "data": "x=="}]
    wire = Wire(reply({"content": "a", "reasoning_details": details}))
    llm = wire.llm()
    turn = [HumanMessage("x"), llm.invoke("x"), HumanMessage("y")]
    llm.invoke(turn)
    again = wire.body["messages"]
    llm.invoke(turn, model="c/d")

    assert [message.get("reasoning_details") for message in again] == [None, details, None]
    assert "reasoning_details" not in wire.body["messages"][1]


# ── what LangChain wants to know ────────────────────────────────────────────


@pytest.mark.parametrize(
    ("options", "asked", "expected"),
    [
        ({}, {}, {"ls_model_name": "a/b", "ls_max_tokens": 4096}),
        ({"temperature": 0.5}, {}, {"ls_temperature": 0.5}),
        ({"max_tokens": 9}, {}, {"ls_max_tokens": 9}),
        ({}, {"model": "c/d"}, {"ls_model_name": "c/d"}),
        ({}, {"stop": ["x"]}, {"ls_stop": ["x"]}),
        ({"stop": ["y"]}, {}, {"ls_stop": ["y"]}),
        ({"max_tokens": None}, {"max_completion_tokens": 8}, {"ls_max_tokens": 8}),
        ({}, {"temperature": 0.1, "max_tokens": 3}, {"ls_temperature": 0.1, "ls_max_tokens": 3}),
    ],
    ids=str,
)
def test_langsmith_is_told_openrouter_and_what_was_asked(
    options: dict[str, Any], asked: dict[str, Any], expected: dict[str, Any]
) -> None:
    llm = ChatOpenRouter(model="a/b", api_key="k", **options)
    params = llm._get_ls_params(**asked)

    told = {"ls_provider": "openrouter", "ls_model_type": "chat", **expected}
    assert told.items() <= params.items()
    assert params == {**BaseChatOpenAI._get_ls_params(llm, **asked), "ls_provider": "openrouter"}


@pytest.mark.parametrize("name", ["_generate", "_agenerate"])
def test_the_signature_that_langchain_core_asks_for_is_the_methods_own(name: str) -> None:
    own = getattr(ChatOpenRouter, name)

    assert inspect.signature(own) is own.__signature__
    assert [*inspect.signature(getattr(ChatOpenRouter(api_key="k"), name)).parameters] == [
        "messages",
        "stop",
        "run_manager",
        "kwargs",
    ]


def test_the_profile_is_that_of_the_model() -> None:
    llm = ChatOpenRouter(model=OpenRouterModel.GPT_4O, api_key="k")
    other = llm.for_model("openai/gpt-4o-mini:nitro")

    assert llm.profile is not None
    assert llm.profile["max_input_tokens"] == OpenRouterModel.GPT_4O.info.context_length
    assert other.profile is not None
    assert other.profile["max_input_tokens"] == OpenRouterModel.GPT_4O_MINI.info.context_length
    assert not llm.for_model("nobody/knows").profile


def test_its_type_is_its_own() -> None:
    llm = ChatOpenRouter(api_key="k")

    assert llm._llm_type == "openrouter-chat"
    assert ChatOpenRouter.is_lc_serializable()
    assert llm.lc_secrets["openai_api_key"] == "OPENROUTER_API_KEY"


# ── limits ──────────────────────────────────────────────────────────────────


def test_the_default_timeout_is_thirty_seconds_or_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert ChatOpenRouter(api_key="k").request_timeout == 30.0
    monkeypatch.setenv("TALE_AI_SERVICE__TIMEOUT_S", "7.5")
    assert ChatOpenRouter(api_key="k").request_timeout == 7.5
    assert ChatOpenRouter(api_key="k", timeout=None).request_timeout is None


def test_a_call_may_have_a_timeout_of_its_own() -> None:
    wire = Wire()
    llm = wire.llm(timeout=60)
    llm.invoke("x", timeout=5)
    llm.invoke("x")

    limits = [request.extensions["timeout"]["read"] for request in wire.requests]
    assert limits == [5, 60]
    assert "timeout" not in wire.body


def test_room_is_made_only_where_nobody_chose() -> None:
    chosen = ChatOpenRouter(api_key="k", max_tokens=9, timeout=5).with_room(3000)
    free = ChatOpenRouter(api_key="k").with_room(3000)

    assert (chosen.max_tokens, chosen.request_timeout) == (9, 5)
    assert (free.max_tokens, free.request_timeout) == (3000, 600)


def test_retries_and_fallbacks_are_chat_models_still(llm: ChatOpenRouter) -> None:
    safe = llm.with_retry().with_fallbacks(["openrouter/auto"])

    assert isinstance(safe, ResilientChatModel)
    assert safe.invoke("x").text == llm.invoke("x").text


def test_streamed_tool_calls_are_whole(llm: ChatOpenRouter) -> None:
    streamed = joined(llm.bind_tools([weather]).stream("How is the weather?"))  # type: ignore[arg-type]

    assert isinstance(streamed, AIMessageChunk)
    assert [call["args"] for call in streamed.tool_calls] == [{"city": "fox"}]
