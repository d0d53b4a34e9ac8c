"""Percentiles against exact ones."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.outputs import LLMResult

from langchain_tale import StoryMetrics
from langchain_tale.telemetry.digest import LONGEST_S, Digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    Draw = Callable[[np.random.Generator, int], NDArray[Any]]

MANY = 100_000
PERCENTS = (50, 95, 99)
DISTRIBUTIONS: dict[str, Draw] = {
    "lognormal": lambda rng, n: rng.lognormal(0.5, 1.0, n),
    "exponential": lambda rng, n: rng.exponential(3.0, n),
    "uniform": lambda rng, n: rng.uniform(0.2, 30.0, n),
    "pareto": lambda rng, n: 0.1 * (1 + rng.pareto(1.1, n)),
    "bimodal, half and half": lambda rng, n: np.where(
        np.arange(n) % 2, rng.normal(0.3, 0.02, n), rng.normal(45.0, 1.0, n)
    ),
    "bimodal, one in a hundred": lambda rng, n: np.where(
        np.arange(n) % 100, rng.normal(0.3, 0.02, n), rng.normal(90.0, 1.0, n)
    ),
    "constant": lambda _rng, n: np.full(n, 1.234),
    "tiny": lambda rng, n: rng.lognormal(-14.0, 1.0, n),
    "huge": lambda rng, n: rng.lognormal(14.0, 1.0, n),
    "tiny and huge": lambda rng, n: np.where(
        np.arange(n) % 3, rng.uniform(1e-8, 1e-7, n), rng.uniform(1e7, 1e8, n)
    ),
    "sorted": lambda rng, n: np.sort(rng.lognormal(0.5, 1.0, n)),
    "falling": lambda rng, n: np.sort(rng.lognormal(0.5, 1.0, n))[::-1],
}
durations = st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=200)


def digest_of(values: Iterable[float]) -> Digest:
    digest = Digest()
    for value in values:
        digest.add(float(value))
    return digest


def nearest_rank(values: Any, percent: int) -> float:
    """Worked out the slow way."""
    in_order = sorted(map(float, values))
    return in_order[max(1, math.ceil(percent * len(in_order) / 100)) - 1]


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_percentiles_of_100_000_latencies_are_within_one_percent(name: str) -> None:
    values = DISTRIBUTIONS[name](np.random.default_rng(7), MANY)
    digest = digest_of(values)

    for percent in PERCENTS:
        exact = float(np.percentile(values, percent, method="inverted_cdf"))
        assert exact == nearest_rank(values, percent)
        assert digest.percentile(percent) == pytest.approx(exact, rel=0.01)
    assert digest.count == MANY
    assert digest.sum_s == pytest.approx(float(values.sum()))


@pytest.mark.parametrize("name", ["lognormal", "exponential", "uniform", "pareto", "tiny", "huge"])
def test_interpolated_percentiles_agree_where_values_lie_close(name: str) -> None:
    values = DISTRIBUTIONS[name](np.random.default_rng(8), MANY)
    digest = digest_of(values)

    for percent in PERCENTS:
        exact = float(np.percentile(values, percent))
        assert digest.percentile(percent) == pytest.approx(exact, rel=0.01)


@given(durations, st.integers(1, 100))
def test_few_latencies_have_percentiles_too(values: list[float], percent: int) -> None:
    told = digest_of(values).percentile(percent)

    assert told == pytest.approx(nearest_rank(values, percent), rel=0.005001)
    assert told is not None
    assert min(values) <= told <= max(values)


@settings(max_examples=40)
@given(durations, durations)
def test_digests_add_up_to_the_digest_of_all(some: list[float], others: list[float]) -> None:
    merged = digest_of(some)
    merged.merge(digest_of(others))
    whole = digest_of(some + others)

    assert merged.count == whole.count
    assert merged.sum_s == pytest.approx(whole.sum_s)
    assert [merged.percentile(p) for p in (1, *PERCENTS, 100)] == [
        whole.percentile(p) for p in (1, *PERCENTS, 100)
    ]


@given(durations)
def test_json_carries_a_digest(values: list[float]) -> None:
    digest = digest_of(values)

    copy = Digest.from_dict(json.loads(json.dumps(digest.to_dict())))
    copy.add(1.0)
    digest.add(1.0)

    assert copy.to_dict() == digest.to_dict()
    assert copy.percentile(95) == digest.percentile(95)


def test_an_empty_digest_knows_nothing() -> None:
    empty = Digest.from_dict(json.loads(json.dumps(Digest().to_dict())))
    merged = digest_of([2.0])
    merged.merge(empty)

    assert empty.percentile(50) is None
    assert merged.percentile(50) == 2.0


def test_what_no_clock_should_say_does_no_harm() -> None:
    digest = digest_of([math.nan, -1.0, math.inf])

    assert (digest.min_s, digest.max_s) == (0.0, LONGEST_S)
    assert digest.percentile(50) == pytest.approx(0.0, abs=2e-9)
    assert digest.sum_s == LONGEST_S


def test_memory_is_bounded_by_the_range_of_a_clock() -> None:
    digest = digest_of(10 ** (exponent / 100) for exponent in range(-2000, 2000))

    assert len(digest._store.bins) < 4300


def test_a_digest_that_does_not_add_up_is_no_digest() -> None:
    facts = digest_of([1.0, 2.0]).to_dict()

    with pytest.raises(ValueError, match="add up"):
        Digest.from_dict({**facts, "count": 3})


@pytest.mark.slow
def test_the_percentiles_of_100_000_calls_are_within_one_percent() -> None:
    clock = {"now": 0.0}
    metrics = StoryMetrics(otel=False, clock=lambda: clock["now"])
    latencies = DISTRIBUTIONS["lognormal"](np.random.default_rng(9), MANY)
    for latency_s in latencies:
        run_id = uuid4()
        metrics.on_chat_model_start({}, [], run_id=run_id, metadata={"ls_model_name": "a/b"})
        clock["now"] += float(latency_s)
        metrics.on_llm_end(LLMResult(generations=[]), run_id=run_id)

    snapshot = metrics.snapshot()
    for row in (snapshot.overall, snapshot.models["a/b"]):
        told = (row.latency.p50_s, row.latency.p95_s, row.latency.p99_s)
        exact = np.percentile(latencies, PERCENTS, method="inverted_cdf")
        assert told == pytest.approx(tuple(exact), rel=0.01)
