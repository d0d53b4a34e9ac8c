from __future__ import annotations

import pytest

from langchain_tale.story.checks.told import Told, sentences_of, words_of
from langchain_tale.story.request import StoryRequest
from langchain_tale.story.result import StoryGenerationResult

REQUEST = StoryRequest(theme="a fox")


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ('"Help!" cried Penny. Nobody came.', ['"Help!" cried Penny.', "Nobody came."]),
        ('"Come in," said Mr. Fox. "Sit."', ['"Come in," said Mr. Fox.', '"Sit."']),
        ("— Да! — сказал он. Ушёл.", ["— Да! — сказал он.", "Ушёл."]),
        ("«Да!» — «Нет!» Оба молчат.", ["«Да!»", "— «Нет!»", "Оба молчат."]),
        ("No mark here\n\nNew paragraph", ["No mark here", "New paragraph"]),
        ("Well... he slept… Then he woke.", ["Well... he slept…", "Then he woke."]),
        ("", []),
        ("…", []),
    ],
)
def test_sentences_end_where_a_reader_says_so(text: str, sentences: list[str]) -> None:
    assert sentences_of(text) == sentences


def test_words_keep_their_apostrophes_hyphens_and_accents() -> None:
    assert words_of("Don’t eat José’s blue-eyed за́мок, 7 times!") == [
        "Don’t",
        "eat",
        "José’s",
        "blue-eyed",
        "за́мок",
        "times",
    ]


def test_a_title_is_no_part_of_the_text() -> None:
    told = Told.of("# The Fox\n\nOnce.\n\nThe end.", REQUEST)

    assert (told.title, told.text) == ("The Fox", "Once.\n\nThe end.")
    assert told.paragraphs == ("Once.", "The end.")


def test_a_result_brings_its_title_and_how_it_ended() -> None:
    result = StoryGenerationResult("Once.", "a/b", {}, {"finish_reason": "length"}, title="The Fox")

    told = Told.of(result, REQUEST)

    assert (told.title, told.text, told.is_cut_off) == ("The Fox", "Once.", True)
