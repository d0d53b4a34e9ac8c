from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_type_hints

import pytest
from langchain_core.language_models import ModelProfile

from langchain_tale import catalogue
from langchain_tale.catalogue import OpenRouterModel
from langchain_tale.openrouter.model_records import ModelRecord
from langchain_tale.openrouter.profiles import known_profile, profile_of

if TYPE_CHECKING:
    from collections.abc import Iterator

FOX: dict[str, Any] = {
    "id": "tales/fox-1",
    "name": "Fox 1",
    "context_length": 32_000,
    "top_provider": {"max_completion_tokens": 8000},
    "architecture": {"input_modalities": ["text", "image", "file"], "output_modalities": ["text"]},
    "supported_parameters": ["tools", "tool_choice", "temperature", "reasoning"],
    "reasoning": {
        "mandatory": False,
        "supported_efforts": ["high", "low"],
        "default_effort": "low",
    },
}


@pytest.fixture(autouse=True)
def _catalogue_as_it_was() -> Iterator[None]:
    yield
    catalogue.forget_refresh()


def record(**facts: Any) -> ModelRecord:
    return ModelRecord.from_body({"data": {**FOX, **facts}})


def test_a_profile_says_what_the_record_says() -> None:
    assert profile_of(record()) == {
        "name": "Fox 1",
        "max_input_tokens": 32_000,
        "max_output_tokens": 8000,
        "text_inputs": True,
        "image_inputs": True,
        "image_url_inputs": True,
        "pdf_inputs": True,
        "audio_inputs": False,
        "video_inputs": False,
        "text_outputs": True,
        "image_outputs": False,
        "audio_outputs": False,
        "video_outputs": False,
        "tool_calling": True,
        "tool_choice": True,
        "structured_output": False,
        "reasoning_output": True,
        "reasoning_effort_levels": ["high", "low"],
        "reasoning_effort_default": "low",
        "temperature": True,
    }


def test_langchain_knows_every_word_of_a_profile() -> None:
    assert profile_of(record()).keys() <= get_type_hints(ModelProfile).keys()


def test_what_the_record_leaves_open_is_not_claimed() -> None:
    bare = ModelRecord.from_body({"data": {"id": "tales/fox-1", "supported_parameters": []}})

    assert profile_of(bare) == {}


def test_a_model_without_reasoning_has_no_efforts() -> None:
    profile = profile_of(record(reasoning=None, supported_parameters=["structured_outputs"]))

    assert profile["reasoning_output"] is False
    assert profile["structured_output"] is True
    assert profile["tool_calling"] is False
    assert "reasoning_effort_levels" not in profile
    assert "reasoning_effort_default" not in profile


def test_a_model_that_reasons_does_whether_or_not_it_takes_the_parameter() -> None:
    assert profile_of(record(supported_parameters=["tools"]))["reasoning_output"] is True


def test_a_router_promises_no_length() -> None:
    router = record(architecture={"tokenizer": "Router"}, context_length=2_000_000)

    assert "max_input_tokens" not in profile_of(router)


def test_a_known_model_has_a_profile_before_any_refresh() -> None:
    assert known_profile("openai/gpt-4o-mini") == {
        "max_input_tokens": 128_000,
        "text_inputs": True,
        "text_outputs": True,
    }
    assert known_profile(OpenRouterModel.AUTO) == {"text_inputs": True, "text_outputs": True}
    assert known_profile("tales/fox-1") is None
    assert known_profile("@preset/tales") is None


def test_a_refreshed_catalogue_knows_more() -> None:
    catalogue.refresh({"tales/fox-1": record()})

    assert known_profile("tales/fox-1") == profile_of(record())
    assert known_profile("tales/hedgehog-1") is None
    assert known_profile("openai/gpt-4o-mini") == {
        "max_input_tokens": 128_000,
        "text_inputs": True,
        "text_outputs": True,
    }


@pytest.mark.parametrize("suffix", [":nitro", ":floor:online", "@preset/bedtime", ":exacto"])
def test_what_only_steers_the_routing_changes_no_profile(suffix: str) -> None:
    catalogue.refresh({"tales/fox-1": record()})

    assert known_profile(f"tales/fox-1{suffix}") == profile_of(record())
    assert known_profile(f"openai/gpt-4o{suffix}") == known_profile("openai/gpt-4o")


def test_a_free_variant_is_another_model() -> None:
    catalogue.refresh({"tales/fox-1": record()})

    assert known_profile("tales/fox-1:free") is None


def test_a_profile_is_the_callers_own() -> None:
    catalogue.refresh({"tales/fox-1": record()})
    profile = known_profile("tales/fox-1")
    assert profile is not None

    profile["reasoning_effort_levels"].append("odd")

    assert known_profile("tales/fox-1") == profile_of(record())
