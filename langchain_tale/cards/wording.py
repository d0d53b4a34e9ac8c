"""Seconds, dollars and counts as a person reads them."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

UNKNOWN: Final = "unknown"
_A_MINUTE_S: Final = 60
_A_CENT_USD: Final = 0.01


def seconds(value_s: float | None) -> str:
    """A duration.

    Example:
        >>> [seconds(s) for s in (0.004, 0.26, 4.7, 75, None)]
        ['0.00 s', '0.26 s', '4.7 s', '1 min 15 s', 'unknown']
    """
    if value_s is None:
        return UNKNOWN
    if value_s >= _A_MINUTE_S:
        minutes, rest = divmod(round(value_s), _A_MINUTE_S)
        return f"{minutes} min {rest} s"
    return f"{value_s:.1f} s" if value_s >= 1 else f"{value_s:.2f} s"


def dollars(value_usd: float | None) -> str:
    """An amount in US dollars; below a cent, two figures that count.

    Example:
        >>> [dollars(usd) for usd in (0, 0.0000412, 0.0123, 1.5, None)]
        ['$0', '$0.000041', '$0.012', '$1.50', 'unknown']
    """
    if value_usd is None:
        return UNKNOWN
    if value_usd == 0:
        return "$0"
    if abs(value_usd) < 10 * _A_CENT_USD:
        return f"${Decimal(f'{value_usd:.2g}'):f}"
    return f"${value_usd:,.2f}"


def dollars_in_full(value_usd: float | Decimal) -> str:
    """An amount in US dollars to a hundred-millionth, as limits are said.

    Example:
        >>> [dollars_in_full(usd) for usd in (5, 0.305, 0.00001)]
        ['$5', '$0.305', '$0.00001']
    """
    return f"${round(Decimal(str(value_usd)), 8).normalize():f}"


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A number of things.

    Example:
        >>> counted(1, "try", "tries"), counted(1200, "story", "stories")
        ('1 try', '1,200 stories')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
