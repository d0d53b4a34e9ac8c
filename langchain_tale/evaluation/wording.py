"""Figures in words, for tables, pages and pictures."""

from __future__ import annotations

from math import floor, log10
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from langchain_tale.evaluation.statistics import Spread
    from langchain_tale.evaluation.summary import ModelSummary

UNKNOWN: Final = "–"
_CENTS: Final = 0.01


def fit_words(summary: ModelSummary) -> str:
    """`"8 of 10 (49-94 %)"`."""
    spread = summary.share_fit
    if spread is None:
        return UNKNOWN
    return f"{summary.fit} of {summary.asked} ({spread.low:.0%}".rstrip("%") + (
        f"–{spread.high:.0%})".replace("%", " %")
    )


def score_words(spread: Spread | None) -> str:
    """`"0.97 (0.91-1.00)"`."""
    if spread is None:
        return UNKNOWN
    return f"{spread.middle:.2f} ({spread.low:.2f}–{spread.high:.2f})"


def seconds_words(spread: Spread | None) -> str:
    """`"4.2 (3.1-6.0)"`; what takes less than a second, by two digits."""
    if spread is None:
        return UNKNOWN
    digits = 1 if spread.middle >= 1 else 2
    return f"{spread.middle:.{digits}f} ({spread.low:.{digits}f}–{spread.high:.{digits}f})"


def cost_words(spread: Spread | None) -> str:
    """`"$0.00031 ($0.00028-$0.00040)"`, or one amount where they are all the same."""
    if spread is None:
        return UNKNOWN
    if spread.low == spread.high:
        return usd(spread.middle)
    return f"{usd(spread.middle)} ({usd(spread.low)}–{usd(spread.high)})"


def usd(amount: float | None) -> str:
    """An amount in USD, small ones by two significant digits.

    Example:
        >>> usd(0.000314159), usd(1.5), usd(0.0)
        ('$0.00031', '$1.50', '$0')
    """
    if amount is None:
        return UNKNOWN
    if amount <= 0:
        return f"-{usd(-amount)}" if amount else "$0"
    if amount >= _CENTS:
        return f"${amount:.2f}" if amount >= 1 else f"${amount:.3f}"
    digits = max(3, 1 - floor(log10(amount)))
    return f"${amount:.{digits}f}"


def counted_words(counted: tuple[tuple[str, int], ...], *, most: int = 3) -> str:
    """`"5 words, 2 ending, …"`."""
    shown = [f"{count} {name}" for name, count in counted[:most]]
    return ", ".join([*shown, *(["…"] if len(counted) > most else [])])
