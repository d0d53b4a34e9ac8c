"""Is there anything a parent would stop reading at? By lists of words, by age.

Lists find words, not meaning: they are for what is plain. What is cruel without a cruel word is
left to a judge (see `judge`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, ClassVar, Final

from langchain_tale.story.checks.report import GRAVE, Finding
from langchain_tale.story.checks.wordlists import lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_tale.story.checks.told import Told

UNKNOWN_AGE: Final = 6
"""Stories for nobody in particular are held to what is fit at six."""
_APOSTROPHES: Final = str.maketrans("’‑ёЁ", "'-еЕ")


@dataclass(frozen=True, slots=True)
class Unfit:
    """One line of a list.

    Attributes:
        points: How much one occurrence weighs: 2 is enough alone, 1 is let pass once.
        below_age: It counts for children younger than this.
        pattern: What to look for.
    """

    points: int
    below_age: int
    pattern: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class UnfitWords:
    """Words of gore, terror, sex, drugs and abuse, in English and Russian, by age.

    Harmless phrases ("killed time", "dead end") are taken out first. Of a story in another
    language, neither list speaks, and nothing is measured.

    Attributes:
        at_most: Points that are let pass; one word of a milder kind has one point.
    """

    name: ClassVar[str] = "unfit_words"
    at_most: int = 1

    def __call__(self, told: Told) -> Finding:
        """The points of what was found."""
        is_known = told.language in {"en", "ru"}
        points, words = unfit_points(told.text, told.language, told.request.age)
        return Finding(
            name=self.name,
            value=points if is_known else None,
            at_most=self.at_most,
            weight=GRAVE,
            sentence=told.say(
                en=f"It is too harsh or frightening for the child; leave out: {words}.",
                ru=f"Для ребёнка это слишком жестоко или страшно; убери: {words}.",
            ),
        )


def unfit_points(text: str, language: str, age: int | None) -> tuple[int, str]:
    """The points of all words unfit at an age, and those words.

    Example:
        >>> unfit_points("They killed time in a dead end.", "en", 4)
        (0, '')
        >>> unfit_points("The ogre killed them.", "en", 4)
        (2, 'killed')
    """
    plain = _without_harmless(text.translate(_APOSTROPHES).lower(), language)
    years = UNKNOWN_AGE if age is None else age
    found: dict[int, tuple[int, str]] = {}
    for rule in _rules(language):
        if years < rule.below_age:
            for match in rule.pattern.finditer(plain):
                said = (rule.points, match.group())
                found[match.start()] = max(found.get(match.start(), said), said)
    words = ", ".join(dict.fromkeys(word for _, word in found.values()))
    return sum(points for points, _ in found.values()), words


def _without_harmless(text: str, language: str) -> str:
    for phrase in lines_of("harmless", language):
        text = re.sub(rf"\b(?:{_inflected(phrase)})\b", "…", text)
    return text


@cache
def _rules(language: str) -> tuple[Unfit, ...]:
    return tuple(_read(lines_of("unfit", language)))


def _read(lines: tuple[str, ...]) -> Iterator[Unfit]:
    for line in lines:
        points, below_age, words = line.split(maxsplit=2)
        pattern = re.compile(rf"(?<![\w-])(?:{_inflected(words)})(?![\w-])")
        yield Unfit(int(points), int(below_age.removeprefix("<")), pattern)


def _inflected(words: str) -> str:
    """`kill* | dead body` as a regular expression: `*` is any ending."""
    alternatives = (part.strip().replace("*", r"\w*") for part in words.split("|"))
    return "|".join(re.sub(r"\s+", r"[\\s,]+", part) for part in alternatives)
