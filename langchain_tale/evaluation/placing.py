"""Where the numbers beside the marks of a picture go, so that nothing is covered; pure."""

from __future__ import annotations

from itertools import product
from math import cos, pi, sin
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDTH, _HEIGHT = 12.0, 9.0
"""Points that a number of two digits takes."""
_MARK: Final = 4.5
"""Half the width of a mark."""
_RADII: Final = (14.0, 18.0, 23.0, 30.0, 40.0, 52.0, 66.0)
_DIAGONALS: Final = (pi / 4, 3 * pi / 4, 5 * pi / 4, 7 * pi / 4)
"""The first to be tried: the bars of a mark go across and up."""
_ANGLES: Final = (*_DIAGONALS, *(turn * pi / 8 for turn in range(16)))


class Box(NamedTuple):
    """A rectangle, in points."""

    left: float
    bottom: float
    right: float
    top: float

    def overlaps(self, other: Box) -> bool:
        """Whether they have more than an edge in common."""
        is_beside = self.right <= other.left or other.right <= self.left
        return not (is_beside or self.top <= other.bottom or other.top <= self.bottom)

    def holds(self, other: Box) -> bool:
        """Whether another one is within it."""
        is_across = self.left <= other.left and other.right <= self.right
        return is_across and self.bottom <= other.bottom and other.top <= self.top


def places_of(marks: Sequence[tuple[float, float]], *, field: Box) -> list[tuple[float, float]]:
    """For each mark the nearest place for its number that is free, from the centre of the mark.

    Args:
        marks: Their centres, in points.
        field: Where numbers may be.

    Returns:
        Offsets in points; where nothing is free, the first place there is.
    """
    taken = [_box(x, y, 2 * _MARK, 2 * _MARK) for x, y in marks]
    places: list[tuple[float, float]] = []
    for x, y in marks:
        offsets = [(r * cos(angle), r * sin(angle)) for r, angle in product(_RADII, _ANGLES)]
        free = (offset for offset in offsets if _is_free(x, y, offset, taken, field))
        offset = next(free, offsets[0])
        taken.append(_box(x + offset[0], y + offset[1], _WIDTH, _HEIGHT))
        places.append(offset)
    return places


def _is_free(
    x: float, y: float, offset: tuple[float, float], taken: Sequence[Box], field: Box
) -> bool:
    box = _box(x + offset[0], y + offset[1], _WIDTH, _HEIGHT)
    return field.holds(box) and not any(box.overlaps(other) for other in taken)


def _box(x: float, y: float, width: float, height: float) -> Box:
    return Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
