from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from langchain_tale.story.choice import ModelChoice, ModelWeights
from langchain_tale.story.ranking import Facts, Need, rank

NEED = Need(language="ru", words=300, input_tokens=500, output_tokens=900, most_output_tokens=1200)
GOOD = Facts(
    model="a/good",
    languages=("*",),
    context_length=100_000,
    max_output_tokens=16_000,
    input_usd=1e-7,
    output_usd=5e-7,
    verdict="healthy",
    uptime_percent=99.9,
)
EVEN = ModelWeights()


def order(*facts: Facts, weights: ModelWeights = EVEN, need: Need = NEED) -> list[str]:
    return list(rank(facts, need, weights))


def other(**facts: Any) -> Facts:
    return replace(GOOD, **{"model": "b/other", **facts})


@pytest.mark.parametrize(
    ("worse", "words"),
    [
        ({"languages": ("en", "fr")}, "ru is none of its languages"),
        ({"languages": None}, "ru unknown"),
        ({"max_output_tokens": 1000}, "300 words may just fit"),
        ({"context_length": None, "max_output_tokens": None}, "length unknown"),
        ({"input_usd": 1e-5, "output_usd": 5e-5}, "about $0.05000"),
        ({"input_usd": None}, "price unknown"),
        ({"verdict": "degraded", "uptime_percent": 90.0}, "degraded (90 %)"),
        ({"verdict": "down", "uptime_percent": 12.5}, "down (12.5 %)"),
        ({"verdict": "unknown", "uptime_percent": None}, "health unknown"),
        ({"verdict": None}, "health unknown"),
        ({"success_rate": 0.4}, "answered 40% of the time"),
        ({"verdict": None, "success_rate": 0.4}, "answered 40%"),
        ({"is_left_alone": True}, "failed too often of late"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_whatever_is_worse_or_unknown_comes_later_and_says_so(
    worse: dict[str, Any], words: str
) -> None:
    choice = rank([other(**worse), GOOD], NEED, EVEN)

    assert list(choice) == ["a/good", "b/other"]
    assert words in choice.ranked[1].reason
    assert choice.ranked[0].score > choice.ranked[1].score


@pytest.mark.parametrize("known", ["input_usd", "languages", "verdict"])
def test_the_unknown_is_better_than_the_bad(known: str) -> None:
    each: dict[str, dict[str, Any]] = {
        "input_usd": {"input_usd": 1e-4, "output_usd": 1e-4},
        "languages": {"languages": ("en",)},
        "verdict": {"verdict": "down"},
    }
    unknown: dict[str, Any] = {known: None}

    assert order(other(**each[known]), replace(GOOD, **unknown)) == ["a/good", "b/other"]


def test_equals_stay_in_the_callers_order() -> None:
    three = [replace(GOOD, model=name) for name in ("c/c", "a/a", "b/b")]

    assert order(*three) == ["c/c", "a/a", "b/b"]


def test_weights_decide_between_what_is_good_at_different_things() -> None:
    cheap = replace(GOOD, model="a/cheap", languages=("en",))
    fluent = replace(GOOD, model="b/fluent", input_usd=2e-5, output_usd=1e-4)

    by_price = ModelWeights(language=0, length=0, price=1, health=0)
    by_language = ModelWeights(language=1, length=0, price=0, health=0)

    assert order(cheap, fluent, weights=by_price) == ["a/cheap", "b/fluent"]
    assert order(cheap, fluent, weights=by_language) == ["b/fluent", "a/cheap"]
    assert order(cheap, fluent) == ["b/fluent", "a/cheap"]


@pytest.mark.parametrize("wrong", [{"price": -1}, dict.fromkeys(ModelWeights.model_fields, 0)])
def test_weights_must_weigh_something(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        ModelWeights(**wrong)


@pytest.mark.parametrize(
    ("out", "reason", "successor"),
    [
        ({"is_retired": True, "successor": "a/new"}, "retired, ask a/new instead", "a/new"),
        ({"is_retired": True}, "not listed", None),
        ({"verdict": "unroutable"}, "nobody serves it", None),
        ({"max_output_tokens": 800}, "too short for 300 words", None),
        ({"context_length": 1300}, "too short for 300 words", None),
        ({"context_length": 300}, "too short for 300 words", None),
    ],
)
def test_what_cannot_tell_the_story_is_left_out_and_named(
    out: dict[str, Any], reason: str, successor: str | None
) -> None:
    choice = rank([other(**out), GOOD], NEED, EVEN)

    assert list(choice) == ["a/good"]
    assert (choice.left_out[0].reason, choice.left_out[0].successor) == (reason, successor)
    assert choice.reason.endswith(f"Left out: b/other: {reason}.")


def test_a_free_model_costs_nothing_and_may_not_be_private_enough() -> None:
    free = other(is_free=True, input_usd=None, output_usd=None)
    private = replace(NEED, is_private=True)

    assert order(GOOD, free) == ["b/other", "a/good"]
    assert rank([free], NEED, EVEN).ranked[0].cost_usd == 0
    assert order(free, GOOD, need=private) == ["a/good", "b/other"]
    assert "may not be private enough" in rank([free], private, EVEN).reason


def test_a_choice_is_a_sequence_of_models_with_one_line() -> None:
    choice = rank([GOOD, other()], NEED, EVEN)

    assert len(choice) == 2
    assert choice[0] == "a/good"
    assert choice[:1] == ("a/good",)
    assert "b/other" in choice
    assert choice.reason == (
        "a/good (0.99): writes ru, room for 300 words, about $0.00050, healthy (99.9 %), "
        "before 1 more."
    )
    assert "\n" not in choice.reason
    assert ModelChoice(()).reason == "No model is left."


facts = st.builds(
    Facts,
    model=st.text("abc/", min_size=1, max_size=6),
    languages=st.none() | st.sampled_from([("*",), ("en",), ("ru", "en")]),
    context_length=st.none() | st.integers(1, 10_000),
    max_output_tokens=st.none() | st.integers(1, 5_000),
    input_usd=st.none() | st.floats(0, 1e-3),
    output_usd=st.none() | st.floats(0, 1e-3),
    price_mark=st.none() | st.floats(0, 1),
    verdict=st.sampled_from([None, "healthy", "degraded", "down", "unroutable", "unknown"]),
    uptime_percent=st.none() | st.floats(0, 100),
    success_rate=st.none() | st.floats(0, 1),
    is_left_alone=st.booleans(),
    is_free=st.booleans(),
    is_retired=st.booleans(),
)


@given(st.lists(facts, max_size=6, unique_by=lambda one: one.model))
def test_every_candidate_is_ranked_or_left_out_once_and_each_in_one_line(
    candidates: list[Facts],
) -> None:
    choice = rank(candidates, NEED, EVEN)
    scores = [one.score for one in choice.ranked]

    assert sorted([*choice, *(out.model for out in choice.left_out)]) == sorted(
        one.model for one in candidates
    )
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= mark <= 1 for one in choice.ranked for mark in one.marks.values())
    assert len([choice.reason, *(one.reason for one in choice.ranked)]) == len(scores) + 1
    assert not any("\n" in one.reason for one in choice.ranked)
