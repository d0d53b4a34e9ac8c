"""Circuits in memory."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from langchain_tale.errors import ConfigurationError
from langchain_tale.resilience import breaker
from langchain_tale.resilience.breaker import (
    Circuits,
    circuits,
    reset_circuits,
    shared_circuits,
)
from langchain_tale.resilience.circuit import PROBE_LEASE_S, LocalStorage
from langchain_tale.resilience.policy import BreakerPolicy
from tests.resilience.circuit_machine import CircuitMachine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langchain_tale.resilience.circuit import Circuit, Permit
    from tests.conftest import FakeTime

URL = "https://openrouter.ai/api/v1"
POLICY = BreakerPolicy(fail_max=3, reset_timeout_s=30)


@pytest.fixture
def circuit(fake_time: FakeTime) -> Circuit:
    return Circuits(POLICY, clock=lambda: fake_time.now).of(URL, "a/b")


@pytest.fixture
def _no_circuits() -> Iterator[None]:
    breaker._shared.clear()
    yield
    breaker._shared.clear()


def admitted(circuit: Circuit) -> Permit:
    permit = circuit.admit()
    assert permit is not None
    return permit


def fail(circuit: Circuit, times: int = 3) -> None:
    for _ in range(times):
        admitted(circuit).failed()


def seen(circuit: Circuit) -> tuple[str, float]:
    return circuit.state, circuit.reopens_in_s()


def half_open(circuit: Circuit, fake_time: FakeTime) -> Permit:
    """Open the circuit, wait, and send the probe."""
    fail(circuit)
    fake_time.now += 30
    return admitted(circuit)


# ── closed ──────────────────────────────────────────────────────────────────


def test_failures_in_a_row_open_it(circuit: Circuit) -> None:
    fail(circuit, times=2)
    assert seen(circuit) == ("closed", 0.0)

    fail(circuit, times=1)
    assert seen(circuit) == ("open", 30.0)
    assert circuit.admit() is None


def test_a_success_forgets_the_failures_before_it(circuit: Circuit) -> None:
    for _ in range(5):
        fail(circuit, times=2)
        admitted(circuit).succeeded()
    assert seen(circuit) == ("closed", 0.0)


def test_what_is_abandoned_counts_nothing(circuit: Circuit) -> None:
    fail(circuit, times=2)
    for _ in range(5):
        admitted(circuit).abandoned()
    assert seen(circuit) == ("closed", 0.0)

    fail(circuit, times=1)
    assert seen(circuit) == ("open", 30.0)


def test_a_permit_counts_once(circuit: Circuit) -> None:
    permit = admitted(circuit)
    for _ in range(5):
        permit.failed()
    assert seen(circuit) == ("closed", 0.0)

    permit = admitted(circuit)
    permit.abandoned()
    permit.succeeded()
    fail(circuit, times=2)
    assert circuit.state == "open"


def test_one_failure_opens_where_the_policy_says_so() -> None:
    circuit = Circuits(BreakerPolicy(fail_max=1)).of(URL, "a/b")
    fail(circuit, times=1)
    assert circuit.state == "open"


# ── open ────────────────────────────────────────────────────────────────────


def test_an_open_circuit_counts_down_to_its_probe(circuit: Circuit, fake_time: FakeTime) -> None:
    fail(circuit)
    fake_time.now += 29.5
    assert circuit.reopens_in_s() == pytest.approx(0.5)
    assert circuit.admit() is None

    fake_time.now += circuit.reopens_in_s()
    assert seen(circuit) == ("open", 0.0)
    assert circuit.admit() is not None
    assert circuit.state == "half-open"


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "abandoned"])
def test_a_late_answer_changes_nothing_in_an_open_circuit(
    circuit: Circuit, fake_time: FakeTime, outcome: str
) -> None:
    late = admitted(circuit)
    fail(circuit)
    fake_time.now += 10

    getattr(late, outcome)()

    assert seen(circuit) == ("open", 20.0)


@settings(deadline=None)
@given(st.floats(1e-3, 1e6), st.floats(1e3, 4e9))
def test_after_the_wait_it_told_it_admits(timeout_s: float, now: float) -> None:
    policy = BreakerPolicy(fail_max=1, reset_timeout_s=timeout_s)
    circuit = Circuits(policy, clock=lambda: now).of(URL, "a/b")
    fail(circuit, times=1)
    now += circuit.reopens_in_s()
    assert circuit.admit() is not None


def test_a_clock_that_is_put_back_does_not_keep_it_open(
    circuit: Circuit, fake_time: FakeTime
) -> None:
    half_open(circuit, fake_time)
    fake_time.now -= 3600
    admitted(circuit).failed()

    fake_time.now -= 3600
    assert circuit.admit() is not None


# ── half-open ───────────────────────────────────────────────────────────────


def test_only_one_probe_at_a_time(circuit: Circuit, fake_time: FakeTime) -> None:
    half_open(circuit, fake_time)
    assert circuit.state == "half-open"
    assert [circuit.admit() for _ in range(5)] == [None] * 5
    assert circuit.reopens_in_s() == 1.0


def test_a_successful_probe_closes(circuit: Circuit, fake_time: FakeTime) -> None:
    half_open(circuit, fake_time).succeeded()
    assert seen(circuit) == ("closed", 0.0)

    fail(circuit, times=2)
    assert circuit.state == "closed"


def test_a_failed_probe_opens_for_as_long_again(circuit: Circuit, fake_time: FakeTime) -> None:
    half_open(circuit, fake_time).failed()
    assert seen(circuit) == ("open", 30.0)

    fake_time.now += 30
    admitted(circuit).succeeded()
    assert circuit.state == "closed"


def test_an_abandoned_probe_goes_to_the_next(circuit: Circuit, fake_time: FakeTime) -> None:
    half_open(circuit, fake_time).abandoned()
    assert seen(circuit) == ("half-open", 0.0)

    admitted(circuit).succeeded()
    assert circuit.state == "closed"


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "abandoned"])
def test_while_it_is_probed_only_the_probe_decides(
    circuit: Circuit, fake_time: FakeTime, outcome: str
) -> None:
    late = admitted(circuit)
    half_open(circuit, fake_time)

    getattr(late, outcome)()

    assert circuit.state == "half-open"
    assert circuit.admit() is None


def test_late_failures_do_not_open_what_a_probe_closed(
    circuit: Circuit, fake_time: FakeTime
) -> None:
    late = [admitted(circuit) for _ in range(2)]
    half_open(circuit, fake_time).succeeded()

    for permit in late:
        permit.failed()
    fail(circuit, times=2)

    assert circuit.state == "closed"


def test_in_a_crowd_failures_that_come_first_are_not_in_a_row(circuit: Circuit) -> None:
    crowd = [admitted(circuit) for _ in range(12)]

    states = [circuit.state]
    for permit in crowd[:5]:
        permit.failed()
    states.append(circuit.state)
    crowd[5].succeeded()
    for permit in crowd[6:]:
        permit.failed()

    assert [*states, circuit.state] == ["closed", "closed", "open"]


def test_a_prober_that_died_blocks_nobody_for_ever(circuit: Circuit, fake_time: FakeTime) -> None:
    dead = half_open(circuit, fake_time)
    fake_time.now += PROBE_LEASE_S - 1
    assert circuit.admit() is None
    assert circuit.reopens_in_s() == 1.0

    fake_time.now += 1
    admitted(circuit).failed()
    dead.succeeded()
    assert circuit.state == "open"


def test_a_probe_that_outlives_its_lease_still_counts(
    circuit: Circuit, fake_time: FakeTime
) -> None:
    slow = half_open(circuit, fake_time)
    fake_time.now += PROBE_LEASE_S + 1
    another = admitted(circuit)

    slow.succeeded()
    another.failed()

    assert circuit.state == "closed"


def test_an_abandoned_probe_does_not_end_the_lease_of_another(
    circuit: Circuit, fake_time: FakeTime
) -> None:
    slow = half_open(circuit, fake_time)
    fake_time.now += PROBE_LEASE_S + 1
    admitted(circuit)

    slow.abandoned()

    assert circuit.admit() is None


def test_whatever_happens_it_behaves_as_drawn() -> None:
    def twice_the_same(policy: BreakerPolicy, clock: Callable[[], float]) -> list[Circuits]:
        return [Circuits(policy, clock=clock)] * 2

    run_state_machine_as_test(
        partial(CircuitMachine, twice_the_same),  # type: ignore[arg-type]
        settings=settings(max_examples=150, stateful_step_count=40, deadline=None),
    )


# ── threads, tasks, forks ───────────────────────────────────────────────────


@pytest.fixture
def _hasty_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread's turn comes at the worst moment: between what is read and what is written."""

    def increment(storage: LocalStorage) -> None:
        before = storage._fail_counter
        time.sleep(0)  # no sleep: it lets the others go on
        storage._fail_counter = before + 1

    def is_lent(storage: LocalStorage) -> float:
        left_s = probe_ends_in_s(storage)
        time.sleep(0)
        return left_s

    probe_ends_in_s = LocalStorage.probe_ends_in_s
    monkeypatch.setattr(LocalStorage, "increment_counter", increment)
    monkeypatch.setattr(LocalStorage, "probe_ends_in_s", is_lent)


