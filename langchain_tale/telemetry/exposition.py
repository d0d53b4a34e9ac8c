"""Metrics in Prometheus's text exposition format, version 0.0.4; pure.

What concerns whole calls has no label for the model, since a call may ask several; what
concerns attempts has one. Percentiles are of all time so far.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from langchain_tale.telemetry.records import CallMetrics, Durations, MetricsSnapshot

_PREFIX: Final = "langchain_tale_"
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


@dataclass(slots=True)
class _Family:
    """One metric with all its labels.

    Attributes:
        name: Without the prefix; of a counter without `_total`.
        kind: Its type.
        help: What it is, in words without line breaks.
        samples: Its lines.
    """

    name: str
    kind: Literal["counter", "summary"]
    help: str
    samples: list[str] = field(default_factory=list)

    def count(self, value: float, **labels: str) -> None:
        """Add a sample of a counter."""
        self._add("_total", value, labels)

    def durations(self, durations: Durations, **labels: str) -> None:
        """Add the samples of a summary in seconds."""
        percentiles = {"0.5": durations.p50_s, "0.95": durations.p95_s, "0.99": durations.p99_s}
        for quantile, seconds in percentiles.items():
            if seconds is not None:
                self._add("", seconds, {**labels, "quantile": quantile})
        self._add("_sum", durations.sum_s, labels)
        self._add("_count", durations.count, labels)

    def lines(self) -> Iterator[str]:
        """Its lines, if there are samples."""
        if self.samples:
            name = _PREFIX + self.name + ("_total" if self.kind == "counter" else "")
            yield f"# HELP {name} {self.help}"
            yield f"# TYPE {name} {self.kind}"
            yield from self.samples

    def _add(self, suffix: str, value: float, labels: Mapping[str, str]) -> None:
        pairs = ",".join(f'{key}="{text.translate(_ESCAPES)}"' for key, text in labels.items())
        inside = f"{{{pairs}}}" if pairs else ""
        self.samples.append(f"{_PREFIX}{self.name}{suffix}{inside} {value!r}")


def to_prometheus(snapshot: MetricsSnapshot) -> str:
    """The text that a scrape is answered with; it ends with a line break.

    Counters are `langchain_tale_…_total`, durations are summaries in seconds with the
    quantiles 0.5, 0.95 and 0.99.
    """
    families = [*_of_calls(snapshot.overall), *_of_models(snapshot.models)]
    lines = [line for family in families for line in family.lines()]
    return "".join(f"{line}\n" for line in lines)


def _of_calls(overall: CallMetrics) -> Iterator[_Family]:
    calls = _Family("calls", "counter", "Calls that have ended, by what they came to.")
    for outcome in ("answered", "failed", "cancelled"):
        calls.count(getattr(overall, outcome), outcome=outcome)
    yield calls
    yield _counted("cached_calls", "Calls answered by LangChain's cache.", overall.cached)
    yield _counted(
        "fallback_calls",
        "Calls that another model answered than was asked first.",
        overall.fallbacks,
    )
    latency = _Family("call_latency_seconds", "summary", "Duration of calls that were answered.")
    latency.durations(overall.latency)
    yield latency
    first = _Family("call_first_token_seconds", "summary", "From a call to its first content.")
    first.durations(overall.first_token)
    yield first
    errors = _Family("errors", "counter", "Failed attempts, and calls refused before one.")
    for error, n in overall.errors.items():
        errors.count(n, error=error)
    yield errors


def _of_models(models: Mapping[str, CallMetrics]) -> Iterator[_Family]:
    attempts = _Family("attempts", "counter", "Requests sent to a model.")
    failures = _Family("attempt_errors", "counter", "Attempts that failed, by class of error.")
    retries = _Family("retries", "counter", "Attempts at a model beyond the first of a call.")
    tokens = _Family("tokens", "counter", "Tokens read and written by a model.")
    cost = _Family("cost_usd", "counter", "What the server charged, failed attempts included.")
    latency = _Family("attempt_latency_seconds", "summary", "Duration of attempts that answered.")
    first = _Family("first_token_seconds", "summary", "From an attempt to its first content.")
    for model, metrics in models.items():
        attempts.count(metrics.attempts, model=model)
        for error, n in metrics.errors.items():
            failures.count(n, model=model, error=error)
        retries.count(metrics.retries, model=model)
        tokens.count(metrics.input_tokens, model=model, type="input")
        tokens.count(metrics.output_tokens, model=model, type="output")
        cost.count(metrics.cost_usd, model=model)
        latency.durations(metrics.latency, model=model)
        first.durations(metrics.first_token, model=model)
    yield from (attempts, failures, retries, tokens, cost, latency, first)


def _counted(name: str, what: str, value: float) -> _Family:
    family = _Family(name, "counter", what)
    family.count(value)
    return family
