"""Stories as they were recorded; `cassettes/README.md` says against what."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from langchain_tale import OpenRouterModel, RetryPolicy, StoryRequest, create_story_chain
from langchain_tale.errors import AuthenticationError
from langchain_tale.openrouter.chat_models import ChatOpenRouter

if TYPE_CHECKING:
    from tests.conftest import FakeTime

pytestmark = pytest.mark.vcr
Recorded = Callable[..., dict[str, Any]]

REQUEST = StoryRequest(theme="a fox who learns to share", child_name="Mia", age=5, words=120)


def test_story(recorded: Recorded) -> None:
    chain = create_story_chain(OpenRouterModel.GPT_4O_MINI, seed=1, **recorded())

    result = chain.invoke(REQUEST)

    assert len(result.content.split()) > 50
    assert result.model is OpenRouterModel.GPT_4O_MINI
    assert result.usage is not None
    assert result.usage["output_tokens"] > 50
    assert result.cost_usd is not None
    assert result.generation_id is not None
    assert result.full_response["choices"][0]["finish_reason"] == "stop"


def test_streamed_story(recorded: Recorded) -> None:
    chain = create_story_chain(OpenRouterModel.GPT_4O_MINI, seed=1, max_tokens=120, **recorded())

    results = list(chain.stream(REQUEST))

    assert len(results) > 50
    assert results[-1].is_cut_off
    assert results[-1].generation_info is not None
    assert results[-1].content.startswith(results[20].content)
    assert results[-1].usage is not None


async def test_async_story(recorded: Recorded) -> None:
    chain = create_story_chain(OpenRouterModel.GPT_4O_MINI, seed=1, **recorded())

    assert len((await chain.ainvoke(REQUEST)).content.split()) > 50


def test_wrong_key(recorded: Recorded) -> None:
    address = {**recorded(engine="scripted"), "api_key": "sk-or-v1-wrong"}

    with pytest.raises(AuthenticationError, match="API key") as caught:
        ChatOpenRouter(model="openai/gpt-4o-mini", **address).with_retry().invoke("Hello")
    assert caught.value.status_code == 401


def test_fallback_from_a_retired_model(recorded: Recorded, fake_time: FakeTime) -> None:
    chain = create_story_chain(
        [OpenRouterModel.CLAUDE_3_5_SONNET, OpenRouterModel.GPT_4O_MINI],
        retry=RetryPolicy(max_retries=1),
        timing=fake_time.timing(),
        seed=1,
        **recorded(engine="scripted"),
    )

    result = chain.invoke(REQUEST)

    assert result.model is OpenRouterModel.GPT_4O_MINI
    assert [attempt.succeeded for attempt in result.attempts] == [False, True]
    assert sum(fake_time.slept) == 0