def at_once(times: int, do: Callable[[], object]) -> list[object]:
    """`do` in that many threads, which start together."""
    barrier = threading.Barrier(times)

    def one(_: int) -> object:
        barrier.wait(timeout=30)
        return do()

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(one, range(times)))


@pytest.mark.usefixtures("_hasty_threads")
def test_fifty_threads_open_it_with_exactly_enough_failures() -> None:
    for fail_max, expected in ((50, "open"), (51, "closed")):
        circuit = Circuits(BreakerPolicy(fail_max=fail_max)).of(URL, "a/b")
        at_once(50, lambda circuit=circuit: fail(circuit, times=1))  # type: ignore[misc]
        assert circuit.state == expected


@pytest.mark.usefixtures("_hasty_threads")
def test_of_fifty_threads_one_probes(circuit: Circuit, fake_time: FakeTime) -> None:
    fail(circuit)
    fake_time.now += 30
    permits = at_once(50, circuit.admit)
    assert sum(permit is not None for permit in permits) == 1


@pytest.mark.usefixtures("_hasty_threads")
def test_fifty_threads_never_probe_together(circuit: Circuit, fake_time: FakeTime) -> None:
    under_way: list[int] = []
    most: list[int] = []
    fail(circuit)
    fake_time.now += 30

    def probe_and_give_back() -> None:
        for _ in range(200):
            if (permit := circuit.admit()) is not None:
                under_way.append(1)
                most.append(len(under_way))
                under_way.pop()
                permit.abandoned()

    at_once(50, probe_and_give_back)

    assert max(most) == 1
    assert circuit.state == "half-open"


