"""`StoryReport`: what was measured of a story, and what it may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from langchain_tale.cards.card import Card, Readable
from langchain_tale.cards.reports import report_card

GRAVE: Final = 3.0
"""How much more a story weighs that no child should hear, next to one a little too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check measured.

    Attributes:
        name: The check, e.g. `"words"`.
        value: What was measured, or None where it could not be.
        at_least: The lower bound, or None for none.
        at_most: The upper bound, or None for none.
        sentence: What to tell the model when `value` is out of bounds. It never quotes the
            child's name.
        weight: How much it counts in `StoryReport.score`, above 0.
    """

    name: str
    value: float | None
    at_least: float | None = None
    at_most: float | None = None
    sentence: str = ""
    weight: float = 1.0

    @property
    def ok(self) -> bool:
        """Whether the value is within its bounds; what could not be measured is."""
        return self.fit == 1.0

    @property
    def is_bounded(self) -> bool:
        """Whether it says anything of the story's fitness, and is not only measured."""
        return self.value is not None and (self.at_least, self.at_most) != (None, None)

    @property
    def bound(self) -> str:
        """The bounds in words: `"72 to 180"`, `"at most 0"`, or `""`."""
        if self.at_least is not None and self.at_most is not None:
            return f"{self.at_least:g} to {self.at_most:g}"
        if self.at_most is not None:
            return f"at most {self.at_most:g}"
        return "" if self.at_least is None else f"at least {self.at_least:g}"

    @property
    def fit(self) -> float:
        """1 within the bounds; outside at most a half, and less the further away."""
        value, low, high = self.value, self.at_least, self.at_most
        if value is None:
            return 1.0
        if low is not None and value < low:
            return max(0.0, value / low / 2) if low > 0 else 0.0
        if high is not None and value > high:
            return max(0.0, high / value / 2)
        return 1.0

    def to_dict(self) -> dict[str, Any]:
        """The same, fit for JSON; the sentence only where there is something to say."""
        return {
            "name": self.name,
            "value": None if self.value is None else round(self.value, 3),
            "at_least": self.at_least,
            "at_most": self.at_most,
            "ok": self.ok,
            "sentence": "" if self.ok else self.sentence,
        }


@dataclass(frozen=True, slots=True)
class StoryReport(Readable):
    """Everything that was measured of one story; in a notebook it shows itself as a table.

    Attributes:
        findings: One for each thing that was measured, in the order of the checks.
    """

    findings: tuple[Finding, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing is out of bounds."""
        return not self.failures

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings that are out of bounds, the gravest first."""
        failed = (finding for finding in self.findings if not finding.ok)
        return tuple(sorted(failed, key=lambda finding: -finding.weight))

    @property
    def sentences(self) -> tuple[str, ...]:
        """What to tell the model, the gravest first."""
        return tuple(dict.fromkeys(f.sentence for f in self.failures if f.sentence))

    @property
    def score(self) -> float:
        """From 0 to 1: the share of the bounds that are kept, by weight; 1 when all are."""
        bounded = [finding for finding in self.findings if finding.is_bounded]
        total = sum(finding.weight for finding in bounded)
        return sum(f.weight * f.fit for f in bounded) / total if total else 1.0

    def value(self, name: str) -> float | None:
        """What the check of that name measured, or None."""
        return next((f.value for f in self.findings if f.name == name), None)

    @property
    def level(self) -> str | None:
        """The reading level in words, where the child's age gives it a bound."""
        found = next((f for f in self.findings if f.name == "reading_level"), None)
        if found is None or found.value is None:
            return None
        if found.at_most is not None:
            return f"school grade {max(found.value, 0):.1f}, {found.bound}"
        return None if found.at_least is None else f"ease {found.value:.0f}, {found.bound}"

    def card(self) -> Card:
        """What a notebook shows of it."""
        return report_card(
            self.findings, score=self.score, passed=self.passed, sentences=self.sentences
        )

    def to_dict(self) -> dict[str, Any]:
        """The same, fit for JSON."""
        return {
            "passed": self.passed,
            "score": round(self.score, 3),
            "findings": [finding.to_dict() for finding in self.findings],
        }
