"""The card of what was measured of a story."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from langchain_tale.cards.blocks import FAILED, Block, Facts, Note, Table
from langchain_tale.cards.card import Card

if TYPE_CHECKING:
    from collections.abc import Sequence


class Measured(Protocol):
    """What is shown of one check."""

    @property
    def name(self) -> str:
        """The check."""

    @property
    def value(self) -> float | None:
        """What was measured, or None where it could not be."""

    @property
    def ok(self) -> bool:
        """Whether it is within its bounds."""

    @property
    def is_bounded(self) -> bool:
        """Whether it has bounds, and was measured."""

    @property
    def bound(self) -> str:
        """The bounds in words, or nothing."""


def report_card(
    findings: Sequence[Measured], *, score: float, passed: bool, sentences: Sequence[str]
) -> Card:
    """A row for each check: those with bounds first, then those that only measure."""
    ordered = sorted(findings, key=lambda found: (found.ok, not found.is_bounded))
    columns = ("", "check", "measured", "wanted")
    table = Table(columns, [_row(found) for found in ordered], numeric=frozenset({2}))
    blocks: list[Block] = [*(Note(sentence) for sentence in sentences), table]
    blocks.append(Facts([("score", f"{score:.2f} of 1")]))
    title = "Fit by all checks" if passed else "Not fit by all checks"
    return Card(kind="Report", title=title, blocks=blocks)


def _row(found: Measured) -> tuple[object, ...]:
    sign = FAILED if not found.ok else "✓" if found.is_bounded else None
    value = None if found.value is None else f"{round(found.value, 2):,g}"
    return sign, found.name.replace("_", " "), value, found.bound or None
