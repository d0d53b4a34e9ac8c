from __future__ import annotations

import pytest

from langchain_tale.bulk.cluster.simulation import Scenario, simulate
from tests.benchmarks.cluster import COLUMNS, SCENARIOS, SlowEngine, row


def test_a_row_says_how_far_the_simulation_is_off() -> None:
    scenario = Scenario(
        stories=10, workers=1, concurrency=1, median_s=1, p95_s=1, failure_rate=0, cpu_s=0
    )

    said = row("by the answers", (8.0, 11), [simulate(scenario)] * 3)

    assert said == "| by the answers | 8.0 | 10.0 (10.0–10.0) | +25% | 11 | 10 |"
    assert said.count("|") == len(COLUMNS) + 1


async def test_the_engine_knows_when_it_was_asked_and_when_it_answered() -> None:
    engine = SlowEngine(Scenario(median_s=0.001, p95_s=0.002))

    for _ in range(2):
        request = {"messages": [{"role": "user", "content": "Hi"}], "model": "a/b"}
        assert [item async for item in engine.generate(request)]

    assert 0 < engine.first_at < engine.last_at


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_is_measured_is_small(name: str) -> None:
    assert simulate(SCENARIOS[name]).takes_s < 120
