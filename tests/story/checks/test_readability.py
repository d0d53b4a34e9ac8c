"""The formulas against figures that others have published."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_tale.story.checks.readability import (
    Counts,
    automated_readability_index,
    coleman_liau_index,
    counts_of,
    flesch_kincaid_grade,
    flesch_reading_ease,
    flesch_reading_ease_ru,
    lix,
)
from langchain_tale.story.checks.syllables import english_syllables, russian_syllables

MAT = "The cat sat on the mat."
PASSAGE = "This sentence, taken as a reading passage unto itself, is being used to prove a point."
PLATYPUS = "The Australian platypus is seemingly a hybrid of a mammal and reptilian creature."
# An example of ruTS, https://github.com/SergeyShk/ruTS, and the figures in its documentation.
RIDDLE = "Ног нет, а хожу, рта нет, а скажу: когда спать, когда вставать, когда работу начинать"


# English Wikipedia, "Flesch-Kincaid readability tests", gives the first three of these figures,
# and of Green Eggs and Ham 5.7 words a sentence, 1.02 syllables a word and a grade of -1.3.
@pytest.mark.parametrize(
    ("text", "ease"),
    [(MAT, 116), (PASSAGE, 69), (PLATYPUS, 37.5)],
    ids=["the mat", "the passage", "the platypus"],
)
def test_flesch_reading_ease_is_as_published(text: str, ease: float) -> None:
    assert flesch_reading_ease(counts_of(text, "en")) == pytest.approx(ease, abs=0.5)


def test_flesch_kincaid_is_as_published() -> None:
    green_eggs = Counts(words=5700, sentences=1000, syllables=5814)

    assert flesch_kincaid_grade(green_eggs) == pytest.approx(-1.3, abs=0.05)


def test_coleman_liau_is_as_published() -> None:
    """Wikipedia's example: 537 letters and 4.20 sentences in 100 words are grade 14.5."""
    abstract = Counts(words=119, sentences=5, letters=639)

    assert coleman_liau_index(abstract) == pytest.approx(14.5, abs=0.05)


def test_the_automated_readability_index_is_the_one_of_1967() -> None:
    """4.71 letters a word + 0.5 words a sentence - 21.43."""
    assert automated_readability_index(Counts(words=100, sentences=10, letters=500)) == (
        pytest.approx(4.71 * 5 + 0.5 * 10 - 21.43)
    )


def test_lix_and_oborneva_are_as_published() -> None:
    counts = counts_of(RIDDLE, "ru")

    assert lix(counts) == pytest.approx(28.333, abs=0.001)
    assert flesch_reading_ease_ru(counts) == pytest.approx(87.168, abs=0.001)


def test_a_harder_russian_text_is_no_easier() -> None:
    hard = "Непосредственное взаимодействие предполагает неукоснительное соблюдение требований."

    assert flesch_reading_ease_ru(counts_of(hard, "ru")) < 0


def test_nothing_is_counted_of_nothing() -> None:
    assert counts_of("", "en") == Counts(words=1, sentences=1)


# Syllables of words from children's stories, by the Oxford or the CMU dictionary.
SYLLABLES = {
    1: "the she cat made makes asked jumped pulled blue sleigh eyes friends tongue don't",
    2: "wanted little apple boxes doing being flower maybe quiet giant people hedgehog careful "
    "someone sleepy didn't purple dragon tiny lion puppy",
    3: "everything beautiful banana animal piano butterfly wonderful adventure blueberry "
    "tomorrow icicle remembered elephant",
    4: "caterpillar everybody helicopter alligator January",
    5: "curiosity hippopotamus",
}


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_english_syllables_are_those_that_are_heard(count: int) -> None:
    wrong = {word: english_syllables(word) for word in SYLLABLES[count].split()}

    assert {word: n for word, n in wrong.items() if n != count} == {}


def test_a_hyphen_parts_syllables_and_not_words() -> None:
    assert english_syllables("blue-eyed") == english_syllables("blue") + english_syllables("eyed")


@pytest.mark.parametrize(
    ("word", "count"), [("ёжик", 2), ("в", 0), ("Юла", 2), ("поэзия", 4), ("подъезд", 2)]
)
def test_russian_syllables_are_its_vowels(word: str, count: int) -> None:
    assert russian_syllables(word) == count


@given(st.text(alphabet=st.characters(categories=["L", "P", "Zs"]), max_size=80))
def test_any_text_can_be_measured(text: str) -> None:
    for language in ("en", "ru", "French"):
        counts = counts_of(text, language)
        assert counts.words >= 1
        assert flesch_kincaid_grade(counts) == flesch_kincaid_grade(counts)  # no NaN
        assert lix(counts) >= 0
