from __future__ import annotations

import dataclasses
import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import Generation

from langchain_tale.catalogue import OpenRouterModel
from langchain_tale.errors import Attempt, RateLimitError
from langchain_tale.story.result import (
    StoryGenerationResult,
    StoryParser,
    full_response,
    story_result,
)
from langchain_tale.story.titles import split_title

METADATA: dict[str, Any] = {
    "id": "gen-1",
    "model_name": "openai/gpt-4o-mini",
    "model_provider": "openrouter",
    "provider_name": "OpenAI",
    "finish_reason": "stop",
    "native_finish_reason": "completed",
    "cost": 0.002,
    "token_usage": {"prompt_tokens": 8, "completion_tokens": 4, "cost": 0.002},
    "attempts": [
        Attempt(number=1, model="a/b", error=RateLimitError("slow"), latency_s=0.5).to_dict(),
        Attempt(number=2, model="openai/gpt-4o-mini", waited_s=1.0, latency_s=2.0).to_dict(),
    ],
}


def answer(text: str = "# The Fox\n\nOnce upon a time.\n", **metadata: Any) -> AIMessage:
    return AIMessage(
        text,
        response_metadata={**METADATA, **metadata},
        usage_metadata={"input_tokens": 8, "output_tokens": 4, "total_tokens": 12},
    )


# ── titles ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "title", "content"),
    [
        ("# The Fox\n\nOnce.", "The Fox", "Once."),
        ("\n\n# The Fox\nOnce.", "The Fox", "Once."),
        ("###### The Fox #\nOnce.", "The Fox", "Once."),
        ("# **The Fox**\n\nOnce.", "The Fox", "Once."),
        ('# "The Fox"\n\nOnce.', "The Fox", "Once."),
        ("# «Лиса»\n\nЖила.", "Лиса", "Жила."),
        ("# The Fox\r\n\r\nOnce.", "The Fox", "Once."),
        ("**The Fox**\r\n\r\nOnce.", "The Fox", "Once."),
        ("Title: The Fox\r\n\r\nOnce.", "The Fox", "Once."),
        ("# The Fox", "The Fox", ""),
        ("**The Fox**\n\nOnce.", "The Fox", "Once."),
        ("**The Fox:**\nOnce.", "The Fox", "Once."),
        ("**The Fox**:  \nOnce.", "The Fox", "Once."),
        ("Title: The Fox\n\nOnce.", "The Fox", "Once."),
        ("TITLE : The Fox\nOnce.", "The Fox", "Once."),
        ('title: "The Fox"\nOnce.', "The Fox", "Once."),
        ("Название: Лиса\n\nЖила.", "Лиса", "Жила."),
        ("название: «Лиса»\nЖила.", "Лиса", "Жила."),
    ],
)
def test_a_title_is_recognised(text: str, title: str, content: str) -> None:
    assert split_title(text) == (title, content)


@pytest.mark.parametrize(
    "text",
    [
        "Once upon a time\n\nthere was a fox.",
        "#hashtag fox\nOnce.",
        "####### Seven\nOnce.",
        "**Once** upon a time there was a fox.\nIt ran.",
        "*The Fox*\nOnce.",
        "Titles: many\nOnce.",
        "Title\nOnce.",
        "Title:\nOnce upon a time.",
        "Title\n: Once.",
        "#\nOnce upon a time.",
        "The Title: x\nOnce.",
        "Once.\n# The Fox\nTwice.",
        "",
    ],
)
def test_a_story_without_a_title_stays_whole(text: str) -> None:
    assert split_title(text) == (None, text)


def test_a_title_made_of_marks_is_none() -> None:
    assert split_title("# ***\nOnce.") == (None, "Once.")


@pytest.mark.parametrize(
    "text", ["", "\n", "#", "# The", "*", "**The Fox**", "T", "ti", "Title: The", "н", "Наз", " "]
)
def test_what_may_become_a_title_is_held_back(text: str) -> None:
    assert split_title(text, is_growing=True) == (None, "")


@pytest.mark.parametrize("text", ["O", "Once", "«", "Th", "Но", "1. Once", "The end\n"])
def test_what_cannot_become_a_title_is_shown_at_once(text: str) -> None:
    assert split_title(text, is_growing=True) == (None, text)


