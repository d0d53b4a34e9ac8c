from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_tale import ChatOpenRouter
from langchain_tale.bulk.batching.letters import Batching, Letter, digest_of, parcels
from langchain_tale.openrouter.transport import Call

LLM = ChatOpenRouter(model="a/b", api_key="sk-or-v1-nobody")


def call(text: str, model: str = "a/b", **fields: Any) -> Call:
    body = {"model": model, "messages": [{"role": "user", "content": text}], **fields}
    return Call(path="/chat/completions", model=model, body=body)


def letter(number: int, text: str = "x", model: str = "a/b", **fields: Any) -> Letter:
    nobody: Any = None
    asked = call(text, model, **fields)
    return Letter(id=str(number), key=b"", llm=LLM, call=asked, answer=nobody)


def ids(groups: Any) -> list[list[str]]:
    return [[one.id for one in group] for group in groups]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.text(max_size=40))), st.integers(1, 5))
def test_every_letter_is_in_one_parcel_of_its_model_that_is_not_too_large(
    asked: list[tuple[str, str]], size: int
) -> None:
    letters = [letter(n, text, model) for n, (model, text) in enumerate(asked)]
    batching = Batching(size=size, most_bytes=150)

    groups = list(parcels(letters, batching, only_full=False))

    assert sorted(one.id for group in groups for one in group) == sorted(one.id for one in letters)
    for group in groups:
        assert len({one.call.model for one in group}) == 1
        assert len(group) <= size
        assert len(group) == 1 or sum(one.size_bytes for one in group) <= 150


def test_full_parcels_go_and_the_rest_waits() -> None:
    letters = [letter(n) for n in range(7)]

    full = parcels(letters, Batching(size=3), only_full=True)

    assert ids(full) == [["0", "1", "2"], ["3", "4", "5"]]


def test_a_batch_has_one_response_format() -> None:
    letters = [letter(1), letter(2, response_format={"type": "json_object"}), letter(3)]

    groups = parcels(letters, Batching(), only_full=False)

    assert sorted(ids(groups)) == [["1", "3"], ["2"]]


def test_what_is_asked_is_known_again_whatever_the_trace() -> None:
    assert digest_of(call("a")) == digest_of(call("a", trace={"trace_id": "1"}))
    others = [call("b"), call("a", "c/d"), call("a", temperature=0)]
    assert digest_of(call("a")) not in {digest_of(other) for other in others}


def test_no_word_of_a_request_is_in_what_a_letter_shows() -> None:
    shown = repr(letter(1, "Mia likes foxes"))

    assert "Mia" not in shown
    assert "sk-or" not in shown


def test_looks_are_ever_further_apart() -> None:
    looks = list(islice(Batching(first_look_s=10, longest_wait_s=30).looks(), 5))

    assert looks == pytest.approx([10, 15, 22.5, 30, 30])
