"""Is it as long as asked for? In words, and in minutes of reading aloud."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from langchain_tale.story.checks.report import Finding
from langchain_tale.story.checks.scripts import UNSPACED, main_script
from langchain_tale.story.request import READ_ALOUD_WORDS_PER_MINUTE

if TYPE_CHECKING:
    from langchain_tale.story.checks.told import Told


@dataclass(frozen=True, slots=True)
class WordCount:
    """Words, against `request.word_count`; a length asked for in minutes is left to `Minutes`.

    Attributes:
        shortest: The least share of the words asked for.
        longest: The greatest.
    """

    name: ClassVar[str] = "words"
    shortest: float = 0.6
    longest: float = 1.5

    def __call__(self, told: Told) -> Finding:
        """The number of words."""
        value, wanted = _word_count(told), told.request.word_count
        if told.request.minutes is not None:
            return Finding(name=self.name, value=value)
        return Finding(
            name=self.name,
            value=value,
            at_least=round(wanted * self.shortest),
            at_most=round(wanted * self.longest),
            sentence=_sentence(told, f"{value}"),
        )


@dataclass(frozen=True, slots=True)
class Minutes:
    """Minutes of reading aloud, against `request.minutes` where they were asked for.

    Attributes:
        shortest: The least share of the minutes asked for.
        longest: The greatest.
    """

    name: ClassVar[str] = "minutes"
    shortest: float = 0.6
    longest: float = 1.5

    def __call__(self, told: Told) -> Finding:
        """Minutes at `READ_ALOUD_WORDS_PER_MINUTE`."""
        words, wanted = _word_count(told), told.request.minutes
        value = None if words is None else words / READ_ALOUD_WORDS_PER_MINUTE
        if wanted is None:
            return Finding(name=self.name, value=value)
        return Finding(
            name=self.name,
            value=value,
            at_least=wanted * self.shortest,
            at_most=wanted * self.longest,
            sentence=_sentence(told, f"{words}"),
        )


def _word_count(told: Told) -> int | None:
    return None if main_script(told.text) in UNSPACED else len(told.words)


def _sentence(told: Told, value: str) -> str:
    wanted = told.request.word_count
    return told.say(
        en=f"The story has {value} words; write about {wanted}.",
        ru=f"В сказке слов: {value}; напиши примерно {wanted}.",
    )
