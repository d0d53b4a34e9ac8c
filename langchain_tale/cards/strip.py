"""The attempts of one call as a strip: one mark each.

A mark says by its shape and its sign what its colour says; model, wait and error are on hover,
and as text below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from langchain_tale.cards.markup import markdown, tag, text
from langchain_tale.cards.wording import counted, dollars, seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MOST_MARKS: Final = 60
"""More attempts than these are counted and not drawn."""
_WORTH_A_GAP_S: Final = 0.1
_LEAST_OF_ERRORS: Final = 400
"""A lower status says that all is well, and errors come inside of a 200 too."""


class Tried(Protocol):
    """What is shown of one attempt; `langchain_tale.Attempt` is one."""

    @property
    def number(self) -> int:
        """From 1."""

    @property
    def model(self) -> str:
        """The model that was asked."""

    @property
    def answered_by(self) -> str | None:
        """The model that answered, where it says so."""

    @property
    def error(self) -> Exception | None:
        """Why it failed, or None."""

    @property
    def waited_s(self) -> float:
        """Seconds waited before it."""

    @property
    def latency_s(self) -> float:
        """Seconds it took."""

    @property
    def cost_usd(self) -> float | None:
        """What was charged for it, where that is known."""


@dataclass(frozen=True, slots=True)
class Strip:
    """Attempts in the order in which they were made.

    Attributes:
        attempts: All of one call.
        is_open: Whether the text below the marks is open from the start.
    """

    attempts: Sequence[Tried]
    is_open: bool = False

    def html(self) -> str:
        """The marks, and one line of text for each."""
        drawn = self.attempts[:MOST_MARKS]
        marks = "".join(mark for attempt in drawn for mark in _marks(attempt))
        if more := len(self.attempts) - len(drawn):
            marks += tag("li", text(f"and {more:,} more"), class_="gap")
        lines = (tag("li", text(line_of(attempt))) for attempt in drawn)
        told = tag(
            "details",
            tag("summary", text(counted(len(self.attempts), "attempt"))),
            tag("ol", *lines),
            open="" if self.is_open else None,
        )
        return tag("div", tag("ol", marks, class_="strip"), told, class_="tries")

    def markdown(self) -> str:
        """One line of text for each."""
        return "\n".join(
            f"{each.number}. {_sign(each)} {markdown(line_of(each))}" for each in self.attempts
        )

    def text(self) -> str:
        """One line of text for each."""
        return "\n".join(f"({each.number}) {_sign(each)} {line_of(each)}" for each in self.attempts)


def _marks(attempt: Tried) -> Iterator[str]:
    if attempt.waited_s >= _WORTH_A_GAP_S:
        waited = f"{seconds(attempt.waited_s)} →"
        yield tag("li", text(waited), class_="gap", title=f"waited {seconds(attempt.waited_s)}")
    said = "" if attempt.error is None else f" {_in_short(attempt.error)}"
    kind = "good" if attempt.error is None else "bad"
    label = f"{attempt.number} {_sign(attempt)}{said}"
    yield tag("li", text(label), class_=kind, title=line_of(attempt))


def _sign(attempt: Tried) -> str:
    return "✓" if attempt.error is None else "✗"


def _in_short(error: Exception) -> str:
    """The status where it says that something failed, else the class in words."""
    status = getattr(error, "status_code", None) or 0
    return str(status) if status >= _LEAST_OF_ERRORS else _words(error)


def _words(error: Exception) -> str:
    """The class of an error in words.

    Example:
        >>> _words(ConnectionResetError())
        'connection reset'
    """
    name = type(error).__name__.removesuffix("Error")
    return "".join(f" {char.lower()}" if char.isupper() else char for char in name).strip()


def line_of(attempt: Tried) -> str:
    """Model, outcome, wait, time and cost of one attempt."""
    waited = attempt.waited_s >= _WORTH_A_GAP_S
    facts = [
        _answer(attempt) if attempt.error is None else _reason(attempt, attempt.error),
        *([f"after a wait of {seconds(attempt.waited_s)}"] if waited else []),
        f"took {seconds(attempt.latency_s)}",
        *([dollars(attempt.cost_usd)] if attempt.cost_usd is not None else []),
    ]
    return " · ".join(facts)


def _answer(attempt: Tried) -> str:
    other = attempt.answered_by not in (None, attempt.model)
    return f"{attempt.model} answered" + (f", by {attempt.answered_by}" if other else "")


def _reason(attempt: Tried, error: Exception) -> str:
    """What an error says, and of which model."""
    said = str(error).splitlines()
    sentence = (said[0] if said else type(error).__name__).rstrip(".")
    return sentence if attempt.model in sentence else f"{attempt.model}: {sentence}"
