"""How many at once, and when to hold on: additive increase, multiplicative decrease; pure.

A try that was one too many halves the number; what began before the last halving says nothing
new. A round of stories told adds one; after an outage, which says nothing of numbers, a sixteenth
of what was wished for. When all that is under way fails by the weather, or ten in a row do, the
service or the way there is gone: everything waits, longer each time, and one request goes first
to see.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from langchain_tale.bulk.judging import is_crowded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tale.errors import Attempt

ROUNDS_TO_GROW: Final = 16
FAILURES_IN_A_ROW: Final = 10
"""So many failures by the weather with no story between them are an outage; fewer, where fewer
are under way."""
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0


@dataclass(slots=True)
class Pace:
    """How many requests may be under way.

    Attributes:
        most: What the caller wishes for, at least 1.
        limit: What the service bears, as far as is known: 1 to `most`.
        gone_since: Since when nothing gets through, or None; times are seconds of one clock.
    """

    most: int
    limit: float = field(init=False)
    gone_since: float | None = None
    _halved_at: float = -math.inf
    _paused_at: float = -math.inf
    _goes_on_at: float = -math.inf
    _pauses: int = 0
    _in_a_row: int = 0
    _is_wary: bool = False

    def __post_init__(self) -> None:
        self.limit = float(self.most)

    @property
    def at_once(self) -> int:
        """Most requests that may be under way now."""
        return 1 if self.gone_since is not None else int(self.limit)

    def may_start(self, in_flight: int, now: float) -> bool:
        """Whether one more request may start beside those that are under way."""
        return now >= self._goes_on_at and in_flight < self.at_once

    def paused_s(self, now: float) -> float:
        """Seconds until a request may start again; 0 where nothing waits."""
        return max(0.0, self._goes_on_at - now)

    def told(self) -> None:
        """A story was told."""
        self.gone_since, self._pauses, self._in_a_row = None, 0, 0
        step = 1.0 if self._is_wary else max(1.0, self.most / ROUNDS_TO_GROW)
        self.limit = min(float(self.most), self.limit + step / self.limit)
        self._is_wary &= self.limit < self.most

    def crowded(self, began_at: float, now: float) -> None:
        """A try that began then was one too many."""
        if began_at > self._halved_at:
            self.limit, self._halved_at = max(1.0, self.limit / 2), now
            self._is_wary = True

    def note(self, tries: Sequence[Attempt], ended_at: float) -> None:
        """Look for tries of a telling that were one too many, and that were waited for.

        One that another model took over at once says nothing: there is room elsewhere.
        """
        after_s = [*(tried.waited_s for tried in tries[1:]), math.inf]
        for tried, waited_s in reversed(list(zip(tries, after_s, strict=False))):
            began_at = ended_at - tried.latency_s
            if waited_s and is_crowded(tried.error):
                self.crowded(began_at, ended_at)
                return
            ended_at = began_at - tried.waited_s

    def failed(
        self,
        began_at: float,
        now: float,
        *,
        in_flight: int = 1,
        retry_after_s: float | None = None,
        is_crowded: bool = False,
        is_certain: bool = False,
    ) -> bool:
        """A request that began then failed by the weather.

        Args:
            began_at: When its telling began.
            now: When it failed.
            in_flight: Requests under way, this one included.
            retry_after_s: Seconds that the server or the circuit asks for.
            is_crowded: It was one too many: for a while, a minute at most, nothing starts.
            is_certain: It says of itself that nothing gets through.

        Returns:
            Whether nothing gets through.
        """
        self._in_a_row += 1
        if is_crowded:
            self._hold(now + min(LONGEST_PAUSE_S, retry_after_s or FIRST_PAUSE_S))
        if not is_certain and self._in_a_row < min(FAILURES_IN_A_ROW, in_flight, self.at_once):
            return False
        self.gone_since = now if self.gone_since is None else self.gone_since
        if began_at > self._paused_at:  # else it is one of those that failed together
            self._pauses += 1
            self._paused_at = now
            self.limit = max(1.0, self.limit / 2)
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self._pauses - 1, 10))
        self._hold(self._paused_at + pause_s)
        self._hold(now + (retry_after_s or 0.0))
        return True

    def _hold(self, until: float) -> None:
        self._goes_on_at = max(self._goes_on_at, until)

    def gone_for_s(self, now: float) -> float:
        """For how long nothing will have got through when the present pause is over."""
        if self.gone_since is None:
            return 0.0
        return max(now, self._goes_on_at) - self.gone_since
