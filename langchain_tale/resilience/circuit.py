"""One circuit: whether a model may be asked, and what its answers change.

```
        fail_max failures in a row            reset_timeout_s
closed ────────────────────────────▶ open ─────────────────────▶ half-open
   ▲                                   ▲                           │   │
   │                                   └─────── probe fails ───────┘   │
   └───────────────────────── probe succeeds ──────────────────────────┘
```

pybreaker counts and decides. What it leaves to its caller is here: a request runs outside of
any lock and is noted when it ends; it counts only in the period in which it was sent, so a
late answer neither closes an open circuit nor opens one that has just closed; and whoever
probes holds a lease, so that there is one probe at a time.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal, cast
from uuid import uuid4

import pybreaker

from langchain_tale.telemetry.events import CircuitClosed, CircuitOpened
from langchain_tale.telemetry.scopes import tell

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_tale.resilience.policy import BreakerPolicy

CircuitState = Literal["closed", "open", "half-open"]
Period = tuple[CircuitState, datetime | None]
"""A state, and when the circuit opened last: together they tell one closed time from the next."""

PROBE_LEASE_S: Final = 120.0
"""Seconds after which a probe that nobody has settled no longer keeps others from probing."""

_LOOK_S: Final = 1.0
"""Seconds after which somebody else's probe may have ended."""

_TICK_S: Final = 0.001
"""What is left of a wait below this is rounding."""


class _Unwell(Exception):  # noqa: N818 (never leaves this module)
    """How pybreaker is told that a request failed."""


def _well() -> None:
    pass


def _unwell() -> None:
    raise _Unwell


class LocalStorage(pybreaker.CircuitMemoryStorage):
    """What this process knows of a circuit: pybreaker's facts, and whose probe is under way."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(pybreaker.STATE_CLOSED)
        self._clock = clock
        self._lease: tuple[str, float] | None = None  # whose, and until when

    def period(self) -> Period:
        """The state, and when the circuit opened last."""
        return cast("CircuitState", self._state), self._opened_at

    @property
    def is_spotless(self) -> bool:
        """Whether it is known without asking that one more success changes nothing."""
        return self._state == pybreaker.STATE_CLOSED and not self._fail_counter

    def lend_probe(self, token: str) -> bool:
        """Give the probe to `token`, unless somebody has it."""
        if self.probe_ends_in_s() > 0:
            return False
        self._lease = token, self._clock() + PROBE_LEASE_S
        return True

    def take_back_probe(self, token: str | None = None) -> None:
        """End the lease of `token`, or of anybody."""
        if self._lease is not None and token in (None, self._lease[0]):
            self._lease = None

    def probe_ends_in_s(self) -> float:
        """Seconds that the lease of the probe still runs; 0.0 when nobody has it."""
        left_s = self._lease[1] - self._clock() if self._lease else 0.0
        return left_s if 0 < left_s <= PROBE_LEASE_S else 0.0  # longer: the clock was put back


class _Breaker(pybreaker.CircuitBreaker):
    """pybreaker's, with the time as an argument."""

    def __init__(
        self, policy: BreakerPolicy, storage: LocalStorage, clock: Callable[[], float]
    ) -> None:
        super().__init__(
            fail_max=policy.fail_max,
            reset_timeout=policy.reset_timeout_s,
            state_storage=storage,
            throw_new_error_on_trip=False,
        )
        self._clock = clock
        self.under_way = 0

    @property  # type: ignore[misc]  # it can be set in pybreaker; here nobody does
    def fail_max(self) -> int:
        """Failures in a row that open it: in a crowd, no fewer than there are answers to come.

        Failures come quickly and answers take their time, so that of many requests sent at once
        the failures come first, and seem to be in a row.
        """
        return max(self._fail_max, self.under_way)

    def open(self) -> bool:
        throws = super().open()
        self._state_storage.opened_at = datetime.fromtimestamp(self._clock(), UTC)
        return throws


@dataclass(slots=True, eq=False)
class Permit:
    """Leave to send exactly one request; say afterwards what became of it.

    The first of the three counts, later ones are ignored. None of them raises.

    Attributes:
        circuit: Whose it is.
        period: When it was given.
        probe: The lease of the probe, or None for a request like any other.
    """

    circuit: Circuit
    period: Period
    probe: str | None = None
    is_settled: bool = False

    def succeeded(self) -> None:
        """The model answered: failures before are forgotten, and a probe closes the circuit."""
        self.circuit.settle(self, _well)

    def failed(self) -> None:
        """The model is not well: one more failure in a row, and a probe reopens the circuit."""
        self.circuit.settle(self, _unwell)

    def abandoned(self) -> None:
        """Nothing was learnt of the model's health: counts nothing, gives a probe back."""
        self.circuit.settle(self, None)


