"""`StoryMetrics` beside real calls over HTTP."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeListChatModel
from langchain_core.runnables import RunnableLambda

from langchain_tale import OpenRouterModel, RetryPolicy, StoryMetrics, create_story_chain
from langchain_tale.errors import (
    AllModelsFailedError,
    AuthenticationError,
    RefusedReplyError,
    UnavailableError,
)
from langchain_tale.resilience.chat_models import ResilientChatModel, resilient
from langchain_tale.sandbox import Fault, Sandbox
from langchain_tale.telemetry import tally
from langchain_tale.telemetry.calls import Call
from langchain_tale.telemetry.readings import Tried
from tests.conftest import chat_model
from tests.telemetry.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.language_models import BaseChatModel
    from langchain_core.runnables import RunnableConfig

    from langchain_tale.telemetry.records import CallMetrics
    from tests.conftest import FakeTime

MINI, HAIKU = OpenRouterModel.GPT_4O_MINI, OpenRouterModel.CLAUDE_3_HAIKU
DOWN = Fault(status=503)
STARVED = Fault(kind="starved")


@pytest.fixture
def metrics() -> StoryMetrics:
    return StoryMetrics(otel=False)


@pytest.fixture
def config(metrics: StoryMetrics) -> RunnableConfig:
    return {"callbacks": [metrics]}


def safe_model(
    sandbox: Sandbox, time: FakeTime, *models: str, max_retries: int = 5, **options: Any
) -> ResilientChatModel:
    first = chat_model(sandbox, models[0])
    policy = RetryPolicy(max_retries=max_retries)
    everyone = [first, *(first.for_model(model) for model in models[1:])]
    return resilient(everyone, retry=policy, timing=time.timing(), breaker=None, **options)


async def every_way(model: BaseChatModel, config: RunnableConfig) -> list[Any]:
    """The answer by invoke, batch, stream and their twins."""
    streamed = list(model.stream("x", config))
    astreamed = [chunk async for chunk in model.astream("x", config)]
    return [
        model.invoke("x", config),
        *model.batch(["x"], config),
        sum(streamed[1:], start=streamed[0]),
        await model.ainvoke("x", config),
        *await model.abatch(["x"], config),
        sum(astreamed[1:], start=astreamed[0]),
    ]


def spent_by(answers: list[Any]) -> float:
    return float(sum(answer.response_metadata["cost"] for answer in answers))


def ends(metrics: CallMetrics) -> tuple[int, int, int]:
    return (metrics.answered, metrics.failed, metrics.cancelled)


# ── one model ───────────────────────────────────────────────────────────────


async def test_a_bare_model_is_one_attempt_a_call_in_every_way(
    sandbox: Sandbox, metrics: StoryMetrics, config: RunnableConfig
) -> None:
    answers = await every_way(chat_model(sandbox), config)

    snapshot = metrics.snapshot()
    assert list(snapshot.models) == [MINI]
    for row in (snapshot.overall, snapshot.models[MINI]):
        assert (row.calls, row.attempts, row.retries, row.fallbacks) == (6, 6, 0, 0)
        assert (row.success_rate, row.retries_per_call) == (1.0, 0.0)
        assert row.cost_usd == pytest.approx(spent_by(answers))
        assert row.cost_usd > 0
        assert row.input_tokens == sum(answer.usage_metadata["input_tokens"] for answer in answers)
        assert row.output_tokens == sum(
            answer.usage_metadata["output_tokens"] for answer in answers
        )
        assert (row.latency.count, row.first_token.count) == (6, 2)
        assert row.generated_tokens == row.output_tokens
        assert row.tokens_per_s == row.output_tokens / row.latency.sum_s
        assert row.answered_by == {MINI: 6}
        assert row.errors == {}


async def test_a_policy_over_one_model_counts_the_same(
    sandbox: Sandbox, fake_time: FakeTime, metrics: StoryMetrics, config: RunnableConfig
) -> None:
    answers = await every_way(safe_model(sandbox, fake_time, MINI), config)

    overall = metrics.snapshot().overall
    assert (overall.calls, overall.attempts, overall.answered_by) == (6, 6, {MINI: 6})
    assert overall.cost_usd == pytest.approx(spent_by(answers))
    assert overall.output_tokens == sum(
        answer.usage_metadata["output_tokens"] for answer in answers
    )
    assert overall.first_token.count == 2


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
async def test_astream_events_has_a_first_token(
    sandbox: Sandbox, fake_time: FakeTime, metrics: StoryMetrics, config: RunnableConfig
) -> None:
    model = safe_model(sandbox, fake_time, MINI)
    chain = RunnableLambda(lambda text: text) | model

    async for _ in chain.astream_events("x", config, version="v2"):
        pass
    assert model.stream_events("x", config, version="v3").output.text

    overall = metrics.snapshot().overall
    assert (overall.calls, overall.attempts, overall.first_token.count) == (2, 2, 2)


async def test_a_model_of_another_vendor_is_counted_without_a_price(
    metrics: StoryMetrics, config: RunnableConfig
) -> None:
    model = FakeListChatModel(responses=["once"])

    await every_way(model, config)

    overall = metrics.snapshot().overall
    assert (ends(overall), overall.attempts, overall.cost_usd) == ((6, 0, 0), 6, 0.0)
    assert overall.tokens_per_s is None


def test_a_single_failure_is_one_failed_attempt(
    sandbox: Sandbox, metrics: StoryMetrics, config: RunnableConfig
) -> None:
    with pytest.raises(AuthenticationError):
        chat_model(sandbox, api_key="sk-or-v1-wrong").invoke("x", config)

    snapshot = metrics.snapshot()
    for row in (snapshot.overall, snapshot.models[MINI]):
        assert (ends(row), row.attempts, row.success_rate) == ((0, 1, 0), 1, 0.0)
        assert row.errors == {"AuthenticationError": 1}
        assert row.latency.count == 0


# ── several attempts ────────────────────────────────────────────────────────


async def test_a_retry_is_an_attempt_of_the_same_call(
    faulty: Callable[..., Sandbox],
    fake_time: FakeTime,
    metrics: StoryMetrics,
    config: RunnableConfig,
) -> None:
    sandbox = faulty({MINI: [DOWN, DOWN, None] * 6})

    await every_way(safe_model(sandbox, fake_time, MINI), config)

    snapshot = metrics.snapshot()
    for row in (snapshot.overall, snapshot.models[MINI]):
        assert (ends(row), row.attempts, row.retries) == ((6, 0, 0), 18, 12)
        assert (row.retries_per_call, row.fallbacks) == (2.0, 0)
        assert row.errors == {"UnavailableError": 12}
    assert sandbox.requests == {MINI: 18}


async def test_a_fallback_is_counted_for_both_models(
    faulty: Callable[..., Sandbox],
    fake_time: FakeTime,
    metrics: StoryMetrics,
    config: RunnableConfig,
) -> None:
    sandbox = faulty({MINI: [DOWN] * 6})

    await every_way(safe_model(sandbox, fake_time, MINI, HAIKU), config)

    snapshot = metrics.snapshot()
    first, second = snapshot.models[MINI], snapshot.models[HAIKU]
    assert (ends(snapshot.overall), snapshot.overall.fallbacks) == ((6, 0, 0), 6)
    assert snapshot.overall.retries == 6
    assert (ends(first), first.fallbacks, first.retries) == ((0, 6, 0), 6, 0)
    assert (ends(second), second.fallbacks, second.retries) == ((6, 0, 0), 0, 0)
    assert (first.latency.count, second.latency.count) == (0, 6)
    assert (first.first_token.count, second.first_token.count) == (0, 2)
    assert (first.answered_by, second.answered_by) == ({}, {HAIKU: 6})
    assert (first.errors, second.errors) == ({"UnavailableError": 6}, {})


async def test_what_failed_attempts_cost_is_part_of_the_cost(
    faulty: Callable[..., Sandbox],
    fake_time: FakeTime,
    metrics: StoryMetrics,
    config: RunnableConfig,
) -> None:
    sandbox = faulty({MINI: [STARVED] * 6})

    answers = await every_way(safe_model(sandbox, fake_time, MINI, HAIKU), config)

    log = [attempt for answer in answers for attempt in answer.response_metadata["attempts"]]
    told = sum(attempt["cost_usd"] for attempt in log)
    snapshot = metrics.snapshot()
    first, second = snapshot.models[MINI], snapshot.models[HAIKU]
    assert snapshot.overall.cost_usd == pytest.approx(told)
    assert told > spent_by(answers) > 0
    assert first.cost_usd == first.failed_cost_usd == snapshot.overall.failed_cost_usd > 0
    assert second.cost_usd == pytest.approx(spent_by(answers))
    assert second.failed_cost_usd == 0.0
    assert first.output_tokens > 0
    assert snapshot.overall.output_tokens == first.output_tokens + second.output_tokens


def test_when_all_models_fail_each_of_them_did(
    faulty: Callable[..., Sandbox],
    fake_time: FakeTime,
    metrics: StoryMetrics,
    config: RunnableConfig,
) -> None:
    sandbox = faulty({MINI: [DOWN] * 9, HAIKU: [STARVED] * 9})
    model = safe_model(sandbox, fake_time, MINI, HAIKU, max_retries=2)

    with pytest.raises(AllModelsFailedError) as raised:
        model.invoke("x", config)

    snapshot = metrics.snapshot()
    assert (ends(snapshot.overall), snapshot.overall.attempts) == ((0, 1, 0), 3)
    assert snapshot.overall.errors == {"UnavailableError": 2, "EmptyReplyError": 1}
    assert [ends(row) for row in snapshot.models.values()] == [(0, 1, 0), (0, 1, 0)]
    costs = [attempt.cost_usd or 0.0 for attempt in raised.value.attempts]
    assert snapshot.overall.cost_usd == pytest.approx(sum(costs))
    assert sum(costs) > 0


def test_an_answer_that_a_check_refuses_is_paid_for(
    sandbox: Sandbox, fake_time: FakeTime, metrics: StoryMetrics, config: RunnableConfig
) -> None:
    words = iter(["too short", None])
    model = safe_model(sandbox, fake_time, MINI, accept=lambda _: next(words))

    answer = model.invoke("x", config)

    overall = metrics.snapshot().overall
    assert overall.errors == {RefusedReplyError.__name__: 1}
    assert overall.cost_usd == pytest.approx(2 * answer.response_metadata["cost"])
    assert answer.usage_metadata is not None
    assert overall.output_tokens == 2 * answer.usage_metadata["output_tokens"]


def test_a_wait_is_part_of_the_call_and_of_no_attempt(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    sandbox = faulty({MINI: [DOWN]})
    metrics = StoryMetrics(otel=False, clock=lambda: fake_time.now)

    list(safe_model(sandbox, fake_time, MINI).stream("x", {"callbacks": [metrics]}))

    snapshot = metrics.snapshot()
    assert snapshot.overall.latency.p50_s == snapshot.overall.first_token.p50_s == 1.0
    assert snapshot.models[MINI].latency.p50_s == 0.0
    assert snapshot.models[MINI].first_token.p50_s == 0.0


# ── chains, caches, crowds ──────────────────────────────────────────────────


async def test_a_story_chain_is_counted_in_every_way(
    sandbox: Sandbox, metrics: StoryMetrics, config: RunnableConfig
) -> None:
    chain = create_story_chain([MINI, HAIKU], api_key=sandbox.api_key, base_url=sandbox.base_url)

    stories = [
        chain.invoke("a fox", config),
        *chain.batch(["a fox", "a bear"], config),
        [*chain.stream("a fox", config)][-1],
        await chain.ainvoke("a fox", config),
        [story async for story in chain.astream("a fox", config)][-1],
    ]

    overall = metrics.snapshot().overall
    assert (ends(overall), overall.attempts) == ((6, 0, 0), 6)
    assert overall.cost_usd == pytest.approx(sum(story.cost_usd or 0.0 for story in stories))
    assert len(metrics._open) == 0


def test_an_answer_from_the_cache_costs_nothing(
    sandbox: Sandbox, fake_time: FakeTime, metrics: StoryMetrics, config: RunnableConfig
) -> None:
    bare = chat_model(sandbox, cache=InMemoryCache())
    safe = resilient([bare], timing=fake_time.timing())

    costs = [model.invoke("x", config).response_metadata["cost"] for model in (bare, safe) * 3]

    overall = metrics.snapshot().overall
    assert sandbox.requests == {MINI: 1}
    assert (overall.calls, overall.cached, overall.attempts) == (1, 5, 1)
    assert overall.cost_usd == pytest.approx(costs[0])
    assert overall.latency.count == 1
    assert metrics.snapshot().models[MINI].cached == 5


def test_a_handler_that_is_given_twice_counts_once(
    sandbox: Sandbox, fake_time: FakeTime, metrics: StoryMetrics
) -> None:
    model = safe_model(sandbox, fake_time, MINI)

    model.with_config(callbacks=[metrics]).invoke("x", {"callbacks": [metrics, metrics]})

    assert metrics.snapshot().overall.calls == 1


def test_one_handler_serves_many_threads(
    sandbox: Sandbox, fake_time: FakeTime, metrics: StoryMetrics, config: RunnableConfig
) -> None:
    model = safe_model(sandbox, fake_time, MINI)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: model.invoke("x", config), range(40)))

    overall = metrics.snapshot().overall
    assert (overall.calls, overall.latency.count, overall.attempts) == (40, 40, 40)
    assert overall.cost_usd == pytest.approx(spent_by(answers))


async def test_one_handler_serves_many_tasks(
    sandbox: Sandbox, metrics: StoryMetrics, config: RunnableConfig
) -> None:
    model = chat_model(sandbox)

    await asyncio.gather(*(model.ainvoke("x", config) for _ in range(20)))

    assert metrics.snapshot().overall.answered == 20


async def test_a_failing_branch_takes_no_other_call_with_it(
    faulty: Callable[..., Sandbox], metrics: StoryMetrics, config: RunnableConfig
) -> None:
    """LangChain tells that the chain failed while the other branch is still under way."""
    sandbox, other = faulty({MINI: [DOWN]}), Waiting()
    slow: list[asyncio.Task[Any]] = []

    async def both(text: str) -> Any:
        slow.append(asyncio.create_task(other.ainvoke(text)))
        await other.asked.get()
        return await chat_model(sandbox).ainvoke(text)

    with pytest.raises(UnavailableError):
        await RunnableLambda(both).ainvoke("x", config)
    assert ends(metrics.snapshot().overall) == (0, 1, 0)
    other.release.set()
    await slow[0]

    assert ends(metrics.snapshot().overall) == (1, 1, 0)


# ── who sees attempts ───────────────────────────────────────────────────────


class Spy(BaseCallbackHandler):
    """Remembers the tags of chat-model runs."""

    def __init__(self) -> None:
        self.tags: list[list[str]] = []

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        self.tags.append(kwargs["tags"])


class DeafSpy(Spy):
    """Does not want to know of attempts."""

    ignores_attempts = True


async def test_who_ignores_attempts_sees_none_and_who_does_not_sees_all(
    sandbox: Sandbox, fake_time: FakeTime
) -> None:
    deaf, spy = DeafSpy(), Spy()

    await every_way(safe_model(sandbox, fake_time, MINI), {"callbacks": [deaf, spy]})

    assert deaf.tags == [[]] * 6
    assert sorted(spy.tags) == [[]] * 6 + [["attempt:1"]] * 6


async def test_where_nobody_listens_no_run_is_made(
    sandbox: Sandbox, fake_time: FakeTime, metrics: StoryMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    from langchain_tale.resilience import runs

    made: list[Any] = []
    monkeypatch.setattr(runs.Parent, "for_child", lambda *args: made.append(args))

    await every_way(safe_model(sandbox, fake_time, MINI), {"callbacks": [metrics, DeafSpy()]})

    assert made == []
    assert metrics.snapshot().overall.attempts == 6


def test_a_spy_beside_it_changes_no_count(
    faulty: Callable[..., Sandbox],
    fake_time: FakeTime,
    metrics: StoryMetrics,
) -> None:
    sandbox = faulty({MINI: [DOWN]})

    class Curious(StoryMetrics):
        """Is told of attempts, and knows them for what they are."""

        ignores_attempts = False

    curious = Curious(otel=False)
    safe_model(sandbox, fake_time, MINI).invoke("x", {"callbacks": [curious, metrics, Spy()]})

    assert curious.snapshot().overall.attempts == metrics.snapshot().overall.attempts == 2
    assert curious.snapshot().overall.calls == 1


# ── bounds ──────────────────────────────────────────────────────────────────


def test_made_up_names_do_not_fill_the_memory(
    metrics: StoryMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tally, "MOST_NAMES", 3)
    for n in range(6):
        call = Call(model=f"a/{n}", outcome="failed", tried=[Tried(error=f"E{n}")], latency_s=1.0)
        metrics._book.add(call)

    snapshot = metrics.snapshot()
    assert list(snapshot.models) == ["a/0", "a/1", "a/2", "(others)"]
    assert snapshot.models["(others)"].calls == 3
    assert snapshot.overall.errors == {"E0": 1, "E1": 1, "E2": 1, "(others)": 3}


def test_the_repr_is_short(metrics: StoryMetrics) -> None:
    assert repr(metrics) == "StoryMetrics(calls=0, cost_usd=0.000000)"