def test_a_title_is_split_off_as_soon_as_its_line_has_ended() -> None:
    assert split_title("# The Fox\n", is_growing=True) == ("The Fox", "")
    assert split_title("# The Fox\nOn", is_growing=True) == ("The Fox", "On")


def streamed(pieces: list[str], *, has_title: bool = True) -> list[StoryGenerationResult]:
    end = AIMessageChunk(content="", response_metadata={"finish_reason": "stop"})
    chunks = [*(AIMessageChunk(content=piece) for piece in pieces), end]
    return list(StoryParser(has_title=has_title).transform(iter(chunks)))


fragment = st.one_of(
    st.sampled_from(
        ["#", "# ", "**", "*", ":", "\n", "\n\n", " ", "\t", "\r", "\u2028", "\x85", '"']
    ),
    st.sampled_from(["Title", "title: ", "Название", "The Fox", "Once", "ti", "Н"]),
    st.text(max_size=4),
)


@settings(deadline=None)
@given(st.lists(fragment, min_size=1, max_size=12))
@example(["Title:", "\n", "Once", "\n"])
@example(["#", "\n", "Once", "\n"])
@example(["Title", "\n", ": Once", "\n"])
@example(["**The Fox**", " ", "and more", "\n", "x"])
@example(["# The Fox", "\r", "\n"])
def test_a_growing_story_never_takes_back_what_it_has_shown(pieces: list[str]) -> None:
    results = streamed(pieces)
    whole = story_result(AIMessage("".join(pieces), response_metadata={"finish_reason": "stop"}))

    assert (results[-1].title, results[-1].content) == (whole.title, whole.content)
    for result in results:
        assert whole.content.startswith(result.content.rstrip())
    for before, after in pairwise(results[:-1]):
        assert after.content.startswith(before.content)


@settings(deadline=None)
@given(st.lists(fragment, min_size=1, max_size=12))
def test_a_title_never_changes_once_there_is_one(pieces: list[str]) -> None:
    results = streamed(pieces)
    titles = [result.title for result in (results if results[-1].title else results[:-1])]
    first = next((i for i, title in enumerate(titles) if title is not None), len(titles))

    assert len(set(titles[first:])) <= 1


# ── the result ──────────────────────────────────────────────────────────────


def test_it_is_constructed_in_the_order_that_existing_callers_use() -> None:
    result = StoryGenerationResult("Once.", "a/b", {"id": "gen-1"}, {"id": "gen-1"})

    assert (result.content, result.model) == ("Once.", "a/b")
    assert result.full_response == {"id": "gen-1"}
    assert result.generation_info == {"id": "gen-1"}
    assert (result.title, result.cost_usd, result.usage, result.latency_s) == (None,) * 4
    assert result.attempts == ()


def test_nothing_but_the_four_of_old_is_positional() -> None:
    positional = [f.name for f in dataclasses.fields(StoryGenerationResult) if not f.kw_only]

    assert positional == ["content", "model", "full_response", "generation_info"]


def test_the_generation_info_may_be_missing() -> None:
    result = StoryGenerationResult("Once.", OpenRouterModel.GPT_4O, {})

    assert result.generation_info is None
    assert result.generation_id is None
    assert not result.is_cut_off


def test_an_answer_becomes_a_result() -> None:
    result = story_result(answer())

    assert (result.title, result.content) == ("The Fox", "Once upon a time.")
    assert result.model is OpenRouterModel.GPT_4O_MINI
    assert result.cost_usd == 0.002
    assert result.usage == {"input_tokens": 8, "output_tokens": 4, "total_tokens": 12}
    assert [a.model for a in result.attempts] == ["a/b", "openai/gpt-4o-mini"]
    assert isinstance(result.attempts[0].error, RateLimitError)
    assert result.latency_s == 3.5
    assert result.generation_id == "gen-1"
    assert not result.is_cut_off


def test_the_generation_info_uses_openrouters_words() -> None:
    assert story_result(answer()).generation_info == {
        "id": "gen-1",
        "model": "openai/gpt-4o-mini",
        "provider_name": "OpenAI",
        "finish_reason": "stop",
        "native_finish_reason": "completed",
        "native_tokens_prompt": 8,
        "native_tokens_completion": 4,
        "total_cost": 0.002,
    }


