"""What a run may cost: money is set aside for what is under way; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from langchain_tale.errors import BudgetSpentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tale.errors import Attempt

FEELERS: Final = 4
"""How many may start before anything is known of what a story costs."""
_ROUNDING_USD: Final = 1e-9
"""Sums of floats are not exact; no model costs so little."""


class HeldBackError(BudgetSpentError):
    """A request stays untold, and the run begins nothing more; no model has failed."""


@dataclass(slots=True)
class Purse:
    """What has been spent, and whether there is enough for one more.

    A request is expected to cost the mean of those before it. So the last cents are given out
    one by one, and the limit is passed by no more than stories under way cost above the mean.

    Attributes:
        limit_usd: What may be spent; None for no limit.
        spent_usd: What was spent, on tries that failed too.
        paid: How many requests cost something.
        tellings: How many requests came to an end in this run.
    """

    limit_usd: float | None = None
    spent_usd: float = 0.0
    paid: int = 0
    tellings: int = 0

    @property
    def expected_usd(self) -> float:
        """What one more will cost, as far as is known: what comes from a cache says nothing."""
        return self.spent_usd / self.paid if self.paid else 0.0

    def may_start(self, in_flight: int) -> bool:
        """Whether there is money for one more request beside those that are under way."""
        if self.limit_usd is None:
            return True
        if not self.paid:
            feelers = FEELERS if self.limit_usd else 1  # 0 is for what is free: one finds out
            return bool(self.tellings) or in_flight < feelers
        needed_usd = self.spent_usd + (in_flight + 1) * self.expected_usd
        return needed_usd <= self.limit_usd + _ROUNDING_USD

    def spend(self, usd: float) -> None:
        """A telling is over, and has cost so much."""
        self.spent_usd += usd
        self.paid += usd > 0
        self.tellings += 1


def cost_of(tries: Sequence[Attempt], known_usd: float | None = None) -> float:
    """What a telling has cost: its tries, or the answer where they say nothing."""
    return max(sum(tried.cost_usd or 0.0 for tried in tries), known_usd or 0.0)
