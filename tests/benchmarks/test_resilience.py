from __future__ import annotations

from collections import Counter
from http.client import HTTPConnection, RemoteDisconnected
from itertools import islice
from json import dumps, loads
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.fault_server import FaultServer, Request
from tests.benchmarks.policies import OURS
from tests.benchmarks.resilience import Cell, early_returns, run
from tests.benchmarks.scenarios import (
    FAULTS,
    MODELS,
    PRIMARY,
    SCENARIOS,
    Asked,
    faults_of,
    prompt_of,
    story,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def requests_of_a_walk(scenario: str) -> Iterator[str]:
    """Whom calls ask that go from model to model without waiting, until they are served."""
    reply = SCENARIOS[scenario].reply
    for call in range(1, SCENARIOS[scenario].calls + 1):
        for number, model in enumerate(MODELS * 3, start=1):
            yield model
            asked = Asked(call, model, nth_of_call=number)
            if reply(asked) == whole(asked) or (scenario == "all dead" and number == len(MODELS)):
                break


# ── the drill itself ────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("scenario", "requests", "to_primary"),
    [("mixed", 284, None), ("dead primary", 400, 200), ("rate limit", 400, 200)],
)
def test_a_walk_without_waiting_needs_as_many_requests_as_it_did_for_the_peers(
    scenario: str, requests: int, to_primary: int | None
) -> None:
    asked = Counter(requests_of_a_walk(scenario))

    assert asked.total() == requests
    assert to_primary in (asked[PRIMARY], None)


def test_a_walk_through_dead_models_needs_three_requests_a_call() -> None:
    assert Counter(requests_of_a_walk("all dead")) == dict.fromkeys(MODELS, 20)


def test_three_of_ten_requests_fail_in_every_way() -> None:
    kinds = Counter(kind for call in range(1, 1001) for kind in islice(faults_of(call), 3))

    assert set(kinds) == {None, *FAULTS}
    assert 1 - kinds[None] / kinds.total() == pytest.approx(0.3, abs=0.02)


def test_who_waits_as_long_as_asked_is_served() -> None:
    reply = SCENARIOS["rate limit"].reply
    early, late = (Asked(1, PRIMARY, at_s=at_s, refused_at_s=10.0) for at_s in (11.9, 12.0))

    assert (reply(early).status, reply(early).retry_after_s) == (429, 2)
    assert reply(late) == whole(late)


def test_the_server_does_as_the_scenario_says_and_keeps_count() -> None:
    def post(model: str, prefix: str = "") -> tuple[int, str]:
        connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
        messages = [{"role": "user", "content": prompt_of(7, 1.5)}]
        body = dumps({"model": model, "messages": messages})
        try:
            connection.request("POST", f"{prefix}/api/v1/chat/completions", body)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    with FaultServer("dead primary") as server:
        with pytest.raises((ConnectionResetError, RemoteDisconnected)):
            post(PRIMARY)
        assert post(PRIMARY)[0] == 502
        status, content = post(MODELS[1])
        assert post(PRIMARY, "/warm")[0] == 200
        log = server.requests()

    assert status == 200
    assert loads(content)["choices"][0]["message"]["content"] == story(7)
    assert [(one.call, one.model, one.begun_s, one.status) for one in log] == [
        (7, PRIMARY, 1.5, 0),
        (7, PRIMARY, 1.5, 502),
        (7, MODELS[1], 1.5, 200),
    ]
    assert all(one.came_s < one.left_s for one in log)


@pytest.mark.parametrize(
    ("call", "begun_s", "came_s", "model", "count"),
    [
        pytest.param(1, 0.0, 11.9, PRIMARY, 1, id="the same call, too soon"),
        pytest.param(1, 0.0, 12.1, PRIMARY, 0, id="the same call, after it"),
        pytest.param(1, 0.0, 10.1, MODELS[1], 0, id="another model"),
        pytest.param(2, 10.1, 10.2, PRIMARY, 1, id="a call that began when it was known"),
        pytest.param(2, 9.9, 10.2, PRIMARY, 0, id="a call that was under way"),
    ],
)
def test_an_early_return_comes_before_the_retry_after_is_over(
    call: int, begun_s: float, came_s: float, model: str, count: int
) -> None:
    told = Request(1, PRIMARY, 0.0, 9.98, 10.0, 429, 2)
    return_ = Request(call, model, begun_s, came_s, came_s + 0.02, 200, None)

    assert early_returns([told, return_]) == count


# ── ours in it ──────────────────────────────────────────────────────────────


def our_run(scenario: str, at_once: int = 20) -> Cell:
    cell = run(OURS, scenario, at_once)
    assert (cell.wrong, cell.unfinished) == (0, 0)
    return cell


@pytest.mark.slow
def test_mixed_faults_cost_no_story_and_one_request_each() -> None:
    cell = our_run("mixed")

    assert cell.served == 200
    assert cell.requests <= 284


@pytest.mark.slow
def test_a_dead_primary_is_asked_by_the_calls_under_way_and_then_left_alone() -> None:
    cell = our_run("dead primary")

    assert cell.served == 200
    assert cell.to_primary <= 25


@pytest.mark.slow
def test_nobody_returns_to_a_rate_limited_model_early() -> None:
    cell = our_run("rate limit")

    assert cell.served == 200
    assert cell.early_returns == 0
    assert cell.requests <= 230


@pytest.mark.slow
def test_calls_to_dead_models_end_after_three_requests() -> None:
    cell = our_run("all dead")

    assert cell.served == 0
    assert cell.requests <= 3 * cell.calls
