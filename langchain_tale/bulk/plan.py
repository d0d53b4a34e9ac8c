"""How a run goes: values without behaviour."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from langchain_tale.bulk.index import Known, State
from langchain_tale.resilience.attempts import Timing

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.runnables import RunnableConfig

    from langchain_tale.bulk.asked import Asked
    from langchain_tale.bulk.progress import Progress
    from langchain_tale.story.request import StoryRequest


GRACE_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a run goes.

    Attributes:
        concurrency: Most requests under way at once.
        budget_usd: What the output may cost, earlier runs included.
        wanted: Which requests are told: those that nothing is known of, or those that failed.
        patience_s: Seconds to wait for a service that is gone.
        grace_s: Seconds that stories under way are given when the run is stopped.
        on_progress: Is told how far the run has come, four times a second.
        should_stop: How often the caller has asked to stop: at 1 stories under way are given
            their grace, at 2 they are cancelled.
        config: LangChain's config for each story.
        timing: Clock and sleep, for tests.
    """

    concurrency: int
    budget_usd: float | None = None
    wanted: frozenset[State] = frozenset({State.UNTOLD})
    patience_s: float = 3600.0
    grace_s: float = GRACE_S
    on_progress: Callable[[Progress], None] | None = None
    should_stop: Callable[[], int] | None = None
    config: RunnableConfig | None = None
    timing: Timing = field(default_factory=Timing)

    @property
    def wishes_to_stop(self) -> int:
        """How often the caller has asked to stop."""
        return 0 if self.should_stop is None else self.should_stop()


@dataclass(slots=True)
class Job:
    """One request on its way.

    Attributes:
        asked: Which one.
        known: What is known of it, with what it has cost so far.
        request: The request itself.
        tellings: How often it was begun.
    """

    asked: Asked
    known: Known
    request: StoryRequest
    tellings: int = 0


@dataclass(slots=True)
class Stop:
    """Whether a run has stopped before its end, and why.

    Attributes:
        why: In a sentence; None as long as it goes on.
        error: What stopped it, where that was an error.
        is_interrupted: The caller has stopped it.
        cancels_at: When stories under way have had their grace; None for never.
    """

    why: str | None = None
    error: Exception | None = None
    is_interrupted: bool = False
    cancels_at: float | None = None

    def because(self, why: str) -> None:
        """Start nothing more; what is under way is told to its end."""
        self.why = self.why or why

    def for_error(self, error: Exception, why: str, cancels_at: float) -> None:
        """Start nothing more, since it would fail."""
        if self.why is None:
            self.why, self.error, self.cancels_at = why, error, cancels_at

    def interrupt(self, cancels_at: float) -> None:
        """Start nothing more, since the caller says so."""
        if self.is_interrupted:
            return
        self.is_interrupted = True
        self.because("Interrupted.")
        self.cancels_at = min(self.cancels_at or cancels_at, cancels_at)
