"""A circuit against the few lines that say what it should do, whatever happens in what order."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from langchain_tale.resilience.circuit import PROBE_LEASE_S
from langchain_tale.resilience.policy import BreakerPolicy
from tests.conftest import FakeTime

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.stateful import MultipleResults

    from langchain_tale.resilience.breaker import Circuits
    from langchain_tale.resilience.circuit import Circuit, Permit

Given = tuple["Permit", str, int]
"""A permit, and the state and the number of trips when it was given."""

TICK_S = 1 / 64
TIMEOUT_S = 2.0
_numbers = count()


class CircuitMachine(RuleBasedStateMachine):
    """Two registries that may be one and the same; every step is checked on either of them."""

    permits: Bundle[Given] = Bundle("permits")
    longest_step_s = 200.0

    def __init__(self, two: Callable[[BreakerPolicy, Callable[[], float]], list[Circuits]]) -> None:
        super().__init__()
        self.time = FakeTime()
        self.policy = BreakerPolicy(fail_max=2, reset_timeout_s=TIMEOUT_S)
        self.registries = two(self.policy, lambda: self.time.now)
        self.model = f"a/model-{next(_numbers)}"
        self.state, self.trips, self.failures = "closed", 0, 0
        self.opened_at = 0.0
        self.probe: tuple[Permit, float] | None = None
        self.unsettled: list[Permit] = []

    def circuit(self, which: int) -> Circuit:
        return self.registries[which].of("https://host/v1", self.model)

    def someone_probes(self) -> bool:
        return self.probe is not None and self.time.now < self.probe[1]

    def may_admit(self) -> bool:
        if self.state == "closed":
            return True
        is_resting = self.state == "open" and self.time.now < self.opened_at + TIMEOUT_S
        return not is_resting and not self.someone_probes()

    def opens(self) -> None:
        self.state, self.trips, self.opened_at = "open", self.trips + 1, self.time.now

    @rule(target=permits, which=st.integers(0, 1))
    def admit(self, which: int) -> Given | MultipleResults[Any]:
        self.time.now += TICK_S
        expected = self.may_admit()
        permit = self.circuit(which).admit()
        assert (permit is not None) == expected
        if permit is None:
            return multiple()
        if self.state != "closed":
            self.state, self.probe = "half-open", (permit, self.time.now + PROBE_LEASE_S)
        self.unsettled.append(permit)
        return permit, self.state, self.trips

    @rule(given=consumes(permits), how=st.sampled_from(["succeeded", "failed", "abandoned"]))
    def settle(self, given: Given, how: str) -> None:
        self.time.now += TICK_S
        permit, *period = given
        if period == [self.state, self.trips]:
            self.counted(how, permit)
        if self.probe is not None and self.probe[0] is permit:
            self.probe = None
        self.unsettled.remove(permit)
        getattr(permit, how)()
        permit.failed()  # ignored, like whatever else is said of a settled permit
        permit.succeeded()

    def to_come(self, permit: Permit) -> int:
        """Answers that its own circuit still waits for."""
        others = (one for one in self.unsettled if one is not permit and one.probe is None)
        return sum(one.circuit is permit.circuit for one in others)

    def counted(self, how: str, permit: Permit) -> None:
        if how == "succeeded":
            self.state, self.failures = "closed", 0
        elif how == "failed":
            self.failures += 1
            most = max(self.policy.fail_max, self.to_come(permit))
            if self.state == "half-open" or self.failures >= most:
                self.opens()

    @rule(seconds=st.floats(0, 1), share=st.sampled_from([0.01, 1.0]))
    def time_passes(self, seconds: float, share: float) -> None:
        self.time.now += TICK_S * int(seconds * share * self.longest_step_s / TICK_S)

    @rule(which=st.integers(0, 1))
    def reset(self, which: int) -> None:
        self.time.now += TICK_S
        self.circuit(which).reset()
        self.state, self.failures, self.probe = "closed", 0, None

    @invariant()
    def all_see_the_same(self) -> None:
        for circuit in map(self.circuit, (0, 1)):
            assert circuit.state == self.state
            assert (circuit.reopens_in_s() == 0) == self.may_admit()

    def teardown(self) -> None:
        """It always admits again."""
        for permit in self.unsettled:
            permit.abandoned()
        self.time.now += TIMEOUT_S
        assert self.circuit(0).admit() is not None
