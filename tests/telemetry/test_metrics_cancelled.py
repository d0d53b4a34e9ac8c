"""Calls that never end as calls should: they are counted, and leave nothing behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from langchain_core.runnables import RunnableLambda

from langchain_tale import StoryMetrics, create_story_chain
from langchain_tale.resilience.chat_models import resilient
from langchain_tale.telemetry import open_runs
from tests.conftest import chat_model
from tests.telemetry.waiting import Waiting

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

    from langchain_tale.sandbox import Sandbox
    from tests.conftest import FakeTime


@pytest.fixture
def metrics() -> StoryMetrics:
    return StoryMetrics(otel=False)


@pytest.fixture
def config(metrics: StoryMetrics) -> RunnableConfig:
    return {"callbacks": [metrics]}


def ends(metrics: StoryMetrics) -> tuple[int, int, int]:
    overall = metrics.snapshot().overall
    return (overall.answered, overall.failed, overall.cancelled)


def test_a_stream_that_is_left_counts_as_cancelled(
    sandbox: Sandbox, fake_time: FakeTime, metrics: StoryMetrics, config: RunnableConfig
) -> None:
    bare = chat_model(sandbox)
    for model in (bare, resilient([bare], timing=fake_time.timing())):
        stream: Any = model.stream("x", config)
        next(chunk for chunk in stream if chunk.text)
        stream.close()

    overall = metrics.snapshot().overall
    assert ends(metrics) == (0, 0, 2)
    assert (overall.success_rate, overall.errors) == (None, {})
    assert (overall.first_token.count, overall.latency.count) == (2, 0)
    assert len(metrics._open) == 0


async def test_an_async_stream_that_is_left_counts_as_cancelled(
    sandbox: Sandbox, fake_time: FakeTime, metrics: StoryMetrics, config: RunnableConfig
) -> None:
    model = resilient([chat_model(sandbox)], timing=fake_time.timing())
    stream: Any = model.astream("x", config)
    async for chunk in stream:
        if chunk.text:
            break
    await stream.aclose()

    assert ends(metrics) == (0, 0, 1)
    assert len(metrics._open) == 0


def test_a_stream_that_is_left_after_its_last_chunk_has_told_what_it_cost(
    sandbox: Sandbox, metrics: StoryMetrics, config: RunnableConfig
) -> None:
    stream: Any = chat_model(sandbox).stream("x", config)
    next(chunk for chunk in stream if chunk.usage_metadata)
    stream.close()

    overall = metrics.snapshot().overall
    assert ends(metrics) == (0, 0, 1)
    assert overall.cost_usd > 0
    assert overall.output_tokens > 0


async def test_a_chain_that_is_cancelled_takes_its_calls_with_it(
    metrics: StoryMetrics, config: RunnableConfig
) -> None:
    """LangChain tells of the chain's end, and not of the call's."""
    model = Waiting()
    chains: list[Any] = [create_story_chain(model), RunnableLambda(lambda text: text) | model]
    tasks = [asyncio.create_task(chain.ainvoke("a fox", config)) for chain in chains]
    for _ in tasks:
        await model.asked.get()
    assert len(metrics._open) == 2
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert ends(metrics) == (0, 0, 2)
    assert len(metrics._open) == 0


async def test_a_bare_call_that_is_cancelled_is_forgotten_in_time(
    metrics: StoryMetrics, config: RunnableConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LangChain tells nobody of it."""
    monkeypatch.setattr(open_runs, "MOST_OPEN", 1)
    model = Waiting()
    for _ in range(2):
        task = asyncio.create_task(model.ainvoke("x", config))
        await model.asked.get()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    model.release.set()
    await model.ainvoke("x", config)

    assert ends(metrics) == (1, 0, 2)
    assert len(metrics._open) == 0


def test_runs_that_never_end_do_not_fill_the_memory(
    metrics: StoryMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_runs, "MOST_OPEN", 100)
    for _ in range(5000):
        metrics.on_chat_model_start({}, [], run_id=uuid4(), metadata={"ls_model_name": "a/b"})

    assert len(metrics._open) == 100
    assert metrics.snapshot().models["a/b"].cancelled == 4900
    assert metrics.snapshot().overall.latency.count == 0