@pytest.mark.usefixtures("_hasty_threads")
def test_threads_that_settle_one_permit_together_count_once() -> None:
    circuit = Circuits(BreakerPolicy(fail_max=2)).of(URL, "a/b")
    at_once(20, admitted(circuit).failed)
    assert circuit.state == "closed"


@pytest.mark.usefixtures("_hasty_threads")
def test_fifty_threads_get_the_same_circuit() -> None:
    registry = Circuits()
    assert len({id(found) for found in at_once(50, lambda: registry.of(URL, "a/b"))}) == 1


async def test_of_many_tasks_one_probes_and_a_cancelled_one_hands_over(
    circuit: Circuit, fake_time: FakeTime
) -> None:
    fail(circuit)
    fake_time.now += 30
    probing: list[asyncio.Task[None] | None] = []
    is_probing = asyncio.Event()

    async def call() -> None:
        permit = circuit.admit()
        if permit is None:
            return
        probing.append(asyncio.current_task())
        is_probing.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            permit.abandoned()
            raise

    async with asyncio.TaskGroup() as tasks:
        for _ in range(50):
            tasks.create_task(call())
        await is_probing.wait()
        assert circuit.admit() is None
        assert probing[0] is not None
        probing[0].cancel()

    assert len(probing) == 1
    admitted(circuit).succeeded()
    assert circuit.state == "closed"


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_starts_anew_though_a_lock_was_held(circuit: Circuit) -> None:
    fail(circuit)
    lock_is_held, is_forked = threading.Event(), threading.Event()

    def hold_the_lock() -> None:
        with circuit._lock:
            lock_is_held.set()
            is_forked.wait(timeout=30)

    holder = threading.Thread(target=hold_the_lock)
    holder.start()
    lock_is_held.wait(timeout=30)
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # a deadlock must not outlive the test
        os._exit(0 if circuit.state == "closed" and circuit.admit() is not None else 1)
    is_forked.set()
    holder.join()

    _, status = os.waitpid(child, 0)
    assert status == 0
    assert circuit.state == "open"


