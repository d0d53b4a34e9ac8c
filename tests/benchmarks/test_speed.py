from __future__ import annotations

import subprocess
import sys

from tests.benchmarks.canned_server import ROOT, canned_server
from tests.benchmarks.speed import Line, table
from tests.benchmarks.speed_peers import OURS, YARDSTICK, ours
from tests.benchmarks.speed_tasks import CHUNKS, TASKS


def test_a_ratio_is_that_of_the_same_round() -> None:
    figures = {OURS: [1.0, 4.0, 1.0], YARDSTICK: [2.0, 4.0, 10.0]}
    line = Line("a call", 0.5, "ms", figures, {OURS: 64})

    assert table([line], [OURS, YARDSTICK, "other"]).splitlines()[2] == (
        "| a call | 1e+03 ms (0.50 ×, 64 conn.) | 4e+03 ms (1.00 ×) | fails | ≤ 0.50 × |"
    )


def test_the_server_answers_whole_and_in_chunks_and_counts_connections() -> None:
    with canned_server() as server:
        model = ours(server.base_url("here", chunks=CHUNKS))

        assert model.invoke("x").text == " fox" * 100
        assert "".join(chunk.text for chunk in model.stream("x")) == " fox" * CHUNKS
        assert server.connections("here") == 1
        assert server.connections("elsewhere") == 0


def test_every_task_and_peer_has_a_figure() -> None:
    """In a process of its own: some peers leave their connections open."""
    command = [sys.executable, "-m", "tests.benchmarks.speed", "--rounds", "1", "--times", "2"]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)  # noqa: S603 (ourselves)

    head, _, *lines = ran.stdout.splitlines()
    assert head == (
        "|  | langchain_tale | +policy | +policy+metrics+logs | ChatOpenAI | langchain-openrouter "
        "| wanted |"
    )
    assert len(lines) == len(TASKS) + 1
    assert "fails" not in ran.stdout
