"""Reasoning: fragments become the items they belong to, and go back as they came (§13)."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage

from langchain_tale.openrouter.messages import to_wire
from langchain_tale.openrouter.reasoning import is_own, merged
from tests.openrouter.replies import STOP, event, streamed

TEXT = {"type": "reasoning.text", "index": 0, "format": "anthropic-claude-v1"}
SECRET = {"type": "reasoning.encrypted", "index": 0, "data": "xyz=="}
SUMMARY = {"type": "reasoning.summary", "index": 0}


# ── fragments ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fragments", "items"),
    [
        (
            [{**TEXT, "text": "a"}, {**TEXT, "text": "b"}, {**TEXT, "signature": "s+/="}],
            [{**TEXT, "text": "ab", "signature": "s+/="}],
        ),
        (
            [{**TEXT, "text": "a", "signature": None}, {**TEXT, "text": None, "signature": "s"}],
            [{**TEXT, "text": "a", "signature": "s"}],
        ),
        (
            [{**TEXT, "text": "a", "signature": "s"}, {**TEXT, "signature": None}],
            [{**TEXT, "text": "a", "signature": "s"}],
        ),
        ([{**TEXT, "text": "a"}, SECRET], [{**TEXT, "text": "a"}, SECRET]),
        ([SECRET, SECRET], [SECRET, SECRET]),
        ([SECRET, {**SECRET, "data": "abc"}], [SECRET, {**SECRET, "data": "abc"}]),
        (
            [{**SUMMARY, "summary": "a"}, {**SUMMARY, "summary": "b"}],
            [{**SUMMARY, "summary": "ab"}],
        ),
        (
            [{**TEXT, "text": "a"}, {**TEXT, "index": 1, "text": "c"}, {**TEXT, "text": "b"}],
            [{**TEXT, "text": "ab"}, {**TEXT, "index": 1, "text": "c"}],
        ),
        (
            [{**TEXT, "text": "a", "id": "1"}, {**TEXT, "text": "b", "id": "2"}],
            [{**TEXT, "text": "a", "id": "1"}, {**TEXT, "text": "b", "id": "2"}],
        ),
        (
            [{**TEXT, "text": "a", "id": None}, {**TEXT, "text": "b", "id": "1"}],
            [{**TEXT, "text": "ab", "id": "1"}],
        ),
        (
            [{"type": "reasoning.text", "text": "a"}, {"type": "reasoning.text", "text": "b"}],
            [{"type": "reasoning.text", "text": "ab"}],
        ),
        (
            [
                {"type": "reasoning.text", "text": "a"},
                {"type": "reasoning.encrypted", "data": "x"},
                {"type": "reasoning.text", "text": "b"},
            ],
            [
                {"type": "reasoning.text", "text": "a"},
                {"type": "reasoning.encrypted", "data": "x"},
                {"type": "reasoning.text", "text": "b"},
            ],
        ),
        (
            [{"type": "a new type", "index": 0, "x": 1}, {"type": "a new type", "index": 0}],
            [{"type": "a new type", "index": 0, "x": 1}],
        ),
        ([], []),
    ],
    ids=[
        "claude: text, then its signature",
        "null is no text",
        "a signature is not taken back",
        "gemini: text and secret, both 0",
        "secrets come whole",
        "secrets are not joined",
        "summaries are joined",
        "items may take turns",
        "another id, another item",
        "an id may come late",
        "without an index, neighbours are one",
        "without an index, others part them",
        "a new type",
        "nothing",
    ],
)
def test_fragments_become_the_items_they_belong_to(
    fragments: list[dict[str, Any]], items: list[dict[str, Any]]
) -> None:
    assert merged(fragments) == items


def test_the_servers_fragments_are_left_as_they_are() -> None:
    fragments = [{**TEXT, "text": "a"}, {**TEXT, "text": "b"}]
    merged(fragments)

    assert fragments == [{**TEXT, "text": "a"}, {**TEXT, "text": "b"}]


def test_streamed_reasoning_is_text_and_items() -> None:
    message = streamed(
        event({"reasoning": "a", "reasoning_details": [{**TEXT, "text": "a"}]}),
        event({"reasoning": "b", "reasoning_details": [{**TEXT, "text": "b"}]}),
        event({"reasoning": None, "reasoning_details": [{**TEXT, "signature": "s"}]}),
        event({"content": "c"}, choice=STOP),
    )

    assert message.additional_kwargs == {
        "reasoning_content": "ab",
        "reasoning_details": [{**TEXT, "text": "ab", "signature": "s"}],
    }


# ── back on the next turn ───────────────────────────────────────────────────


def sent(message: AIMessage, model: str = "a/b") -> dict[str, Any]:
    """What of a message's reasoning goes back."""
    wire = to_wire([message], model)[0]
    return {name: wire[name] for name in wire if name.startswith("reasoning")}


