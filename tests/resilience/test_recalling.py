"""LangChain's cache: what is in its key, and what a hit is, however it was asked for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.caches import BaseCache, InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.globals import set_llm_cache

from langchain_tale import (
    ChatOpenRouter,
    RetryPolicy,
    StoryCache,
    create_story_chain,
)
from langchain_tale.errors import AllModelsFailedError, ExternalServiceError
from langchain_tale.sandbox import Fault
from tests.conftest import chat_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage

    from langchain_tale.sandbox import Sandbox
    from langchain_tale.sandbox.pytest_plugin import StartSandbox

MODEL = "a/b"


def invoked(model: BaseChatModel) -> AIMessage:
    return model.invoke("Hi")


def ainvoked(model: BaseChatModel) -> AIMessage:
    return asyncio.run(model.ainvoke("Hi"))


def streamed(model: BaseChatModel) -> AIMessage:
    first, *rest = model.stream("Hi")
    return sum(rest, first)


def astreamed(model: BaseChatModel) -> AIMessage:
    async def told() -> AIMessage:
        first, *rest = [chunk async for chunk in model.astream("Hi")]
        return sum(rest, first)

    return asyncio.run(told())


def batched(model: BaseChatModel) -> AIMessage:
    return model.batch(["Hi"])[0]


WAYS = [invoked, ainvoked, streamed, astreamed, batched]


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[StoryCache]:
    cache = StoryCache(tmp_path / "answers")
    yield cache
    cache.close()


def bare(sandbox: Sandbox, cache: BaseCache) -> BaseChatModel:
    return chat_model(sandbox, MODEL, cache=cache)


def resilient(sandbox: Sandbox, cache: BaseCache) -> BaseChatModel:
    return chat_model(sandbox, MODEL, cache=cache).with_retry(RetryPolicy(retry_delay=0))


# ── hits ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("again", WAYS)
@pytest.mark.parametrize("first", WAYS)
def test_what_was_told_one_way_is_recalled_the_other(
    sandbox: Sandbox, cache: StoryCache, first: Any, again: Any
) -> None:
    for kind in (bare, resilient):
        model = kind(sandbox, cache)
        asked = sandbox.requests[MODEL]
        told = first(model)

        recalled = again(model)

        assert sandbox.requests[MODEL] == asked + (1 if kind is bare else 0)
        assert recalled.text == told.text


@pytest.mark.parametrize("way", [invoked, astreamed])
def test_a_cache_of_langchains_own_keeps_what_it_has(sandbox: Sandbox, way: Any) -> None:
    for kind in (bare, resilient):
        model = kind(sandbox, InMemoryCache())
        told, first, second = invoked(model), way(model), way(model)

        assert told.response_metadata["cost"] > 0
        assert "is_cached" not in told.response_metadata
        assert first.response_metadata == second.response_metadata
        assert first.response_metadata["is_cached"]


@pytest.mark.parametrize("kind", [bare, resilient])
@pytest.mark.parametrize("way", WAYS)
def test_a_hit_says_that_it_is_one_and_costs_nothing(
    sandbox: Sandbox, cache: StoryCache, kind: Any, way: Any
) -> None:
    model = kind(sandbox, cache)
    told, recalled = invoked(model), way(model)

    before, after = told.response_metadata, recalled.response_metadata
    assert "is_cached" not in before
    assert before["cost"] > 0
    assert after["is_cached"] is True
    assert after["cost"] == 0
    assert "cost" not in after["token_usage"]
    assert after.get("attempts", []) == []
    assert (after["id"], after["finish_reason"]) == (before["id"], before["finish_reason"])
    assert recalled.usage_metadata is not None
    assert recalled.usage_metadata["output_tokens"] == 41
    assert recalled.id != told.id


def test_hits_of_a_story_chain_are_stories_that_cost_nothing(
    sandbox: Sandbox, cache: StoryCache
) -> None:
    where: Any = {"api_key": sandbox.api_key, "base_url": sandbox.base_url}
    chain = create_story_chain([MODEL, "c/d"], cache=cache, **where)

    told, recalled, (*_, streamed_again) = (
        chain.invoke("a fox"),
        chain.invoke("a fox"),
        chain.stream("a fox"),
    )

    assert not told.is_cached
    assert recalled.is_cached
    assert recalled == streamed_again
    assert (recalled.title, recalled.content) == (told.title, told.content)
    assert (recalled.cost_usd, recalled.attempts, recalled.latency_s) == (0, (), None)
    assert sandbox.requests == {MODEL: 1}


def test_openrouters_own_cache_is_told_as_well(sandbox: Sandbox) -> None:
    where: Any = {"api_key": sandbox.api_key, "base_url": sandbox.base_url}
    chain = create_story_chain(MODEL, response_cache=True, **where)

    told, recalled = chain.invoke("a fox"), chain.invoke("a fox")

    assert (told.is_cached, recalled.is_cached) == (False, True)
    assert recalled.cost_usd == 0
    assert len(recalled.attempts) == 1  # it was asked for, and answered for free


def test_the_cache_of_the_process_serves_streams(sandbox: Sandbox, cache: StoryCache) -> None:
    set_llm_cache(cache)
    try:
        model, without = chat_model(sandbox, MODEL), chat_model(sandbox, MODEL, cache=False)
        streamed(model)
        streamed(model)
        assert sandbox.requests[MODEL] == 1
        streamed(without)
        assert sandbox.requests[MODEL] == 2
    finally:
        set_llm_cache(None)


def test_callbacks_see_a_hit_as_a_stream(sandbox: Sandbox, cache: StoryCache) -> None:
    class Listener(BaseCallbackHandler):
        def __init__(self) -> None:
            self.heard: list[str] = []

        def on_chat_model_start(self, *_: Any, **__: Any) -> None:
            self.heard.append("start")

        def on_llm_new_token(self, token: Any, **_: Any) -> None:
            self.heard.append("token" if token else "")

        def on_llm_end(self, *_: Any, **__: Any) -> None:
            self.heard.append("end")

    for kind in (bare, resilient):
        model = kind(sandbox, cache)
        streamed(model)
        listener = Listener()
        list(model.stream("Hi", config={"callbacks": [listener]}))
        assert listener.heard == ["start", "token", "end"]


@pytest.mark.parametrize("way", [streamed, astreamed])
def test_tool_calls_are_recalled(sandbox: Sandbox, cache: StoryCache, way: Any) -> None:
    tool = {"name": "look", "description": "Look.", "parameters": {"type": "object"}}
    for kind in (bare, resilient):
        model: Any = kind(sandbox, cache).bind_tools([tool], tool_choice="look")
        told, recalled = way(model), way(model)

        assert told.tool_calls
        assert [call["name"] for call in recalled.tool_calls] == ["look"]
        assert recalled.tool_calls == told.tool_calls
        assert recalled.response_metadata["is_cached"]


@pytest.mark.parametrize("way", WAYS)
def test_content_blocks_are_recalled(sandbox: Sandbox, cache: StoryCache, way: Any) -> None:
    model = chat_model(sandbox, MODEL, cache=cache, output_version="v1")
    told, recalled = invoked(model), way(model)

    assert told.content_blocks[0]["type"] == "text"
    assert [b["text"] for b in recalled.content_blocks if b["type"] == "text"] == [told.text]


# ── what is not kept ────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", WAYS)
def test_a_failure_is_not_kept(faulty: StartSandbox, cache: StoryCache, way: Any) -> None:
    sandbox = faulty({MODEL: [Fault(status=500), Fault(kind="cut"), Fault(kind="midstream")]})
    model = bare(sandbox, cache)

    for _ in range(3):
        with pytest.raises(ExternalServiceError):
            way(model)

    assert "is_cached" not in way(model).response_metadata


@pytest.mark.parametrize("way", WAYS)
def test_an_answer_that_was_cut_off_is_not_kept(sandbox: Sandbox, tmp_path: Path, way: Any) -> None:
    cache = StoryCache(tmp_path / "answers")
    for kind in (bare, resilient):
        model = kind(sandbox, cache).bind(max_tokens=5)
        assert way(model).response_metadata["finish_reason"] == "length"
    assert len(cache) == 0
    cache.close()


def test_a_stream_that_was_left_is_not_kept(sandbox: Sandbox, tmp_path: Path) -> None:
    cache = StoryCache(tmp_path / "answers")
    model = bare(sandbox, cache)

    next(iter(model.stream("Hi")))

    assert len(cache) == 0
    cache.close()


@pytest.mark.parametrize("way", [streamed, astreamed])
def test_a_stream_that_began_again_is_kept_without_its_beginning(
    faulty: StartSandbox, cache: StoryCache, way: Any
) -> None:
    sandbox = faulty({MODEL: [Fault(kind="cut", after_chunks=3)]})
    policy = RetryPolicy(retry_delay=0)
    model = chat_model(sandbox, MODEL, cache=cache).with_retry(policy, on_broken_stream="restart")

    way(model)

    assert way(model).text == invoked(chat_model(sandbox, MODEL)).text


# ── the check of an answer ──────────────────────────────────────────────────


@pytest.mark.parametrize("way", WAYS)
def test_what_was_kept_has_to_pass_the_check(sandbox: Sandbox, cache: StoryCache, way: Any) -> None:
    policy = RetryPolicy(max_retries=0)
    easy = chat_model(sandbox, MODEL, cache=cache)
    strict = easy.with_retry(policy, accept=lambda message: "wolf" in message.text)
    lenient = easy.with_retry(policy, accept=lambda message: "wolf" not in message.text)
    assert invoked(easy.with_retry(policy)).text

    with pytest.raises((ExternalServiceError, AllModelsFailedError)):
        way(strict)
    assert sandbox.requests[MODEL] == 2

    assert way(lenient).response_metadata["is_cached"]
    assert sandbox.requests[MODEL] == 2


@pytest.mark.parametrize("way", [ainvoked, astreamed])
def test_a_check_may_be_a_coroutine_function(sandbox: Sandbox, cache: StoryCache, way: Any) -> None:
    async def accept(message: AIMessage) -> bool:
        return bool(message.text)

    model = chat_model(sandbox, MODEL, cache=cache).with_retry(accept=accept)

    assert way(model).text == way(model).text
    assert sandbox.requests[MODEL] == 1


# ── the key ─────────────────────────────────────────────────────────────────


def key(model: BaseChatModel, **kwargs: Any) -> str:
    return model._get_llm_string(**kwargs)


KEY = "sk-or-v1-very-secret"


@pytest.mark.parametrize("api_key", [KEY, [KEY, "sk-or-v1-other"], lambda: KEY])
def test_the_key_of_an_answer_holds_no_api_key(api_key: Any) -> None:
    llm = ChatOpenRouter(model=MODEL, api_key=api_key)

    assert "secret" not in key(llm).replace('"type": "secret"', "")
    assert "secret" not in key(llm.with_retry()).replace('"type": "secret"', "")
    assert key(llm) == key(ChatOpenRouter(model=MODEL, api_key="sk-or-v1-third"))


def test_another_model_or_setting_is_another_key() -> None:
    llm = ChatOpenRouter(model=MODEL, api_key=KEY)
    others = [
        llm,
        llm.for_model("c/d"),
        llm.with_room(77),
        llm.model_copy(update={"temperature": 0.5}),
        llm.model_copy(update={"provider": {"data_collection": "deny"}}),
        llm.model_copy(update={"models": ["c/d"]}, deep=True),
        llm.with_fallbacks(["c/d"]),
    ]

    keys = [key(other) for other in others]  # type: ignore[arg-type]  # chat models all

    assert len(set(keys)) == len(keys)
    assert key(llm, stop=["wolf"]) != key(llm)


def test_a_setting_that_is_changed_later_is_another_key() -> None:
    llm = ChatOpenRouter(model=MODEL, api_key=KEY)
    before = key(llm)

    llm.temperature = 0.9

    assert key(llm) != before


def test_a_copy_is_described_anew_to_tracers() -> None:
    llm = ChatOpenRouter(model=MODEL, api_key=KEY)
    assert llm._serialized["kwargs"]["model_name"] == MODEL

    assert llm.for_model("c/d")._serialized["kwargs"]["model_name"] == "c/d"
