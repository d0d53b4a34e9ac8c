from __future__ import annotations

import pytest

from langchain_tale.catalogue import DEFAULT_MODEL, OpenRouterModel, known_model

PROMISED = {
    "GPT_4O": "openai/gpt-4o",
    "GPT_4O_MINI": "openai/gpt-4o-mini",
    "CLAUDE_3_5_SONNET": "anthropic/claude-3.5-sonnet",
    "CLAUDE_3_HAIKU": "anthropic/claude-3-haiku",
    "LLAMA_3_1_405B": "meta-llama/llama-3.1-405b-instruct",
    "LLAMA_3_1_70B": "meta-llama/llama-3.1-70b-instruct",
    "LLAMA_3_1_8B": "meta-llama/llama-3.1-8b-instruct",
    "GEMMA_2_27B": "google/gemma-2-27b-it",
    "MIXTRAL_8X22B": "mistralai/mixtral-8x22b-instruct",
    "GEMINI_20_FREE": "google/gemini-2.0-flash-exp:free",
    "GROK_41_FREE": "x-ai/grok-4.1-fast:free",
}
each_member = pytest.mark.parametrize("member", list(OpenRouterModel), ids=lambda m: m.name)


@pytest.mark.parametrize(("name", "slug"), PROMISED.items(), ids=PROMISED)
def test_existing_callers_find_their_member(name: str, slug: str) -> None:
    member = OpenRouterModel[name]

    assert member.value == slug
    assert str(member) == slug
    assert f"{member}" == slug


def test_existing_callers_find_their_members_first_and_in_order() -> None:
    assert list(OpenRouterModel.__members__)[: len(PROMISED)] == list(PROMISED)


def test_no_name_is_an_alias() -> None:
    assert len(OpenRouterModel.__members__) == len(OpenRouterModel)


@each_member
def test_a_member_is_a_string(member: OpenRouterModel) -> None:
    assert isinstance(member, str)
    assert member.partition("/")[0]
    assert member.partition("/")[2]


@each_member
def test_a_member_says_who_made_it_what_for_and_how_it_performs(member: OpenRouterModel) -> None:
    info = member.info

    assert info.provider.strip()
    assert info.performance.strip()
    assert info.use_cases
    assert all(use.strip() for use in info.use_cases)
    assert info.status in {"available", "retired", "route"}


@each_member
def test_only_a_route_may_leave_its_context_open(member: OpenRouterModel) -> None:
    info = member.info

    assert info.status == "route" or info.context_length is not None
    assert info.context_length is None or info.context_length >= 8_192


@each_member
def test_what_is_retired_has_a_living_successor_and_nothing_else_has_one(
    member: OpenRouterModel,
) -> None:
    info = member.info

    assert (info.status == "retired") == (info.successor is not None)
    assert info.successor is None or info.successor.info.status != "retired"


def test_the_default_is_not_retired() -> None:
    assert DEFAULT_MODEL is OpenRouterModel.GPT_4O_MINI
    assert DEFAULT_MODEL.info.status == "available"


@each_member
def test_a_known_slug_becomes_its_member(member: OpenRouterModel) -> None:
    assert known_model(member.value) is member
    assert known_model(member) is member


@pytest.mark.parametrize("slug", ["qwen/qwen-max", "", "OPENAI/GPT-4O", "openai/gpt-4o:nitro"])
def test_any_other_slug_stays_a_plain_string(slug: str) -> None:
    assert known_model(slug) == slug
    assert type(known_model(slug)) is str
