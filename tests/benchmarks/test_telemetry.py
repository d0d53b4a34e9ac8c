from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.benchmarks.telemetry import WAYS, WITHOUT, Cost, everything, measure, table
from tests.conftest import chat_model

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_tale.sandbox import Sandbox


def test_a_way_is_compared_with_none() -> None:
    costs = {
        WITHOUT: Cost(blocks_s=[1.0, 1.0, 2.0], calls=1000),
        "metrics": Cost(blocks_s=[1.1, 1.0, 2.5], calls=1000),
    }

    assert table(costs).splitlines()[2:] == [
        "| without | 1000 | 4.000 |  |",
        "| metrics | 1000 | 4.600 | +15.0% ± 15.6% (+10.0%) |",
    ]


def test_a_share_that_is_the_same_in_each_round_has_no_margin() -> None:
    costs = Cost([1.1, 2.2, 3.3], calls=30), Cost([1.0, 2.0, 3.0], calls=30)

    assert costs[0].more_than(costs[1]) == pytest.approx((0.1, 0.0, 0.1))


def test_everything_leaves_a_trace_of_every_call(sandbox: Sandbox, tmp_path: Path) -> None:
    model = chat_model(sandbox).with_retry()

    with everything(tmp_path) as config:
        for _ in range(3):
            model.invoke("x", config)
    model.invoke("x")

    callbacks: Any = config["callbacks"]
    (metrics,) = callbacks
    assert metrics.snapshot().overall.calls == 3
    for name in ("log.jsonl", "audit.jsonl"):
        assert len((tmp_path / name).read_text(encoding="utf-8").splitlines()) == 3


@pytest.mark.slow
def test_every_way_makes_its_calls() -> None:
    costs = measure(list(WAYS), calls=10, block=5)

    assert list(costs) == ["without", "metrics", "logs", "audit", "budget", "everything"]
    for cost in costs.values():
        assert cost.calls == 10
        assert len(cost.blocks_s) == 2
        assert min(cost.blocks_s) > 0
