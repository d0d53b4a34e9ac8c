"""`Budget` against the sandbox's real prices."""

from __future__ import annotations

import asyncio
import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import ModelError
from langchain_core.language_models import FakeListChatModel
from langchain_core.runnables import RunnableLambda

from langchain_tale import (
    Budget,
    BudgetSpentError,
    ConfigurationError,
    ExternalServiceError,
    OpenRouterModel,
    RetryPolicy,
    StoryMetrics,
    create_story_chain,
)
from langchain_tale.cards.wording import dollars_in_full
from langchain_tale.resilience.attempts import Contender, Walk
from langchain_tale.resilience.chat_models import ResilientChatModel, resilient
from langchain_tale.resilience.verdict import Verdict, verdict
from langchain_tale.sandbox import Fault, Sandbox
from langchain_tale.telemetry import budget as module
from langchain_tale.telemetry import open_runs
from langchain_tale.telemetry.ledger import Spent
from langchain_tale.telemetry.readings import Tried
from tests.conftest import chat_model
from tests.telemetry.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessageChunk
    from langchain_core.runnables import Runnable, RunnableConfig

    from tests.conftest import FakeTime

MINI, HAIKU = OpenRouterModel.GPT_4O_MINI, OpenRouterModel.CLAUDE_3_HAIKU
DOWN, STARVED = Fault(status=503), Fault(kind="starved")
PENNY = 0.01
A_CALL = 0.00001
"""Less than any call here costs, so that one is let through and the next is not."""


def safe_model(
    sandbox: Sandbox, time: FakeTime, *models: str, max_retries: int = 5, **options: Any
) -> ResilientChatModel:
    first = chat_model(sandbox, models[0])
    policy = RetryPolicy(max_retries=max_retries)
    everyone = [first, *(first.for_model(model) for model in models[1:])]
    options = {"breaker": None, **options}
    return resilient(everyone, retry=policy, timing=time.timing(), **options)


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


def charged(answers: list[Any]) -> Decimal:
    """What the answers and the attempts before them cost, to the last digit."""
    total = Decimal(0)
    for answer in answers:
        metadata = answer.response_metadata
        log = metadata.get("attempts") or [{"cost_usd": metadata["cost"]}]
        total += sum((Decimal(repr(each["cost_usd"] or 0)) for each in log), Decimal(0))
    return total


async def refused_in_every_way(runnable: Runnable[Any, Any], config: RunnableConfig) -> None:
    async def drained() -> None:
        async for _ in runnable.astream("x", config):
            pass

    for ask in (
        lambda: runnable.invoke("x", config),
        lambda: runnable.batch(["x"], config),
        lambda: list(runnable.stream("x", config)),
    ):
        with pytest.raises(BudgetSpentError):
            ask()
    for asked in (runnable.ainvoke("x", config), runnable.abatch(["x"], config), drained()):
        with pytest.raises(BudgetSpentError):
            await asked


# ── counting ────────────────────────────────────────────────────────────────


async def test_it_counts_what_a_bare_model_costs_in_every_way(sandbox: Sandbox) -> None:
    budget = Budget(usd=PENNY)

    answers = await every_way(chat_model(sandbox), {"callbacks": [budget]})

    assert Decimal(str(budget.spent_usd)) == charged(answers) > 0
    assert budget.spent_tokens == sum(answer.usage_metadata["total_tokens"] for answer in answers)
    assert budget.left_usd == float(Decimal("0.01") - charged(answers))
    assert not budget.is_spent
    assert len(budget._open) == 0


