"""Chat models of any vendor as members of a policy, where they are unlike ours."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.rate_limiters import BaseRateLimiter

from langchain_tale.errors import (
    AllModelsFailedError,
    ConnectionFailedError,
    EmptyReplyError,
    RequestTimeoutError,
)
from langchain_tale.resilience.breaker import shared_circuits
from langchain_tale.resilience.chat_models import ResilientChatModel, resilient
from langchain_tale.resilience.policy import BreakerPolicy, RetryPolicy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.conftest import FakeTime

STORY = "The fox slept well. The end."


class Model(BaseChatModel):
    name: str | None = "a"

    @property
    def _llm_type(self) -> str:
        return "of-another-vendor"

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("Hello"))])


class SaysNothingMore(Model):
    """It has nothing to add to what was told."""

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        error = EmptyReplyError("It said nothing.", model="b")
        error.finish_reason = "stop"
        raise error


class Breaks(Model):
    """Its story is whole, but the connection is lost before it says so."""

    def _stream(self, *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
        yield ChatGenerationChunk(message=AIMessageChunk(content=STORY))
        error: Any = ConnectionFailedError("It was cut.", model="a")
        error.has_usage = True
        raise error


class Iterates(Model):
    """Its streams are iterators that cannot be closed."""

    def _stream(self, *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
        return iter([ChatGenerationChunk(message=AIMessageChunk(content=word)) for word in "ab"])


class Late(Model):
    """It raises Python's own error when it is late; and keeps time, as ours do."""

    def within(self, timeout_s: float) -> dict[str, Any]:
        return {"timeout": timeout_s}

    async def _agenerate(self, *_: Any, **__: Any) -> ChatResult:
        raise TimeoutError

    async def _astream(self, *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        yield ChatGenerationChunk(message=AIMessageChunk(content="a"))


async def told(model: BaseChatModel, *, is_async: bool) -> list[str]:
    if is_async:
        return [chunk.text async for chunk in model.astream("x") if chunk.text]
    return [chunk.text for chunk in model.stream("x") if chunk.text]


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_model_that_cannot_stream_may_find_a_story_whole(
    fake_time: FakeTime, *, is_async: bool
) -> None:
    models = [Breaks(), SaysNothingMore(name="b", disable_streaming=True)]
    safe = resilient(models, timing=fake_time.timing(), on_broken_stream="continue", breaker=None)

    assert "".join(await told(safe, is_async=is_async)) == STORY


@pytest.mark.parametrize("is_async", [False, True])
async def test_streams_need_not_be_generators(*, is_async: bool) -> None:
    assert await told(resilient([Iterates()]), is_async=is_async) == ["a", "b"]


async def test_a_call_that_is_left_before_it_asks_gives_its_permit_back() -> None:
    hears = asyncio.Event()

    class Pondering(AsyncCallbackHandler):
        async def on_custom_event(self, *_: Any, **__: Any) -> None:
            hears.set()
            await asyncio.Event().wait()

    safe = resilient([Model(name="left-early")])
    call = asyncio.create_task(safe.ainvoke("x", {"callbacks": [Pondering()]}))
    await hears.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    circuit = shared_circuits(BreakerPolicy()).of("Model", "left-early")
    assert circuit._breaker.under_way == 0


async def test_pythons_own_error_of_time_is_ours_then(fake_time: FakeTime) -> None:
    safe = resilient([Late()], timing=fake_time.timing(), breaker=None)

    with pytest.raises(AllModelsFailedError) as caught:
        await safe.ainvoke("x")

    assert {type(attempt.error) for attempt in caught.value.attempts} == {RequestTimeoutError}
    assert await told(safe, is_async=True) == ["a"]


@pytest.mark.parametrize("is_late", [False, True])
async def test_a_model_that_cannot_stream_is_late_likewise(
    fake_time: FakeTime, *, is_late: bool
) -> None:
    model = Late(disable_streaming=True) if is_late else Model()
    safe = resilient([model], timing=fake_time.timing(), breaker=None)

    if not is_late:
        assert await told(safe, is_async=True) == ["Hello"]
        return
    with pytest.raises(AllModelsFailedError) as caught:
        await told(safe, is_async=True)
    assert {type(attempt.error) for attempt in caught.value.attempts} == {RequestTimeoutError}


class Limiter(BaseRateLimiter):
    """It counts who was let through, by which of its two doors."""

    def __init__(self) -> None:
        self.let_through = {"acquire": 0, "aacquire": 0}

    def acquire(self, *, blocking: bool = True) -> bool:
        self.let_through["acquire"] += blocking
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        self.let_through["aacquire"] += blocking
        return True


@pytest.mark.parametrize("attempt_timeout_s", [None, 60.0])
async def test_each_request_asks_the_rate_limiter(attempt_timeout_s: float | None) -> None:
    limiter = Limiter()
    safe = resilient(
        [Model(rate_limiter=limiter)],
        retry=RetryPolicy(attempt_timeout_s=attempt_timeout_s),
        breaker=None,
    )

    for is_async in (False, True):
        await told(safe, is_async=is_async)
    safe.invoke("x")
    await safe.ainvoke("x")

    assert limiter.let_through == {"acquire": 2, "aacquire": 2}


def test_what_describes_a_call_is_langchain_cores_word() -> None:
    class Described(ResilientChatModel):
        @property
        def _identifying_params(self) -> dict[str, Any]:
            return {"who": "tells"}

    for kind in (ResilientChatModel, Described):
        model: Any = kind(models=[Model()])
        told_by_core = BaseChatModel._get_invocation_params(model, ["x"], seed=1)
        assert model._get_invocation_params(["x"], seed=1) == told_by_core
