from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_tale.bulk.spending import FEELERS, Purse, cost_of
from langchain_tale.errors import Attempt


def test_without_a_limit_everything_may_start() -> None:
    assert Purse(None, spent_usd=1e9, paid=1).may_start(10_000)


def test_a_few_go_first_to_learn_what_a_story_costs() -> None:
    purse = Purse(5.0)

    assert purse.may_start(FEELERS - 1)
    assert not purse.may_start(FEELERS)


def test_where_nothing_may_be_spent_one_finds_out_whether_it_costs_something() -> None:
    purse = Purse(0.0)

    assert purse.may_start(0)
    assert not purse.may_start(1)
    purse.spend(0.00001)
    assert not purse.may_start(0)


def test_money_is_set_aside_for_what_is_under_way() -> None:
    purse = Purse(1.0, spent_usd=0.5, paid=5)

    assert purse.may_start(4)
    assert not purse.may_start(5)


def test_what_costs_nothing_is_never_too_much() -> None:
    assert Purse(0.0, spent_usd=0.0, tellings=5).may_start(1000)


def test_what_came_from_a_cache_makes_nothing_cheaper() -> None:
    purse = Purse(1.0)
    for usd in (0.1, 0.0, 0.0, 0.0, 0.0):
        purse.spend(usd)

    assert purse.expected_usd == pytest.approx(0.1)


@given(
    limit_usd=st.floats(0.01, 2),
    costs=st.lists(st.floats(0.001, 0.1), min_size=50, max_size=200),
    at_once=st.integers(1, 64),
)
def test_the_limit_is_passed_by_what_stories_cost_above_the_mean(
    limit_usd: float, costs: list[float], at_once: int
) -> None:
    purse, waiting, under_way = Purse(limit_usd), list(costs), list[float]()

    while True:
        while waiting and len(under_way) < at_once and purse.may_start(len(under_way)):
            under_way.append(waiting.pop())
        if not under_way:
            break
        purse.spend(under_way.pop(0))

    most_under_way = max(FEELERS, at_once)
    assert purse.spent_usd <= limit_usd + most_under_way * max(costs)
    assert not waiting or purse.spent_usd + purse.expected_usd > limit_usd


@pytest.mark.parametrize(
    ("costs", "known", "cost"),
    [([0.1, None, 0.2], 0.2, 0.3), ([], 0.5, 0.5), ([None], None, 0.0), ([], None, 0.0)],
)
def test_failed_tries_cost_too(costs: list[float | None], known: float | None, cost: float) -> None:
    tries = [Attempt(number=n, model="a/b", cost_usd=usd) for n, usd in enumerate(costs, 1)]

    assert cost_of(tries, known) == pytest.approx(cost)
