"""Metrics as a pandas DataFrame."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.errors import ConfigurationError
from langchain_tale.telemetry.records import CallMetrics, Durations

if TYPE_CHECKING:
    from pandas import DataFrame

    from langchain_tale.telemetry.records import MetricsSnapshot

ALL_MODELS: Final = "all models"
_RATES: Final = ("success_rate", "retries_per_call", "tokens_per_s")


def to_frame(snapshot: MetricsSnapshot) -> DataFrame:
    """A row for each model, by its name, and a last one for all of them.

    Durations are spread over columns such as `latency_p95_s` and `first_token_count`.

    Raises:
        ConfigurationError: pandas is not installed.
    """
    try:
        from pandas import DataFrame, Index  # noqa: PLC0415 (an extra)
    except ImportError:
        msg = "to_frame needs an extra: pip install 'langchain-tale[notebook]'."
        raise ConfigurationError(msg) from None
    rows = {**snapshot.models, ALL_MODELS: snapshot.overall}
    index = Index(list(rows), name="model")
    return DataFrame([_columns(metrics) for metrics in rows.values()], index=index)


def _columns(metrics: CallMetrics) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for each in fields(metrics):
        value = getattr(metrics, each.name)
        if isinstance(value, Durations):
            columns |= {f"{each.name}_{name}": fact for name, fact in _spread(value).items()}
        else:
            columns[each.name] = value
    return columns | {name: getattr(metrics, name) for name in _RATES}


def _spread(durations: Durations) -> dict[str, Any]:
    named = {each.name: getattr(durations, each.name) for each in fields(durations)}
    return {**named, "mean_s": durations.mean_s}
