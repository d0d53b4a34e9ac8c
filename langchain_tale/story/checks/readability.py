"""Readability formulas of English, of Russian and of both; pure.

They are arithmetic over a few counts, so they stand here with their sources. Of the libraries
measured, textstat needs a download for English syllables and counts some Russian ones short;
what a formula depends on is how words, sentences and syllables are counted.

| function | source |
| --- | --- |
| `flesch_reading_ease` | Flesch, A new readability yardstick, 1948 |
| `flesch_kincaid_grade` | Kincaid et al., Derivation of new readability formulas, 1975 |
| `coleman_liau_index` | Coleman and Liau, A computer readability formula, 1975 |
| `automated_readability_index` | Smith and Senter, Automated readability index, 1967 |
| `lix` | Björnsson, Läsbarhet, 1968 |
| `flesch_reading_ease_ru` | Oborneva, 2006: Flesch's coefficients for Russian |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from langchain_tale.story.checks.syllables import english_syllables, russian_syllables
from langchain_tale.story.checks.told import sentences_of, words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LIX_LONG_LETTERS: Final = 7
"""A long word has more than six letters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What the formulas are made of.

    Attributes:
        words: At least 1.
        sentences: At least 1.
        letters: Letters of the words, without apostrophes and hyphens.
        syllables: Of all words; 0 where no rule for the language is known.
        long_words: Words of more than six letters.
    """

    words: int
    sentences: int
    letters: int = 0
    syllables: int = 0
    long_words: int = 0

    @property
    def words_per_sentence(self) -> float:
        """The mean length of a sentence."""
        return self.words / self.sentences

    @property
    def syllables_per_word(self) -> float:
        """The mean length of a word."""
        return self.syllables / self.words


def counts_of(text: str, language: str) -> Counts:
    """Count a text.

    Args:
        text: Some sentences.
        language: `"en"`, `"ru"`, or another, of which syllables are not counted.

    Example:
        >>> counts_of("The cat sat on the mat.", "en")
        Counts(words=6, sentences=1, letters=17, syllables=6, long_words=0)
    """
    words, sentences = words_of(text), sentences_of(text)
    sizes = [sum(char.isalpha() for char in word) for word in words]
    return Counts(
        words=max(1, len(words)),
        sentences=max(1, len(sentences)),
        letters=sum(sizes),
        syllables=_syllables(words, language),
        long_words=sum(size >= LIX_LONG_LETTERS for size in sizes),
    )


def _syllables(words: Sequence[str], language: str) -> int:
    rules: dict[str, Callable[[str], int]] = {"en": english_syllables, "ru": russian_syllables}
    return sum(rules[language](word) for word in words) if language in rules else 0


def flesch_reading_ease(counts: Counts) -> float:
    """English: 100 is very easy, 60 to 70 plain, below 30 very hard."""
    return 206.835 - 1.015 * counts.words_per_sentence - 84.6 * counts.syllables_per_word


def flesch_kincaid_grade(counts: Counts) -> float:
    """English: the American school grade that reads it; grade 1 begins at six."""
    return 0.39 * counts.words_per_sentence + 11.8 * counts.syllables_per_word - 15.59


def coleman_liau_index(counts: Counts) -> float:
    """English: the American school grade, by letters."""
    letters, sentences = counts.letters / counts.words, counts.sentences / counts.words
    return 5.88 * letters - 29.6 * sentences - 15.8


def automated_readability_index(counts: Counts) -> float:
    """English: the American school grade, by letters."""
    return 4.71 * counts.letters / counts.words + 0.5 * counts.words_per_sentence - 21.43


def lix(counts: Counts) -> float:
    """Any language with spaces: below 30 children's books, 40 newspapers, above 60 law."""
    return counts.words_per_sentence + 100 * counts.long_words / counts.words


def flesch_reading_ease_ru(counts: Counts) -> float:
    """Russian: above 90 very easy, 60 to 70 plain, below 30 very hard."""
    return 206.835 - 1.3 * counts.words_per_sentence - 60.1 * counts.syllables_per_word
