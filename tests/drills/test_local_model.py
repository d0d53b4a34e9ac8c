"""Stories by the real local model, in every way that one can ask for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from langchain_tale import (
    OpenRouterClient,
    OpenRouterModel,
    StoryGenerationResult,
    StoryRequest,
    create_story_chain,
)
from langchain_tale.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow
REQUEST = StoryRequest(theme="a fox who learns to share", child_name="Mia", age=5, words=120)


@pytest.fixture(scope="module")
def address() -> Iterator[dict[str, Any]]:
    with Sandbox(engine="llama") as sandbox:
        yield {"api_key": sandbox.api_key, "base_url": sandbox.base_url}


def check(result: StoryGenerationResult) -> None:
    """All facts are there; how much a model this small has to tell is its own affair."""
    assert result.content.strip()
    assert result.model is OpenRouterModel.GPT_4O_MINI
    assert result.usage is not None
    assert result.usage["output_tokens"] >= len(result.content.split())
    assert result.generation_info is not None
    assert result.generation_info["provider_name"] == "Sandbox (SmolLM2-135M)"
    assert result.cost_usd
    assert result.latency_s


def test_a_story(address: dict[str, Any]) -> None:
    check(create_story_chain(**address).invoke(REQUEST))


def test_a_streamed_story(address: dict[str, Any]) -> None:
    results = list(create_story_chain(**address).stream(REQUEST))

    assert len({partial.content for partial in results}) > 3
    check(results[-1])


async def test_an_async_story(address: dict[str, Any]) -> None:
    check(await create_story_chain(**address).ainvoke(REQUEST))


def test_a_batch_of_eight(address: dict[str, Any]) -> None:
    heroes = ["a fox", "a hen", "a snail", "a whale", "a moth", "a bear", "an owl", "a mole"]

    results = create_story_chain(**address).batch([{"theme": hero} for hero in heroes])

    assert len(results) == 8
    for result in results:
        check(result)
    assert len({result.generation_id for result in results}) == 8


def test_the_plain_client(address: dict[str, Any]) -> None:
    client = OpenRouterClient(address["api_key"], base_url=address["base_url"])

    result = client.generate_story("Tell me a short story about a fox.", max_tokens=300)

    check(result)
    info = client.fetch_generation_info(result.generation_id)
    assert info is not None
    assert info["total_cost"] == result.cost_usd