class Circuit:
    """Whether one model may be asked. Made by `Circuits.of`; for any number of threads and tasks.

    In memory no method waits for anything. With Redis each asks it once or twice, and goes on
    in memory after a quarter of a second without an answer.
    """

    def __init__(
        self,
        policy: BreakerPolicy,
        clock: Callable[[], float],
        storage: Callable[[], LocalStorage],
        *,
        base_url: str,
        model: str,
    ) -> None:
        self._whose = {"base_url": base_url, "model": model}
        self._policy = policy
        self._clock = clock
        self._make_storage = storage
        self.start_anew()

    def start_anew(self) -> None:
        """Begin as if just made: a fork may have copied a lock that nobody will ever release."""
        self._lock = threading.RLock()
        self._storage = self._make_storage()
        self._breaker = _Breaker(self._policy, self._storage, self._clock)
        # pybreaker's own `call` would read the state again and notify itself of changes that
        # other processes made, which resets the counter that all of them share.
        self._rules: dict[str, pybreaker.CircuitBreakerState] = {
            "closed": pybreaker.CircuitClosedState(self._breaker),
            "half-open": pybreaker.CircuitHalfOpenState(self._breaker, prev_state=None),
        }

    def admit(self) -> Permit | None:
        """Ask for leave to send one request. Never raises.

        Returns:
            A permit, to be settled whatever happens; or None while the circuit is open, or
            half-open with somebody else's probe under way.
        """
        with self._lock:
            period = self._storage.period()
            if period[0] != "closed":
                return self._probe(period)
            self._breaker.under_way += 1
            return Permit(self, period)

    def _probe(self, seen: Period) -> Permit | None:
        if self._rest_s(seen) > 0:
            return None
        token = uuid4().hex
        if not self._storage.lend_probe(token):
            return None
        if self._storage.period() != seen:  # another process probed while we asked
            self._storage.take_back_probe(token)
            return None
        if seen[0] != "half-open":
            self._breaker.half_open()
        return Permit(self, ("half-open", seen[1]), token)

    def _rest_s(self, period: Period) -> float:
        state, opened_at = period
        if state != "open" or opened_at is None:
            return 0.0
        elapsed_s = self._clock() - opened_at.timestamp()
        left_s = self._policy.reset_timeout_s - elapsed_s
        # A clock that was put back must not keep the circuit open for as long.
        return 0.0 if left_s < _TICK_S or left_s > 2 * self._policy.reset_timeout_s else left_s

    def settle(self, permit: Permit, outcome: Callable[[], None] | None) -> None:
        """Note what became of a permit; its own methods call this."""
        before = after = permit.period[0]
        with self._lock:
            if permit.is_settled:
                return
            permit.is_settled = True
            if permit.probe is None:
                self._breaker.under_way = max(0, self._breaker.under_way - 1)
                if outcome is _well and self._storage.is_spotless:
                    return
            if outcome is not None and self._storage.period() == permit.period:
                with suppress(_Unwell):
                    self._rules[before].call(outcome)
                after = cast("CircuitState", self._storage.state)
            if permit.probe is not None:
                self._storage.take_back_probe(permit.probe)
        self._tell(before, after)

    def _tell(self, before: str, after: str) -> None:
        """Tell of a change, outside the lock; a probe that fails changes nothing."""
        if (before, after) == ("closed", "open"):
            tell(CircuitOpened, cooldown_s=float(self._policy.reset_timeout_s), **self._whose)
        if after == "closed" != before:
            tell(CircuitClosed, **self._whose)

    @property
    def state(self) -> CircuitState:
        """`"closed"`, `"open"` (until somebody probes, however late), or `"half-open"`."""
        with self._lock:
            return self._storage.period()[0]

    def reopens_in_s(self) -> float:
        """Seconds until it is worth asking for a permit again.

        Returns:
            0.0 when it may be asked now. While somebody else probes it is one second, or
            `reset_timeout_s` or the rest of that probe's lease if that is shorter: then it is
            worth a look whether the probe has ended.
        """
        with self._lock:
            period = self._storage.period()
            if period[0] == "closed":
                return 0.0
            probe_s = min(self._storage.probe_ends_in_s(), self._policy.reset_timeout_s, _LOOK_S)
            return max(self._rest_s(period), probe_s)

    def reset(self) -> None:
        """Close the circuit; what was sent before no longer counts for it unless it was closed."""
        with self._lock:
            before = self._storage.state
            self._storage.take_back_probe()
            self._breaker.close()
        self._tell(before, "closed")