def test_the_full_response_has_the_shape_of_openrouters_api() -> None:
    assert full_response(answer("Once.")) == {
        "id": "gen-1",
        "object": "chat.completion",
        "model": "openai/gpt-4o-mini",
        "provider": "OpenAI",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "native_finish_reason": "completed",
                "message": {"role": "assistant", "content": "Once."},
            }
        ],
        "usage": METADATA["token_usage"],
    }


def test_the_full_response_keeps_the_reasoning() -> None:
    details = [{"type": "reasoning.text", "text": "Hm."}]
    message = AIMessage(
        "Once.", additional_kwargs={"reasoning_content": "Hm.", "reasoning_details": details}
    )

    said = full_response(message)["choices"][0]["message"]

    assert (said["reasoning"], said["reasoning_details"]) == ("Hm.", details)


def test_a_model_that_is_no_member_is_its_slug() -> None:
    assert story_result(answer(model_name="qwen/qwen-max")).model == "qwen/qwen-max"


def test_an_answer_at_its_limit_is_cut_off() -> None:
    assert story_result(answer(finish_reason="length")).is_cut_off


def test_an_answer_that_costs_nothing_costs_zero() -> None:
    assert story_result(answer(cost=0.0)).cost_usd == 0.0


def test_another_vendors_bare_answer_is_a_result_too() -> None:
    result = story_result(AIMessage("# The Fox\n\nOnce."))

    assert (result.title, result.content, result.model) == ("The Fox", "Once.", "")
    assert (result.cost_usd, result.usage, result.latency_s, result.attempts) == (None,) * 3 + ((),)


def test_content_in_parts_is_read_as_text() -> None:
    message = AIMessage(
        [{"type": "text", "text": "# The Fox\n"}, {"type": "text", "text": "Once."}]
    )

    assert story_result(message).content == "Once."


def test_without_a_title_the_text_stays_word_for_word() -> None:
    result = story_result(answer("# The Fox\n\nOnce.\n"), has_title=False)

    assert (result.title, result.content) == (None, "# The Fox\n\nOnce.\n")


@pytest.mark.parametrize("text", ["# The Fox", "**Once there was a fox.**", "# The Fox\n\n"])
def test_a_line_without_a_story_below_it_is_what_the_model_said(text: str) -> None:
    result = story_result(answer(text))

    assert (result.title, result.content) == (None, text.strip())


def test_a_growing_result_knows_nothing_of_its_end() -> None:
    growing = streamed(["# The Fox\n", "Once"])[0]

    assert (growing.full_response, growing.generation_info) == ({}, None)
    assert growing.attempts == ()


@pytest.mark.parametrize(
    "end",
    [
        AIMessageChunk(content="", response_metadata={"finish_reason": "stop"}),
        AIMessageChunk(
            content="", response_metadata={"attempts": [Attempt(number=1, model="m").to_dict()]}
        ),
        AIMessageChunk(content="", chunk_position="last"),
    ],
    ids=["finish reason", "attempt log", "last chunk"],
)
def test_the_last_result_of_a_stream_is_complete_whatever_marks_the_end(
    end: AIMessageChunk,
) -> None:
    results = list(StoryParser().transform(iter([AIMessageChunk(content="The end"), end])))

    assert results[-1].content == "The end"
    assert results[-1].generation_info is not None
    assert results[-1].full_response["choices"][0]["message"]["content"] == "The end"


def test_a_result_is_fit_for_json() -> None:
    facts = json.loads(json.dumps(story_result(answer()).to_dict()))

    assert facts["model"] == "openai/gpt-4o-mini"
    assert facts["title"] == "The Fox"
    assert facts["generation_id"] == "gen-1"
    assert [attempt["error"] for attempt in facts["attempts"]] == ["RateLimitError", None]
    assert set(facts) == {f.name for f in dataclasses.fields(StoryGenerationResult)} | {
        "generation_id"
    }


def test_the_parser_reads_bare_text_and_bare_generations() -> None:
    parser = StoryParser()

    assert parser.parse("# The Fox\nOnce.").title == "The Fox"
    assert parser.parse_result([Generation(text="# The Fox\nOnce.")]).content == "Once."
    assert parser.invoke(AIMessage("# The Fox\nOnce.")).content == "Once."
