"""LangChain's messages as OpenRouter's (§4.6); reasoning is tested in `test_reasoning`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
)

from langchain_tale.errors import ConfigurationError
from langchain_tale.openrouter.messages import to_wire

MARK = {"type": "ephemeral"}
IMAGE = {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}


def sent(message: BaseMessage) -> dict[str, Any]:
    return to_wire([message], "a/b")[0]


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (SystemMessage("s"), {"role": "system", "content": "s"}),
        (SystemMessageChunk(content="s"), {"role": "system", "content": "s"}),
        (
            SystemMessage("s", additional_kwargs={"__openai_role__": "developer"}),
            {"role": "developer", "content": "s"},
        ),
        (HumanMessage("u"), {"role": "user", "content": "u"}),
        (HumanMessageChunk(content="u"), {"role": "user", "content": "u"}),
        (HumanMessage("u", name="Mia"), {"role": "user", "content": "u", "name": "Mia"}),
        (
            HumanMessage("u", additional_kwargs={"name": "Mia"}),
            {"role": "user", "content": "u", "name": "Mia"},
        ),
        (AIMessage("a"), {"role": "assistant", "content": "a"}),
        (AIMessageChunk(content="a"), {"role": "assistant", "content": "a"}),
        (AIMessage("a", name="fox"), {"role": "assistant", "content": "a", "name": "fox"}),
        (
            ToolMessage("t", tool_call_id="1", name="weather", artifact={"x": 1}),
            {"role": "tool", "content": "t", "tool_call_id": "1"},
        ),
        (
            ToolMessageChunk(content="t", tool_call_id="1"),
            {"role": "tool", "content": "t", "tool_call_id": "1"},
        ),
        (FunctionMessage(content="f", name="g"), {"role": "function", "content": "f", "name": "g"}),
        (ChatMessage(content="c", role="developer"), {"role": "developer", "content": "c"}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseMessage) else "",
)
def test_a_message_keeps_its_role_and_its_name(message: BaseMessage, wire: dict[str, Any]) -> None:
    assert sent(message) == wire


def test_a_message_that_no_model_reads_is_our_callers_mistake() -> None:
    with pytest.raises(ConfigurationError, match="RemoveMessage cannot be sent"):
        sent(RemoveMessage(id="1"))


def test_the_messages_keep_their_order() -> None:
    conversation = [SystemMessage("1"), HumanMessage("2"), AIMessage("3"), HumanMessage("4")]

    assert [one["content"] for one in to_wire(conversation, "a/b")] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("kind", [HumanMessage, SystemMessage], ids=lambda kind: kind.__name__)
def test_content_blocks_of_a_request_are_parts(kind: type[BaseMessage]) -> None:
    blocks: list[Any] = [{"type": "text", "text": "x", "cache_control": MARK}, IMAGE]

    assert sent(kind(content=blocks))["content"] == blocks


def test_a_tool_may_answer_with_an_image() -> None:
    blocks: list[Any] = [
        {"type": "text", "text": "x"},
        {"type": "image", "url": "https://x.test/a.png"},
    ]

    assert sent(ToolMessage(blocks, tool_call_id="1"))["content"] == [blocks[0], IMAGE]


# ── answers of earlier turns ────────────────────────────────────────────────


def on_wire(name: str, arguments: str, call_id: str | None = "1") -> dict[str, Any]:
    return {"type": "function", "id": call_id, "function": {"name": name, "arguments": arguments}}


def test_tool_calls_go_back_and_need_no_content() -> None:
    calls = [{"name": "f", "args": {"city": "Köln"}, "id": "1", "type": "tool_call"}]

    assert sent(AIMessage("", tool_calls=calls)) == {
        "role": "assistant",
        "content": None,
        "tool_calls": [on_wire("f", '{"city": "Köln"}')],
    }


def test_a_call_that_was_broken_goes_back_as_it_came() -> None:
    calls = [{"name": "f", "args": '{"a', "id": "1", "error": "x", "type": "invalid_tool_call"}]

    assert sent(AIMessage("", invalid_tool_calls=calls))["tool_calls"] == [on_wire("f", '{"a')]


def test_a_broken_call_without_a_name_or_arguments_has_empty_ones() -> None:
    calls = [
        {"name": None, "args": None, "id": "1", "error": "x", "type": "invalid_tool_call"},
    ]

    assert sent(AIMessage("", invalid_tool_calls=calls))["tool_calls"] == [on_wire("", "")]


def test_calls_that_only_additional_kwargs_have_go_back() -> None:
    raw = {**on_wire("f", "{}"), "index": 0}
    message = AIMessage.model_construct(
        content="",
        additional_kwargs={"tool_calls": [raw]},
        tool_calls=[],
        invalid_tool_calls=[],
        response_metadata={},
        name=None,
    )

    assert sent(message)["tool_calls"] == [on_wire("f", "{}")]


def test_an_answer_of_text_blocks_is_one_text() -> None:
    blocks: list[Any] = [
        {"type": "reasoning", "reasoning": "hm"},
        {"type": "text", "text": "Once ", "annotations": [{"type": "citation", "url": "u"}]},
        {"type": "text", "text": "upon", "index": 1},
        {"type": "tool_use", "id": "1", "name": "f", "input": {}},
        {"type": "refusal", "refusal": "no"},
    ]

    assert sent(AIMessage(blocks))["content"] == "Once upon"


def test_a_refusal_goes_back_as_one_whoever_made_it() -> None:
    blocks: list[Any] = [{"type": "refusal", "refusal": "I won't."}]

    assert sent(AIMessage(blocks)) == {"role": "assistant", "content": "", "refusal": "I won't."}


def test_a_cache_point_in_an_answer_is_kept() -> None:
    blocks: list[Any] = [{"type": "text", "text": "x", "cache_control": MARK}]

    assert sent(AIMessage(blocks))["content"] == blocks


@pytest.mark.parametrize("content", ["", []], ids=str)
def test_an_answer_without_anything_is_an_empty_text(content: Any) -> None:
    assert sent(AIMessage(content)) == {"role": "assistant", "content": ""}


def test_what_openrouter_reads_of_an_answer_goes_back_and_nothing_else() -> None:
    file = {"type": "file", "file": {"hash": "h"}}
    message = AIMessage(
        "x",
        additional_kwargs={
            "images": [IMAGE],
            "refusal": "no",
            "annotations": [{"type": "url_citation"}, file],
            "audio": {"id": "a", "data": "AAEC", "transcript": "Once"},
            "citations": ["https://x.test"],
            "parsed": {"x": 1},
        },
        response_metadata={"finish_reason": "stop"},
        usage_metadata={"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
    )

    assert sent(message) == {
        "role": "assistant",
        "content": "x",
        "images": [IMAGE],
        "refusal": "no",
        "annotations": [file],
        "audio": {"id": "a"},
    }


def test_images_are_not_sent_twice() -> None:
    blocks: list[Any] = [{"type": "text", "text": "x"}, IMAGE]

    both = sent(AIMessage(blocks, additional_kwargs={"images": [IMAGE]}))
    assert both == {"role": "assistant", "content": "x", "images": [IMAGE]}
    assert sent(AIMessage(blocks))["content"] == blocks


def test_a_conversation_is_json_and_the_messages_stay_as_they_are() -> None:
    message = AIMessage([{"type": "text", "text": "x", "extras": {"cache_control": MARK}}])
    before = message.model_copy(deep=True)

    json.dumps(to_wire([message, ToolMessage("t", tool_call_id="1")], "a/b"))
    assert message == before
