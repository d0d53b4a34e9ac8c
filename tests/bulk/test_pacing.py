from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_tale.bulk.pacing import LONGEST_PAUSE_S, Pace
from langchain_tale.errors import Attempt, RateLimitError, UnavailableError

LIMITED = RateLimitError("slow down", status_code=429)
ANSWERED = Attempt(number=2, model="a/b", latency_s=1.0, waited_s=2.0)
REFUSED = Attempt(number=1, model="a/b", error=LIMITED, latency_s=0.5)


def test_all_that_are_wished_for_may_start_at_first() -> None:
    pace = Pace(64)

    assert pace.may_start(63, now=0)
    assert not pace.may_start(64, now=0)


def test_one_too_many_halves_the_number_once_for_all_that_were_under_way() -> None:
    pace = Pace(64)

    for _ in range(10):
        pace.crowded(began_at=1, now=2)
    assert pace.at_once == 32

    pace.crowded(began_at=3, now=4)
    assert pace.at_once == 16


def test_there_is_always_one() -> None:
    pace = Pace(64)

    for second in range(100):
        pace.crowded(began_at=second, now=second)

    assert pace.at_once == 1


def test_stories_told_give_the_number_back_slowly() -> None:
    pace = Pace(64)
    pace.crowded(began_at=1, now=2)

    for _ in range(33):
        pace.told()
    assert pace.at_once == 33

    for _ in range(2000):
        pace.told()
    assert pace.at_once == 64


def test_after_an_outage_the_number_comes_back_faster() -> None:
    pace = Pace(64)
    pace.failed(began_at=1, now=2, is_certain=True)

    for _ in range(33):
        pace.told()

    assert 35 <= pace.at_once <= 36


@pytest.mark.parametrize(
    ("tries", "at_once"),
    [
        pytest.param([REFUSED, ANSWERED], 4, id="a 429 that was waited for"),
        pytest.param([REFUSED, replace(ANSWERED, waited_s=0)], 8, id="another took over at once"),
        pytest.param([REFUSED], 4, id="a 429 at the end"),
        pytest.param([replace(REFUSED, error=UnavailableError("down"))], 8, id="no 429"),
        pytest.param([ANSWERED], 8, id="nothing wrong"),
        pytest.param([], 8, id="from a cache"),
    ],
)
def test_tries_tell_of_a_crowd(tries: list[Attempt], at_once: int) -> None:
    pace = Pace(8)

    pace.note(tries, ended_at=100)

    assert pace.at_once == at_once


def test_a_try_from_before_the_last_halving_says_nothing_new() -> None:
    pace = Pace(8)
    pace.crowded(began_at=96.9, now=97)

    pace.note([REFUSED, ANSWERED], ended_at=100)  # the refused one began at 96.5
    assert pace.at_once == 4

    pace.note([REFUSED, ANSWERED], ended_at=101)
    assert pace.at_once == 2


# ── nothing gets through ────────────────────────────────────────────────────


def test_a_few_failures_among_many_under_way_are_no_outage() -> None:
    pace = Pace(64)

    for _ in range(9):
        assert not pace.failed(began_at=1, now=2, in_flight=64)
    pace.told()
    assert not pace.failed(began_at=1, now=2, in_flight=64)
    assert pace.may_start(63, now=2)


def test_ten_failures_in_a_row_are_an_outage() -> None:
    pace = Pace(64)

    assert [pace.failed(1, 2, in_flight=64) for _ in range(11)] == [False] * 9 + [True] * 2


def test_the_failure_of_all_that_is_under_way_is_an_outage() -> None:
    pace = Pace(64)

    assert not pace.failed(1, 2, in_flight=2)
    assert pace.failed(1, 2, in_flight=2)
    assert Pace(1).failed(1, 2, in_flight=1)


def test_an_open_circuit_needs_no_proof() -> None:
    assert Pace(64).failed(1, 2, in_flight=64, retry_after_s=5, is_certain=True)


def test_an_outage_pauses_everything_and_one_goes_first() -> None:
    pace = Pace(8)

    assert pace.failed(began_at=1, now=2)
    assert pace.failed(began_at=1.5, now=2.1)  # it failed together with the first

    assert not pace.may_start(0, now=2.9)
    assert pace.may_start(0, now=3)
    assert not pace.may_start(1, now=3)


def test_one_too_many_holds_the_others_back_for_a_while() -> None:
    pace = Pace(64)

    assert not pace.failed(1, 2, in_flight=64, is_crowded=True)
    assert pace.paused_s(now=2) == 1
    assert not pace.failed(1, 2, in_flight=64, is_crowded=True, retry_after_s=7)
    assert pace.paused_s(now=2) == 7
    assert not pace.failed(1, 2, in_flight=64, is_crowded=True, retry_after_s=20_000)
    assert pace.paused_s(now=2) == LONGEST_PAUSE_S


def test_pauses_double_up_to_a_minute() -> None:
    pace, now, pauses = Pace(8), 0.0, []

    for _ in range(10):
        pace.failed(began_at=now, now=now)
        pauses.append(pace.paused_s(now))
        now += pauses[-1]

    assert pauses[:4] == [1, 2, 4, 8]
    assert pauses[-1] == LONGEST_PAUSE_S
    assert pace.gone_for_s(now) == sum(pauses)


def test_the_word_of_the_server_is_kept() -> None:
    pace = Pace(8)

    pace.failed(began_at=1, now=2, retry_after_s=30)

    assert pace.paused_s(now=2) == 30


def test_a_story_told_ends_the_outage() -> None:
    pace = Pace(8)
    pace.failed(began_at=1, now=2)

    pace.told()

    assert pace.gone_since is None
    assert pace.may_start(3, now=4)
    assert pace.gone_for_s(now=5) == 0
    pace.failed(began_at=5, now=6)
    assert pace.paused_s(now=6) == 1


@given(
    most=st.integers(1, 300),
    events=st.lists(st.tuples(st.sampled_from(["told", "crowded", "gone"]), st.floats(0, 5))),
)
def test_the_number_stays_within_its_limits(most: int, events: list[tuple[str, float]]) -> None:
    pace, now = Pace(most), 0.0

    for event, later_s in events:
        began_at, now = now, now + later_s
        if event == "told":
            pace.told()
        elif event == "crowded":
            pace.crowded(began_at, now)
        else:
            pace.failed(began_at, now, in_flight=most)
        assert 1 <= pace.at_once <= most
        assert 0 <= pace.paused_s(now) <= LONGEST_PAUSE_S
        assert pace.may_start(0, now + LONGEST_PAUSE_S)
