"""A call that has ended, as far as it is counted; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tale.telemetry.readings import Tried

Outcome = Literal["answered", "failed", "cancelled"]
UNKNOWN: Final = "(unknown)"


@dataclass(slots=True)
class Call:
    """One call that has ended.

    Attributes:
        model: The model that was asked first, as far as the run's beginning tells.
        outcome: What it came to.
        tried: Its attempts in order.
        latency_s: From its beginning to its end.
        first_token_s: From its beginning to the first content, if it was streamed.
        error: The class of an error that was no attempt's, e.g. of a budget that is spent.
    """

    model: str | None
    outcome: Outcome
    tried: Sequence[Tried]
    latency_s: float
    first_token_s: float | None = None
    error: str | None = None

    def __post_init__(self) -> None:
        """A lone attempt took as long as the call; the log's own figures are rounded."""
        if len(self.tried) == 1:
            self.tried[0].latency_s = self.latency_s
            self.tried[0].waited_s = 0.0
        for attempt in self.tried:
            attempt.model = attempt.model or self.model or attempt.answered_by or UNKNOWN

    @property
    def is_answered(self) -> bool:
        """Whether it got an answer."""
        return self.outcome == "answered"

    def first_token_of_last_s(self) -> float | None:
        """From the last attempt to the first content; None where that came from another."""
        if self.first_token_s is None or not self.tried:
            return None
        spent = sum(each.waited_s + (each.latency_s or 0.0) for each in self.tried[:-1])
        left_s = self.first_token_s - spent - self.tried[-1].waited_s
        return left_s if left_s >= 0.0 else None