async def test_it_counts_failed_attempts_once(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    sandbox = faulty({MINI: [STARVED, DOWN, None] * 6})
    budget, metrics = Budget(usd=PENNY), StoryMetrics(otel=False)

    answers = await every_way(
        safe_model(sandbox, fake_time, MINI), {"callbacks": [budget, metrics]}
    )

    assert sandbox.requests == {MINI: 18}
    assert Decimal(str(budget.spent_usd)) == charged(answers)
    assert budget.spent_usd > sum(answer.response_metadata["cost"] for answer in answers)
    assert budget.spent_usd == pytest.approx(metrics.snapshot().overall.cost_usd)
    overall = metrics.snapshot().overall
    assert budget.spent_tokens == overall.input_tokens + overall.output_tokens
    assert len(budget._open) == 0


def test_a_call_that_fails_for_good_is_paid_for(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    sandbox = faulty({MINI: [STARVED] * 4})
    budget = Budget(usd=PENNY)

    spent = []
    for model in (chat_model(sandbox), safe_model(sandbox, fake_time, MINI, max_retries=1)):
        with pytest.raises(ExternalServiceError):
            model.invoke("x", {"callbacks": [budget]})
        spent.append((Decimal(str(budget.spent_usd)), budget.spent_tokens))

    (one_usd, one_tokens), (three_usd, three_tokens) = spent
    assert sandbox.requests == {MINI: 3}
    assert three_usd == 3 * one_usd > 0
    assert three_tokens == 3 * one_tokens > 0


async def test_as_a_models_own_handler_it_counts_failed_attempts_too(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    sandbox = faulty({MINI: [STARVED] * 6})
    budget = Budget(usd=PENNY)
    model = safe_model(sandbox, fake_time, MINI, HAIKU).model_copy(update={"callbacks": [budget]})

    answers = await every_way(model, {})

    assert Decimal(str(budget.spent_usd)) == charged(answers)


def test_given_twice_it_counts_once(sandbox: Sandbox, fake_time: FakeTime) -> None:
    budget = Budget(usd=PENNY)
    model = safe_model(sandbox, fake_time, MINI)

    answer = model.with_config(callbacks=[budget]).invoke("x", {"callbacks": [budget, budget]})

    assert Decimal(str(budget.spent_usd)) == charged([answer])


def test_an_answer_from_the_cache_costs_nothing(sandbox: Sandbox, fake_time: FakeTime) -> None:
    budget = Budget(usd=PENNY)
    bare = chat_model(sandbox, cache=InMemoryCache())

    answers = [
        model.invoke("x", {"callbacks": [budget]})
        for model in (bare, resilient([bare], timing=fake_time.timing())) * 2
    ]

    assert sandbox.requests == {MINI: 1}
    assert Decimal(str(budget.spent_usd)) == charged(answers[:1])


async def test_tokens_are_counted_for_any_vendor() -> None:
    model = Waiting(tokens=40)
    model.release.set()
    budget = Budget(tokens=100)
    safe = resilient([model])
    config: RunnableConfig = {"callbacks": [budget]}

    await model.ainvoke("x", config)
    await safe.ainvoke("x", config)

    assert (budget.spent_tokens, budget.left_tokens, budget.is_spent) == (80, 20, False)
    await safe.ainvoke("x", config)
    assert (budget.spent_tokens, budget.left_tokens, budget.is_spent) == (120, 0, True)
    with pytest.raises(BudgetSpentError, match="budget of 100 tokens is spent"):
        await safe.ainvoke("x", config)


# ── refusing ────────────────────────────────────────────────────────────────


def test_a_refusal_is_not_called_an_error_of_a_callback(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    class Clumsy(BaseCallbackHandler):
        def on_chat_model_start(self, *_: Any, **__: Any) -> None:
            raise LookupError

    budget = pickle.loads(pickle.dumps(Budget(tokens=1)))  # noqa: S301 (our own)
    model = chat_model(sandbox)
    model.invoke("x", {"callbacks": [budget]})

    with pytest.raises(BudgetSpentError):
        model.invoke("x", {"callbacks": [Clumsy(), budget]})

    said = [each.getMessage() for each in caplog.records if "callback" in each.getMessage()]
    assert said == ["Error in Clumsy.on_chat_model_start callback: LookupError()"]


def test_a_refusal_that_nobody_else_tells_of_is_logged(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    budget, model = Budget(tokens=1), chat_model(sandbox)
    model.invoke("x", {"callbacks": [budget]})

    class Titling(BaseCallbackHandler):
        def on_llm_end(self, *_: Any, **__: Any) -> None:
            model.invoke("A title, please.", {"callbacks": [budget]})

    model.invoke("x", {"callbacks": [Titling()]})

    assert "Error in Titling.on_llm_end callback: BudgetSpentError" in caplog.text


async def test_once_it_is_spent_nothing_is_sent(sandbox: Sandbox, fake_time: FakeTime) -> None:
    budget = Budget(usd=A_CALL)
    config: RunnableConfig = {"callbacks": [budget]}
    bare = chat_model(sandbox)
    safe = safe_model(sandbox, fake_time, MINI, HAIKU)
    bare.invoke("x", config)

    for runnable in (bare, safe, RunnableLambda(lambda text: text) | safe):
        await refused_in_every_way(runnable, config)

    assert sandbox.requests == {MINI: 1}
    assert fake_time.slept == []
    assert (budget.is_spent, budget.left_usd) == (True, 0.0)


def test_the_refusal_says_what_and_how_much(sandbox: Sandbox) -> None:
    budget = Budget(usd=A_CALL, tokens=1_000_000)
    config: RunnableConfig = {"callbacks": [budget]}
    answer = chat_model(sandbox).invoke("Tell Mia of a fox.", config)

    with pytest.raises(BudgetSpentError) as raised:
        chat_model(sandbox).invoke("Tell Mia of a fox.", config)

    error = raised.value
    cost, tokens = answer.response_metadata["cost"], budget.spent_tokens
    assert str(error) == (
        f"The budget of $0.00001 and 1000000 tokens is spent (${cost:.8f}, {tokens} tokens), "
        "so nothing was sent; go on with a new Budget."
    )
    assert (error.spent_usd, error.spent_tokens) == (cost, tokens)
    assert (error.limit_usd, error.limit_tokens, error.attempts) == (A_CALL, 1_000_000, ())
    assert isinstance(error, ModelError)
    assert not error.is_retryable
    assert not isinstance(error, ExternalServiceError)
    twin = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own)
    assert (str(twin), vars(twin)) == (str(error), vars(error))


async def test_a_retry_inside_a_call_is_refused(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    sandbox = faulty({MINI: [STARVED] * 9})
    model = safe_model(sandbox, fake_time, MINI, HAIKU)
    calls: list[Callable[[RunnableConfig], Any]] = [
        lambda config: model.invoke("x", config),
        lambda config: list(model.stream("x", config)),
        lambda config: asyncio.run(model.ainvoke("x", config)),
    ]
    for n, ask in enumerate(calls, start=1):
        budget, metrics = Budget(usd=A_CALL), StoryMetrics(otel=False)
        with pytest.raises(BudgetSpentError) as raised:
            await asyncio.to_thread(ask, {"callbacks": [budget, metrics]})

        (tried,) = raised.value.attempts
        assert (tried.model, type(tried.error).__name__) == (MINI, "EmptyReplyError")
        assert tried.cost_usd == budget.spent_usd > A_CALL
        assert sandbox.requests == {MINI: n}
        overall = metrics.snapshot().overall
        assert (overall.failed, overall.attempts) == (1, 1)
        assert overall.errors == {"EmptyReplyError": 1, "BudgetSpentError": 1}
        assert overall.cost_usd == budget.spent_usd
        assert len(metrics._open) == len(budget._open) == 0


async def test_a_retry_inside_an_async_stream_is_refused(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    sandbox = faulty({MINI: [STARVED] * 9})
    budget = Budget(usd=A_CALL)

    with pytest.raises(BudgetSpentError) as raised:
        async for _ in safe_model(sandbox, fake_time, MINI, HAIKU).astream(
            "x", {"callbacks": [budget]}
        ):
            pass

    assert len(raised.value.attempts) == 1
    assert sandbox.requests == {MINI: 1}


def test_a_story_that_cannot_be_continued_keeps_its_beginning(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    sandbox = faulty({MINI: [Fault(kind="midstream", after_chunks=2)]})
    budget = Budget(usd=A_CALL)
    model = safe_model(sandbox, fake_time, MINI, HAIKU, on_broken_stream="continue")
    stream = model.stream("x", {"callbacks": [budget]})
    told = [next(stream).text]
    chat_model(sandbox, HAIKU).invoke("x", {"callbacks": [budget]})  # spends it meanwhile

    with pytest.raises(BudgetSpentError) as raised:
        told.extend(chunk.text for chunk in stream)

    assert raised.value.partial_text == "".join(told) != ""
    assert len(raised.value.attempts) == 1
    assert sandbox.requests == {MINI: 1, HAIKU: 1}


async def test_what_is_under_way_is_let_finish() -> None:
    model = Waiting(tokens=60)
    budget = Budget(tokens=50)
    config: RunnableConfig = {"callbacks": [budget]}
    calls = [
        asyncio.create_task(runnable.ainvoke("x", config))
        for runnable in (model, resilient([model]), create_story_chain(model))
    ]
    for _ in calls:
        await model.asked.get()
    model.release.set()

    await asyncio.gather(*calls)

    assert budget.spent_tokens == 180
    with pytest.raises(BudgetSpentError):
        await model.ainvoke("x", config)
    assert model.asked.empty()


def test_a_stream_under_way_is_let_finish(sandbox: Sandbox, fake_time: FakeTime) -> None:
    budget = Budget(usd=A_CALL)
    config: RunnableConfig = {"callbacks": [budget]}
    model = safe_model(sandbox, fake_time, MINI)
    stream = model.stream("x", config)
    chunks = [next(stream)]
    answer = model.invoke("x", config)
    assert budget.is_spent

    chunks += stream

    assert "".join(chunk.text for chunk in chunks) == answer.text
    assert Decimal(str(budget.spent_usd)) == 2 * charged([answer])


def test_a_stream_that_is_left_costs_what_it_told(sandbox: Sandbox, fake_time: FakeTime) -> None:
    for model in (chat_model(sandbox), safe_model(sandbox, fake_time, MINI)):
        early, late = Budget(usd=PENNY), Budget(usd=PENNY)
        for budget, is_told in ((early, "content"), (late, "usage_metadata")):
            stream: Any = model.stream("x", {"callbacks": [budget]})
            next(chunk for chunk in stream if getattr(chunk, is_told))
            stream.close()
        assert early.spent_usd == early.spent_tokens == 0
        assert late.spent_usd > 0
        assert late.spent_tokens > 0
        assert len(early._open) == len(late._open) == 0


def test_a_stream_that_is_left_costs_what_its_failed_attempts_did(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    sandbox = faulty({MINI: [STARVED, None] * 2})
    model = safe_model(sandbox, fake_time, MINI)
    early, late = Budget(usd=PENNY), Budget(usd=PENNY)

    def left_at(fact: str, budget: Budget) -> AIMessageChunk:
        stream: Any = model.stream("x", {"callbacks": [budget]})
        chunk: AIMessageChunk = next(chunk for chunk in stream if getattr(chunk, fact))
        stream.close()
        return chunk

    left_at("content", early)
    answer = left_at("usage_metadata", late)

    assert early.spent_usd > 0
    assert answer.usage_metadata is not None
    assert late.spent_usd == pytest.approx(early.spent_usd + answer.response_metadata["cost"])
    assert late.spent_tokens == early.spent_tokens + answer.usage_metadata["total_tokens"]


def test_threads_share_it(sandbox: Sandbox, fake_time: FakeTime) -> None:
    model = safe_model(sandbox, fake_time, MINI)
    price = Decimal(repr(model.invoke("x").response_metadata["cost"]))
    budget = Budget(usd=5 * price)

    def ask(_: int) -> bool:
        try:
            model.invoke("x", {"callbacks": [budget]})
        except BudgetSpentError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        served = sum(pool.map(ask, range(30)))

    assert Decimal(str(budget.spent_usd)) == served * price
    assert 5 <= served <= 5 + 3  # at most what was under way
    assert sandbox.requests == {MINI: served + 1}


def test_a_batch_stops_where_it_is_spent(sandbox: Sandbox) -> None:
    budget = Budget(usd=A_CALL)
    config: RunnableConfig = {"callbacks": [budget], "max_concurrency": 1}

    results = chat_model(sandbox).batch(["x"] * 4, config, return_exceptions=True)

    kinds = [isinstance(result, BudgetSpentError) for result in results]
    assert kinds == [False, True, True, True]
    assert sandbox.requests == {MINI: 1}


# ── story chains ────────────────────────────────────────────────────────────


async def test_chains_share_a_budget(sandbox: Sandbox) -> None:
    budget = Budget(usd=0.0001)
    reaching: dict[str, Any] = {"api_key": sandbox.api_key, "base_url": sandbox.base_url}
    one = create_story_chain(MINI, budget=budget, **reaching)
    other = create_story_chain([HAIKU, MINI], budget=budget, **reaching)

    stories: list[Any] = []
    while not budget.is_spent:
        stories.append(one.invoke("a fox") if len(stories) % 2 else [*other.stream("a bear")][-1])
    await refused_in_every_way(one, {})
    await refused_in_every_way(other, {})

    told = sum(Decimal(repr(story.cost_usd)) for story in stories)
    assert Decimal(str(budget.spent_usd)) == told
    assert sandbox.requests.total() == len(stories)  # type: ignore[attr-defined]  # a Counter


def test_a_chain_under_a_budget_still_listens_to_its_caller(sandbox: Sandbox) -> None:
    budget, config_metrics, bound_metrics = Budget(usd=A_CALL), StoryMetrics(), StoryMetrics()
    reaching: dict[str, Any] = {"api_key": sandbox.api_key, "base_url": sandbox.base_url}
    chain = create_story_chain(MINI, budget=budget, **reaching).with_config(
        callbacks=[bound_metrics]
    )

    chain.invoke("a fox", {"callbacks": [config_metrics]})
    with pytest.raises(BudgetSpentError):
        chain.invoke("a fox", {"callbacks": [config_metrics]})

    for metrics in (config_metrics, bound_metrics):
        overall = metrics.snapshot().overall
        assert (overall.answered, overall.failed) == (1, 1)
        assert overall.errors == {"BudgetSpentError": 1}
        assert len(metrics._open) == 0


# ── in the loop ─────────────────────────────────────────────────────────────


def test_no_other_model_key_or_try_helps() -> None:
    found = verdict(BudgetSpentError("spent"))

    assert found == Verdict(same_model=False, other_model=False)


def test_a_refusal_says_nothing_of_a_models_health(fake_time: FakeTime) -> None:
    said: list[str] = []

    class Permit:
        succeeded = failed = lambda _self: said.append("told")

        def abandoned(self) -> None:
            said.append("abandoned")

    class Circuit:
        def admit(self) -> Permit:
            return Permit()

        def reopens_in_s(self) -> float:
            return 0.0

    walk = Walk([Contender("a/b", Circuit()), "c/d"], RetryPolicy(), fake_time.timing())
    error = BudgetSpentError("spent")

    def ask() -> None:
        walk.begin()
        walk.left(error)
        raise error

    with pytest.raises(BudgetSpentError):
        walk.persist(ask)

    assert said == ["abandoned"]
    assert walk.log == []
    assert walk.outcome(error) is error


# ── itself ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"usd": 0},
        {"usd": -1},
        {"usd": float("nan")},
        {"usd": float("inf")},
        {"usd": "1"},
        {"usd": True},
        {"tokens": 0},
        {"tokens": 1.5},
        {"tokens": True},
        {"usd": 1, "tokens": -1},
    ],
    ids=str,
)
def test_what_is_no_limit_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"^Budget[ .]"):
        Budget(**given)


@pytest.mark.parametrize("usd", [1, 0.1, Decimal("0.1")], ids=repr)
def test_amounts_of_any_kind_will_do(usd: Any) -> None:
    budget = Budget(usd=usd)

    assert (budget.limit_usd, budget.left_usd) == (float(usd), float(usd))
    assert (budget.limit_tokens, budget.left_tokens) == (None, None)


def test_cents_add_up_exactly() -> None:
    budget = Budget(usd=1)
    for _ in range(10):
        budget._ledger.add(module._sum([Tried(cost_usd=0.1)]).usd, 0)

    assert budget.is_spent


def test_copies_are_the_same_budget_and_pickles_go_on_by_themselves(sandbox: Sandbox) -> None:
    budget = Budget(usd=PENNY, tokens=10_000)
    chat_model(sandbox).invoke("x", {"callbacks": [budget]})

    twin = pickle.loads(pickle.dumps(budget))  # noqa: S301 (our own)
    assert copy.copy(budget) is copy.deepcopy([budget])[0] is budget
    assert repr(twin) == repr(budget)
    chat_model(sandbox).invoke("x", {"callbacks": [twin]})
    assert twin.spent_usd == 2 * budget.spent_usd


def test_the_count_may_be_kept_elsewhere(sandbox: Sandbox) -> None:
    class Elsewhere:
        """What others have spent counts too."""

        added: tuple[Decimal, int] | None = None

        def add(self, usd: Decimal, tokens: int) -> None:
            self.added = (usd, tokens)

        def spent(self) -> Spent:
            return Spent(Decimal("0.5") if self.added else Decimal(0), 7)

    ledger = Elsewhere()
    budget = Budget(usd=0.5, ledger=ledger)

    answer = chat_model(sandbox).invoke("x", {"callbacks": [budget]})

    assert answer.usage_metadata is not None
    assert ledger.added == (charged([answer]), answer.usage_metadata["total_tokens"])
    assert (budget.spent_usd, budget.spent_tokens, budget.is_spent) == (0.5, 7, True)


def test_amounts_are_told_to_be_read() -> None:
    told = [dollars_in_full(Decimal(usd)) for usd in ("0", "100", "0.50", "4.1549999999999994e-05")]

    assert told == ["$0", "$100", "$0.5", "$0.00004155"]


def test_it_says_how_it_stands_and_nothing_else() -> None:
    assert repr(Budget(usd=0.5)) == "Budget(usd=0.5; spent $0, 0 tokens)"
    assert repr(Budget(usd=2, tokens=9)) == "Budget(usd=2.0, tokens=9; spent $0, 0 tokens)"


def test_runs_that_never_end_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    from uuid import uuid4

    monkeypatch.setattr(open_runs, "MOST_OPEN", 100)
    budget = Budget(usd=1)
    for _ in range(1000):
        budget.on_chat_model_start({}, [], run_id=uuid4())

    assert len(budget._open) == 100


def test_what_has_no_price_is_free() -> None:
    budget = Budget(usd=0.01)

    FakeListChatModel(responses=["once"]).invoke("x", {"callbacks": [budget]})

    assert (budget.spent_usd, budget.spent_tokens) == (0.0, 0)
