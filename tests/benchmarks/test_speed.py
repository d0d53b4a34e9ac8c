from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.canned_server import CannedServer, canned_server
from tests.benchmarks.speed import Line, measured, memory, table
from tests.benchmarks.speed_peers import OURS, PEERS, YARDSTICK
from tests.benchmarks.speed_tasks import CHUNKS, TASKS

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def server() -> Iterator[CannedServer]:
    with canned_server() as running:
        yield running


def test_a_ratio_is_that_of_the_same_round() -> None:
    figures = {OURS: [1.0, 4.0, 1.0], YARDSTICK: [2.0, 4.0, 10.0]}
    line = Line("a call", 0.5, "ms", figures, {OURS: 64})

    assert table([line], [OURS, YARDSTICK, "other"]).splitlines()[2] == (
        "| a call | 1e+03 ms (0.50 ×, 64 conn.) | 4e+03 ms (1.00 ×) | fails | ≤ 0.50 × |"
    )


@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_done(name: str, server: CannedServer) -> None:
    line = measured(TASKS[name], server, [OURS, YARDSTICK], rounds=1, times=2)

    assert line.figures.keys() == {OURS, YARDSTICK}
    assert all(len(figures) == 1 and figures[0] > 0 for figures in line.figures.values())


def test_every_peer_answers_whole_and_in_chunks(server: CannedServer) -> None:
    for name, make in PEERS.items():
        model = make(server.base_url(f"peer-{name}", chunks=CHUNKS))
        assert model.invoke("x").text == " fox" * 100
        assert "".join(chunk.text for chunk in model.stream("x")) == " fox" * CHUNKS
        assert server.connections(f"peer-{name}") >= 1


@pytest.mark.slow
def test_memory_is_measured_in_processes_of_their_own(server: CannedServer) -> None:
    line = memory(server, [OURS, YARDSTICK], rounds=1, times=2)

    assert all(figures[0] > 10_000 for figures in line.figures.values())
