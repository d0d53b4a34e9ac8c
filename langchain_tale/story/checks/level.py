"""Can a child of that age follow it? By an accepted formula for the language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from langchain_tale.story.checks.readability import (
    automated_readability_index,
    coleman_liau_index,
    counts_of,
    flesch_kincaid_grade,
    flesch_reading_ease,
    flesch_reading_ease_ru,
    lix,
)
from langchain_tale.story.checks.report import Finding

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_tale.story.checks.readability import Counts
    from langchain_tale.story.checks.told import Told

HARDEST_GRADE: Final = ((3, 3.0), (5, 4.5), (7, 6.0), (10, 8.0), (13, 10.0))
"""Up to an age: the highest Flesch-Kincaid grade of an English story.

The bands are 2-3, 3-5, 5-7, 8-10 and 11-13 years. The grades are ours: the school grade of the
oldest child in the band and two to four more, since stories are read aloud and are understood
before they can be read. A story that is too easy is left alone.
"""
LEAST_EASE_RU: Final = ((3, 70.0), (5, 62.0), (7, 55.0), (10, 45.0), (13, 35.0))
"""Up to an age: the lowest Flesch reading ease, by Oborneva, of a Russian story; ours likewise."""


@dataclass(frozen=True, slots=True)
class ReadingLevel:
    """The reading level, for a request with an age up to 13, in English or Russian.

    English: the Flesch-Kincaid grade. Russian: Flesch's reading ease by Oborneva. Of other
    languages nothing is said here; `Readability("lix", lix)` measures them.

    Attributes:
        hardest_grade: Pairs of an age and the highest grade up to it.
        least_ease_ru: Pairs of an age and the lowest ease up to it.
    """

    name: ClassVar[str] = "reading_level"
    hardest_grade: tuple[tuple[int, float], ...] = HARDEST_GRADE
    least_ease_ru: tuple[tuple[int, float], ...] = LEAST_EASE_RU

    def __call__(self, told: Told) -> Finding:
        """The grade of an English story, the ease of a Russian one."""
        age, counts = told.request.age, counts_of(told.text, told.language)
        if told.language == "ru":
            ease = flesch_reading_ease_ru(counts)
            least = _up_to(age, self.least_ease_ru)
            return Finding(name=self.name, value=ease, at_least=least, sentence=_easier(told))
        if told.language == "en":
            grade = flesch_kincaid_grade(counts)
            hardest = _up_to(age, self.hardest_grade)
            return Finding(name=self.name, value=grade, at_most=hardest, sentence=_easier(told))
        return Finding(name=self.name, value=None)


@dataclass(frozen=True, slots=True)
class Readability:
    """A formula that is only measured, without a bound.

    Attributes:
        name: What the report calls it.
        formula: Counts to a number.
        languages: Those it was made for; empty for any.
    """

    name: str
    formula: Callable[[Counts], float]
    languages: tuple[str, ...] = ()

    def __call__(self, told: Told) -> Finding | None:
        """The figure, or None for a language that the formula was not made for."""
        if self.languages and told.language not in self.languages:
            return None
        value = self.formula(counts_of(told.text, told.language))
        return Finding(name=self.name, value=value)


READABILITY: Final = (
    Readability("flesch_reading_ease", flesch_reading_ease, ("en",)),
    Readability("flesch_reading_ease", flesch_reading_ease_ru, ("ru",)),
    Readability("coleman_liau_index", coleman_liau_index, ("en",)),
    Readability("automated_readability_index", automated_readability_index, ("en",)),
    Readability("lix", lix),
)
"""Second opinions, for the report."""


def _up_to(age: int | None, bands: tuple[tuple[int, float], ...]) -> float | None:
    if age is None:
        return None
    return next((bound for oldest, bound in bands if age <= oldest), None)


def _easier(told: Told) -> str:
    age = told.request.age
    return told.say(
        en=f"It is too hard for a child of {age}: write shorter sentences and simpler words.",
        ru=f"Для {age} лет это слишком трудно: пиши короче и более простыми словами.",
    )
