"""What a run has come to: counts, cost, percentiles, each model's share; in constant memory."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.bulk.progress import duration
from langchain_tale.cards.wording import counted

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_tale.story.result import StoryGenerationResult

_WIDTH: Final = 1.02
"""Each bucket of latencies ends 2 % above where it begins."""
_LEAST_S: Final = 0.001


@dataclass(slots=True)
class Latencies:
    """Latencies in buckets that widen with them: percentiles within 2 %, whatever their number."""

    _buckets: Counter[int] = field(default_factory=Counter)

    def add(self, seconds: float) -> None:
        """One more."""
        self._buckets[math.ceil(math.log(max(seconds, _LEAST_S) / _LEAST_S, _WIDTH))] += 1

    def percentile(self, percent: float) -> float | None:
        """The least latency that so many percent do not exceed (nearest rank); None without any.

        Example:
            >>> latencies = Latencies()
            >>> for seconds in range(1, 101):
            ...     latencies.add(seconds)
            >>> 94 < latencies.percentile(95) < 96
            True
        """
        rank = math.ceil(self._buckets.total() * percent / 100)
        for bucket in sorted(self._buckets):
            rank -= self._buckets[bucket]
            if rank <= 0:
                return float(_LEAST_S * _WIDTH ** (bucket - 0.5))
        return None


@dataclass(slots=True)
class Share:
    """What one model has told.

    Attributes:
        stories: How many.
        cost_usd: What these answers cost; tries that failed are not among them.
    """

    stories: int = 0
    cost_usd: float = 0.0


@dataclass(slots=True)
class Tally:
    """Rows of stories, added up."""

    stories: int = 0
    cached: int = 0
    unpriced: int = 0
    cut_off: int = 0
    best_effort: int = 0
    tries: int = 0
    latencies: Latencies = field(default_factory=Latencies)
    by_model: dict[str, Share] = field(default_factory=dict)

    def add(self, row: dict[str, Any]) -> None:
        """One more row of a story."""
        cost_usd, latency_s = row.get("cost_usd"), row.get("latency_s")
        self.stories += 1
        self.cached += bool(row.get("is_cached"))
        self.unpriced += cost_usd is None
        self.cut_off += bool(row.get("is_cut_off"))
        self.best_effort += bool(row.get("is_best_effort"))
        self.tries += row.get("tries") or 0
        if latency_s is not None:
            self.latencies.add(latency_s)
        share = self.by_model.setdefault(str(row.get("model")), Share())
        share.stories += 1
        share.cost_usd += cost_usd or 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkSummary:
    """What a run has come to, together with the runs before it that had the same output.

    Attributes:
        requested: How many requests there are; None where it stopped before it had seen all.
        told: Stories on disk.
        failed: Requests that failed.
        told_now: Of the stories, those that this run has told.
        failed_now: Of the failures, those of this run.
        spent_usd: What all of it has cost, tries that failed included.
        duration_s: Seconds that this run took.
        tries: Requests to models behind the stories.
        cached: Stories that came from a cache.
        cut_off: Stories that reached their limit of tokens.
        best_effort: Stories that are not fit by all checks.
        unpriced: Stories whose cost nobody said; no budget holds them.
        p50_s: Latency of a story, waits and retries included: half of them took no longer. All
            three are nearest ranks, within 2 %.
        p95_s: 95 % took no longer.
        p99_s: 99 % took no longer.
        by_model: What each model has told.
        doubtful: Requests of batches of which nobody knows whether they were taken, and that were
            asked for again: they may have been paid for twice.
        stopped: Why the run stopped before its end, in a sentence; or None.
        is_interrupted: The caller stopped it.
        error: What stopped it, where that was an error.
        out: Where the stories are.
        failed_out: Where the failures are, if there are any.
        results: The stories in the order of the requests, None for what was not told; only
            where there is no `out`.
        failures: The rows of failures; only where there is no `out`.
    """

    requested: int | None
    told: int
    failed: int
    told_now: int
    failed_now: int
    spent_usd: float
    duration_s: float
    tries: int = 0
    cached: int = 0
    cut_off: int = 0
    best_effort: int = 0
    unpriced: int = 0
    p50_s: float | None = None
    p95_s: float | None = None
    p99_s: float | None = None
    by_model: dict[str, Share] = field(default_factory=dict)
    doubtful: int = 0
    stopped: str | None = None
    is_interrupted: bool = False
    error: Exception | None = None
    out: Path | None = None
    failed_out: Path | None = None
    results: list[StoryGenerationResult | None] = field(default_factory=list, repr=False)
    failures: list[dict[str, Any]] = field(default_factory=list, repr=False)

    @property
    def untold(self) -> int | None:
        """Requests that have neither been told nor failed; None where nobody knows."""
        return None if self.requested is None else self.requested - self.told - self.failed

    @property
    def is_complete(self) -> bool:
        """Whether every request has its story."""
        return self.requested is not None and self.told == self.requested

    def to_dict(self) -> dict[str, Any]:
        """The same, fit for JSON, without the stories."""
        left_out = ("results", "failures", "error", "by_model", "out", "failed_out")
        plain = {name: getattr(self, name) for name in self.__slots__ if name not in left_out}
        return {
            **plain,
            "untold": self.untold,
            "by_model": {model: asdict(share) for model, share in self.by_model.items()},
            "error": None if self.error is None else type(self.error).__name__,
            "out": None if self.out is None else str(self.out),
            "failed_out": None if self.failed_out is None else str(self.failed_out),
        }

    def __str__(self) -> str:
        """A few lines for a person."""
        return "\n".join(filter(None, (self._counts(), self._costs(), self._shares(), self._end())))

    def _counts(self) -> str:
        total = "" if self.requested is None else f" of {self.requested:,}"
        parts = [f"{self.told:,}{total} told"]
        if self.told_now != self.told:
            parts[0] += f" ({self.told_now:,} in this run)"
        parts += [f"{self.failed:,} failed"] if self.failed else []
        parts += [f"{self.untold:,} untold"] if self.untold else []
        parts += [f"{self.cached:,} from the cache"] if self.cached else []
        parts += [f"{self.cut_off:,} cut off"] if self.cut_off else []
        parts += [f"{self.best_effort:,} not fit by all checks"] if self.best_effort else []
        return " · ".join([*parts, duration(self.duration_s)])

    def _costs(self) -> str:
        known = (("half", self.p50_s), ("95 %", self.p95_s), ("99 %", self.p99_s))
        within = [f"{share} within {took:.2f} s" for share, took in known if took is not None]
        parts = [f"${self.spent_usd:.4f}", counted(self.tries, "try", "tries"), *within]
        parts += [f"cost of {self.unpriced:,} unknown"] if self.unpriced else []
        parts += [f"{self.doubtful:,} perhaps paid for twice"] if self.doubtful else []
        return " · ".join(parts) if self.told or self.spent_usd else ""

    def _shares(self) -> str:
        rows = sorted(self.by_model.items(), key=lambda item: -item[1].stories)
        total = sum(share.stories for _, share in rows)
        return "\n".join(
            f"  {model}: {share.stories:,} ({share.stories / total:.0%}), ${share.cost_usd:.4f}"
            for model, share in rows
        )

    def _end(self) -> str:
        places = [f"Stories: {self.out}."] if self.out and self.told else []
        places += [f"Failures: {self.failed_out}."] if self.failed_out and self.failed else []
        return "\n".join([*([self.stopped] if self.stopped else []), " ".join(places)]).strip()
