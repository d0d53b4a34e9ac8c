"""What became of a call that failed, in three lines; pure."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from langchain_tale.cards.wording import dollars
from langchain_tale.resilience.verdict import verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tale.errors import Attempt


def told_of(log: Sequence[Attempt]) -> str:
    """What was tried, at what price, and what to do: three lines."""
    said = []
    for message, group in groupby(log, key=lambda attempt: str(attempt.error).rstrip(".")):
        numbers = [attempt.number for attempt in group]
        label = str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}"
        said.append(f"({label}) {message}")
    seconds = sum(attempt.waited_s + attempt.latency_s for attempt in log)
    spent_usd = sum(attempt.cost_usd or 0.0 for attempt in log)
    names = ", ".join(dict.fromkeys(attempt.model for attempt in log))
    return (
        f"No model answered in {len(log)} tries: {'; '.join(said)}.\n"
        f"Asked: {names}; {seconds:.1f} s in all, waits included; {dollars(spent_usd)}.\n"
        f"{_advice(log)}"
    )


def _advice(log: Sequence[Attempt]) -> str:
    hints = [getattr(attempt.error, "retry_after_s", None) for attempt in log]
    waits = [hint for hint in hints if hint]
    if waits:
        return f"Try again in {max(waits):.0f} s, or add a model of another provider."
    if all(attempt.error is not None and verdict(attempt.error).same_model for attempt in log):
        return "Try again later, raise max_retries or deadline_s, or add a fallback."
    return "Correct what the last error says, or add another model as a fallback."
