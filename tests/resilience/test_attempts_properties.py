"""What holds for the loop whatever happens: any policy, any failures, any models, any circuits."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_tale import errors
from langchain_tale.resilience.attempts import Contender, Timing, Walk
from langchain_tale.resilience.breaker import Circuits
from langchain_tale.resilience.policy import BreakerPolicy, RetryPolicy
from langchain_tale.resilience.verdict import verdict
from tests.conftest import FakeTime

if TYPE_CHECKING:
    from langchain_tale.resilience.attempts import Turn

NAMES = ["a/a", "b/b:free", "c/c", "d/d:free"]
TOLERANCE_S = 1e-6


def of_account() -> errors.RateLimitError:
    error = errors.RateLimitError("20 a day", retry_after_s=2)
    error.is_of_account = True
    return error


def of_key() -> errors.AuthenticationError:
    error = errors.AuthenticationError("wrong key")
    error.has_other_key = True
    return error


FAILURES: list[Exception] = [
    errors.UnavailableError("down"),
    errors.UnavailableError("down, and staying so", retryable=False),
    errors.UnavailableError("dear", raw={"usage": {"cost": 0.5}}),
    errors.RateLimitError("slow", retry_after_s=3),
    errors.RateLimitError("slower", retry_after_s=40),
    errors.RateLimitError("very slow", retry_after_s=400),
    of_account(),
    of_key(),
    errors.AuthenticationError("wrong key"),
    errors.InsufficientCreditsError("held", retry_after_s=5),
    errors.ModelNotFoundError("gone"),
    errors.InvalidRequestError("wrong"),
    errors.ModerationError("flagged"),
    errors.RefusedReplyError("too plain"),
    errors.EmptyReplyError("nothing", raw={"usage": {"cost": 0.3}}),
    errors.BrokenStreamError("cut", raw={"usage": {"cost": 0.1}}),
    ConnectionResetError("gone"),
    KeyError("a mistake"),
]

TOO_LATE = errors.RequestTimeoutError("no answer in time")

POLICIES = st.builds(
    RetryPolicy,
    max_retries=st.integers(0, 8),
    retry_delay=st.floats(0, 5),
    multiplier=st.floats(1, 3),
    max_delay_s=st.floats(0, 60),
    jitter=st.floats(0, 1),
    respect_retry_after=st.booleans(),
    attempt_timeout_s=st.none() | st.floats(0.5, 20),
    deadline_s=st.none() | st.floats(0.5, 60),
    max_cost_usd=st.none() | st.floats(0, 1),
)
BREAKERS = st.none() | st.builds(
    BreakerPolicy, fail_max=st.integers(1, 3), reset_timeout_s=st.floats(0.5, 30)
)
OUTCOMES = st.tuples(st.floats(0, 15), st.none() | st.sampled_from(FAILURES))


@dataclass(frozen=True)
class Scenario:
    """Models that answer or fail as listed, each after so many seconds, and well after that."""

    policy: RetryPolicy
    answers: list[list[tuple[float, Exception | None]]]
    breaker: BreakerPolicy | None
    luck: float
    keeps_time: bool


SCENARIOS = st.builds(
    Scenario,
    policy=POLICIES,
    answers=st.lists(st.lists(OUTCOMES, max_size=8), min_size=1, max_size=4),
    breaker=BREAKERS,
    luck=st.floats(0, 1),
    keeps_time=st.booleans(),
)


@dataclass(frozen=True)
class Ask:
    """One request: whom, when, how it came out, and when that was."""

    turn: Turn
    at: float
    until: float
    left_s: float | None
    error: Exception | None


@dataclass
class Played:
    """What came of a scenario."""

    scenario: Scenario
    time: FakeTime = field(default_factory=FakeTime)
    asks: list[Ask] = field(default_factory=list)
    answer: int | None = None
    final: Exception | None = None

    def __post_init__(self) -> None:
        self.started_at = self.time.now
        breaker = self.scenario.breaker
        self.names = NAMES[: len(self.scenario.answers)]
        circuits = None if breaker is None else Circuits(breaker, clock=lambda: self.time.now)
        self.circuits = [circuits.of("here", name) for name in self.names] if circuits else []
        timing = Timing(
            clock=lambda: self.time.now,
            sleep=self.time.sleep,
            asleep=self.time.asleep,
            uniform=lambda low, high: low + self.scenario.luck * (high - low),
        )
        contenders = [
            Contender(name, self.circuits[number] if circuits else None)
            for number, name in enumerate(self.names)
        ]
        self.walk = Walk(contenders, self.scenario.policy, timing)
        self._left = [iter(answers) for answers in self.scenario.answers]

    def ask(self) -> int:
        """One attempt."""
        turn = self.walk.begin()
        if self.circuits and len(self.names) > 1:
            assert self.circuits[turn.model_index].state != "open"
        left_s, at = self.walk.left_s(), self.time.now
        takes_s, error = next(self._left[turn.model_index], (0.0, None))
        if self.scenario.keeps_time and left_s is not None and takes_s > left_s:
            takes_s, error = left_s, TOO_LATE
        self.time.now += takes_s
        self.asks.append(Ask(turn, at, self.time.now, left_s, error))
        if error is not None:
            raise error
        self.walk.succeeded()
        return turn.number

    async def aask(self) -> int:
        """The twin of `ask`."""
        return self.ask()

    def blocking(self) -> Played:
        """Play it in the loop for functions."""
        try:
            self.answer = self.walk.persist(self.ask)
        except Exception as error:  # noqa: BLE001 (what a model raised may be anything)
            self.final = self.walk.outcome(error)
        return self

    def awaiting(self) -> Played:
        """Play it in the loop for coroutines."""

        async def play() -> int:
            answer: int = await self.walk.apersist(self.aask)
            return answer

        try:
            self.answer = asyncio.run(play())
        except Exception as error:  # noqa: BLE001 (as above)
            self.final = self.walk.outcome(error)
        return self

    def of(self, model_index: int) -> list[Ask]:
        """The requests to one model."""
        return [ask for ask in self.asks if ask.turn.model_index == model_index]


every_scenario = given(SCENARIOS)
often = settings(max_examples=300, deadline=None)


@often
@every_scenario
def test_no_more_requests_than_allowed(scenario: Scenario) -> None:
    played = Played(scenario).blocking()

    assert len(played.asks) <= scenario.policy.max_retries + 1


@often
@every_scenario
def test_the_deadline_is_passed_by_one_attempt_at_most(scenario: Scenario) -> None:
    played = Played(scenario).blocking()
    deadline_s = scenario.policy.deadline_s
    if deadline_s is None:
        return
    ends_at = played.started_at + deadline_s

    for ask in played.asks:
        assert ask.at < ends_at
        assert ask.left_s is not None
        assert ask.left_s <= ends_at - ask.at + TOLERANCE_S
    last_s = played.asks[-1].until - played.asks[-1].at if played.asks else 0.0
    late_by_s = 0.0 if scenario.keeps_time else last_s
    assert played.time.now <= ends_at + late_by_s + TOLERANCE_S


@often
@every_scenario
def test_an_attempt_gets_its_own_time_and_no_more(scenario: Scenario) -> None:
    limit_s = scenario.policy.attempt_timeout_s
    played = Played(scenario).blocking()

    for ask in played.asks:
        if limit_s is not None:
            assert ask.left_s is not None
            assert 0 <= ask.left_s <= limit_s


@often
@every_scenario
def test_no_wait_is_shorter_than_asked(scenario: Scenario) -> None:
    policy = scenario.policy
    played = Played(scenario).blocking()

    for model_index in range(len(played.names)):
        nth_wait = 0
        for before, after in pairwise(played.of(model_index)):
            assert before.error is not None
            help_ = verdict(before.error)
            if help_.other_key:
                continue
            nth_wait += not help_.at_once
            own_s = 0.0 if help_.at_once else policy.backoff_s(nth_wait)
            asked_s = (help_.retry_after_s or 0.0) if policy.respect_retry_after else 0.0
            assert after.at - before.until >= max(own_s, asked_s) - TOLERANCE_S
            assert asked_s <= policy.max_delay_s


@often
@every_scenario
def test_no_wait_is_longer_than_the_policy_or_a_circuit_says(scenario: Scenario) -> None:
    policy = scenario.policy
    own_s = max(policy.max_delay_s, policy.retry_delay) * (1 + policy.jitter)
    cooldown_s = scenario.breaker.reset_timeout_s if scenario.breaker else 0.0
    longest_s = max(own_s, cooldown_s)  # where every circuit is open, the soonest is waited for
    played = Played(scenario).blocking()

    assert max(played.time.slept, default=0.0) <= longest_s + TOLERANCE_S


@often
@every_scenario
def test_what_nothing_can_mend_is_the_end(scenario: Scenario) -> None:
    played = Played(scenario).blocking()

    for number, ask in enumerate(played.asks[:-1], 1):
        assert ask.error is not None
        help_ = verdict(ask.error)
        later = played.asks[number:]
        same = [one for one in later if one.turn.model_index == ask.turn.model_index]
        assert help_.same_model or help_.other_key or not same
        if not (help_.same_model or help_.other_model or help_.other_key):
            assert not later


@often
@every_scenario
def test_another_model_is_asked_only_where_another_may_help(scenario: Scenario) -> None:
    played = Played(scenario).blocking()

    for before, after in pairwise(played.asks):
        assert before.error is not None
        if before.turn.model_index != after.turn.model_index:
            assert verdict(before.error).other_model


@often
@every_scenario
def test_the_accounts_limit_for_free_models_holds_for_all_of_them(scenario: Scenario) -> None:
    played = Played(scenario).blocking()

    for number, ask in enumerate(played.asks, 1):
        if getattr(ask.error, "is_of_account", False):
            others = {one.turn.model_index for one in played.asks[number:]}
            others -= {ask.turn.model_index}
            assert not [index for index in others if played.names[index].endswith(":free")]


@often
@every_scenario
def test_no_try_begins_once_the_money_is_spent(scenario: Scenario) -> None:
    limit_usd = math.inf if scenario.policy.max_cost_usd is None else scenario.policy.max_cost_usd
    played = Played(scenario).blocking()

    spent_usd = sum(getattr(ask.error, "cost_usd", None) or 0.0 for ask in played.asks[:-1])
    assert spent_usd < limit_usd or len(played.asks) == 1


@often
@every_scenario
def test_the_log_has_every_request(scenario: Scenario) -> None:
    played = Played(scenario).blocking()
    log = played.walk.log

    assert [attempt.number for attempt in log] == list(range(1, len(played.asks) + 1))
    assert [attempt.model for attempt in log] == [
        played.names[ask.turn.model_index] for ask in played.asks
    ]
    assert [attempt.error for attempt in log] == [ask.error for ask in played.asks]
    assert all(attempt.waited_s >= 0 for attempt in log)
    assert sum(attempt.waited_s for attempt in log) <= sum(played.time.slept) + TOLERANCE_S


@often
@every_scenario
def test_it_ends_with_the_answer_or_with_all_that_failed(scenario: Scenario) -> None:
    played = Played(scenario).blocking()

    if played.asks and played.asks[-1].error is None:
        assert played.answer == len(played.asks)
        return
    assert played.answer is None
    if len(played.asks) > 1:
        assert isinstance(played.final, errors.AllModelsFailedError)
        assert [one.error for one in played.final.attempts] == [ask.error for ask in played.asks]
    elif played.asks:
        assert played.final is played.asks[0].error
    else:
        assert isinstance(played.final, errors.CircuitOpenError)


@often
@every_scenario
def test_a_circuit_hears_of_every_request(scenario: Scenario) -> None:
    played = Played(scenario).blocking()

    for model_index, circuit in enumerate(played.circuits):
        came_out = [ask.error for ask in played.of(model_index)]
        assert scenario.breaker is not None
        last = came_out[-scenario.breaker.fail_max :]
        unwell = [error is not None and verdict(error).is_unwell for error in last]
        if len(last) == scenario.breaker.fail_max and all(unwell):
            assert circuit.state == "open"
        if len(played.names) > 1 and last and last[-1] is None:
            assert circuit.state == "closed"
        if not any(error is not None and verdict(error).is_unwell for error in came_out):
            assert circuit.state == "closed"


@often
@every_scenario
def test_no_leave_to_probe_is_kept(scenario: Scenario) -> None:
    played = Played(scenario).blocking()
    played.time.now += 31

    for circuit in played.circuits:
        permit = circuit.admit()
        assert permit is not None
        permit.succeeded()
        assert circuit.state == "closed"


@settings(max_examples=50, deadline=None)
@every_scenario
def test_functions_and_coroutines_walk_alike(scenario: Scenario) -> None:
    blocking, awaiting = Played(scenario).blocking(), Played(scenario).awaiting()

    assert blocking.time.slept == awaiting.time.slept
    assert blocking.asks == awaiting.asks
    assert type(blocking.final) is type(awaiting.final)
