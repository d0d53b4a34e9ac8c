"""`ModelSummary`: what the rows of one model come to."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from langchain_tale.evaluation.statistics import Spread, quartiles, share

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from langchain_tale.evaluation.row import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSummary:
    """What the rows of one model come to.

    Attributes:
        model: The model.
        asked: How many stories were asked for and have ended.
        told: How many there are.
        fit: How many of them pass all checks.
        share_fit: `fit` of `asked`, with Wilson's 95 % interval: a failure is no fit story.
        score: Quartiles of the scores of stories told, 0 to 1.
        latency_s: Quartiles of the seconds a story took, waits included.
        cost_usd: Quartiles of what a story cost, failed attempts included; None where
            nobody said.
        words: Quartiles of the lengths of stories told.
        total_usd: What all of it cost, failures included; None where nobody said.
        unpriced: Stories that nobody named a price of.
        failed_checks: How many stories each check refused, the most frequent first.
        errors: How many failures there are of each class, likewise.
    """

    model: str
    asked: int
    told: int
    fit: int
    share_fit: Spread | None
    score: Spread | None
    latency_s: Spread | None
    cost_usd: Spread | None
    words: Spread | None
    total_usd: float | None
    unpriced: int
    failed_checks: tuple[tuple[str, int], ...]
    errors: tuple[tuple[str, int], ...]

    def to_dict(self) -> dict[str, Any]:
        """The same on one level: `latency_s_low`, `latency_s` and `latency_s_high`."""
        flat: dict[str, Any] = {}
        for name, value in asdict(self).items():
            given = getattr(self, name)
            if name in _SPREADS:
                ends = given or (None, None, None)
                names = (f"{name}_low", name, f"{name}_high")
                flat |= dict(zip(names, ends, strict=True))
            elif isinstance(given, tuple):
                flat[name] = ", ".join(f"{count} {what}" for what, count in given)
            else:
                flat[name] = value
        return flat


_SPREADS = frozenset({"share_fit", "score", "latency_s", "cost_usd", "words"})


def summary_of(model: str, rows: Sequence[Row]) -> ModelSummary:
    """What the rows of a model come to."""
    told = [row for row in rows if row.error is None]
    fit = sum(row.is_fit for row in told)
    costs = _known(row.cost_usd for row in rows)
    return ModelSummary(
        model=model,
        asked=len(rows),
        told=len(told),
        fit=fit,
        share_fit=share(fit, len(rows)),
        score=quartiles(_known(row.score for row in told)),
        latency_s=quartiles(_known(row.latency_s for row in told)),
        cost_usd=quartiles(_known(row.cost_usd for row in told)),
        words=quartiles(_known(row.words for row in told)),
        total_usd=sum(costs) if costs else None,
        unpriced=sum(row.cost_usd is None for row in told),
        failed_checks=_counted(name for row in told for name in row.failed_checks),
        errors=_counted(row.error.kind for row in rows if row.error is not None),
    )


def on_the_front(summaries: Sequence[ModelSummary]) -> Iterator[str]:
    """The models that no other is at least as good as in all three, and better than in one.

    The three are the share of fit stories, the median latency and the median cost (the Pareto
    front). A model of which one of them is unknown is not among them.
    """
    points = {each.model: _point(each) for each in summaries}
    known = {model: point for model, point in points.items() if point is not None}
    for model, point in known.items():
        if not any(_is_better(other, point) for other in known.values()):
            yield model


def _point(summary: ModelSummary) -> tuple[float, float, float] | None:
    """The less, the better."""
    if summary.share_fit is None or summary.latency_s is None or summary.cost_usd is None:
        return None
    return -summary.share_fit.middle, summary.latency_s.middle, summary.cost_usd.middle


def _is_better(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _counted(names: Iterable[str]) -> tuple[tuple[str, int], ...]:
    return tuple(Counter(names).most_common())
