"""What a policy allows besides a number of tries: time, money, and the answer's own fitness."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import BaseModel

from langchain_tale import OpenRouterModel, RetryPolicy, circuits, create_story_chain
from langchain_tale.errors import (
    AllModelsFailedError,
    ConfigurationError,
    RefusedReplyError,
    RequestTimeoutError,
)
from langchain_tale.resilience.chat_models import resilient
from langchain_tale.sandbox import Fault, Sandbox
from tests.conftest import chat_model

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.conftest import FakeTime

DOWN = Fault(status=503)
MINI = "openai/gpt-4o-mini"


class Mute(BaseChatModel):
    """A model of another vendor that never answers, and keeps no time."""

    release: Any

    @property
    def _llm_type(self) -> str:
        return "mute"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        self.release.wait(20)
        return ChatResult(generations=[ChatGeneration(message=AIMessage("late"))])

    async def _agenerate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        await asyncio.Event().wait()
        raise AssertionError

    async def _astream(
        self, messages: list[BaseMessage], *_: Any, **__: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        await asyncio.Event().wait()
        raise AssertionError
        yield


async def test_an_attempt_that_takes_too_long_passes_to_the_next_model(sandbox: Sandbox) -> None:
    release = threading.Event()
    policy = RetryPolicy(max_retries=1, attempt_timeout_s=0.6)
    model = resilient([Mute(release=release), chat_model(sandbox)], retry=policy)

    answers = [model.invoke("x"), await model.ainvoke("x")]
    answers += [[chunk async for chunk in model.astream("x")][-1]]

    release.set()
    for answer in answers:
        first, second = answer.response_metadata["attempts"]
        assert (first["error"], second["error"]) == ("RequestTimeoutError", None)


def test_no_try_begins_after_the_deadline(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    sandbox = faulty({MINI: [DOWN] * 9})
    policy = RetryPolicy(max_retries=9, retry_delay=4, deadline_s=10)
    model = resilient([chat_model(sandbox)], retry=policy, timing=fake_time.timing())

    with pytest.raises(AllModelsFailedError) as caught:
        model.invoke("x")

    assert [attempt.waited_s for attempt in caught.value.attempts] == [0, 4]
    assert fake_time.slept == [4]


def test_a_wait_longer_than_the_deadline_means_the_next_model(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    sandbox = faulty({"a/b": [Fault(status=429, headers={"Retry-After": "30"})] * 2})
    policy = RetryPolicy(deadline_s=10)
    models = [chat_model(sandbox, "a/b"), chat_model(sandbox)]

    answer = resilient(models, retry=policy, timing=fake_time.timing()).invoke("x")

    assert answer.response_metadata["model_name"] == MINI
    assert sum(fake_time.slept) == 0


async def test_a_stream_ends_with_the_deadline(sandbox: Sandbox, fake_time: FakeTime) -> None:
    policy = RetryPolicy(deadline_s=10)
    model = resilient([chat_model(sandbox)], retry=policy, timing=fake_time.timing())

    def told() -> None:
        for number, _ in enumerate(model.stream("x")):
            fake_time.now += number

    with pytest.raises(RequestTimeoutError, match="deadline") as caught:
        told()
    assert caught.value.partial_text


@pytest.mark.parametrize("accept", [None, lambda _: None], ids=["reasoning", "accept"])
async def test_a_stream_that_is_not_yet_handed_on_ends_with_the_deadline_too(
    sandbox: Sandbox, fake_time: FakeTime, accept: Any
) -> None:
    """Before the first content, and while an answer is held back for its check."""

    def clock() -> float:
        fake_time.now += 1
        return fake_time.now

    timing = dataclasses.replace(fake_time.timing(), clock=clock)
    asking = {"reasoning": {"effort": "high"}} if accept is None else {}
    models = [chat_model(sandbox, "deepseek/deepseek-r1", **asking)]
    model = resilient(models, retry=RetryPolicy(deadline_s=9), timing=timing, accept=accept)

    with pytest.raises(RequestTimeoutError, match="deadline") as caught:
        list(model.stream("x"))
    with pytest.raises(RequestTimeoutError, match="deadline") as acaught:
        [chunk async for chunk in model.astream("x")]
    assert not caught.value.partial_text
    assert not acaught.value.partial_text
    assert set(circuits().values()) == {"closed"}


def test_no_try_begins_once_the_money_is_spent(sandbox: Sandbox) -> None:
    policy = RetryPolicy(max_retries=9, max_cost_usd=0.00004)
    model = resilient([chat_model(sandbox)], retry=policy, accept=lambda _: "never")

    with pytest.raises(AllModelsFailedError) as caught:
        model.invoke("x")

    costs = [attempt.cost_usd or 0.0 for attempt in caught.value.attempts]
    assert sum(costs[:-1]) < 0.00004 <= sum(costs)


# ── accept ──────────────────────────────────────────────────────────────────


async def test_a_refused_answer_is_asked_for_again_in_every_way(
    sandbox: Sandbox, fake_time: FakeTime
) -> None:
    seen: list[str] = []

    def third(message: AIMessage) -> str | None:
        seen.append(message.text)
        return None if len(seen) % 3 == 0 else "too plain"

    model = resilient([chat_model(sandbox)], accept=third, timing=fake_time.timing())
    streamed = list(model.stream("x"))
    astreamed = [chunk async for chunk in model.astream("x")]
    answers = [
        model.invoke("x"),
        await model.ainvoke("x"),
        sum(streamed[1:], start=streamed[0]),
        sum(astreamed[1:], start=astreamed[0]),
    ]

    assert len({answer.text for answer in answers}) == 1
    assert len({*seen}) == 1
    assert sum(fake_time.slept) == 0
    for answer in answers:
        log = answer.response_metadata["attempts"]
        assert [one["error"] for one in log] == ["RefusedReplyError", "RefusedReplyError", None]
        assert "too plain" in log[0]["error_message"]
        assert all(one["cost_usd"] for one in log)


@pytest.mark.parametrize("word", [False, "no wolf in it", ValueError("no wolf in it")])
def test_a_check_refuses_in_three_ways(sandbox: Sandbox, word: Any) -> None:
    def check(_: AIMessage) -> Any:
        if isinstance(word, Exception):
            raise word
        return word

    model = resilient([chat_model(sandbox)], retry=RetryPolicy(max_retries=0), accept=check)

    with pytest.raises(RefusedReplyError) as caught:
        model.invoke("x")
    assert caught.value.reason in {"the check said no", "no wolf in it"}
    assert caught.value.partial_text == caught.value.message.text != ""


async def test_a_check_may_be_a_coroutine_function(sandbox: Sandbox) -> None:
    async def check(_: AIMessage) -> str:
        return "never"

    model = resilient([chat_model(sandbox)], retry=RetryPolicy(max_retries=1), accept=check)

    with pytest.raises(AllModelsFailedError, match="never"):
        await model.ainvoke("x")
    with pytest.raises(ConfigurationError, match="coroutine"):
        model.invoke("x")


class Scene(BaseModel):
    title: str
    text: str


@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
async def test_structured_output_of_several_models(
    faulty: Callable[..., Sandbox], fake_time: FakeTime, method: str
) -> None:
    sandbox = faulty({"a/b": [DOWN] * 9})
    models = [chat_model(sandbox, "a/b"), chat_model(sandbox)]
    scenes = resilient(models, timing=fake_time.timing()).with_structured_output(
        Scene, method=method
    )

    assert isinstance(scenes.invoke("a scene"), Scene)
    assert isinstance(await scenes.ainvoke("a scene"), Scene)
    assert [type(one) for one in scenes.stream("a scene")] == [Scene]


def test_an_answer_that_does_not_fit_the_schema_is_asked_for_again(sandbox: Sandbox) -> None:
    class Elsewhere(BaseModel):
        title: str
        pages: int

    short = chat_model(sandbox, max_tokens=1)
    scenes = resilient([short, chat_model(sandbox)]).with_structured_output(Elsewhere)

    assert scenes.invoke("a scene").title


# ── models that are gone ────────────────────────────────────────────────────


def test_a_retired_model_is_followed_by_its_successor(
    sandbox: Sandbox, fake_time: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    llm = chat_model(sandbox, OpenRouterModel.CLAUDE_3_5_SONNET)
    model = resilient([llm], timing=fake_time.timing())

    answers = [model.invoke("x"), model.invoke("x")]

    for answer in answers:
        first, second = answer.response_metadata["attempts"]
        assert first["model"] == OpenRouterModel.CLAUDE_3_5_SONNET
        assert first["error"] == "ModelNotFoundError"
        assert second["model"] == "~anthropic/claude-sonnet-latest"
        assert second["answered_by"] == answer.response_metadata["model_name"]
    assert sum("is not available" in line for line in caplog.messages) <= 1


def test_the_callers_own_fallbacks_come_before_successors(sandbox: Sandbox) -> None:
    models = [chat_model(sandbox, OpenRouterModel.CLAUDE_3_5_SONNET), chat_model(sandbox)]

    assert resilient(models).invoke("x").response_metadata["model_name"] == MINI


def test_successors_can_be_refused(sandbox: Sandbox) -> None:
    llm = chat_model(sandbox, OpenRouterModel.CLAUDE_3_5_SONNET)
    policy = RetryPolicy(follow_successors=False)

    with pytest.raises(Exception, match="not available"):
        resilient([llm], retry=policy).invoke("x")
    assert sandbox.requests == {OpenRouterModel.CLAUDE_3_5_SONNET: 1}


# ── streams that break ──────────────────────────────────────────────────────


async def test_a_story_that_is_begun_again_is_one_story(faulty: Callable[..., Sandbox]) -> None:
    sandbox = faulty({"a/b": [Fault(kind="midstream", after_chunks=9)] * 2})
    models = [chat_model(sandbox, "a/b"), chat_model(sandbox)]
    chain = create_story_chain(models, on_broken_stream="restart")

    last = list(chain.stream("a fox"))[-1]
    alast = [result async for result in chain.astream("a fox")][-1]
    whole = create_story_chain([chat_model(sandbox)]).invoke("a fox")

    assert last.content == alast.content == whole.content
    assert [attempt.succeeded for attempt in last.attempts] == [False, True]
