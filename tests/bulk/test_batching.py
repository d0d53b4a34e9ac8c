"""Runs by OpenRouter's batch API, over real HTTP to the sandbox; OpenRouter's own is not asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.language_models import FakeListChatModel

from langchain_tale import ChatOpenRouter, ConfigurationError, RetryPolicy, atell_all, tell_all
from langchain_tale.bulk.batching.letters import Batching
from langchain_tale.bulk.rows import COLUMNS
from langchain_tale.errors import AuthenticationError
from langchain_tale.sandbox import BatchManner, Fault, Sandbox
from tests.bulk.stories import (
    MODEL,
    Storyteller,
    fast_timing,
    rows,
    story_of,
    theme_in,
    themes,
    written,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from langchain_tale.bulk.progress import Progress
    from langchain_tale.bulk.summary import BulkSummary
    from langchain_tale.sandbox.pytest_plugin import StartSandbox

OTHER = "c/d"


@pytest.fixture
def start(openrouter_sandbox: StartSandbox) -> Callable[..., Sandbox]:
    """A function that starts a sandbox, whose storyteller repeats its theme."""

    def starting(faults: Any = None, **manner: Any) -> Sandbox:
        options = {"engine": Storyteller(), "batches": BatchManner(**manner)}
        return openrouter_sandbox(faults, **options)

    return starting


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "stories.jsonl"


@pytest.fixture
def register(tmp_path: Path) -> Path:
    return tmp_path / "stories.batches.jsonl"


def tell(requests: Any, out: Path, **options: Any) -> BulkSummary:
    usual: dict[str, Any] = {
        "models": MODEL,
        "via": "batch",
        "retry": RetryPolicy(max_retries=0),
        "timing": fast_timing(),
    }
    return tell_all(requests, out=out, **{**usual, **options})


def told(out: Path) -> dict[int, str]:
    return {row["line"]: row["content"] for row in rows(out)}


def right(number: int) -> dict[int, str]:
    return {n: story_of(theme) for n, theme in enumerate(themes(number), 1)}


def interrupted_when(is_so: Callable[[], bool]) -> Callable[[], int]:
    return lambda: int(is_so())


# ── what comes of it ────────────────────────────────────────────────────────


def test_a_batch_asks_what_calls_ask_and_writes_what_they_write(
    openrouter_sandbox: StartSandbox, tmp_path: Path
) -> None:
    asked: list[Mapping[str, Any]] = []
    requests = [
        {"id": "mia", "theme": "a fox", "child_name": "Mia", "age": 5},
        {"id": "ru", "theme": "лиса", "language": "ru", "word_count": 1500},
        "an owl",
    ]

    def note(body: Mapping[str, Any]) -> None:
        asked.append({name: value for name, value in body.items() if name != "stream"})

    openrouter_sandbox({"*": note})
    called, posted = tmp_path / "called.jsonl", tmp_path / "posted.jsonl"
    assert tell(requests, called, via="calls").is_complete
    by_call, asked[:] = sorted(asked, key=str), []
    assert tell(requests, posted).is_complete

    assert sorted(asked, key=str) == by_call
    denied = [body["provider"]["data_collection"] for body in asked if "Mia" in str(body)]
    assert denied == ["deny"]
    for one, other in zip(
        *(sorted(rows(p), key=lambda row: row["line"]) for p in (called, posted)), strict=True
    ):
        assert one.keys() == other.keys() > COLUMNS.keys()
        own = {"latency_s", "generation_id", "cost_usd", "spent_usd", "attempts"}
        assert [one[n] for n in one if n not in own] == [other[n] for n in one if n not in own]
        assert other["cost_usd"] == pytest.approx(one["cost_usd"] / 2)
        assert [tried["answered_by"] for tried in other["attempts"]] == [MODEL]


def test_no_batch_is_larger_than_it_may_be(start: Callable[..., Sandbox], out: Path) -> None:
    sandbox = start()

    assert tell(themes(10), out, via=Batching(size=4)).is_complete

    assert max(sandbox.batch_sizes) == 4
    assert sum(sandbox.batch_sizes) == 10
    assert told(out) == right(10)


def test_at_the_end_no_file_of_batches_is_left(
    start: Callable[..., Sandbox], out: Path, register: Path
) -> None:
    start()
    seen: list[Progress] = []

    def look(progress: Progress) -> None:
        seen.append(progress)

    summary = tell(themes(3), out, on_progress=look)

    assert (summary.told, summary.stopped, summary.doubtful) == (3, None, 0)
    assert any("1 batch: " in str(progress) for progress in seen)
    assert not register.exists()


async def test_the_twin(start: Callable[..., Sandbox], out: Path) -> None:
    start(looks=1)

    summary = await atell_all(themes(2), out=out, models=MODEL, via="batch", timing=fast_timing())

    assert summary.is_complete


# ── what goes wrong in a batch ──────────────────────────────────────────────


def test_what_the_first_model_fails_at_is_in_the_next_batch_for_the_second(
    start: Callable[..., Sandbox], out: Path
) -> None:
    sandbox = start({MODEL: [Fault(status=503), None, Fault(kind="hangup")]})

    summary = tell(themes(6), out, models=[MODEL, OTHER], retry=RetryPolicy(max_retries=1))

    assert summary.is_complete
    assert told(out) == right(6)
    assert sandbox.requests == {MODEL: 6, OTHER: 2}
    assert {name: share.stories for name, share in summary.by_model.items()} == {MODEL: 4, OTHER: 2}
    assert sorted(row["tries"] for row in rows(out)) == [1, 1, 1, 1, 2, 2]


def test_what_fails_as_often_as_the_policy_allows_is_a_failure_and_can_be_told_again(
    start: Callable[..., Sandbox], out: Path, tmp_path: Path
) -> None:
    is_down = [True]

    def down(body: Mapping[str, Any]) -> Fault | None:
        return Fault(status=503) if is_down[0] and theme_in(body) == "fox 2" else None

    sandbox = start({MODEL: down})

    summary = tell(themes(3), out, retry=RetryPolicy(max_retries=2))

    assert (summary.told, summary.failed, summary.stopped) == (2, 1, None)
    [failure] = rows(tmp_path / "stories.failed.jsonl")
    assert (failure["error"], failure["tries"]) == ("UnavailableError", 3)
    assert sandbox.requests[MODEL] == 5
    is_down[0] = False
    assert tell(themes(3), out, retry_failed=True).is_complete
    assert sandbox.requests[MODEL] == 6


@pytest.mark.parametrize("end", ["expired", "failed", "cancelled"])
def test_a_batch_that_ends_without_answers_is_submitted_again(
    start: Callable[..., Sandbox], out: Path, end: str
) -> None:
    sandbox = start(ends=[end])

    assert tell(themes(3), out, retry=RetryPolicy(max_retries=1)).is_complete

    assert sandbox.batch_sizes == [3, 3]
    assert sandbox.requests == {MODEL: 3}
    assert {row["attempts"][0]["error"] for row in rows(out)} == {"UnavailableError"}


def test_a_story_that_is_refused_is_revised_in_the_next_batch(
    openrouter_sandbox: StartSandbox, out: Path
) -> None:
    sandbox = openrouter_sandbox()
    seen: list[str] = []

    def check(told: Any) -> Any:
        from langchain_tale.story.checks.report import Finding

        seen.append(told.text)
        return Finding(name="second", value=len(set(seen)), at_least=2, sentence="Once more.")

    summary = tell(["a fox"], out, checks=[check], max_revisions=1, on_unfit="raise")

    assert sandbox.requests == {"a/b": 2}
    assert sandbox.batch_sizes == [1, 1]
    assert summary.told + summary.failed == 1


def test_a_judge_reads_by_batch_too(openrouter_sandbox: StartSandbox, out: Path) -> None:
    asked: list[str] = []

    def note(body: Mapping[str, Any]) -> None:
        asked.append(str(body["model"]))

    sandbox = openrouter_sandbox({"*": note})

    tell(["a fox"], out, judge=OTHER, checks=False)

    assert asked[0] == MODEL
    assert set(asked[1:]) == {OTHER}
    assert sum(sandbox.batch_sizes) == len(asked)


def test_a_request_that_is_refused_is_not_sent(
    start: Callable[..., Sandbox], out: Path, tmp_path: Path
) -> None:
    sandbox = start()

    summary = tell(["a fox", "how to make a bomb at home"], out)

    assert (summary.told, summary.failed) == (1, 1)
    assert sandbox.batch_sizes == [1]
    assert rows(tmp_path / "stories.failed.jsonl")[0]["error"] == "UnfitRequestError"


# ── what goes wrong around it ───────────────────────────────────────────────


def test_a_busy_service_is_waited_for(start: Callable[..., Sandbox], out: Path) -> None:
    sandbox = start(
        refusals=[Fault(status=429, headers={"Retry-After": "2"}), Fault(status=503)],
        outages=[Fault(status=503), Fault(status=502), None, Fault(status=429)],
        looks=1,
    )
    seen: list[str] = []

    assert tell(themes(3), out, on_progress=lambda p: seen.append(str(p))).is_complete

    assert sandbox.batch_sizes == [3]
    assert any("waiting: " in line for line in seen)


def test_a_service_that_stays_away_ends_the_run_and_nothing_is_lost(
    start: Callable[..., Sandbox], out: Path, register: Path
) -> None:
    sandbox = start(outages=[Fault(status=503)] * 9)

    summary = tell(themes(3), out, patience_s=60)

    assert (summary.told, summary.failed, summary.untold) == (0, 0, 3)
    assert summary.stopped is not None
    assert summary.stopped.startswith("Batches cannot be reached for too long: ")
    assert "paid for: 1 batch;" in summary.stopped
    assert register.exists()
    sandbox_again = tell(themes(3), out, resume=True)
    assert sandbox_again.is_complete
    assert sandbox.requests == {MODEL: 3}


def test_a_batch_that_is_too_large_is_halved(start: Callable[..., Sandbox], out: Path) -> None:
    sandbox = start(most_requests=3)

    assert tell(themes(10), out).is_complete

    assert max(sandbox.batch_sizes) <= 3
    assert sandbox.requests == {MODEL: 10}


def test_a_wrong_request_is_found_and_the_others_are_told(
    start: Callable[..., Sandbox], out: Path
) -> None:
    sandbox = start(refusals=[Fault(status=400)] * 3)  # of 4, of 2, and of the one that is wrong

    summary = tell(themes(4), out, via=Batching(size=4, gather_s=60))

    assert (summary.told, summary.failed) == (3, 1)
    assert sandbox.batch_sizes == [1, 2]


def test_what_is_wrong_with_all_requests_is_not_asked_for_ever(
    start: Callable[..., Sandbox], out: Path
) -> None:
    sandbox = start(refusals=[Fault(status=400)] * 1000)

    summary = tell(themes(64), out)

    assert summary.told == 0
    assert summary.stopped is not None
    assert "failed alike" in summary.stopped
    assert sandbox.batch_sizes == []


def test_a_lost_answer_stops_the_run_and_is_told_of(
    start: Callable[..., Sandbox], out: Path
) -> None:
    sandbox = start(refusals=[Fault(kind="hangup")])

    first = tell(themes(3), out)
    again = tell(themes(3), out, resume=True)

    assert first.told == first.failed == 0
    assert first.stopped is not None
    assert "batch of 3 requests is not known" in first.stopped
    assert again.is_complete
    assert again.doubtful == 3
    assert "3 perhaps paid for twice" in str(again)
    assert sandbox.batch_sizes == [3, 3]  # it was taken, and nobody could know


def test_a_refused_key_stops_the_run(start: Callable[..., Sandbox], out: Path) -> None:
    start()

    summary = tell(themes(3), out, api_key="sk-or-v1-wrong")

    assert isinstance(summary.error, AuthenticationError)
    assert (summary.untold, summary.failed) == (3, 0)
    assert tell(themes(3), out, resume=True).is_complete


def test_credit_that_ran_out_amid_a_batch_is_asked_for_again(
    start: Callable[..., Sandbox], out: Path
) -> None:
    sandbox = start({MODEL: [None, Fault.no_credit()]})

    summary = tell(themes(2), out)

    assert summary.stopped is not None
    assert (summary.told, summary.failed) == (1, 0)
    assert tell(themes(2), out, resume=True).is_complete
    assert sandbox.requests[MODEL] == 3


# ── the budget ──────────────────────────────────────────────────────────────


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


# ── restarts ────────────────────────────────────────────────────────────────


def test_an_interrupted_run_says_what_goes_on_and_two_restarts_ask_nothing_twice(
    start: Callable[..., Sandbox], out: Path, register: Path
) -> None:
    sandbox = start(looks=3)
    via = Batching(size=4)

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
    start: Callable[..., Sandbox], out: Path, where: str, why: str
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


# ── what makes no sense ─────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"concurrency": 8}, "no concurrency"),
        ({"out": None}, "needs out"),
        ({"models": None, "chain": FakeListChatModel(responses=[])}, "no chain"),
        ({"retry": RetryPolicy(deadline_s=60)}, "leave attempt_timeout_s and deadline_s out"),
        ({"models": [MODEL, FakeListChatModel(responses=[])]}, "another vendor's"),
        ({"via": "pigeon"}, 'via must be "calls", "batch" or a Batching'),
    ],
    ids=["concurrency", "memory", "chain", "deadline", "vendor", "pigeon"],
)
def test_what_makes_no_sense_by_batch_is_said_in_a_sentence(
    start: Callable[..., Sandbox], out: Path, register: Path, options: dict[str, Any], why: str
) -> None:
    sandbox = start()
    given = {"models": MODEL, "via": "batch", "out": out, **options}
    if "chain" not in given:
        given.setdefault("retry", RetryPolicy())

    with pytest.raises(ConfigurationError, match=why):
        tell_all(themes(1), **given)

    assert sandbox.batch_sizes == []
    assert not register.exists()


@pytest.mark.parametrize(
    "options", [{"size": 0}, {"size": 50_001}, {"at_once": 0}, {"gather_s": -1}]
)
def test_a_batching_within_its_ranges(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Batching(**options)


def test_chat_models_keep_their_settings(start: Callable[..., Sandbox], out: Path) -> None:
    seen: list[Mapping[str, Any]] = []

    def note(body: Mapping[str, Any]) -> None:
        seen.append(body)

    start({MODEL: note})
    llm = ChatOpenRouter(model=MODEL, temperature=0.25, max_tokens=77, sends_request_id=True)

    assert tell(["fox 1"], out, models=llm.with_retry(RetryPolicy()), retry=None).is_complete

    assert [(body["temperature"], body["max_tokens"]) for body in seen] == [(0.25, 77)]
    assert seen[0]["trace"]["trace_id"]


def test_a_file_of_requests(start: Callable[..., Sandbox], out: Path, tmp_path: Path) -> None:
    start()
    requests = written(tmp_path / "r.jsonl", [*themes(3), {"theme": 7}])

    summary = tell(requests, out, ordered=True)

    assert (summary.requested, summary.told, summary.failed) == (4, 3, 1)
    assert told(out) == right(3)
