"""Models side by side, over real HTTP against the scripted sandbox."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from langchain_tale import Budget, ConfigurationError, RetryPolicy, acompare, compare
from langchain_tale.errors import OutputError
from langchain_tale.evaluation.results import RESULTS
from langchain_tale.sandbox import Fault, Sandbox
from tests.story.storyteller import ASKED, GOOD, HARSH, Storyteller

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from langchain_tale.evaluation.running import Progress
    from langchain_tale.sandbox.pytest_plugin import StartSandbox

FIRST, SECOND = "made/first", "made/second"
MODELS = [FIRST, SECOND]
REQUESTS = [{"id": "boat", **ASKED}, {"id": "moon", "theme": "the moon", "words": 40}]
ONCE = RetryPolicy(max_retries=0)


def given(sandbox: Sandbox, **options: Any) -> dict[str, Any]:
    address = {"api_key": sandbox.api_key, "base_url": sandbox.base_url}
    return {"requests": REQUESTS, "retry": ONCE, **address, **options}


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / RESULTS).read_text().splitlines()]


@pytest.fixture
def good() -> Iterator[Sandbox]:
    """Every model tells a story that is fit for the first request."""
    with Sandbox(Storyteller(GOOD), lateness_s=0.0) as sandbox:
        yield sandbox


# ── what is compared ────────────────────────────────────────────────────────


def test_every_model_tells_every_story_as_often_as_asked(good: Sandbox) -> None:
    comparison = compare(MODELS, repeats=2, **given(good))

    keys = [(row.model, row.request, row.repeat) for row in comparison.rows]
    assert keys == [(m, r, n) for m in MODELS for r in ("boat", "moon") for n in (1, 2)]
    assert good.requests == {FIRST: 4, SECOND: 4}
    assert comparison.is_complete


def test_a_row_has_what_was_measured(good: Sandbox) -> None:
    row = compare(FIRST, **given(good)).rows[0]

    assert (row.is_fit, row.score, row.title) == (True, 1.0, "Mia and the Boat")
    assert row.content is not None
    assert row.content.startswith("Mia had a small red boat.")
    assert (row.answered_by, row.attempts, row.error) == (FIRST, 1, None)
    assert row.input_tokens
    assert row.output_tokens
    assert row.cost_usd == pytest.approx(row.input_tokens * 15e-8 + row.output_tokens * 6e-7)
    assert row.latency_s is not None
    assert row.words == len(row.content.split())
    assert "Mia" not in repr(row)


def test_an_unfit_story_says_why() -> None:
    with Sandbox(Storyteller(HARSH), lateness_s=0.0) as sandbox:
        row = compare(FIRST, **given(sandbox)).rows[0]

    assert not row.is_fit
    assert "unfit_words" in row.failed_checks
    assert row.score is not None
    assert row.score < 1
    assert any(row.sentences)


def test_no_model_answers_for_another(faulty: StartSandbox) -> None:
    gone = "anthropic/claude-3.5-sonnet"
    sandbox = faulty({gone: [Fault(status=404)] * 9})

    comparison = compare([gone, SECOND], **given(sandbox, retry=RetryPolicy(retry_delay=0)))

    assert sandbox.requests == {gone: 2, SECOND: 2}
    failures = [row.error and row.error.kind for row in comparison.rows if row.model == gone]
    assert failures == ["ModelNotFoundError"] * 2


def test_failures_are_rows(faulty: StartSandbox) -> None:
    sandbox = faulty({FIRST: [Fault(status=503), None]})

    comparison = compare(MODELS, **given(sandbox, concurrency=1))

    failed = comparison.rows[0]
    assert failed.error is not None
    assert (failed.error.kind, failed.error.status_code) == ("UnavailableError", 503)
    assert (failed.is_fit, failed.score, failed.content) == (False, None, None)
    assert [row.error for row in comparison.rows[1:]] == [None] * 3
    first, second = comparison.summary()
    assert (first.asked, first.told, first.errors) == (2, 1, (("UnavailableError", 1),))
    assert (second.asked, second.told, second.errors) == (2, 2, ())
    assert not comparison.is_complete


def test_retries_belong_to_the_row_that_they_are_for(faulty: StartSandbox) -> None:
    sandbox = faulty({FIRST: [Fault(status=503), None]})

    comparison = compare(FIRST, **given(sandbox, retry=RetryPolicy(retry_delay=0), concurrency=1))

    assert [row.attempts for row in comparison.rows] == [2, 1]


def test_after_several_attempts_the_last_one_says_why(faulty: StartSandbox) -> None:
    sandbox = faulty({FIRST: [Fault(status=503), Fault(status=429)] * 2})

    comparison = compare(FIRST, **given(sandbox, retry=RetryPolicy(max_retries=1, retry_delay=0)))

    kinds = {row.error and row.error.kind for row in comparison.rows}
    assert kinds <= {"RateLimitError", "UnavailableError"}
    assert [row.attempts for row in comparison.rows] == [2, 2]


async def test_sync_and_async_are_one(good: Sandbox) -> None:
    blocking = compare(MODELS, **given(good))  # in a running loop, as in a notebook
    awaited = await acompare(MODELS, **given(good))

    changing = {"latency_s", "ended_at"}
    assert [row.model_dump(exclude=changing) for row in blocking.rows] == [
        row.model_dump(exclude=changing) for row in awaited.rows
    ]


def test_no_more_are_under_way_than_allowed(good: Sandbox) -> None:
    compare(MODELS, repeats=4, **given(good, concurrency=3))

    assert 1 <= good.most_at_once <= 3


def test_the_requests_of_the_package_serve_where_none_are_given(sandbox: Sandbox) -> None:
    comparison = compare(FIRST, **given(sandbox, requests=None))

    ages = [case.request.age or 0 for case in comparison.cases]
    assert len(comparison.rows) == 10
    assert (min(ages), max(ages)) == (2, 13)
    assert all(row.error is None for row in comparison.rows)


# ── going on ────────────────────────────────────────────────────────────────


def test_only_what_is_missing_is_sent(good: Sandbox, tmp_path: Path) -> None:
    compare(FIRST, **given(good, out=tmp_path))
    comparison = compare(MODELS, repeats=2, **given(good, out=tmp_path))

    assert good.requests == {FIRST: 4, SECOND: 4}
    assert len(comparison.rows) == len(lines(tmp_path)) == 8

    again = compare(MODELS, repeats=2, **given(good, out=tmp_path))
    assert good.requests == {FIRST: 4, SECOND: 4}
    assert again == comparison


def test_what_failed_is_asked_for_again(faulty: StartSandbox, tmp_path: Path) -> None:
    sandbox = faulty({FIRST: [Fault(status=503), None, None]})
    options = given(sandbox, out=tmp_path, concurrency=1)

    assert not compare(FIRST, **options).is_complete
    assert compare(FIRST, **options).is_complete
    assert sandbox.requests == {FIRST: 3}
    assert len(lines(tmp_path)) == 3


def test_a_row_is_on_disk_before_it_is_counted(good: Sandbox, tmp_path: Path) -> None:
    seen = []

    def look(progress: Progress) -> None:
        seen.append((progress.done, progress.wanted, len(lines(tmp_path))))

    compare(MODELS, **given(good, out=tmp_path, concurrency=1, on_progress=look))

    assert seen == [(1, 4, 1), (2, 4, 2), (3, 4, 3), (4, 4, 4)]


@pytest.mark.parametrize("kept", [1, 40, -2])
def test_a_torn_last_line_is_told_again(good: Sandbox, tmp_path: Path, kept: int) -> None:
    compare(MODELS, **given(good, out=tmp_path, concurrency=1))
    path = tmp_path / RESULTS
    *whole, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(whole) + last[:kept])

    comparison = compare(MODELS, **given(good, out=tmp_path))

    assert sum(good.requests.values()) == 5
    assert comparison.is_complete
    assert len(lines(tmp_path)) == 4


def test_a_line_that_lacks_only_its_break_is_kept(good: Sandbox, tmp_path: Path) -> None:
    compare(MODELS, **given(good, out=tmp_path))
    path = tmp_path / RESULTS
    path.write_bytes(path.read_bytes().rstrip())

    assert compare(MODELS, **given(good, out=tmp_path)).is_complete
    assert sum(good.requests.values()) == 4


def test_a_request_that_changed_is_another(good: Sandbox, tmp_path: Path) -> None:
    compare(FIRST, **given(good, out=tmp_path))
    changed = [{**REQUESTS[0], "age": 6}, REQUESTS[1]]

    comparison = compare(FIRST, **given(good, out=tmp_path, requests=changed))

    assert good.requests == {FIRST: 3}
    assert len(comparison.rows) == 2


def test_results_are_not_gone_on_with_unasked(good: Sandbox, tmp_path: Path) -> None:
    compare(FIRST, **given(good, out=tmp_path))

    with pytest.raises(ConfigurationError, match="resume, or choose another folder"):
        compare(FIRST, **given(good, out=tmp_path, resume=False))


def test_results_of_other_options_are_not_mixed(good: Sandbox, tmp_path: Path) -> None:
    compare(FIRST, **given(good, out=tmp_path))

    with pytest.raises(ConfigurationError, match="told with other options"):
        compare(FIRST, **given(good, out=tmp_path, temperature=1.5))


def test_a_folder_that_cannot_be_written_is_said(good: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(OutputError, match="choose another folder"):
        compare(FIRST, **given(good, out=tmp_path / "file" / "out"))
    assert sum(good.requests.values()) == 0


def test_an_error_of_the_caller_comes_out_as_it_is(good: Sandbox) -> None:
    def fail(_: Progress) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        compare(MODELS, **given(good, on_progress=fail))


# ── what stops it ───────────────────────────────────────────────────────────


def test_a_spent_budget_stops_it_and_a_larger_one_goes_on(good: Sandbox, tmp_path: Path) -> None:
    options = given(good, out=tmp_path, concurrency=1)

    stopped = compare(MODELS, budget=1e-9, **options)
    assert (len(stopped.rows), stopped.missing) == (1, 3)
    assert stopped.stopped is not None
    assert "budget" in stopped.stopped

    still = compare(MODELS, budget=1e-9, **options)
    assert (len(still.rows), sum(good.requests.values())) == (1, 1)
    assert still.stopped is not None

    assert compare(MODELS, budget=1.0, **options).is_complete


def test_a_budget_may_be_shared(good: Sandbox) -> None:
    budget = Budget(usd=1)

    comparison = compare(MODELS, **given(good, budget=budget))

    assert budget.spent_usd == pytest.approx(sum(row.cost_usd or 0 for row in comparison.rows))


def test_a_refused_key_stops_it(good: Sandbox) -> None:
    comparison = compare(MODELS, **given(good, api_key="sk-or-v1-wrong", concurrency=1))

    assert comparison.missing == 3
    assert comparison.stopped is not None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"repeats": 0}, "repeats must be"),
        ({"concurrency": 0}, "concurrency must be"),
        ({"models": []}, "at least one model"),
        ({"models": [FIRST, FIRST]}, "given twice"),
        ({"requests": []}, "no requests"),
        ({"requests": [ASKED, ASKED]}, "ask for the same"),
        ({"requests": [{"id": "a", "theme": "x"}, {"id": "a", "theme": "y"}]}, "id of its own"),
        ({"requests": ASKED}, "not dict"),
        ({"requests": [{"theme": "x", "age": 99}]}, "age"),
        ({"requests": "nowhere.jsonl"}, "no file"),
    ],
)
def test_a_mistake_is_said_before_anything_is_sent(
    good: Sandbox, wrong: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        compare(**{"models": MODELS, **given(good), **wrong})
    assert sum(good.requests.values()) == 0