def answered(by: str | None, **kwargs: Any) -> AIMessage:
    metadata = {"model_provider": "openrouter", "model_name": by} if by else {}
    return AIMessage("x", additional_kwargs=kwargs, response_metadata=metadata)


def test_items_go_back_as_they_came_and_the_text_is_not_sent_twice() -> None:
    details = [{**TEXT, "text": "a", "signature": "s"}, SECRET, {"type": "new", "x": None}]
    message = answered("a/b", reasoning_content="a", reasoning_details=details)

    assert sent(message) == {"reasoning_details": details}


def test_plain_reasoning_goes_back_as_text() -> None:
    assert sent(answered("a/b", reasoning_content="a")) == {"reasoning": "a"}


def test_reasoning_goes_to_no_other_model() -> None:
    message = answered("a/b", reasoning_content="a", reasoning_details=[SECRET])

    assert sent(message, "c/d") == {}


def test_reasoning_of_another_provider_stays_behind() -> None:
    message = AIMessage(
        "x",
        additional_kwargs={"reasoning_content": "a"},
        response_metadata={"model_provider": "deepseek", "model_name": "a/b"},
    )

    assert sent(message) == {}


def test_a_message_made_by_hand_is_taken_at_its_word() -> None:
    assert sent(answered(None, reasoning_details=[SECRET])) == {"reasoning_details": [SECRET]}


OWN = [
    ("a/b", "a/b", None),
    ("anthropic/claude-haiku-4.5", "anthropic/claude-4.5-haiku-20251001", None),
    ("anthropic/claude-3.5-sonnet", "anthropic/claude-3-5-sonnet", None),
    ("openai/gpt-4o", "openai/gpt-4o-2024-08-06", None),
    ("google/gemini-2.5-pro", "google/gemini-2.5-pro-preview-05-06", None),
    ("google/gemini-2.0-flash", "google/gemini-2.0-flash-exp", None),
    ("x-ai/grok-3", "x-ai/grok-3-beta", None),
    ("mistralai/mistral-small", "mistralai/mistral-small-latest", None),
    ("openai/gpt-5-mini:nitro", "openai/gpt-5-mini", None),
    ("meta-llama/llama-3.1-8b-instruct:free", "meta-llama/llama-3.1-8b-instruct", None),
    ("openai/gpt-5:free:online", "openai/gpt-5", None),
    ("openrouter/auto", "openai/gpt-5", "openrouter/auto"),
    ("openai/gpt-5", "openai/gpt-5", "openrouter/auto"),
    (
        "~anthropic/claude-sonnet-latest",
        "anthropic/claude-sonnet-5",
        "~anthropic/claude-sonnet-latest",
    ),
    ("@preset/tales", "openai/gpt-5", "@preset/tales"),
    ("a/b", None, None),
]
OTHER = [
    ("openai/gpt-5", "openai/gpt-4o", None),
    ("openai/gpt-4o", "openai/gpt-4o-mini", None),
    ("anthropic/claude-haiku-4.5", "anthropic/claude-sonnet-4.5", None),
    ("anthropic/claude-sonnet-4.5", "anthropic/claude-sonnet-4", None),
    ("meta-llama/llama-3.1-8b-instruct", "meta-llama/llama-3.1-70b-instruct", None),
    ("openai/gpt-5", "anthropic/claude-sonnet-5", "openrouter/auto"),
    ("openrouter/free", "openai/gpt-5", "openrouter/auto"),
]


def facts(answered_by: str | None, requested: str | None) -> dict[str, Any]:
    return {
        "model_provider": "openrouter",
        "model_name": answered_by,
        "requested_model": requested,
    }


@pytest.mark.parametrize(("asked", "answered_by", "requested"), OWN, ids=str)
def test_a_model_knows_its_own_reasoning_by_any_of_its_names(
    asked: str, answered_by: str | None, requested: str | None
) -> None:
    assert is_own(facts(answered_by, requested), asked)


@pytest.mark.parametrize(("asked", "answered_by", "requested"), OTHER, ids=str)
def test_a_model_does_not_take_anothers_reasoning_for_its_own(
    asked: str, answered_by: str | None, requested: str | None
) -> None:
    assert not is_own(facts(answered_by, requested), asked)
