"""What independent readers of this code found, so that it stays found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage

from langchain_tale import errors
from langchain_tale.openrouter.counting import tokens_in_messages
from langchain_tale.openrouter.failures import Source, error_from_body
from langchain_tale.openrouter.fragments import CallSlots
from langchain_tale.openrouter.messages import to_wire
from langchain_tale.openrouter.reasoning import is_own, merged
from langchain_tale.openrouter.requests import request
from langchain_tale.resilience.structured import StructuredReply
from tests.conftest import chat_model

if TYPE_CHECKING:
    from langchain_tale.sandbox import Sandbox

TEXT = {"type": "reasoning.text", "index": 0}


def arguments(*fragments: str) -> Any:
    slots = CallSlots()
    full: AIMessageChunk | None = None
    for number, fragment in enumerate(fragments):
        call = {"index": 0, "function": {"arguments": fragment}}
        if not number:
            call = {**call, "id": "c1", "function": {"name": "f", "arguments": fragment}}
        chunk = AIMessageChunk(content="", tool_call_chunks=[slots.chunk(call)])
        full = chunk if full is None else full + chunk
    assert full is not None
    return full.tool_calls[0]["args"] if full.tool_calls else full.invalid_tool_calls


def test_null_is_a_word_of_json_and_no_arguments_only_alone() -> None:
    assert arguments('{"a":', "null", "}") == {"a": None}
    assert arguments("null") == {}
    assert arguments("", "null") == {}


def test_an_empty_field_of_a_late_fragment_erases_nothing() -> None:
    fragments = [{**TEXT, "text": "abc"}, {**TEXT, "text": "", "signature": "s"}]
    fragments += [{**TEXT, "signature": "", "data": None}]

    assert merged(fragments) == [{**TEXT, "text": "abc", "signature": "s"}]


@pytest.mark.parametrize("error_type", ["invalid_request", "invalid_image", "image_not_found"])
def test_the_callers_mistake_is_not_retried_for_want_of_a_code(error_type: str) -> None:
    body = {"error": {"message": "x", "metadata": {"error_type": error_type}}}

    assert type(error_from_body(body, Source("a/b", 200))) is errors.InvalidRequestError


@pytest.mark.parametrize("stream", [True, False])
async def test_langchains_own_switch_is_not_sent(sandbox: Sandbox, stream: bool) -> None:  # noqa: FBT001 (a table)
    llm = chat_model(sandbox)

    assert llm.invoke("x", stream=stream).text == (await llm.ainvoke("x", stream=stream)).text


def test_a_calls_own_limit_wins(sandbox: Sandbox) -> None:
    llm = chat_model(sandbox, max_completion_tokens=100)

    payload = llm._get_request_payload("x", max_tokens=5)

    assert request(payload, stream=False).body["max_tokens"] == 5
    assert "max_completion_tokens" not in payload


def test_a_spoken_answer_in_blocks_can_be_sent_back() -> None:
    audio = {"type": "audio", "id": "au1", "base64": "AAAA"}
    spoken = AIMessage([audio], additional_kwargs={"audio": {"id": "au1"}})

    assert to_wire([spoken], "a/b")[0]["audio"] == {"id": "au1"}


def test_reasoning_is_its_models_own_whatever_the_preset() -> None:
    assert is_own({"model_name": "openai/gpt-4o"}, "openai/gpt-4o@preset/tale")
    assert not is_own({"model_name": "a/b@preset/tale"}, "c/d@preset/tale")


def test_tools_of_every_kind_are_counted() -> None:
    def look(where: str) -> str:
        """Look somewhere."""
        return where

    assert tokens_in_messages([HumanMessage("hi")], [look]) > tokens_in_messages(
        [HumanMessage("hi")]
    )


def test_a_document_of_plain_text_is_text() -> None:
    document = {"type": "document", "source": {"type": "text", "data": "hello"}}

    content = to_wire([HumanMessage([document])], "a/b")[0]["content"]

    assert content == [{"type": "text", "text": "hello"}]


def test_json_between_fences_is_read_whatever_follows() -> None:
    assert StructuredReply().parse('Here:\n```json\n{"a": 1}\n```\nEnjoy!') == {"a": 1}


def test_an_envelope_of_a_schema_is_a_schema() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    envelope = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    parser = StructuredReply(wanted=envelope)

    assert parser.parse('{"a": 1}') == {"a": 1}
    with pytest.raises(errors.UnparsableReplyError, match="lacks a") as caught:
        parser.parse("{}")
    assert caught.value.partial_text == "{}"
