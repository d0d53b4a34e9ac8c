"""The arithmetic of the loop, without any model."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_tale import errors
from langchain_tale.errors import AllModelsFailedError
from langchain_tale.resilience.attempts import Contender, Walk
from langchain_tale.resilience.breaker import Circuits
from langchain_tale.resilience.lateness import aask_until_found, ask_until_found
from langchain_tale.resilience.policy import BreakerPolicy, RetryPolicy
from tests.conftest import FakeTime

Failures = list[Exception | None]


def walk_through(
    names: list[str], policy: RetryPolicy, answers: dict[str, Failures], time: FakeTime
) -> Walk:
    """Walk with models that answer as listed, and well after that."""
    walk = Walk(names, policy, time.timing())
    left = {name: iter(answers.get(name, [])) for name in names}

    def ask() -> str:
        turn = walk.begin()
        name = names[turn.model_index]
        if (error := next(left[name], None)) is not None:
            raise error
        walk.succeeded()
        return name

    try:
        walk.persist(ask)
    except Exception as error:
        raise walk.outcome(error) from error
    return walk


def down(times: int, **facts: float) -> Failures:
    return [errors.UnavailableError("down", **facts) for _ in range(times)]  # type: ignore[arg-type]


def asked(walk: Walk) -> list[str]:
    return [attempt.model for attempt in walk.log]


def test_one_model_is_waited_for_in_doubling_steps(fake_time: FakeTime) -> None:
    walk = walk_through(["a"], RetryPolicy(max_retries=4), {"a": down(4)}, fake_time)

    assert asked(walk) == ["a"] * 5
    assert fake_time.slept == [1, 2, 4, 8]
    assert [attempt.waited_s for attempt in walk.log] == [0, 1, 2, 4, 8]


def test_an_untried_model_is_asked_at_once(fake_time: FakeTime) -> None:
    walk = walk_through(["a", "b", "c"], RetryPolicy(), {"a": down(1), "b": down(1)}, fake_time)

    assert asked(walk) == ["a", "b", "c"]
    assert sum(fake_time.slept) == 0


def test_after_all_failed_the_first_is_waited_for(fake_time: FakeTime) -> None:
    walk = walk_through(["a", "b"], RetryPolicy(), {"a": down(1), "b": down(1)}, fake_time)

    assert asked(walk) == ["a", "b", "a"]
    assert fake_time.slept == [0, 1]


def test_tries_are_counted_across_models(fake_time: FakeTime) -> None:
    with pytest.raises(AllModelsFailedError) as caught:
        walk_through(
            ["a", "b", "c"],
            RetryPolicy(max_retries=3),
            {name: down(9) for name in "abc"},
            fake_time,
        )

    assert [attempt.model for attempt in caught.value.attempts] == ["a", "b", "c", "a"]
    assert "No model answered in 4 tries: (1-4) down." in str(caught.value)


def test_a_server_is_left_alone_as_long_as_it_asks(fake_time: FakeTime) -> None:
    answers = {"a": down(1, retry_after_s=7)}
    walk_through(["a"], RetryPolicy(), answers, fake_time)

    assert fake_time.slept == [7]


def test_backoff_wins_over_a_shorter_retry_after(fake_time: FakeTime) -> None:
    walk_through(["a"], RetryPolicy(retry_delay=5), {"a": down(1, retry_after_s=0.1)}, fake_time)

    assert fake_time.slept == [5]


def test_a_retry_after_may_be_ignored(fake_time: FakeTime) -> None:
    policy = RetryPolicy(respect_retry_after=False)
    walk_through(["a"], policy, {"a": down(1, retry_after_s=50)}, fake_time)

    assert fake_time.slept == [1]


def test_a_retry_after_past_the_cap_means_another_model_or_the_end(fake_time: FakeTime) -> None:
    patient = down(9, retry_after_s=61)
    walk = walk_through(["a", "b"], RetryPolicy(), {"a": patient, "b": down(1)}, fake_time)

    assert asked(walk) == ["a", "b", "b"]
    with pytest.raises(errors.UnavailableError):
        walk_through(["a"], RetryPolicy(), {"a": patient}, fake_time)


def test_a_retired_model_is_asked_once(fake_time: FakeTime) -> None:
    gone: Failures = [errors.ModelNotFoundError("gone")] * 9
    walk = walk_through(["a", "b"], RetryPolicy(), {"a": gone, "b": down(2)}, fake_time)

    assert asked(walk) == ["a", "b", "b", "b"]


def test_what_nothing_can_mend_is_raised_as_it_is(fake_time: FakeTime) -> None:
    wrong = errors.AuthenticationError("wrong key")
    with pytest.raises(errors.AuthenticationError) as caught:
        walk_through(["a", "b"], RetryPolicy(), {"a": [wrong]}, fake_time)

    assert caught.value is wrong
    assert fake_time.slept == []


def test_after_several_tries_all_errors_are_inside(fake_time: FakeTime) -> None:
    wrong = errors.AuthenticationError("wrong key", status_code=401)
    with pytest.raises(AllModelsFailedError) as caught:
        walk_through(["a", "b"], RetryPolicy(), {"a": down(1), "b": [wrong]}, fake_time)

    assert [type(a.error) for a in caught.value.attempts] == [
        errors.UnavailableError,
        errors.AuthenticationError,
    ]
    assert caught.value.status_code == 401
    assert caught.value.__cause__ is wrong


def test_only_the_errors_that_the_policy_names_are_retried(fake_time: FakeTime) -> None:
    policy = RetryPolicy(retry_if_exception_type=(errors.RateLimitError,))
    with pytest.raises(errors.UnavailableError):
        walk_through(["a", "b"], policy, {"a": down(1)}, fake_time)


def test_an_interruption_is_no_failure_of_a_model(fake_time: FakeTime) -> None:
    walk = Walk(["a"], RetryPolicy(), fake_time.timing())

    def ask() -> None:
        walk.begin()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        walk.persist(ask)
    assert walk.log == []


FAILURES = st.sampled_from(
    [
        None,
        errors.UnavailableError("down"),
        errors.RateLimitError("slow", retry_after_s=3),
        errors.RateLimitError("slower", retry_after_s=100),
        errors.ModelNotFoundError("gone"),
        errors.InvalidRequestError("wrong"),
    ]
)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 6),
    st.integers(1, 4),
    st.lists(st.lists(FAILURES, max_size=8), min_size=4, max_size=4),
)
def test_promises_of_the_walk(retries: int, n_models: int, answers: list[Failures]) -> None:
    """Never more requests than allowed, never a wait shorter than asked, every try logged."""
    time = FakeTime()
    names = [str(n) for n in range(n_models)]
    policy = RetryPolicy(max_retries=retries)
    walk = Walk(names, policy, time.timing())
    left = [iter(sequence) for sequence in answers]
    requests = 0
    not_before = [0.0] * n_models

    def ask() -> None:
        nonlocal requests
        turn = walk.begin()
        requests += 1
        assert time.now >= not_before[turn.model_index]
        error = next(left[turn.model_index], None)
        if error is not None:
            wait = getattr(error, "retry_after_s", None) or 0.0
            not_before[turn.model_index] = time.now + wait
            raise error
        walk.succeeded()

    try:
        walk.persist(ask)
    except errors.ExternalServiceError as error:
        final = walk.outcome(error)
        assert isinstance(final, AllModelsFailedError) == (requests > 1)

    assert requests <= retries + 1
    assert [attempt.number for attempt in walk.log] == list(range(1, requests + 1))
    assert max(time.slept, default=0.0) <= policy.max_delay_s


async def test_what_is_late_is_asked_for_six_times(fake_time: FakeTime) -> None:
    asked_for: list[int] = []

    def ask() -> str | None:
        asked_for.append(1)
        return "found" if len(asked_for) == 4 else None

    assert ask_until_found(ask, fake_time.timing()) == "found"
    assert fake_time.slept == [0.25, 0.5, 1.0]

    async def never() -> str | None:
        asked_for.append(1)
        return None

    asked_for.clear()
    assert await aask_until_found(never, fake_time.timing()) is None
    assert len(asked_for) == 6


# ── circuits ────────────────────────────────────────────────────────────────


def with_circuits(
    names: str, policy: RetryPolicy, time: FakeTime, *, reset_timeout_s: float
) -> Walk:
    """A walk through models whose circuits open at the first failure."""
    opens_at_once = BreakerPolicy(fail_max=1, reset_timeout_s=reset_timeout_s)
    circuits = Circuits(opens_at_once, clock=lambda: time.now)
    models = [Contender(name, circuits.of("https://example.test", name)) for name in names]
    return Walk(models, policy, time.timing())


def afresh(walk: Walk) -> list[Contender]:
    """The same models and circuits, for a call that knows nothing of them yet."""
    return [Contender(model.name, model.circuit) for model in walk._models]


def tell(walk: Walk, time: FakeTime, *, well_at: float) -> str:
    """One call while every model is down until `well_at`."""

    def ask() -> str:
        walk.begin()
        if time.now < well_at:
            msg = "down"
            raise errors.UnavailableError(msg)
        walk.succeeded()
        return "told"

    try:
        return walk.persist(ask)
    except Exception as error:
        raise walk.outcome(error) from error


def test_when_all_circuits_are_open_a_patient_policy_waits_for_the_soonest(
    fake_time: FakeTime,
) -> None:
    patient = RetryPolicy(max_retries=20, retry_delay=1, multiplier=1)
    walk = with_circuits("ab", patient, fake_time, reset_timeout_s=3)

    assert tell(walk, fake_time, well_at=1001) == "told"
    assert asked(walk) == ["a", "b", "a"]
    assert fake_time.slept == [0, 3]
    assert walk.log[-1].waited_s == 3


def test_when_all_circuits_are_open_an_impatient_policy_gives_up_at_once(
    fake_time: FakeTime,
) -> None:
    walk = with_circuits("abc", RetryPolicy(max_retries=8), fake_time, reset_timeout_s=30)

    with pytest.raises(AllModelsFailedError):
        tell(walk, fake_time, well_at=math.inf)
    assert asked(walk) == ["a", "b", "c"]
    assert sum(fake_time.slept) == 0


def test_an_open_circuit_is_not_waited_for_past_the_deadline(fake_time: FakeTime) -> None:
    hurried = RetryPolicy(max_retries=100, deadline_s=2)
    walk = with_circuits("ab", hurried, fake_time, reset_timeout_s=3)

    with pytest.raises(AllModelsFailedError):
        tell(walk, fake_time, well_at=1001)
    assert sum(fake_time.slept) == 0


def test_who_finds_all_circuits_open_waits_too_and_spends_no_try(fake_time: FakeTime) -> None:
    policy = RetryPolicy(max_retries=8, retry_delay=2)
    first = with_circuits("ab", policy, fake_time, reset_timeout_s=3)
    second = Walk(afresh(first), policy, fake_time.timing())
    for _ in "ab":
        first.begin()
        first.has_another_turn_after(errors.UnavailableError("down"))

    assert tell(second, fake_time, well_at=1001) == "told"
    assert [(attempt.number, attempt.waited_s) for attempt in second.log] == [(1, 3)]


def test_a_probe_of_somebody_else_is_waited_for_but_not_for_ever(fake_time: FakeTime) -> None:
    policy = RetryPolicy(max_retries=8, retry_delay=1, multiplier=1)
    prober = with_circuits("ab", policy, fake_time, reset_timeout_s=3)
    for _ in "ab":
        prober.begin()
        prober.has_another_turn_after(errors.UnavailableError("down"))
    fake_time.now += 3
    models = afresh(prober)
    assert all(model.circuit and model.circuit.admit() for model in models)  # and never settled

    with pytest.raises(errors.CircuitOpenError):
        tell(Walk(models, policy, fake_time.timing()), fake_time, well_at=0)
    assert fake_time.slept == [1, 1, 1]  # nine tries of two models are four rounds: three waits
