from __future__ import annotations

from typing import Any

import pytest

from langchain_tale import ConfigurationError, StoryRequest
from langchain_tale.bulk.asked import LONGEST_ID, asked, unreadable


@pytest.mark.parametrize(
    ("record", "theme"),
    [
        pytest.param("a fox", "a fox", id="a theme"),
        pytest.param({"theme": "a fox", "age": 5}, "a fox", id="fields"),
        pytest.param(StoryRequest(theme="a fox"), "a fox", id="a request"),
        pytest.param({"theme": "a fox", "id": "x"}, "a fox", id="fields and an id"),
    ],
)
def test_a_request_is_read_from_whatever_was_given(record: Any, theme: str) -> None:
    assert asked(1, record).request().theme == theme


@pytest.mark.parametrize("id_", ["x", "", None, 7, "Ünï"])
def test_an_id_is_text_or_a_whole_number_or_not_there(id_: Any) -> None:
    assert asked(1, {"theme": "a fox", "id": id_}).id == (
        str(id_) if id_ not in ("", None) else None
    )


@pytest.mark.parametrize("id_", [True, 1.5, [1], {"a": 1}, "x" * (LONGEST_ID + 1)])
def test_any_other_id_is_a_problem_of_its_line(id_: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^Line 7: its id "):
        asked(7, {"theme": "a fox", "id": id_}).request()


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ([1], r"Line 3: a request is an object or a theme, not list\."),
        (None, r"Line 3: a request is an object or a theme, not NoneType\."),
        ({"theme": "a fox", "age": 99}, r"Line 3: StoryRequest\.age: "),
        ({"theme": "a fox", "colour": "red"}, r"Line 3: StoryRequest\.colour: "),
        ({}, r"Line 3: StoryRequest\.theme: "),
    ],
)
def test_what_is_no_request_says_so_with_its_line(record: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        asked(3, record).request()


def test_a_problem_quotes_neither_name_nor_theme() -> None:
    bad = asked(3, {"theme": "secret fox", "child_name": "M1a", "age": 99})

    with pytest.raises(ConfigurationError) as caught:
        bad.request()

    assert "secret" not in str(caught.value)
    assert "M1a" not in str(caught.value)


def test_a_request_is_known_by_its_id_whatever_else_changes() -> None:
    before, after = asked(1, {"theme": "a", "id": "x"}), asked(9, {"theme": "b", "id": "x"})

    assert before.key == after.key
    assert before.digest != after.digest


def test_a_request_without_an_id_is_known_by_its_line() -> None:
    assert asked(1, {"theme": "a"}).key == asked(1, {"theme": "b"}).key
    assert asked(1, {"theme": "a"}).key != asked(2, {"theme": "a"}).key
    assert asked(1, {"theme": "a"}).key != asked(1, {"theme": "a", "id": "1"}).key


def test_the_order_of_fields_is_no_change() -> None:
    one, other = {"theme": "a", "age": 5}, {"age": 5, "theme": "a"}

    assert asked(1, one).digest == asked(1, other).digest


def test_text_that_is_no_unicode_can_be_hashed() -> None:
    assert asked(1, {"theme": "\ud800", "id": "\udfff"}).key
    assert unreadable(1, "no", "\ud800").digest
