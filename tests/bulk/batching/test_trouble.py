"""What goes wrong in batches, and around them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from langchain_tale import RetryPolicy
from langchain_tale.bulk.batching.letters import Batching
from langchain_tale.errors import AuthenticationError
from langchain_tale.sandbox import Fault, Sandbox
from tests.bulk.batching.stories import OTHER, right, tell, told
from tests.bulk.stories import MODEL, rows, theme_in, themes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from langchain_tale.sandbox import Sandbox
    from langchain_tale.sandbox.pytest_plugin import StartSandbox


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
    assert summary.failed == 0
    assert summary.untold
    assert tell(themes(2), out, resume=True).is_complete
    assert sandbox.requests[MODEL] == 3
