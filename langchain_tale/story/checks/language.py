"""Is it in the language that was asked for, all of it?

For English and Russian by rule: their letters, and the small words that their sentences are
made of. For other languages by the dictionaries of simplemma, an extra; without it they are not
measured. Foreign letters are found in any language.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, ClassVar, Final

from langchain_tale.story.checks.report import GRAVE, Finding
from langchain_tale.story.checks.scripts import main_script, script_of
from langchain_tale.story.checks.told import words_of
from langchain_tale.story.checks.wordlists import lines_of, words_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tale.story.checks.told import Told
    from langchain_tale.story.request import StoryRequest

_SCRIPTS: Final = {"en": "LATIN", "ru": "CYRILLIC"}
_RUSSIAN: Final = frozenset("абвгдеёжзийклмнопрстуфхцчшщъыьэюя")
_MARK: Final = re.compile(r"[IVXLCDM]+|[A-Z]{2,4}|[A-Za-z]")
"""What may stand in any text: Roman numbers, SOS, and a single letter."""
_NAMED: Final = 5
"""How many foreign words a sentence to the model names."""


@dataclass(frozen=True, slots=True)
class ForeignWords:
    """Words with letters of another alphabet: a Cyrillic one in English, a Chinese one anywhere.

    Words of the request itself, names above all, and marks such as XIV or SOS are let pass.

    Attributes:
        at_most: How many may occur.
    """

    name: ClassVar[str] = "foreign_words"
    at_most: int = 0

    def __call__(self, told: Told) -> Finding:
        """How many there are."""
        found = foreign_words(told)
        return Finding(
            name=self.name,
            value=len(found),
            at_most=self.at_most,
            weight=GRAVE,
            sentence=told.say(
                en=f"Write in {_name_of(told)} only; these words are not: {_some(found)}.",
                ru=f"Пиши только по-русски; это не по-русски: {_some(found)}.",
            ),
        )


def foreign_words(told: Told) -> list[str]:
    """The words, in the order they occur, that have a letter of another alphabet."""
    own = _SCRIPTS.get(told.language) or main_script(told.text)
    asked_for = _asked_for(told.request)
    words = (word for word in words_of(told.text) if _is_foreign(word, own, told.language))
    return [word for word in words if not _MARK.fullmatch(word) and word.lower() not in asked_for]


def _is_foreign(word: str, own: str, language: str) -> bool:
    letters = [char for char in word if char.isalpha()]
    if language == "ru":
        return not _RUSSIAN.issuperset(char.lower() for char in letters)
    return any(script_of(char) != own for char in letters)


@dataclass(frozen=True, slots=True)
class RightLanguage:
    """Whether it reads as the language asked for, from beginning to end.

    English and Russian: the share of small words ("the", "and", "on") where it is lowest, over
    `window` words. Other languages: the share of words that simplemma's dictionary has.

    Attributes:
        least_en: The least share of small words in English; stories have 0.3 and more.
        least_ru: The same in Russian; stories have 0.2 and more, officialese 0.05.
        least_known: The least share of known words in another language.
        window: Words that are looked at together.
    """

    name: ClassVar[str] = "language"
    least_en: float = 0.15
    least_ru: float = 0.05
    least_known: float = 0.6
    window: int = 40

    def __call__(self, told: Told) -> Finding:
        """The share of words that speak for the language."""
        return Finding(
            name=self.name,
            value=self._share(told),
            at_least=self._least(told.language),
            weight=GRAVE,
            sentence=told.say(
                en=f"Write the whole story in {_name_of(told)}.", ru="Напиши всю сказку по-русски."
            ),
        )

    def _least(self, language: str) -> float:
        return {"en": self.least_en, "ru": self.least_ru}.get(language, self.least_known)

    def _share(self, told: Told) -> float | None:
        if told.language in _SCRIPTS:
            small = words_in("function_words", told.language)
            return lowest_share(told.words, small, self.window)
        return _known_share(told.text, told.language)


def lowest_share(words: Sequence[str], known: frozenset[str], window: int) -> float:
    """The share of `known` words in the stretch of `window` words that has the fewest."""
    is_known = [word.replace("’", "'") in known for word in words]
    starts = range(max(1, len(words) - window + 1))
    fewest = min(sum(is_known[start : start + window]) for start in starts)
    return fewest / max(1, min(window, len(words)))


def _known_share(text: str, language: str) -> float | None:
    code = _codes().get(language.casefold().split("-")[0].split("_")[0])
    if code is None:
        return None
    try:
        from simplemma import in_target_language  # noqa: PLC0415 (an extra)
    except ImportError:
        return None
    return float(in_target_language(text, lang=code))


@cache
def _codes() -> dict[str, str]:
    """Codes and names of languages to the codes of simplemma."""
    lines = (line.split() for line in lines_of("languages"))
    return {name: codes[0] for codes in lines for name in codes}


def _name_of(told: Told) -> str:
    return "English" if told.language == "en" else "the language that was asked for"


def _asked_for(request: StoryRequest) -> set[str]:
    fields = (request.theme, request.child_name, request.hero, request.setting, request.moral)
    texts = [field for field in fields if field] + list(request.interests)
    return {word.lower() for text in texts for word in words_of(text)}


def _some(words: list[str]) -> str:
    return ", ".join(dict.fromkeys(words[:_NAMED]))
