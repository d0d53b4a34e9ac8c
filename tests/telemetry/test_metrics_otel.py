"""OpenTelemetry's own reader sees what its conventions promise."""

from __future__ import annotations

import asyncio
import builtins
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.runnables import RunnableLambda
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader

from langchain_tale import ConfigurationError, RetryPolicy, StoryMetrics
from langchain_tale.resilience.chat_models import resilient
from langchain_tale.sandbox import Fault, Sandbox
from tests.conftest import chat_model
from tests.telemetry.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import FakeTime

MINI, HAIKU = "openai/gpt-4o-mini", "anthropic/claude-3-haiku"
DURATION = "gen_ai.client.operation.duration"
TOKENS = "gen_ai.client.token.usage"
FIRST_CHUNK = "gen_ai.client.operation.time_to_first_chunk"


class Seen:
    """Metrics, and what OpenTelemetry was told of them."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self.metrics = StoryMetrics(meter_provider=MeterProvider([self._reader]))

    def instruments(self) -> dict[str, Any]:
        data = self._reader.get_metrics_data()
        scopes = [] if data is None else data.resource_metrics[0].scope_metrics
        return {metric.name: metric for scope in scopes for metric in scope.metrics}

    def points(self, name: str) -> list[HistogramDataPoint]:
        return list(self.instruments()[name].data.data_points)

    def attributes(self, name: str) -> list[dict[str, Any]]:
        return [dict(point.attributes or {}) for point in self.points(name)]


@pytest.fixture
def seen() -> Seen:
    return Seen()


def test_an_operation_has_its_names_units_and_buckets(sandbox: Sandbox, seen: Seen) -> None:
    list(chat_model(sandbox).stream("x", {"callbacks": [seen.metrics]}))

    instruments = seen.instruments()
    assert {name: metric.unit for name, metric in instruments.items()} == {
        DURATION: "s",
        FIRST_CHUNK: "s",
        TOKENS: "{token}",
    }
    seconds = (
        0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
    )  # fmt: skip
    tokens = (
        1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864,
    )  # fmt: skip
    assert [tuple(seen.points(name)[0].explicit_bounds) for name in (DURATION, FIRST_CHUNK)] == [
        pytest.approx(seconds)
    ] * 2
    assert tuple(seen.points(TOKENS)[0].explicit_bounds) == tokens


def test_an_answer_is_recorded_with_its_tokens(sandbox: Sandbox, seen: Seen) -> None:
    answer = chat_model(sandbox).invoke("x", {"callbacks": [seen.metrics]})

    common = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openrouter",
        "gen_ai.request.model": MINI,
        "gen_ai.response.model": MINI,
    }
    assert seen.attributes(DURATION) == [common]
    assert FIRST_CHUNK not in seen.instruments()
    sums = {
        (point.attributes or {})["gen_ai.token.type"]: point.sum for point in seen.points(TOKENS)
    }
    usage = answer.usage_metadata
    assert usage is not None
    assert sums == {"input": usage["input_tokens"], "output": usage["output_tokens"]}
    for attributes in seen.attributes(TOKENS):
        assert attributes.items() >= common.items()


def test_each_attempt_is_an_operation(
    faulty: Callable[..., Sandbox], fake_time: FakeTime, seen: Seen
) -> None:
    sandbox = faulty({MINI: [Fault(status=503), Fault(status=503)]})
    first = chat_model(sandbox)
    model = resilient(
        [first, first.for_model(HAIKU)],
        retry=RetryPolicy(max_retries=3),
        timing=fake_time.timing(),
        breaker=None,
    )

    list(model.stream("x", {"callbacks": [seen.metrics]}))

    ended = {
        (attributes["gen_ai.request.model"], attributes.get("error.type"))
        for attributes in seen.attributes(DURATION)
    }
    assert ended == {(MINI, "UnavailableError"), (HAIKU, None)}
    assert sum(point.count for point in seen.points(DURATION)) == 2
    (of_stream,) = seen.attributes(FIRST_CHUNK)
    assert of_stream["gen_ai.request.model"] == HAIKU


async def test_a_cancelled_operation_says_by_what(seen: Seen) -> None:
    model = Waiting()
    chain = RunnableLambda(lambda text: text) | model
    task = asyncio.create_task(chain.ainvoke("x", {"callbacks": [seen.metrics]}))
    await model.asked.get()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    (attributes,) = seen.attributes(DURATION)
    assert attributes["error.type"] == "CancelledError"


def test_other_vendors_go_by_the_names_of_the_conventions(seen: Seen) -> None:
    from uuid import uuid4

    from langchain_core.outputs import LLMResult

    for vendor in ("google_vertexai", "anthropic", None):
        run_id = uuid4()
        metadata = {"ls_provider": vendor, "ls_model_name": "m"}
        seen.metrics.on_chat_model_start({}, [], run_id=run_id, metadata=metadata)
        seen.metrics.on_llm_end(LLMResult(generations=[]), run_id=run_id)

    named = {attributes["gen_ai.provider.name"] for attributes in seen.attributes(DURATION)}
    assert named == {"gcp.vertex_ai", "anthropic", "unknown"}


def test_without_an_sdk_nothing_happens_and_nothing_breaks(sandbox: Sandbox) -> None:
    metrics = StoryMetrics(otel=True)

    chat_model(sandbox).invoke("x", {"callbacks": [metrics]})
    twin = pickle.loads(pickle.dumps(metrics))  # noqa: S301 (our own)

    assert twin.snapshot().overall.calls == 1


def test_an_sdk_may_be_set_up_later() -> None:
    code = """
from uuid import uuid4
from langchain_core.outputs import LLMResult
from opentelemetry.metrics import set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from langchain_tale import StoryMetrics

metrics, reader = StoryMetrics(), InMemoryMetricReader()

def call():
    run_id = uuid4()
    metrics.on_chat_model_start({}, [], run_id=run_id, metadata={"ls_model_name": "a/b"})
    metrics.on_llm_end(LLMResult(generations=[]), run_id=run_id)

call()
set_meter_provider(MeterProvider([reader]))
call()
[scope] = reader.get_metrics_data().resource_metrics[0].scope_metrics
print([point.count for metric in scope.metrics for point in metric.data.data_points])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 (ourselves)

    assert done.stdout == "[1]\n"


def test_without_the_extra_it_counts_all_the_same(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without_otel(name: str, *args: Any) -> Any:
        if name.startswith("opentelemetry"):
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", without_otel)

    metrics = StoryMetrics()
    chat_model(sandbox).invoke("x", {"callbacks": [metrics]})
    assert metrics.snapshot().overall.calls == 1
    with pytest.raises(ConfigurationError, match=r"pip install 'langchain-tale\[otel\]'"):
        StoryMetrics(otel=True)
