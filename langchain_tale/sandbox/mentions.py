"""What a request mentions that may be an argument: numbers and quoted texts; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_QUOTED: Final = re.compile(r"""(?<!\w)'(.{1,200}?)'(?!\w)|"([^"]+)"|«([^«»]+)»|“([^“”]+)”""")
"""The apostrophe of "Mia's" opens nothing, that of "don't" closes nothing."""
_NUMBER: Final = re.compile(r"(?<![\w.-])-?\d{1,15}(?:\.\d{1,15})?(?!\w)")
"""No part of a name such as gpt-4o, and of a date only the year."""
_Value = TypeVar("_Value", float, str)


@dataclass(frozen=True, slots=True)
class Mentions:
    """Numbers and quoted texts in the order in which they are mentioned; each is taken once."""

    numbers: list[float] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def number(self, fits: Callable[[float], bool]) -> float | None:
        """Take the first number that fits; None where there is none."""
        return _taken(self.numbers, fits)

    def text(self, fits: Callable[[str], bool]) -> str | None:
        """Take the first quoted text that fits; None where there is none."""
        return _taken(self.texts, fits)


def mentions_in(text: str) -> Mentions:
    """The numbers and quoted texts of a request; numbers inside of quotes are text.

    Example:
        >>> mentions_in("Read 'The Fox' and «Луна» to Mia's 3 friends for 4.5 hours.")
        Mentions(numbers=[3, 4.5], texts=['The Fox', 'Луна'])
    """
    numbers = _NUMBER.findall(_QUOTED.sub(" ", text))
    return Mentions(
        [float(number) if "." in number else int(number) for number in numbers],
        [match[match.lastindex or 0] for match in _QUOTED.finditer(text)],
    )


def _taken(values: list[_Value], fits: Callable[[_Value], bool]) -> _Value | None:
    found = next((number for number, value in enumerate(values) if fits(value)), None)
    return None if found is None else values.pop(found)