# ── the registries of a process ─────────────────────────────────────────────


def test_models_and_base_urls_have_their_own_circuits() -> None:
    registry = Circuits(POLICY)
    fail(registry.of(URL, "a/b"))
    registry.of(URL, "a/b:free")
    registry.of("http://127.0.0.1:1/v1", "a/b")

    assert registry.of(URL + "/", "a/b") is registry.of(URL, "a/b")
    assert registry.states() == {
        (URL, "a/b"): "open",
        (URL, "a/b:free"): "closed",
        ("http://127.0.0.1:1/v1", "a/b"): "closed",
    }


def test_reset_closes_all_and_gives_the_probe_back(fake_time: FakeTime) -> None:
    registry = Circuits(POLICY, clock=lambda: fake_time.now)
    circuit = registry.of(URL, "a/b")
    late = half_open(circuit, fake_time)

    registry.reset()

    assert registry.states() == {(URL, "a/b"): "closed"}
    half_open(circuit, fake_time).succeeded()
    late.failed()
    fail(circuit, times=2)
    assert circuit.state == "closed"


@pytest.mark.usefixtures("_no_circuits")
def test_equal_policies_share_their_circuits() -> None:
    assert shared_circuits(BreakerPolicy()) is shared_circuits(BreakerPolicy(redis_url=None))
    assert shared_circuits(BreakerPolicy()) is not shared_circuits(POLICY)
    assert len({id(one) for one in at_once(50, lambda: shared_circuits(POLICY))}) == 1


@pytest.mark.usefixtures("_no_circuits")
def test_all_circuits_of_the_process_can_be_seen_and_reset() -> None:
    fail(shared_circuits(POLICY).of(URL, "a/b"))
    shared_circuits(BreakerPolicy()).of(URL, "a/b")
    shared_circuits(BreakerPolicy()).of(URL, "c/d")
    assert circuits() == {(URL, "a/b"): "open", (URL, "c/d"): "closed"}

    reset_circuits()

    assert circuits() == {}
    assert shared_circuits(POLICY).of(URL, "a/b").state == "closed"


def test_a_registry_that_nobody_needs_is_forgotten() -> None:
    registry = Circuits()
    assert registry in breaker._alive
    before = len(breaker._alive)
    del registry
    gc.collect()
    assert len(breaker._alive) < before


def test_without_redis_installed_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "langchain_tale.resilience.circuit_redis", raising=False)
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigurationError, match=r"langchain-tale\[scale\]"):
        Circuits(BreakerPolicy(redis_url="redis://127.0.0.1:6379/0"))
    assert Circuits().of(URL, "a/b").admit() is not None
