from __future__ import annotations

import pytest

from langchain_tale.bulk.progress import Progress, Speed

HALFWAY = Progress(
    requested=10_000,
    told=5_000,
    failed=3,
    in_flight=64,
    at_once=64,
    spent_usd=0.12345,
    per_s=41.25,
    left_s=121.2,
)


def test_the_line_says_how_far_it_is() -> None:
    line = "5,000 of 10,000 told · 3 failed · $0.1235 · 64 under way · 41.2/s · 2 min 01 s left"

    assert str(HALFWAY) == line
    assert HALFWAY.done == 5_003


@pytest.mark.parametrize(
    ("paused_s", "ending"),
    [(12.0, "waiting 12 s: no connection"), (0.0, "looking again: no connection")],
)
def test_the_line_says_what_is_waited_for(paused_s: float, ending: str) -> None:
    waiting = Progress(
        requested=None,
        told=7,
        failed=0,
        in_flight=0,
        at_once=1,
        spent_usd=0,
        paused_s=paused_s,
        waits_for="no connection",
    )

    assert str(waiting) == f"7 told · $0.0000 · 0 under way · {ending}"


def test_the_speed_is_that_of_the_last_minute() -> None:
    speed = Speed()

    for second in range(0, 600, 5):
        speed.note(float(second), ended=0 if second < 500 else (second - 500) * 10)

    assert speed.per_s == pytest.approx(10)
    assert speed.left_s(300) == pytest.approx(30)


def test_nobody_knows_how_long_nothing_takes() -> None:
    speed = Speed()

    assert speed.per_s == 0
    speed.note(1.0, 0)
    assert speed.per_s == 0
    assert speed.left_s(300) is None
    assert speed.left_s(None) is None
