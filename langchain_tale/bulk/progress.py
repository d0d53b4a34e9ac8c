"""How far a run has come; pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

WINDOW_S: Final = 60.0
"""Seconds over which the speed is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A run at one moment.

    Attributes:
        requested: How many requests there are; None as long as that is not known.
        told: Stories on disk, those of earlier runs included.
        failed: Requests that have failed, those of earlier runs included.
        in_flight: Requests under way.
        at_once: How many may be under way now.
        spent_usd: What all of it has cost.
        per_s: Requests that came to an end, per second of the last minute.
        left_s: Seconds until all have, at that speed; None where nobody can say.
        paused_s: Seconds until a request may start again; 0 where nothing waits.
        waits_for: Why nothing starts, in a few words; or None.
        note: How far the batches are, in a few words; None where there are none.
    """

    requested: int | None
    told: int
    failed: int
    in_flight: int
    at_once: int
    spent_usd: float
    per_s: float = 0.0
    left_s: float | None = None
    paused_s: float = 0.0
    waits_for: str | None = None
    note: str | None = None

    @property
    def done(self) -> int:
        """Requests that have come to an end."""
        return self.told + self.failed

    def __str__(self) -> str:
        """The one line."""
        total = "" if self.requested is None else f" of {self.requested:,}"
        parts = [f"{self.told:,}{total} told"]
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        parts += [f"${self.spent_usd:.4f}", f"{self.in_flight:,} under way"]
        parts += [self.note] if self.note else []
        if self.waits_for:
            waiting = f"waiting {duration(self.paused_s)}" if self.paused_s else "looking again"
            return " · ".join([*parts, f"{waiting}: {self.waits_for}"])
        parts.append(f"{self.per_s:.1f}/s")
        if self.left_s is not None:
            parts.append(f"{duration(self.left_s)} left")
        return " · ".join(parts)


@dataclass(slots=True)
class Speed:
    """Requests per second, over a window that slides."""

    _seen: deque[tuple[float, int]] = field(default_factory=deque)

    def note(self, now: float, ended: int) -> None:
        """So many requests have come to an end by now."""
        self._seen.append((now, ended))
        while len(self._seen) > 2 and now - self._seen[1][0] >= WINDOW_S:  # noqa: PLR2004 (both ends)
            self._seen.popleft()

    @property
    def per_s(self) -> float:
        """The speed within the window."""
        if not self._seen:
            return 0.0
        (began_at, before), (now, ended) = self._seen[0], self._seen[-1]
        return (ended - before) / (now - began_at) if now > began_at else 0.0

    def left_s(self, left: int | None) -> float | None:
        """Seconds until as many have ended as are left."""
        return None if left is None or not self.per_s else left / self.per_s


def duration(seconds: float) -> str:
    """Seconds as a person says them.

    Example:
        >>> [duration(s) for s in (7.4, 192, 4000, 100_000)]
        ['7 s', '3 min 12 s', '1 h 06 min', '27 h 46 min']
    """
    whole = round(seconds)
    if whole < 60:  # noqa: PLR2004 (a minute)
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:  # noqa: PLR2004 (an hour)
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"
