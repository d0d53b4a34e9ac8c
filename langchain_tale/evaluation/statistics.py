"""How sure a figure is: an interval for shares, quartiles for amounts."""

from __future__ import annotations

from math import sqrt
from statistics import quantiles
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

Z_95: Final = 1.959964
"""The 97.5 % quantile of the normal distribution."""


WIDE: Final = 20.0
"""Amounts that differ more than so many times are drawn on a logarithmic axis."""


class Spread(NamedTuple):
    """A figure and what lies around it.

    Attributes:
        low: Lower end of the interval.
        middle: The figure itself.
        high: Upper end.
    """

    low: float
    middle: float
    high: float


def share(hits: int, trials: int) -> Spread | None:
    """A share, and Wilson's 95 % interval of it; None where nothing was tried.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22 (1927): within [0, 1], and sound for few
    trials and for shares near 0 and 1, where the usual interval is not (Brown, Cai, DasGupta,
    Statistical Science 16, 2001). It takes trials to be independent. Repeats of one request
    are less so, and the interval is then too narrow.

    Args:
        hits: How many succeeded, 0 to `trials`.
        trials: How many were tried.

    Example:
        >>> [round(end, 3) for end in share(8, 10)]
        [0.49, 0.8, 0.943]
    """
    if not trials:
        return None
    p, z2 = hits / trials, Z_95**2
    centre = (p + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z_95 / (1 + z2 / trials) * sqrt(p * (1 - p) / trials + z2 / (4 * trials**2))
    return Spread(min(p, max(0.0, centre - half)), p, max(p, min(1.0, centre + half)))


def quartiles(amounts: Sequence[float]) -> Spread | None:
    """The quartiles of what was measured, the median in the middle; None for nothing.

    By linear interpolation between ranks, ends included: type 7 of Hyndman and Fan, "Sample
    quantiles in statistical packages", The American Statistician 50 (1996), as numpy and
    pandas have it.

    Example:
        >>> quartiles([1, 2, 3, 4])
        Spread(low=1.75, middle=2.5, high=3.25)
    """
    if not amounts:
        return None
    if len(amounts) == 1:
        return Spread(amounts[0], amounts[0], amounts[0])
    return Spread(*quantiles(amounts, n=4, method="inclusive"))


def is_wide(spreads: Sequence[Spread | None]) -> bool:
    """Whether amounts differ so much that a linear axis would show the greatest alone."""
    ends = [end for spread in spreads for end in (spread or ())]
    return bool(ends) and min(ends) > 0 and max(ends) / min(ends) > WIDE
