"""What became of one telling: a row on disk, another telling, or the end of the run."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.bulk.index import State
from langchain_tale.bulk.judging import OF_THE_STORY, Meaning, judged, last_error
from langchain_tale.bulk.plan import Stop
from langchain_tale.bulk.progress import duration
from langchain_tale.bulk.spending import HeldBackError, cost_of
from langchain_tale.errors import (
    AllModelsFailedError,
    Attempt,
    BudgetSpentError,
    ConfigurationError,
    OutputError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_tale.bulk.asked import Asked
    from langchain_tale.bulk.index import Known
    from langchain_tale.bulk.judging import Judged
    from langchain_tale.bulk.memory import Book
    from langchain_tale.bulk.pacing import Pace
    from langchain_tale.bulk.plan import Job, Plan
    from langchain_tale.bulk.rows import Tries
    from langchain_tale.bulk.spending import Purse
    from langchain_tale.bulk.summary import Tally
    from langchain_tale.story.result import StoryGenerationResult

FAILED_ALIKE: Final = 20
"""So many requests that fail in the same way, before any story is told, stop a run."""
REFUSED_IN_A_ROW: Final = 10
"""So many refusals (403) among the requests that began after the first one, and no story, are
meant for all."""
_WORDS: Final = {
    "CircuitOpenError": "every model failed too often",
    "ConnectionFailedError": "no connection",
    "RateLimitError": "too many requests",
    "InsufficientCreditsError": "credit is held by requests under way",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """A telling that gave no story: of what, why, by which tries, from when to when."""

    job: Job
    error: Exception
    tries: Tries
    began_at: float
    now: float

    @property
    def kind(self) -> str:
        """The class of the last error."""
        return type(last_error(self.error)).__name__


@dataclass(slots=True)
class Counts:
    """How many requests have come to what.

    Attributes:
        told: Stories on disk, those of earlier runs included.
        failed: Requests that have failed, likewise.
        told_now: Stories of this run.
        failed_now: Failures of this run.
    """

    told: int = 0
    failed: int = 0
    told_now: int = 0
    failed_now: int = 0

    @property
    def ended_now(self) -> int:
        """Requests that came to an end in this run."""
        return self.told_now + self.failed_now


@dataclass(slots=True)
class Settling:
    """Where every telling ends.

    Attributes:
        book: Where outcomes go.
        plan: How the run goes.
        pace: Learns of what the service bears.
        purse: Learns of what was spent.
        tally: Learns of what was told.
        judging: What a failure means, by the way that the requests go.
        stop: Whether the run has stopped.
        counts: What came of the requests.
        put_back: Requests to be told again.
        waits_for: Why nothing gets through, in a few words.
    """

    book: Book
    plan: Plan
    pace: Pace
    purse: Purse
    tally: Tally
    judging: Callable[[Exception], Judged] = judged
    stop: Stop = field(default_factory=Stop)
    counts: Counts = field(default_factory=Counts)
    put_back: deque[Job] = field(default_factory=deque)
    waits_for: str | None = None
    _alike: tuple[str, int] = ("", 0)
    _suspects: deque[Failure] = field(default_factory=deque)

    def told(self, job: Job, result: StoryGenerationResult, began_at: float, now: float) -> None:
        """Write a story down, and only then count it."""
        self._spend(job, cost_of(result.attempts, result.cost_usd))
        self.tally.add(self.book.told(job.asked, job.known, result))
        self.counts.failed -= job.known.state is State.FAILED
        self.counts.told += 1
        self.counts.told_now += 1
        self.pace.told()
        self.pace.note(result.attempts, now)
        self._clear_suspects(began_at)

    def not_told(
        self, job: Job, error: Exception, began_at: float, now: float, in_flight: int
    ) -> None:
        """Judge a failure, and do what follows from it; the table is in `judging`."""
        if isinstance(error, HeldBackError):
            self.stop.because(str(error))
            return
        failure = Failure(job, error, tries_of(error, now - began_at), began_at, now)
        self._spend(job, cost_of(failure.tries))
        found = self.judging(error)
        if found.meaning is Meaning.EVERYONE:
            self.stop_for(error, now)
        elif found.meaning is Meaning.PERHAPS_EVERYONE:
            self._suspect(failure)
        elif found.meaning is Meaning.REQUEST:
            self._fail(failure)
            self._compare(failure)
        else:
            self.pace.note(failure.tries, now)
            self._wait_and_see(failure, found, in_flight)

    def write_failure(
        self, asked: Asked, known: Known, error: Exception, tries: Tries = ()
    ) -> None:
        """Write a failure down, and only then count it."""
        self.book.failed(asked, known, error, tries)
        self.counts.failed += known.state is not State.FAILED
        self.counts.failed_now += 1

    def stop_for(self, error: Exception, now: float, why: str | None = None) -> None:
        """Start nothing more; what is under way gets its grace, where it can be written."""
        said = str(last_error(error)) or type(error).__name__
        grace_s = 0.0 if isinstance(error, OutputError) else self.plan.grace_s
        self.stop.for_error(error, f"{why}: {said}" if why else said, now + grace_s)

    def _fail(self, failure: Failure) -> None:
        job = failure.job
        self.write_failure(job.asked, job.known, failure.error, failure.tries)

    def _suspect(self, failure: Failure) -> None:
        """After a refusal that may be of this request or of all, look at others to know."""
        self._suspects.append(failure)
        first = self._suspects[0]
        later = [suspect for suspect in self._suspects if suspect.began_at >= first.now]
        if len(later) >= REFUSED_IN_A_ROW:
            self.stop_for(failure.error, failure.now)

    def _clear_suspects(self, told_began_at: float) -> None:
        """A story that began then was told: what was refused before was refused alone."""
        while self._suspects and self._suspects[0].now <= told_began_at:
            self._fail(self._suspects.popleft())

    def conclude(self, now: float) -> None:
        """There is nobody left to compare with."""
        if self._suspects and not self.counts.told_now:
            self.stop_for(self._suspects[0].error, now)
        if self.stop.why is None:
            self._clear_suspects(now)

    def _wait_and_see(self, failure: Failure, found: Judged, in_flight: int) -> None:
        is_gone = self.pace.failed(
            failure.began_at,
            failure.now,
            in_flight=in_flight,
            retry_after_s=found.retry_after_s,
            is_crowded=found.is_crowded,
            is_certain=found.is_certain,
        )
        if is_gone or found.is_crowded:
            self.waits_for = _WORDS.get(failure.kind, "the service does not answer")
        if is_gone:
            gone_s = self.pace.gone_for_s(failure.now)
            if gone_s > self.plan.patience_s:
                why = f"Nothing gets through, and would not within {duration(gone_s)}"
                self.stop_for(failure.error, failure.now, why)
        if failure.job.tellings < found.most_tellings:
            self.put_back.append(failure.job)
        else:
            self._fail(failure)

    def _spend(self, job: Job, usd: float) -> None:
        self.purse.spend(usd)
        job.known = replace(job.known, spent_usd=job.known.spent_usd + usd)

    def _compare(self, failure: Failure) -> None:
        """Stop when the first requests all fail in the same way: so will the others."""
        if isinstance(failure.error, OF_THE_STORY):
            return
        kind, times = self._alike
        self._alike = (failure.kind, times + 1 if kind == failure.kind else 1)
        if not self.counts.told_now and self._alike[1] >= FAILED_ALIKE:
            why = f"The first {FAILED_ALIKE} requests failed alike"
            self.stop_for(failure.error, failure.now, why)


def tries_of(error: Exception, took_s: float) -> tuple[Attempt, ...]:
    """The tries behind a failure; a single one has no log."""
    if isinstance(error, AllModelsFailedError | BudgetSpentError):
        return tuple(error.attempts)
    if isinstance(error, ConfigurationError):
        return ()
    facts: dict[str, Any] = {
        "model": str(getattr(error, "model", None) or ""),
        "provider_name": getattr(error, "provider_name", None),
        "cost_usd": getattr(error, "cost_usd", None),
    }
    return (Attempt(number=1, error=error, latency_s=took_s, **facts),)
