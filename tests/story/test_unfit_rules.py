from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_tale.story.request import StoryRequest
from langchain_tale.story.unfit.rules import LOOKED_AT, THEMES, theme_in, unfit_theme
from langchain_tale.story.unfit.words import ENGLISH, RUSSIAN

FILES = Path(__file__).parent / "requests"
FIT = (FILES / "fit.txt").read_text(encoding="utf-8").splitlines()
UNFIT = [
    line.split("|", 1) for line in (FILES / "unfit.txt").read_text(encoding="utf-8").splitlines()
]
NOT_SAID_PLAINLY = {"a steamy bedroom story about the teacher and a pupil"}
"""What the lists miss, and a judge would have to find."""


def test_there_are_enough_requests_to_tell() -> None:
    assert len(FIT) > 200
    assert len(UNFIT) > 100
    assert {theme for theme, _ in UNFIT} == set(THEMES)


def test_no_fit_request_is_refused() -> None:
    assert [text for text in FIT if theme_in(text)] == []


def test_unfit_requests_are_found_by_theme_except_those_that_are_known_to_be_missed() -> None:
    missed = {text for theme, text in UNFIT if theme_in(text) != theme}

    assert missed == NOT_SAID_PLAINLY


def test_both_languages_have_words_for_every_theme() -> None:
    assert ENGLISH.keys() == RUSSIAN.keys() == set(THEMES)
    assert all([*ENGLISH.values(), *RUSSIAN.values()])


@pytest.mark.parametrize(
    "disguise",
    [
        "PORN",
        "p0rn",
        "p o r n",
        "p.o.r.n",
        "p-o-r-n",
        "ｐｏｒｎ",
        "𝓅𝑜𝓇𝓃",
        "pórn",
        "роrn",
        "p\N{COMBINING LONG STROKE OVERLAY}orn",
        "пoрнo",
    ],
)
def test_a_disguise_helps_nothing(disguise: str) -> None:
    assert theme_in(f"a story of {disguise} please") == "sexual"


def test_only_the_themes_asked_for_are_looked_for() -> None:
    assert theme_in("a drug dealer", {"hate"}) is None
    assert theme_in("a drug dealer", {"hate", "drugs"}) == "drugs"


@pytest.mark.parametrize("name", LOOKED_AT)
def test_every_field_that_asks_for_something_is_looked_at(name: str) -> None:
    value: Any = ["boats", "cocaine"] if name == "interests" else "cocaine"
    request = StoryRequest(**{"theme": "a fox", name: value})

    assert unfit_theme(request) == (name, "drugs")


def test_what_a_story_must_avoid_may_be_named() -> None:
    assert unfit_theme(StoryRequest(theme="a fox", avoid=("suicide", "vodka"))) is None


@given(st.text(max_size=80))
def test_any_text_has_a_theme_or_none(text: str) -> None:
    assert theme_in(text) in {None, *THEMES}
