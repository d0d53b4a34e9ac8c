"""Is it whole? It ends, it does not go round in circles, and it is made of sentences."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from langchain_tale.story.checks.report import GRAVE, Finding
from langchain_tale.story.checks.told import words_of
from langchain_tale.story.checks.wordlists import words_in

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from langchain_tale.story.checks.told import Told

_ENDED: Final = re.compile(
    r"[.!?…。！？।][\"'”’»）)\]*_~]*$|(?:^|[\n.!?…\"”»])\W*(?:the end|конец|fin|ende)\W*$",
    re.IGNORECASE,
)
_ORNAMENT: Final = re.compile(r"[^\w.!?…。！？।\"'”’»)\]]+$")
_PAUSE: Final = re.compile(r"[.,;:!?…—–\"“”«»()\n]")


@dataclass(frozen=True, slots=True)
class Ending:
    """Whether the last sentence is finished, and the model stopped of its own accord."""

    name: ClassVar[str] = "ending"

    def __call__(self, told: Told) -> Finding:
        """1 for a story that ends, 0 for one that is cut off."""
        text = _ORNAMENT.sub("", told.text.rstrip())
        is_whole = bool(_ENDED.search(text)) and not told.is_cut_off
        return Finding(
            name=self.name,
            value=float(is_whole),
            at_least=1,
            weight=GRAVE,
            sentence=told.say(
                en="It breaks off; tell it to its end, within the length asked for.",
                ru="Сказка обрывается; доведи её до конца, не выходя за нужную длину.",
            ),
        )


@dataclass(frozen=True, slots=True)
class Loop:
    """Words that only say again what was just said, a third time or more often.

    A refrain comes back after something else was said, and is none of these.

    Attributes:
        at_most: How many are let pass: "Rain, rain, rain, rain!" has two.
        longest_phrase: The longest phrase that is looked for, in words.
    """

    name: ClassVar[str] = "loop"
    at_most: int = 12
    longest_phrase: int = 60

    def __call__(self, told: Told) -> Finding:
        """How many such words there are."""
        return Finding(
            name=self.name,
            value=looping_words(told.words, self.longest_phrase),
            at_most=self.at_most,
            weight=GRAVE,
            sentence=_no_repeating(told),
        )


@dataclass(frozen=True, slots=True)
class Repetition:
    """How much of it was told before, in the same eight words or more.

    Attributes:
        at_most: The greatest share; stories for the very young live on refrains.
        phrase: Words that make a phrase.
    """

    name: ClassVar[str] = "repetition"
    at_most: float = 0.4
    phrase: int = 8

    def __call__(self, told: Told) -> Finding:
        """The share of the words that stand in a phrase that stood there before."""
        return Finding(
            name=self.name,
            value=repeated_share(told.words, self.phrase),
            at_most=self.at_most,
            weight=GRAVE,
            sentence=_no_repeating(told),
        )


@dataclass(frozen=True, slots=True)
class WordSalad:
    """Words strung together: none of them small, and no mark between them.

    Attributes:
        at_most_en: The longest such run in an English story, in words.
        at_most_ru: In a Russian one, whose endings do the work of small words.
    """

    name: ClassVar[str] = "word_salad"
    at_most_en: int = 9
    at_most_ru: int = 13

    def __call__(self, told: Told) -> Finding:
        """The longest run."""
        bounds = {"en": self.at_most_en, "ru": self.at_most_ru}
        small = words_in("function_words", told.language)
        return Finding(
            name=self.name,
            value=longest_run(told.text, small) if told.language in bounds else None,
            at_most=bounds.get(told.language),
            weight=GRAVE,
            sentence=told.say(
                en="Part of it is a row of words without sense; write sentences.",
                ru="Местами это набор слов без смысла; пиши предложениями.",
            ),
        )


def looping_words(words: Sequence[str], longest_phrase: int = 60) -> int:
    """How many words belong to a phrase that is said a third time or more often in a row.

    Example:
        >>> looping_words("he ran and ran and ran and ran home".split())
        3
    """
    looping: set[int] = set()
    for size in range(1, min(longest_phrase, len(words) // 3) + 1):
        run = 0
        for place in range(size, len(words)):
            run = run + 1 if words[place] == words[place - size] else 0
            if run > size:
                looping.add(place)
    return len(looping)


def repeated_share(words: Sequence[str], phrase: int = 8) -> float:
    """The share of words in phrases of that many words that occurred before, from 0 to 1."""
    seen: set[tuple[str, ...]] = set()
    repeated: set[int] = set()
    for start in range(len(words) - phrase + 1):
        said = tuple(words[start : start + phrase])
        if said in seen:
            repeated.update(range(start, start + phrase))
        seen.add(said)
    return len(repeated) / len(words) if words else 0.0


def longest_run(text: str, small: Collection[str]) -> int:
    """The longest run of words without a small word and without a mark."""
    longest = 0
    for part in _PAUSE.split(text.lower()):
        run = 0
        for word in words_of(part):
            run = 0 if word.replace("’", "'") in small else run + 1
            longest = max(longest, run)
    return longest


def _no_repeating(told: Told) -> str:
    return told.say(
        en="It says the same things over and over; let every paragraph bring something new.",
        ru="Одно и то же повторяется снова и снова; пусть каждый абзац ведёт сказку дальше.",
    )
