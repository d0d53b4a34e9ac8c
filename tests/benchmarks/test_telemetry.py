from __future__ import annotations

import pytest

from tests.benchmarks.telemetry import EVERYTHING, WAYS, WITHOUT, Cost, is_there, measure, table


def test_a_way_is_compared_with_none() -> None:
    costs = {
        WITHOUT: Cost(blocks_s=[1.0, 1.0, 2.0], calls=1000),
        "metrics": Cost(blocks_s=[1.1, 1.0, 2.5], calls=1000),
    }

    assert table(costs).splitlines()[2:] == [
        "| without | 1000 | 4.000 |  |",
        "| metrics | 1000 | 4.600 | +15.0% (+10.0%) |",
    ]


@pytest.mark.slow
def test_every_way_makes_its_calls() -> None:
    ways = [way for way in WAYS if is_there(way)]

    costs = measure(ways, calls=10, block=5)

    assert {WITHOUT, "metrics", "budget", EVERYTHING} <= costs.keys()
    for cost in costs.values():
        assert cost.calls == 10
        assert len(cost.blocks_s) == 2
        assert min(cost.blocks_s) > 0
