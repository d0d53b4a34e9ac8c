"""Prometheus's text and pandas' frames."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from langchain_tale import ConfigurationError, StoryMetrics
from langchain_tale.telemetry.exposition import to_prometheus
from langchain_tale.telemetry.records import CallMetrics, Durations, MetricsSnapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

UGLY = 'a/"b"\\c\nd'
LATENCY = Durations(count=4, sum_s=10.0, min_s=1.0, p50_s=2.0, p95_s=4.0, p99_s=4.0, max_s=4.0)


def snapshot() -> MetricsSnapshot:
    record = CallMetrics(
        calls=7,
        answered=4,
        failed=2,
        cancelled=1,
        cached=3,
        attempts=9,
        retries=2,
        fallbacks=1,
        latency=LATENCY,
        first_token=LATENCY,
        input_tokens=100,
        output_tokens=1_000_000,
        cost_usd=1.5e-05,
        errors={"RateLimitError": 2},
        answered_by={UGLY: 4},
    )
    return MetricsSnapshot(overall=record, models={UGLY: record, "c/d": CallMetrics()})


def samples(text: str) -> Mapping[tuple[str, frozenset[tuple[str, str]]], float]:
    """What Prometheus's own parser reads."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_prometheus_reads_what_was_counted() -> None:
    read = samples(to_prometheus(snapshot()))

    def value(name: str, **labels: str) -> float:
        return read["langchain_tale_" + name, frozenset(labels.items())]

    assert value("calls_total", outcome="answered") == 4
    assert value("calls_total", outcome="failed") == 2
    assert value("calls_total", outcome="cancelled") == 1
    assert value("cached_calls_total") == 3
    assert value("fallback_calls_total") == 1
    assert value("call_latency_seconds", quantile="0.5") == 2.0
    assert value("call_latency_seconds", quantile="0.99") == 4.0
    assert value("call_latency_seconds_sum") == 10.0
    assert value("call_latency_seconds_count") == 4
    assert value("call_first_token_seconds", quantile="0.95") == 4.0
    assert value("errors_total", error="RateLimitError") == 2
    assert value("attempts_total", model=UGLY) == 9
    assert value("attempt_errors_total", model=UGLY, error="RateLimitError") == 2
    assert value("retries_total", model=UGLY) == 2
    assert value("tokens_total", model=UGLY, type="input") == 100
    assert value("tokens_total", model=UGLY, type="output") == 1e6
    assert value("cost_usd_total", model=UGLY) == 1.5e-05
    assert value("attempt_latency_seconds", model=UGLY, quantile="0.95") == 4.0
    assert value("first_token_seconds_count", model="c/d") == 0


def test_every_family_has_its_help_and_type_once() -> None:
    text = to_prometheus(snapshot())

    families = list(text_string_to_metric_families(text))
    lines = text.splitlines()
    assert text.endswith("\n")
    assert len(families) == sum(line.startswith("# TYPE ") for line in lines)
    assert len(families) == len({family.name for family in families})
    for family in families:
        assert family.documentation.endswith(".")
        assert family.type in {"counter", "summary"}
        names = {sample.name for sample in family.samples}
        if family.type == "counter":
            assert names == {family.name + "_total"}
        else:
            assert family.name.endswith("_seconds")
            assert names <= {family.name, family.name + "_sum", family.name + "_count"}


def test_before_any_call_there_is_something_to_scrape() -> None:
    read = samples(StoryMetrics(otel=False).to_prometheus())

    assert read["langchain_tale_calls_total", frozenset({("outcome", "answered")})] == 0
    assert not any("quantile" in dict(labels) for _, labels in read)


def test_a_frame_has_a_row_for_each_model_and_one_for_all() -> None:
    metrics = StoryMetrics(otel=False)
    from langchain_tale.telemetry.frames import to_frame

    frame = to_frame(snapshot())

    assert list(frame.index) == [UGLY, "c/d", "all models"]
    assert frame.index.name == "model"
    row = frame.loc[UGLY]
    assert (row.calls, row.latency_p95_s, row.first_token_count) == (7, 4.0, 4)
    assert (row.latency_mean_s, row.cost_usd) == (2.5, 1.5e-05)
    assert row.success_rate == pytest.approx(4 / 6)
    assert row.errors == {"RateLimitError": 2}
    assert frame.latency_p50_s.dtype == "float64"
    assert list(metrics.to_frame().index) == ["all models"]


def test_without_pandas_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_pandas(name: str, *args: Any) -> Any:
        if name.startswith("pandas"):
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", without_pandas)

    with pytest.raises(ConfigurationError, match=r"pip install 'langchain-tale\[notebook\]'"):
        StoryMetrics(otel=False).to_frame()
