"""Which numbers and quoted texts a request mentions."""

from __future__ import annotations

import pytest

from langchain_tale.sandbox.mentions import mentions_in


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        pytest.param("What is magic_function(3)?", [3], id="call"),
        pytest.param("What is 3 + 4", [3, 4], id="sum"),
        pytest.param("add(3,-4)", [3, -4], id="negative"),
        pytest.param("A 5-year-old, 1.5 hours, 7.", [5, 1.5, 7], id="words and stops"),
        pytest.param("gpt-4o, v2, GPT-4, 2026-01-31", [2026], id="names and dates"),
        pytest.param("9" * 5000, [], id="endless"),
        pytest.param("'Studio 54' for 2", [2], id="inside of quotes"),
        pytest.param("", [], id="nothing"),
    ],
)
def test_numbers_come_in_order(text: str, numbers: list[float]) -> None:
    assert mentions_in(text).numbers == numbers


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        pytest.param("Named '你好啊集团' (Hello Group)", ["你好啊集团"], id="single"),
        pytest.param('Show "Mia", «Луна» and “Bär”.', ["Mia", "Луна", "Bär"], id="others"),
        pytest.param("Say 'It's sunny', please.", ["It's sunny"], id="apostrophe inside"),
        pytest.param("Don't wake Mia's cats' friends.", [], id="apostrophes"),
        pytest.param("'' \"\" «» “”", [], id="empty"),
        pytest.param("\"open, 'open, «open, “open", [], id="open"),
    ],
)
def test_quoted_texts_come_in_order(text: str, texts: list[str]) -> None:
    assert mentions_in(text).texts == texts


def test_each_is_taken_once() -> None:
    mentions = mentions_in("2026, 3 and 3")

    assert mentions.number(lambda number: number < 100) == 3
    assert mentions.number(lambda number: number < 100) == 3
    assert mentions.number(lambda number: number < 100) is None
    assert mentions.numbers == [2026]
    assert mentions.text(lambda _text: True) is None
