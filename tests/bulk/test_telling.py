from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableLambda

from langchain_tale import (
    ConfigurationError,
    RetryPolicy,
    StoryGenerationResult,
    StoryRequest,
    atell_all,
    create_story_chain,
    tell_all,
)
from langchain_tale.errors import (
    AuthenticationError,
    CircuitOpenError,
    ConnectionFailedError,
    ExternalServiceError,
    InsufficientCreditsError,
    OutputError,
    PermissionDeniedError,
    RateLimitError,
    UnavailableError,
)
from langchain_tale.resilience.attempts import Timing
from langchain_tale.sandbox import Fault
from tests.bulk.stories import (
    MODEL,
    OPTIONS,
    Storyteller,
    fast_timing,
    rows,
    story_of,
    theme_in,
    themes,
    written,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from pathlib import Path

    from langchain_tale.bulk.progress import Progress
    from langchain_tale.sandbox.pytest_plugin import StartSandbox


@pytest.fixture
def teller(openrouter_sandbox: StartSandbox) -> Storyteller:
    """What tells the stories, without any faults."""
    engine = Storyteller()
    openrouter_sandbox(engine=engine)
    return engine


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "stories.jsonl"


@pytest.fixture
def failed_out(tmp_path: Path) -> Path:
    return tmp_path / "stories.failed.jsonl"


def contents(path: Path) -> dict[int, str]:
    return {row["line"]: row["content"] for row in rows(path)}


def right(number: int) -> dict[int, str]:
    return {n: story_of(theme) for n, theme in enumerate(themes(number), 1)}


class Chain:
    """A chain whose stories and failures a function decides; it counts."""

    def __init__(self, tell: Callable[[StoryRequest], object] | None = None) -> None:
        self.tell = tell
        self.asked: list[str] = []
        self.under_way = 0
        self.most_at_once = 0
        self.runnable: Any = RunnableLambda(self._tell)

    async def _tell(self, request: StoryRequest) -> object:
        self.asked.append(request.theme)
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            await asyncio.sleep(0)
            given = self.tell(request) if self.tell else None
            if asyncio.iscoroutine(given):
                given = await given
        finally:
            self.under_way -= 1
        if isinstance(given, Exception):
            raise given
        return given or StoryGenerationResult(story_of(request.theme), MODEL, {}, cost_usd=0.01)


def told_by(chain: Chain, requests: Any, **options: Any) -> Any:
    given = {"timing": fast_timing(), "concurrency": 8, **options}
    return tell_all(requests, chain=chain.runnable, **given)


# ── all goes well ───────────────────────────────────────────────────────────


def test_every_request_has_its_own_story(teller: Storyteller, tmp_path: Path, out: Path) -> None:
    requests = written(tmp_path / "r.jsonl", themes(24))

    summary = tell_all(requests, out=out, **OPTIONS)

    assert contents(out) == right(24)
    assert Counter(teller.themes) == Counter(themes(24))
    assert summary.is_complete
    assert (summary.told, summary.failed, summary.tries) == (24, 0, 24)
    assert summary.by_model[MODEL].stories == 24
    assert summary.spent_usd == pytest.approx(sum(row["cost_usd"] for row in rows(out)))
    assert summary.p50_s is not None
    assert summary.out == out
    assert not (tmp_path / "stories.failed.jsonl").exists()


async def test_it_is_a_coroutine_too(teller: Storyteller) -> None:
    summary = await atell_all(themes(5), **OPTIONS)

    assert [story and story.content for story in summary.results] == list(right(5).values())


async def test_the_sync_one_works_where_a_loop_is_running(teller: Storyteller) -> None:
    summary = tell_all(themes(5), **OPTIONS)

    assert [story and story.content for story in summary.results] == list(right(5).values())


def test_without_an_output_stories_of_a_file_are_in_its_order(tmp_path: Path) -> None:
    requests = tmp_path / "r.csv"
    requests.write_text("theme\nfox 1\n\nfox 2\n\n")

    summary = told_by(Chain(), requests)

    assert [story.content for story in summary.results] == list(right(2).values())


def test_requests_may_be_of_any_kind(teller: Storyteller) -> None:
    given: list[Any] = ["fox 1", {"theme": "fox 2", "id": 7}, StoryRequest(theme="fox 3")]

    summary = tell_all(iter(given), **OPTIONS)

    assert [story and story.content for story in summary.results] == list(right(3).values())
    assert summary.requested == 3


async def test_requests_may_come_one_by_one(teller: Storyteller) -> None:
    async def come() -> AsyncIterator[str]:
        for theme in themes(5):
            await asyncio.sleep(0)
            yield theme

    summary = await atell_all(come(), **OPTIONS)

    assert [story and story.content for story in summary.results] == list(right(5).values())


def test_a_generator_is_not_read_ahead() -> None:
    chain, taken = Chain(), []

    def come() -> Iterator[str]:
        for theme in themes(100):
            taken.append(theme)
            assert len(taken) - len(chain.asked) <= 10
            yield theme

    assert told_by(chain, come(), concurrency=4).told == 100


def test_no_more_are_under_way_than_wished_for() -> None:
    chain = Chain()

    told_by(chain, themes(100), concurrency=7)

    assert chain.most_at_once == 7


def test_nothing_asked_for_is_nothing_told(tmp_path: Path, out: Path) -> None:
    summary = told_by(Chain(), written(tmp_path / "r.jsonl", []), out=out)

    assert summary.is_complete
    assert (summary.requested, summary.told) == (0, 0)
    assert out.read_text() == ""


def test_callbacks_see_every_story(teller: Storyteller) -> None:
    class Ends(BaseCallbackHandler):
        count = 0

        def on_llm_end(self, *_: Any, parent_run_id: Any = None, **__: Any) -> None:
            self.count += 1

    ends = Ends()
    tell_all(themes(5), config={"callbacks": [ends]}, **OPTIONS)

    assert ends.count == 10  # the call and its one attempt


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_tables_come_in_and_go_out(teller: Storyteller, tmp_path: Path, suffix: str) -> None:
    requests = tmp_path / "r.csv"
    requests.write_text("id,theme,age\n" + "".join(f"x{n},fox {n},5\n" for n in range(1, 6)))

    summary = tell_all(requests, out=tmp_path / f"stories{suffix}", **OPTIONS)

    assert summary.is_complete
    ids = {row["id"]: row["content"] for row in rows(tmp_path / "stories.ledger.jsonl")}
    assert ids == {f"x{n}": story_of(f"fox {n}") for n in range(1, 6)}
    assert (tmp_path / f"stories{suffix}").stat().st_size > 0


def test_stories_are_in_order_on_wish(out: Path) -> None:
    async def late(request: StoryRequest) -> None:
        for _ in range(50 - int(request.theme.split()[1])):
            await asyncio.sleep(0)

    told_by(Chain(late), themes(50), out=out, ordered=True, concurrency=50)

    assert [row["line"] for row in rows(out)] == list(range(1, 51))


# ── bad requests, failures ──────────────────────────────────────────────────


def test_a_bad_line_is_a_failure_and_stops_nothing(
    teller: Storyteller, tmp_path: Path, out: Path, failed_out: Path
) -> None:
    requests = written(tmp_path / "r.jsonl", ["fox 1", {"theme": "x", "age": 99}, "fox 3"])
    requests.write_text(requests.read_text() + "{bad\n")

    summary = tell_all(requests, out=out, **OPTIONS)

    assert sorted(contents(out)) == [1, 3]
    assert (summary.told, summary.failed, summary.untold) == (2, 2, 0)
    assert [(row["line"], row["error"]) for row in rows(failed_out)] == [
        (2, "ConfigurationError"),
        (4, "ConfigurationError"),
    ]
    assert rows(failed_out)[1]["message"].startswith("Line 4: it is no JSON")


def test_a_failure_has_its_reason_and_its_tries(
    openrouter_sandbox: StartSandbox, out: Path, failed_out: Path
) -> None:
    def refused(body: Mapping[str, Any]) -> Fault | None:
        return Fault.moderated("violence") if theme_in(body) == "fox 3" else None

    openrouter_sandbox({MODEL: refused}, engine=Storyteller())

    summary = tell_all(
        [{"theme": theme, "id": theme, "child_name": "Mia"} for theme in themes(5)],
        out=out,
        **OPTIONS,
    )

    assert (summary.told, summary.failed) == (4, 1)
    [row] = rows(failed_out)
    assert (row["id"], row["error"], row["status_code"]) == ("fox 3", "ModerationError", 403)
    assert [one["error"] for one in row["attempts"]] == ["ModerationError"]
    assert "Mia" not in failed_out.read_text()


def test_only_failures_are_tried_again(teller: Storyteller, out: Path, failed_out: Path) -> None:
    sick = {"fox 2", "fox 4"}
    first = Chain(lambda r: ExternalServiceError("no") if r.theme in sick else None)
    told_by(first, themes(5), out=out)
    assert [row["line"] for row in rows(failed_out)] == [2, 4]

    second = Chain(lambda r: ExternalServiceError("no") if r.theme == "fox 4" else None)
    summary = told_by(second, themes(7), out=out, retry_failed=True)

    assert sorted(second.asked) == ["fox 2", "fox 4"]
    assert (summary.told, summary.failed, summary.told_now) == (4, 1, 1)
    assert [row["line"] for row in rows(failed_out)] == [4]

    third = Chain()
    summary = told_by(third, themes(7), out=out, retry_failed=True, resume=True)
    assert sorted(third.asked) == ["fox 4", "fox 6", "fox 7"]
    assert summary.is_complete
    assert not failed_out.exists()
    assert contents(out) == right(7)


def test_a_chain_that_tells_no_stories_stops_the_run(out: Path) -> None:
    summary = told_by(Chain(lambda _: "a string"), themes(100), out=out, concurrency=1)

    assert summary.stopped == "The chain gave str, not a StoryGenerationResult."
    assert (summary.told, summary.failed, summary.untold) == (0, 0, 100)


def test_first_requests_that_fail_alike_stop_the_run(out: Path) -> None:
    chain = Chain(lambda _: ExternalServiceError("no such model"))

    summary = told_by(chain, themes(100), out=out)

    assert summary.stopped == "The first 20 requests failed alike: no such model"
    assert 20 <= summary.failed < 28


def test_failures_after_a_story_stop_nothing(out: Path) -> None:
    chain = Chain(lambda r: None if r.theme == "fox 1" else ExternalServiceError("no"))

    summary = told_by(chain, themes(100), out=out, concurrency=1)

    assert summary.stopped is None
    assert summary.failed == 99


# ── going on ────────────────────────────────────────────────────────────────


def test_resuming_repeats_nothing(tmp_path: Path, out: Path) -> None:
    first, second = Chain(), Chain()
    told_by(first, written(tmp_path / "r.jsonl", themes(5)), out=out)

    summary = told_by(second, written(tmp_path / "r.jsonl", themes(9)), out=out, resume=True)

    assert sorted(second.asked) == ["fox 6", "fox 7", "fox 8", "fox 9"]
    assert (summary.told, summary.told_now) == (9, 4)
    assert summary.spent_usd == pytest.approx(0.09)
    assert contents(out) == right(9)


def test_resuming_what_was_never_begun_begins_it(out: Path) -> None:
    assert told_by(Chain(), themes(3), out=out, resume=True).is_complete


def test_without_resume_an_output_is_left_alone(out: Path) -> None:
    told_by(Chain(), themes(3), out=out)

    with pytest.raises(ConfigurationError, match="resume that run, or choose another output"):
        told_by(Chain(), themes(3), out=out)


def test_changed_requests_are_noticed_before_anything_is_asked(tmp_path: Path, out: Path) -> None:
    told_by(Chain(), written(tmp_path / "r.jsonl", themes(3)), out=out)
    chain, changed = Chain(), written(tmp_path / "r.jsonl", ["new", *themes(3)])

    with pytest.raises(ConfigurationError, match="Line 1 has changed since its story was told"):
        told_by(chain, changed, out=out, resume=True)
    assert not chain.asked


def test_one_id_for_two_requests_is_noticed_before_anything_is_asked(
    tmp_path: Path, out: Path
) -> None:
    records = [{"theme": "a", "id": n % 9} for n in range(10)]
    chain = Chain()

    with pytest.raises(ConfigurationError, match="Lines 1 and 10 have the same id '0'"):
        told_by(chain, written(tmp_path / "r.jsonl", records), out=out)
    assert not chain.asked


def test_of_requests_that_come_one_by_one_it_is_noticed_on_the_way(out: Path) -> None:
    records = ({"theme": "a", "id": n % 9} for n in range(12))

    summary = told_by(Chain(), records, out=out)

    assert isinstance(summary.error, ConfigurationError)
    assert summary.stopped == (
        "Lines 1 and 10 have the same id '0'; an id must stand for one request."
    )
    assert len(rows(out)) == summary.told == 9


# ── the weather ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "error",
    [
        ConnectionFailedError("no connection"),
        CircuitOpenError("every circuit is open", retry_after_s=2),
        RateLimitError("slow down", status_code=429, retry_after_s=2),
        UnavailableError("down", status_code=503),
        InsufficientCreditsError("held", status_code=402, retry_after_s=2),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_outage_is_waited_out_and_nothing_fails(error: Exception, out: Path) -> None:
    at_first, probes = 8, 4
    seen: list[Progress] = []
    chain = Chain(lambda _: error if len(chain.asked) <= at_first + probes else None)

    summary = told_by(chain, themes(40), out=out, concurrency=at_first, on_progress=seen.append)

    assert summary.is_complete
    assert contents(out) == right(40)
    assert len(chain.asked) == 40 + at_first + probes
    assert {progress.at_once for progress in seen if progress.waits_for} >= {1}
    assert summary.duration_s > 1 + 2 + 4


def test_a_request_that_fails_alone_fails_in_the_end(out: Path, failed_out: Path) -> None:
    down = UnavailableError("down", status_code=503)
    chain = Chain(lambda r: down if r.theme == "fox 3" else None)

    summary = told_by(chain, themes(40), out=out)

    assert (summary.told, summary.failed) == (39, 1)
    assert chain.asked.count("fox 3") == 4
    assert rows(failed_out)[0]["line"] == 3


def test_patience_has_an_end(out: Path, failed_out: Path) -> None:
    chain = Chain(lambda _: ConnectionFailedError("no connection"))

    summary = told_by(chain, themes(40), out=out, patience_s=10)

    assert summary.stopped is not None
    assert summary.stopped.startswith("Nothing gets through, and would not within ")
    assert isinstance(summary.error, ConnectionFailedError)
    assert not failed_out.exists()
    assert told_by(Chain(), themes(40), out=out, resume=True).is_complete


def test_a_limit_for_hours_stops_the_run_at_once(out: Path) -> None:
    chain = Chain(lambda _: RateLimitError("a day's free stories", retry_after_s=20_000))

    summary = told_by(chain, themes(40), out=out)

    assert summary.stopped == (
        "Nothing gets through, and would not within 5 h 33 min: a day's free stories"
    )
    assert len(chain.asked) <= 8


def test_a_429_that_was_waited_for_makes_fewer_start(
    openrouter_sandbox: StartSandbox, out: Path
) -> None:
    number = count(1)
    sandbox = openrouter_sandbox(
        {MODEL: lambda _: Fault.rate_limited() if next(number) % 5 == 0 else None},
        engine=Storyteller(),
    )
    seen: list[Progress] = []
    options = {**OPTIONS, "retry": RetryPolicy(max_retries=9), "concurrency": 32}

    summary = tell_all(themes(40), out=out, on_progress=seen.append, **options)

    assert summary.is_complete
    assert contents(out) == right(40)
    assert sandbox.failures[MODEL, "http"] >= 8
    assert seen[0].at_once == 32
    assert seen[-1].at_once <= 16


def test_a_service_that_bears_few_gets_few(out: Path) -> None:
    limited = RateLimitError("slow down", status_code=429)
    chain = Chain(lambda _: limited if chain.under_way > 6 else None)

    summary = told_by(chain, themes(300), out=out, concurrency=64)

    assert summary.is_complete
    refused = Counter(chain.asked)
    assert max(refused.values()) <= 10
    assert refused.total() < 500


# ── what no request can succeed with ────────────────────────────────────────


def test_a_key_that_is_not_accepted_stops_the_run_and_loses_nothing(
    teller: Storyteller, tmp_path: Path, out: Path, failed_out: Path
) -> None:
    requests = written(tmp_path / "r.jsonl", themes(20))

    summary = tell_all(requests, out=out, **OPTIONS, api_key="sk-or-v1-wrong")

    assert isinstance(summary.error, AuthenticationError)
    assert summary.stopped is not None
    assert "sk-or" not in summary.stopped
    assert (summary.told, summary.failed, summary.untold) == (0, 0, 20)
    assert not failed_out.exists()
    assert tell_all(requests, out=out, resume=True, **OPTIONS).is_complete


def test_credit_that_ends_stops_the_run_and_what_was_under_way_is_kept(
    openrouter_sandbox: StartSandbox, tmp_path: Path, out: Path, failed_out: Path
) -> None:
    paid = Storyteller()
    openrouter_sandbox({MODEL: [*[None] * 10, *[Fault.no_credit()] * 50]}, engine=paid)
    requests = written(tmp_path / "r.jsonl", themes(20))

    summary = tell_all(requests, out=out, **OPTIONS)

    assert isinstance(summary.error, InsufficientCreditsError)
    assert len(rows(out)) == summary.told == len(paid.themes) == 10
    assert not failed_out.exists()


def test_a_refusal_of_everything_stops_the_run(out: Path) -> None:
    chain = Chain(lambda _: PermissionDeniedError("the key is disabled", status_code=403))

    summary = told_by(chain, themes(100), out=out)

    assert isinstance(summary.error, PermissionDeniedError)
    assert (summary.told, summary.failed) == (0, 0)
    assert len(chain.asked) <= 8 + 10 + 8


def test_a_refusal_of_one_request_is_its_failure(out: Path) -> None:
    denied = PermissionDeniedError("a guardrail forbids it", status_code=403)
    chain = Chain(lambda r: denied if r.theme == "fox 9" else None)

    summary = told_by(chain, themes(100), out=out)

    assert (summary.told, summary.failed) == (99, 1)
    assert chain.asked.count("fox 9") == 1


def test_refusals_among_stories_that_take_longer_stop_nothing(out: Path) -> None:
    denied = PermissionDeniedError("a guardrail forbids it", status_code=403)

    async def tell(request: StoryRequest) -> object:
        if int(request.theme.split()[1]) % 10 == 0:
            return denied
        await asyncio.sleep(0.01)
        return None

    summary = told_by(Chain(tell), themes(200), out=out, concurrency=64)

    assert (summary.told, summary.failed) == (180, 20)


def test_a_refusal_at_the_very_end_is_that_of_one_request(out: Path, failed_out: Path) -> None:
    denied = PermissionDeniedError("a guardrail forbids it", status_code=403)
    chain = Chain(lambda r: denied if r.theme == "fox 9" else None)

    summary = told_by(chain, themes(9), out=out, concurrency=1)

    assert (summary.told, summary.failed) == (8, 1)
    assert [row["line"] for row in rows(failed_out)] == [9]


# ── the budget ──────────────────────────────────────────────────────────────


def test_the_budget_is_kept_over_runs(tmp_path: Path, out: Path) -> None:
    requests = written(tmp_path / "r.jsonl", themes(100))

    first = told_by(Chain(), requests, out=out, budget_usd=0.305)
    assert first.told == 30
    assert first.stopped == "The budget of $0.305 is spent: $0.3; raise it, and resume."

    second = told_by(Chain(), requests, out=out, budget_usd=0.305, resume=True)
    assert (second.told, second.told_now) == (30, 0)

    third = told_by(Chain(), requests, out=out, budget_usd=0.5, resume=True)
    assert third.told == 50


def test_failed_tries_are_paid_from_the_budget_too(out: Path) -> None:
    class CostlyError(ExternalServiceError):
        cost_usd = 0.01

    chain = Chain(lambda r: None if r.theme == "fox 1" else CostlyError("no"))

    summary = told_by(chain, themes(100), out=out, budget_usd=0.1)

    assert (summary.told, summary.failed) == (1, 9)
    assert summary.spent_usd == pytest.approx(0.1)


# ── stopping ────────────────────────────────────────────────────────────────


def test_asked_to_stop_it_lets_stories_under_way_come_to_their_end(out: Path) -> None:
    chain, timing = Chain(), Timing()  # a real clock: a busy machine has its ten seconds
    wishes: list[int] = []

    async def slow(_: StoryRequest) -> None:
        wishes.append(1) if len(chain.asked) > 20 and not wishes else None
        await asyncio.sleep(0.02)

    chain.tell = slow
    summary = told_by(chain, themes(500), out=out, timing=timing, should_stop=lambda: len(wishes))

    assert summary.is_interrupted
    assert summary.stopped == "Interrupted."
    assert len(rows(out)) == summary.told == len(chain.asked) < 500


@pytest.mark.parametrize("wishes", [1, 2])
def test_what_does_not_come_to_its_end_is_cancelled(out: Path, wishes: int) -> None:
    chain = Chain(lambda _: asyncio.sleep(60))

    summary = told_by(chain, themes(500), out=out, should_stop=lambda: wishes if chain.asked else 0)

    assert summary.is_interrupted
    assert (summary.told, len(chain.asked), chain.under_way) == (0, 8, 0)
    assert told_by(Chain(), themes(500), out=out, resume=True).is_complete


async def test_cancelled_it_leaves_an_output_that_can_be_resumed(out: Path) -> None:
    chain = Chain(lambda r: asyncio.sleep(60) if r.theme == "fox 30" else None)
    told = asyncio.Event()

    def see(progress: Progress) -> None:
        told.set() if progress.told == 59 else None

    telling = asyncio.create_task(
        atell_all(themes(60), out=out, chain=chain.runnable, on_progress=see)
    )
    await told.wait()

    telling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await telling

    assert len(rows(out)) == 59
    again = Chain()
    summary = await atell_all(themes(60), out=out, chain=again.runnable, resume=True)
    assert summary.is_complete
    assert again.asked == ["fox 30"]


def test_a_disk_that_is_full_stops_the_run(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, room = os.write, 5000

    def limited(descriptor: int, content: Any) -> int:
        if out.exists() and out.stat().st_size + len(content) > room:
            raise OSError(28, "No space left on device")
        return write(descriptor, content)

    monkeypatch.setattr(os, "write", limited)
    summary = told_by(Chain(), themes(500), out=out)
    monkeypatch.undo()

    assert isinstance(summary.error, OutputError)
    assert 0 < summary.told == len(rows(out)) < 500
    assert told_by(Chain(), themes(500), out=out, resume=True).is_complete


@pytest.mark.parametrize("source", ["progress", "requests"])
def test_a_mistake_in_the_callers_code_is_not_hidden(out: Path, source: str) -> None:
    def broken(*_: object) -> Any:
        msg = "a mistake"
        raise ZeroDivisionError(msg)

    if source == "progress":
        with pytest.raises(ZeroDivisionError):
            told_by(Chain(), themes(9), out=out, on_progress=broken)
    else:
        summary = told_by(Chain(), map(broken, [1]), out=out)
        assert isinstance(summary.error, ZeroDivisionError)
    assert told_by(Chain(), themes(9), out=out, resume=True).is_complete


# ── arguments ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"concurrency": 0}, "concurrency must be from 1 to 10,000"),
        ({"concurrency": 10_001}, "concurrency must be from 1 to 10,000"),
        ({"budget_usd": -1}, "budget_usd must not be negative"),
        ({"budget_usd": float("nan")}, "budget_usd must not be negative"),
        ({"patience_s": -1}, "patience_s must not be negative"),
        ({"resume": True}, "say which by out"),
        ({"retry_failed": True}, "say which by out"),
        ({"models": "a/b", "zdr": True}, "leave out models, zdr"),
        ({"out": "stories.txt"}, "stories are written to"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        tell_all(["a fox"], chain=Chain().runnable, **options)


@pytest.mark.parametrize(
    ("requests", "said"),
    [
        (7, "not int"),
        ({"theme": "a fox"}, "not dict"),
        (StoryRequest(theme="a fox"), "not StoryRequest"),
        ("nowhere.jsonl", r"There is no file nowhere\.jsonl"),
    ],
)
def test_what_holds_no_requests_is_one_sentence(requests: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        told_by(Chain(), requests)


def test_stories_do_not_go_where_the_requests_are(tmp_path: Path) -> None:
    requests = written(tmp_path / "r.jsonl", themes(3))

    with pytest.raises(ConfigurationError, match="holds the requests"):
        told_by(Chain(), requests, out=requests, resume=True)


def test_a_chain_of_ones_own_is_taken(teller: Storyteller) -> None:
    chain = create_story_chain(MODEL)

    summary = tell_all(themes(3), chain=chain)

    assert summary.is_complete
    assert json.dumps(summary.to_dict())
