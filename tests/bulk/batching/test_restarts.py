"""Budgets and restarts: what is paid for is not paid for again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from langchain_tale import ChatOpenRouter, ConfigurationError, RetryPolicy
from langchain_tale.bulk.batching.letters import Batching
from langchain_tale.bulk.batching.post import Post
from langchain_tale.bulk.batching.posted import PostedChatModel
from langchain_tale.bulk.batching.register import Register
from langchain_tale.bulk.judging import last_error
from langchain_tale.bulk.plan import Stop
from langchain_tale.bulk.spending import HeldBackError, Purse
from langchain_tale.errors import AuthenticationError
from langchain_tale.sandbox import Fault, Sandbox
from tests.bulk.batching.stories import OTHER, interrupted_when, right, tell, told
from tests.bulk.stories import MODEL, Storyteller, fast_timing, rows, themes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_nothing_is_submitted_once_the_budget_is_spent(
    start: Callable[..., Sandbox], out: Path
) -> None:
    sandbox = start()
    tell(themes(1), out.with_name("one.jsonl"))
    one_usd = rows(out.with_name("one.jsonl"))[0]["cost_usd"]

    summary = tell(themes(40), out, budget_usd=one_usd * 10.5)

    assert summary.stopped is not None
    assert "budget" in summary.stopped
    assert 4 <= summary.told <= 11
    assert summary.spent_usd <= one_usd * 12
    assert sum(sandbox.batch_sizes) == summary.told + 1
    assert tell(themes(40), out, resume=True, budget_usd=1).is_complete
    assert sandbox.requests == {MODEL: 41}


def test_another_try_is_held_back_once_the_budget_is_spent(
    start: Callable[..., Sandbox], out: Path
) -> None:
    def short(told: Any) -> Any:
        from langchain_tale.story.checks.report import Finding

        return Finding(name="never", value=0, at_least=1, sentence="Tell it anew.")

    sandbox = start()
    options: dict[str, Any] = {"checks": [short], "max_revisions": 1}

    summary = tell(["a fox"], out, budget_usd=1e-9, **options)

    assert summary.stopped == "The budget is spent; raise it, and resume."
    assert (summary.told, summary.failed, summary.untold) == (0, 0, 1)
    assert sandbox.requests == {MODEL: 1}
    again = tell(["a fox"], out, resume=True, budget_usd=1, **options)
    assert again.is_complete
    assert sandbox.requests == {MODEL: 2}  # the first try was there already
    assert rows(out)[0]["tries"] == 2


def test_an_interrupted_run_says_what_goes_on_and_two_restarts_ask_nothing_twice(
    start: Callable[..., Sandbox], out: Path, register: Path
) -> None:
    sandbox = start(looks=3)
    via = Batching(size=4, first_look_s=2)

    def is_taken() -> bool:
        return sum(sandbox.batch_sizes) == 10

    first = tell(themes(10), out, via=via, should_stop=interrupted_when(is_taken))
    assert first.is_interrupted
    assert (first.told, first.failed) == (0, 0)
    assert first.stopped is not None
    assert first.stopped.startswith("Interrupted. Still with OpenRouter, and paid for: ")
    assert register.exists()

    second = tell(
        themes(10),
        out,
        via=via,
        resume=True,
        should_stop=interrupted_when(lambda: out.stat().st_size > 0),
    )
    assert 0 < second.told <= 10
    third = tell(themes(10), out, via=via, resume=True)

    assert third.is_complete
    assert told(out) == right(10)
    assert sandbox.requests == {MODEL: 10}
    assert third.doubtful == 0
    assert not register.exists()


async def test_nothing_is_submitted_any_more_once_the_run_has_stopped(
    start: Callable[..., Sandbox], register: Path
) -> None:
    sandbox, stop, kept = start(), Stop(), Register(register)
    kept.open(goes_on=False)
    post = Post(kept, Batching(gather_s=0), patience_s=60, timing=fast_timing())
    llm = PostedChatModel.like(ChatOpenRouter(model=MODEL), post)
    stop.because("Enough.")

    post.begin(lambda _error, _why: None, Purse(), stop)
    with pytest.raises(HeldBackError, match="Enough"):
        await llm.ainvoke("Tell me of a fox.")
    await post.end()
    kept.close(is_needed=True)

    assert sandbox.batch_sizes == []


def test_a_restart_follows_each_request_through_its_tries(
    start: Callable[..., Sandbox], out: Path
) -> None:
    sandbox = start({MODEL: [Fault(status=503)] * 3}, looks=1)
    options: dict[str, Any] = {"models": [MODEL, OTHER], "retry": RetryPolicy(max_retries=1)}

    def is_second() -> bool:
        return sum(sandbox.batch_sizes) >= 8

    first = tell(themes(5), out, should_stop=interrupted_when(is_second), **options)
    again = tell(themes(5), out, resume=True, **options)

    assert first.is_interrupted
    assert again.is_complete
    assert sandbox.requests == {MODEL: 5, OTHER: 3}
    assert sorted(row["tries"] for row in rows(out)) == [1, 1, 2, 2, 2]


def test_what_an_earlier_run_has_paid_for_is_collected_whatever_the_budget(
    start: Callable[..., Sandbox], out: Path
) -> None:
    sandbox = start(looks=1)
    stop = interrupted_when(lambda: sum(sandbox.batch_sizes) == 6)
    assert tell(themes(6), out, should_stop=stop).is_interrupted

    summary = tell(themes(8), out, resume=True, budget_usd=1e-6)

    assert summary.told == 6
    assert sandbox.requests == {MODEL: 6}


def test_calls_do_not_pay_for_what_is_in_batches(
    start: Callable[..., Sandbox], out: Path, register: Path
) -> None:
    sandbox = start(looks=1)
    stop = interrupted_when(lambda: bool(sandbox.batch_sizes))
    assert tell(themes(2), out, should_stop=stop).is_interrupted

    with pytest.raises(ConfigurationError, match="has batches that are paid for"):
        tell(themes(2), out, via="calls", resume=True)
    with pytest.raises(ConfigurationError, match="batches of an earlier run"):
        tell(themes(2), out)
    register.unlink()
    assert tell(themes(2), out, via="calls", resume=True).is_complete
    assert sandbox.requests == {MODEL: 4}


@pytest.mark.parametrize(
    ("where", "why"), [("same", "does not know the batch"), ("other", "resume with that address")]
)
def test_batches_of_another_account_are_not_paid_for_again(
    start: Callable[..., Sandbox], out: Path, register: Path, where: str, why: str
) -> None:
    sandbox = start(looks=1)
    stop = interrupted_when(lambda: bool(sandbox.batch_sizes))
    assert tell(themes(2), out, should_stop=stop).is_interrupted
    port = sandbox.port if where == "same" else 0
    sandbox.stop()

    with Sandbox(engine=Storyteller(), port=port) as other:
        summary = tell(themes(2), out, resume=True, base_url=other.base_url)

    assert isinstance(summary.error, ConfigurationError)
    assert why in str(summary.stopped)
    assert (summary.untold, summary.failed) == (2, 0)
    assert other.batch_sizes == []
    assert {name for row in rows(register) for name in row} == {
        "posting",
        "address",
        "model",
        "letters",
        "batch",
    }


def test_answers_are_kept_where_another_try_could_not_be_submitted(
    start: Callable[..., Sandbox], out: Path
) -> None:
    sandbox = start({MODEL: [Fault(kind="choice")]}, refusals=[None, Fault(status=401)])
    options: dict[str, Any] = {"models": [MODEL, OTHER], "retry": RetryPolicy(max_retries=1)}

    first = tell(["fox 1"], out, **options)
    again = tell(["fox 1"], out, resume=True, **options)

    assert first.error is not None
    assert isinstance(last_error(first.error), AuthenticationError)
    assert first.untold == 1
    assert again.is_complete
    assert sandbox.requests == {MODEL: 1, OTHER: 1}


def test_telling_only_failures_again_leaves_the_batches_of_others(
    start: Callable[..., Sandbox], out: Path, register: Path
) -> None:
    faults = [Fault(status=503), None]
    sandbox = start({MODEL: faults}, looks=1)
    via = Batching(size=1, first_look_s=2)

    def is_one_over() -> bool:
        return bool(sandbox.batch_sizes[1:]) and out.with_name("stories.failed.jsonl").exists()

    first = tell(themes(2), out, via=via, should_stop=interrupted_when(is_one_over))
    retried = tell(themes(2), out, via=via, retry_failed=True)
    again = tell(themes(2), out, via=via, resume=True)

    assert first.failed == 1
    assert (retried.told - first.told, retried.untold) == (1, first.untold)
    assert register.exists() == bool(first.untold and not again.is_complete)
    assert again.is_complete
    assert sandbox.requests == {MODEL: 3}
