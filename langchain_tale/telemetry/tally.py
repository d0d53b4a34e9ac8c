"""The counts behind `StoryMetrics`: one tally for all calls, one for each model; no locks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final, Self

from langchain_tale.telemetry.calls import UNKNOWN
from langchain_tale.telemetry.digest import Digest
from langchain_tale.telemetry.records import CallMetrics, Durations, MetricsSnapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_tale.telemetry.calls import Call, Outcome
    from langchain_tale.telemetry.readings import Tried

MOST_NAMES: Final = 500
OTHERS: Final = "(others)"
"""Counts what comes after so many names, so that no stream of made-up names fills the memory."""
_FORMAT: Final = "langchain_tale.StoryMetrics/1"


@dataclass(slots=True)
class Tally:
    """The counts of one row; the names are those of `CallMetrics`."""

    answered: int = 0
    failed: int = 0
    cancelled: int = 0
    cached: int = 0
    attempts: int = 0
    retries: int = 0
    fallbacks: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    generating_s: float = 0.0
    generated_tokens: int = 0
    cost_usd: float = 0.0
    failed_cost_usd: float = 0.0
    errors: Counter[str] = field(default_factory=Counter)
    answered_by: Counter[str] = field(default_factory=Counter)
    latency: Digest = field(default_factory=Digest)
    first_token: Digest = field(default_factory=Digest)

    def end(self, outcome: Outcome) -> None:
        """Count one call."""
        if outcome == "answered":
            self.answered += 1
        elif outcome == "failed":
            self.failed += 1
        else:
            self.cancelled += 1

    def note(self, attempt: Tried, *, has_answered: bool) -> None:
        """Count one attempt."""
        self.attempts += 1
        self.input_tokens += attempt.input_tokens
        self.output_tokens += attempt.output_tokens
        self.cost_usd += attempt.cost_usd
        if has_answered:
            _count(self.answered_by, attempt.answered_by or attempt.model or UNKNOWN)
            if attempt.output_tokens and attempt.latency_s:
                self.generating_s += attempt.latency_s
                self.generated_tokens += attempt.output_tokens
        else:
            self.failed_cost_usd += attempt.cost_usd
            if attempt.error is not None:
                _count(self.errors, attempt.error)

    def merge(self, other: Tally) -> None:
        """Add all counts of another."""
        for name in _NUMBERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in _COUNTERS:
            for key, n in getattr(other, name).items():
                _count(getattr(self, name), key, n)
        for name in _DIGESTS:
            getattr(self, name).merge(getattr(other, name))

    def record(self) -> CallMetrics:
        """The counts as a record."""
        numbers: dict[str, Any] = {name: getattr(self, name) for name in _NUMBERS}
        return CallMetrics(
            calls=self.answered + self.failed + self.cancelled,
            latency=_durations(self.latency),
            first_token=_durations(self.first_token),
            errors=dict(self.errors),
            answered_by=dict(self.answered_by),
            **numbers,
        )

    def to_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        facts: dict[str, Any] = {name: getattr(self, name) for name in _NUMBERS}
        facts |= {name: dict(getattr(self, name)) for name in _COUNTERS}
        return facts | {name: getattr(self, name).to_dict() for name in _DIGESTS}

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Self:
        """The tally that `to_dict` made `facts` of.

        Raises:
            KeyError, TypeError, ValueError: It made none such.
        """
        numbers: dict[str, Any] = {name: _number(facts[name]) for name in _NUMBERS}
        counters: dict[str, Any] = {name: Counter(dict(facts[name])) for name in _COUNTERS}
        digests: dict[str, Any] = {name: Digest.from_dict(facts[name]) for name in _DIGESTS}
        return cls(**numbers, **counters, **digests)


_COUNTERS: Final = ("errors", "answered_by")
_DIGESTS: Final = ("latency", "first_token")
_NUMBERS: Final = tuple(
    each.name for each in fields(Tally) if each.name not in {*_COUNTERS, *_DIGESTS}
)


@dataclass(slots=True)
class Book:
    """The tally of all calls, and one for each model.

    Most calls take one attempt, and look alike in both: they are counted once, in `plain`, and
    added up when the book is read.

    Attributes:
        overall: All calls but the plain ones.
        models: The same for each model.
        plain: Calls of one attempt, for each model.
        names: All models, in the order in which they came.
    """

    overall: Tally = field(default_factory=Tally)
    models: dict[str, Tally] = field(default_factory=dict)
    plain: dict[str, Tally] = field(default_factory=dict)
    names: dict[str, None] = field(init=False)

    def __post_init__(self) -> None:
        self.names = dict.fromkeys(self.models)

    def of(self, model: str | None) -> Tally:
        """The tally of a model."""
        return self._row(self.models, model)

    def _row(self, rows: dict[str, Tally], model: str | None) -> Tally:
        name = model or UNKNOWN
        if (known := rows.get(name)) is not None:
            return known
        if name not in self.names:
            name = name if len(self.names) < MOST_NAMES else OTHERS
            self.names.setdefault(name)
        return rows.setdefault(name, Tally())

    def cached(self, model: str | None) -> None:
        """Count an answer that was asked of nobody."""
        self.overall.cached += 1
        self.of(model).cached += 1

    def add(self, call: Call) -> None:
        """Count a call."""
        if len(call.tried) == 1 and call.error is None:
            self._add_overall(self._row(self.plain, call.tried[0].model), call)
            return
        self._add_overall(self.overall, call)
        for model in dict.fromkeys(attempt.model for attempt in call.tried):
            self._add_model(self.of(model), model, call)

    def _add_overall(self, tally: Tally, call: Call) -> None:
        tried, is_answered = call.tried, call.is_answered
        tally.end(call.outcome)
        tally.retries += max(0, len(tried) - 1)
        if call.first_token_s is not None:
            tally.first_token.add(call.first_token_s)
        if is_answered:
            tally.latency.add(call.latency_s)
            tally.fallbacks += tried[-1].model != tried[0].model
        if call.error is not None:
            _count(tally.errors, call.error)
        for attempt in tried:
            tally.note(attempt, has_answered=is_answered and attempt is tried[-1])

    def _add_model(self, tally: Tally, model: str | None, call: Call) -> None:
        own = [attempt for attempt in call.tried if attempt.model == model]
        last = call.tried[-1]
        is_last, has_answered = last.model == model, call.is_answered and last.model == model
        tally.end("failed" if call.outcome != "failed" and not is_last else call.outcome)
        tally.retries += len(own) - 1
        tally.fallbacks += call.is_answered and not is_last
        if has_answered:
            tally.latency.add(last.latency_s or 0.0)
        if is_last and (first_token_s := call.first_token_of_last_s()) is not None:
            tally.first_token.add(first_token_s)
        for attempt in own:
            tally.note(attempt, has_answered=has_answered and attempt is last)

    def merge(self, other: Book) -> None:
        """Add all counts of another."""
        self.overall.merge(other.overall)
        for model, tally in other.models.items():
            self.of(model).merge(tally)
        for model, tally in other.plain.items():
            self._row(self.plain, model).merge(tally)

    def _added_up(self) -> tuple[Tally, dict[str, Tally]]:
        """The tally of all calls, and one for each model: copies, with the plain ones in each."""
        whole = Book()
        whole.overall.merge(self.overall)
        for model in self.names:
            for rows in (self.models, self.plain):
                if (tally := rows.get(model)) is not None:
                    whole.of(model).merge(tally)
        for tally in self.plain.values():
            whole.overall.merge(tally)
        return whole.overall, whole.models

    def snapshot(self) -> MetricsSnapshot:
        """The counts as records."""
        overall, models = self._added_up()
        rows = {model: tally.record() for model, tally in models.items()}
        return MetricsSnapshot(overall=overall.record(), models=rows)

    def to_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        overall, models = self._added_up()
        rows = {model: tally.to_dict() for model, tally in models.items()}
        return {"format": _FORMAT, "overall": overall.to_dict(), "models": rows}

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Self:
        """The book that `to_dict` made `facts` of; raises as `Tally.from_dict` does."""
        if facts["format"] != _FORMAT:
            msg = "another format"
            raise ValueError(msg)
        models = {str(model): Tally.from_dict(row) for model, row in facts["models"].items()}
        return cls(Tally.from_dict(facts["overall"]), models)


def _count(counter: Counter[str], name: str, n: int = 1) -> None:
    counter[name if name in counter or len(counter) < MOST_NAMES else OTHERS] += n


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        msg = "a count is no number"
        raise TypeError(msg)
    return value


def _durations(digest: Digest) -> Durations:
    return Durations(
        count=digest.count,
        sum_s=digest.sum_s,
        min_s=digest.min_s if digest.count else None,
        p50_s=digest.percentile(50),
        p95_s=digest.percentile(95),
        p99_s=digest.percentile(99),
        max_s=digest.max_s if digest.count else None,
    )
