"""Who hears of each token of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage

from langchain_tale import StoryMetrics
from langchain_tale.resilience.chat_models import resilient
from langchain_tale.resilience.tokens import let_off_handlers
from langchain_tale.sandbox import Sandbox
from tests.conftest import chat_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_core.language_models import BaseChatModel


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(engine="scripted", lateness_s=0.0) as running:
        yield running


class Deaf(BaseCallbackHandler):
    """Counts how often langchain-core looks whether it wants something."""

    ignores_attempts = True

    def __init__(self) -> None:
        self.looks = 0
        self.ended: list[Any] = []

    @property
    def ignore_llm(self) -> bool:
        self.looks += 1
        return False

    def on_llm_end(self, response: Any, **_: Any) -> None:
        self.ended.append(response)


class Hearing(Deaf):
    def __init__(self) -> None:
        super().__init__()
        self.tokens: list[str] = []

    def on_llm_new_token(self, token: Any, **_: Any) -> None:
        self.tokens.append(token)


class HearingLater(AsyncCallbackHandler):
    def __init__(self) -> None:
        self.tokens: list[str] = []

    async def on_llm_new_token(self, token: Any, **_: Any) -> None:
        self.tokens.append(token)


class Once(Hearing):
    def on_llm_new_token(self, token: Any, **_: Any) -> None:
        self.tokens.append(token)

    on_llm_new_token.is_for_first_token = True  # type: ignore[attr-defined]  # as of `StoryMetrics`


class AgainAndAgain(StoryMetrics):
    def __init__(self) -> None:
        super().__init__()
        self.tokens: list[str] = []

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        super().on_llm_new_token(token, **kwargs)
        self.tokens.append(token)


async def streamed(model: BaseChatModel, handlers: list[Any], *, is_async: bool) -> list[str]:
    """The tokens of an answer."""
    config: Any = {"callbacks": handlers}
    if is_async:
        return [chunk.text async for chunk in model.astream("Tell me.", config)]
    return [chunk.text for chunk in model.stream("Tell me.", config)]


@pytest.fixture(params=[False, True], ids=["stream", "astream"])
def is_async(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(params=[False, True], ids=["bare", "policy"])
def model(request: pytest.FixtureRequest, sandbox: Sandbox) -> BaseChatModel:
    bare = chat_model(sandbox)
    return bare.with_retry() if request.param else bare


async def test_who_has_no_use_for_tokens_is_not_asked(
    model: BaseChatModel, *, is_async: bool
) -> None:
    deaf, hearing = Deaf(), Hearing()

    said = await streamed(model, [deaf, hearing], is_async=is_async)

    assert len(said) > 20
    assert hearing.tokens == said
    assert deaf.looks < 6 < hearing.looks
    assert len(deaf.ended) == len(hearing.ended) == 1
    assert deaf.ended[0].generations[0][0].text == "".join(said)


async def test_who_wants_the_first_token_hears_it_alone(
    model: BaseChatModel, *, is_async: bool
) -> None:
    once = Once()

    said = await streamed(model, [once], is_async=is_async)

    heard = [token for token in once.tokens if token]
    assert heard == [next(token for token in said if token)]
    assert len(once.ended) == 1


async def test_who_adds_to_the_metrics_hears_every_token(
    model: BaseChatModel, *, is_async: bool
) -> None:
    metrics = AgainAndAgain()

    said = await streamed(model, [metrics], is_async=is_async)

    assert metrics.tokens == said


async def test_a_model_that_does_not_stream_tells_its_calls_whole(*, is_async: bool) -> None:
    call = {"name": "look", "args": {}, "id": "1"}
    answer = AIMessage("", tool_calls=[call])
    model = GenericFakeChatModel(messages=iter([answer]), disable_streaming="tool_calling")
    safe, tools = resilient([model]), [{"type": "function", "function": {"name": "look"}}]

    if is_async:
        told = [message async for message in safe.astream("Tell me.", tools=tools)]
    else:
        told = list(safe.stream("Tell me.", tools=tools))

    assert [each["name"] for message in told for each in message.tool_calls] == ["look"]


async def test_coroutines_hear_every_token(model: BaseChatModel) -> None:
    hearing = HearingLater()

    said = await streamed(model, [Deaf(), hearing, StoryMetrics()], is_async=True)

    assert hearing.tokens == said


async def test_metrics_know_the_time_to_the_first_token(
    model: BaseChatModel, *, is_async: bool
) -> None:
    metrics = StoryMetrics()

    await streamed(model, [metrics], is_async=is_async)

    overall = metrics.snapshot().overall
    assert overall.first_token.count == overall.latency.count == 1
    assert (overall.first_token.p50_s or 0) <= (overall.latency.p50_s or 0)


async def test_with_a_cache_all_hear_as_ever(sandbox: Sandbox, *, is_async: bool) -> None:
    model = chat_model(sandbox)
    model.cache = InMemoryCache()
    hearing, metrics = Hearing(), StoryMetrics()

    said = await streamed(model, [hearing, metrics], is_async=is_async)

    assert hearing.tokens == said
    assert metrics.snapshot().overall.first_token.count == 1


def test_where_the_run_is_not_found_nothing_is_changed() -> None:
    def unlike_langchain_core() -> Iterator[int]:
        yield 1

    stream = unlike_langchain_core()
    next(stream)

    let_off_handlers(stream)
    let_off_handlers(iter([]))


def test_langchain_core_keeps_the_run_where_we_look() -> None:
    """If this fails, streams are as slow as before, and nothing else is wrong."""
    once, model = Once(), GenericFakeChatModel(messages=iter([AIMessage("a b c")]))
    stream: Any = model.stream("Tell me.", {"callbacks": [once]})
    next(stream)

    let_off_handlers(stream)

    assert [chunk.text for chunk in stream if chunk.text] == [" ", "b", " ", "c"]
    assert once.tokens == ["a"]
