from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from langchain_tale import RetryPolicy
from langchain_tale.bulk.cluster.simulation import COLUMNS, Scenario, main, simulate, table

SURE = {"failure_rate": 0.0, "cpu_s": 0.0}
STEADY = {**SURE, "median_s": 2.0, "p95_s": 2.0}
"""No chance in it: all answers take two seconds."""


def test_without_a_limit_it_takes_as_long_as_its_rounds() -> None:
    outcome = simulate(Scenario(**STEADY, stories=100, workers=2, concurrency=5))

    assert outcome.takes_s == pytest.approx(20)  # 100 stories, 10 at once, 2 s each
    assert (outcome.told, outcome.failed, outcome.requests) == (100, 0, 100)
    assert outcome.used is None


def test_under_a_limit_it_takes_as_long_as_its_turns() -> None:
    outcome = simulate(Scenario(**STEADY, stories=100, workers=10, requests_per_minute=60))

    assert outcome.takes_s == pytest.approx(99 + 2)
    assert outcome.used == pytest.approx(100 / 101)


def test_a_worker_that_computes_is_no_faster_than_its_cpu() -> None:
    outcome = simulate(Scenario(**STEADY | {"cpu_s": 1.0}, stories=100, workers=2, concurrency=50))

    assert outcome.takes_s == pytest.approx(50 + 2)


def test_the_end_of_each_batch_is_waited_for() -> None:
    scenario = Scenario(**SURE, stories=1_000, workers=1, concurrency=20)

    small, great = (
        simulate(scenario.model_copy(update={"batch": size})).takes_s for size in (20, 1_000)
    )

    assert small > 1.5 * great


def test_a_batch_leaves_some_for_every_worker() -> None:
    assert Scenario(stories=10, workers=4, batch=5_000).share == 3


def test_what_fails_is_asked_for_again_and_in_the_end_has_failed() -> None:
    scenario = Scenario(**STEADY | {"failure_rate": 1.0}, stories=3, workers=1)
    retry = RetryPolicy(max_retries=2, retry_delay=1.0, jitter=0.0)

    outcome = simulate(scenario.model_copy(update={"retry": retry}))

    assert (outcome.told, outcome.failed, outcome.requests) == (0, 3, 9)
    assert outcome.takes_s == pytest.approx(3 * 2 + 1 + 2)  # three tries, and two waits
    assert outcome.cost_usd == 0


def test_a_seed_makes_the_same_run_and_another_one_another() -> None:
    scenario = Scenario(stories=200)

    assert simulate(scenario, seed=1) == simulate(scenario, seed=1)
    assert simulate(scenario, seed=1) != simulate(scenario, seed=2)


def test_the_share_of_failures_and_the_latency_are_as_asked_for() -> None:
    outcome = simulate(Scenario(stories=20_000, failure_rate=0.1, median_s=1.0, p95_s=1.0))

    assert outcome.requests / 20_000 == pytest.approx(1 / 0.9, rel=0.02)
    assert outcome.under_way_s / outcome.requests == pytest.approx(1.0)


@given(
    st.builds(
        Scenario,
        stories=st.integers(1, 300),
        workers=st.integers(1, 5),
        concurrency=st.integers(1, 40),
        batch=st.integers(1, 100),
        requests_per_minute=st.none() | st.floats(10, 10_000),
        failure_rate=st.floats(0, 1),
    )
)
def test_every_story_ends_once_and_no_limit_is_passed(scenario: Scenario) -> None:
    outcome, stories = simulate(scenario), scenario.stories
    at_once, per_minute = scenario.workers * scenario.concurrency, scenario.requests_per_minute

    assert outcome.told + outcome.failed == stories
    assert stories <= outcome.requests <= stories * scenario.retry.max_attempts
    assert outcome.under_way_s <= outcome.takes_s * at_once * (1 + 1e-9)
    if per_minute is not None:
        assert outcome.takes_s >= (outcome.requests - 1) * 60 / per_minute * (1 - 1e-9)


def test_a_table_has_a_row_for_each_size() -> None:
    scenario = Scenario(**STEADY, workers=1, concurrency=1, cost_usd=0.5)
    runs = [scenario.model_copy(update={"stories": number}) for number in (1, 30)]
    lines = table(runs).splitlines()

    assert lines[0] == f"| {' | '.join(COLUMNS)} |"
    assert lines[2:] == [
        "| 1 | 2 s | 30 |  | 1 | 0 | 0.50 |",
        "| 30 | 1 min 00 s | 30 |  | 30 | 0 | 15.00 |",
    ]


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--stories", "10", "20", "--requests-per-minute", "60", "--failure-rate", "0"])

    assert [line.split(" | ")[0] for line in capsys.readouterr().out.splitlines()[2:]] == [
        "| 10",
        "| 20",
    ]


def test_a_wrong_number_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--workers", "0"])

    assert "Scenario.workers: Input should be greater than or equal to 1" in capsys.readouterr().err


def test_a_scenario_knows_no_other_words() -> None:
    with pytest.raises(ValidationError):
        Scenario.model_validate({"wokers": 2})
