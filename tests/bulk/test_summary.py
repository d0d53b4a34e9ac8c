from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_tale import BulkSummary
from langchain_tale.bulk.summary import Latencies, Share, Tally
from langchain_tale.errors import AuthenticationError


def test_there_is_no_percentile_of_nothing() -> None:
    assert Latencies().percentile(50) is None


@given(st.lists(st.floats(0.001, 10_000), min_size=1), st.sampled_from([1, 50, 95, 99, 100]))
def test_a_percentile_is_the_nearest_rank_within_two_percent(
    seconds: list[float], percent: int
) -> None:
    latencies = Latencies()
    for second in seconds:
        latencies.add(second)

    exact = sorted(seconds)[math.ceil(len(seconds) * percent / 100) - 1]
    assert latencies.percentile(percent) == pytest.approx(exact, rel=0.02)


def test_rows_add_up() -> None:
    tally = Tally()
    row: dict[str, Any] = {"model": "a/b", "cost_usd": 0.5, "latency_s": 2.0, "tries": 3}
    for one in (
        row,
        row,
        {"model": "c/d", "cost_usd": None, "is_cached": True, "is_cut_off": True},
    ):
        tally.add(one)

    assert tally.by_model == {"a/b": Share(2, 1.0), "c/d": Share(1, 0.0)}
    assert (tally.stories, tally.tries, tally.cached, tally.cut_off, tally.unpriced) == (
        3,
        6,
        1,
        1,
        1,
    )


SUMMARY = BulkSummary(
    requested=100,
    told=90,
    failed=4,
    told_now=30,
    failed_now=1,
    spent_usd=0.9,
    duration_s=61.0,
    tries=95,
    cached=2,
    p50_s=1.234,
    p95_s=2.0,
    p99_s=3.0,
    by_model={"c/d": Share(9, 0.1), "a/b": Share(81, 0.7)},
    stopped="The key is not accepted.",
    error=AuthenticationError("The key is not accepted."),
    out=Path("stories.jsonl"),
    failed_out=Path("stories.failed.jsonl"),
)


def test_a_summary_is_a_few_lines() -> None:
    assert str(SUMMARY).splitlines() == [
        "90 of 100 told (30 in this run) · 4 failed · 6 untold · 2 from the cache · 1 min 01 s",
        "$0.9000 · 95 tries · half within 1.23 s · 95 % within 2.00 s · 99 % within 3.00 s",
        "  a/b: 81 (90%), $0.7000",
        "  c/d: 9 (10%), $0.1000",
        "The key is not accepted.",
        "Stories: stories.jsonl. Failures: stories.failed.jsonl.",
    ]


def test_a_summary_is_fit_for_json() -> None:
    plain = json.loads(json.dumps(SUMMARY.to_dict()))

    assert plain["by_model"]["a/b"] == {"stories": 81, "cost_usd": 0.7}
    assert plain["error"] == "AuthenticationError"
    assert plain["untold"] == 6
    assert plain["out"] == "stories.jsonl"


def test_a_run_is_complete_when_every_request_has_its_story() -> None:
    whole = BulkSummary(
        requested=2, told=2, failed=0, told_now=2, failed_now=0, spent_usd=0, duration_s=0
    )

    assert whole.is_complete
    assert str(whole) == "2 of 2 told · 0 s\n$0.0000 · 0 tries"
    assert not SUMMARY.is_complete
