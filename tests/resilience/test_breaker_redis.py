"""Circuits that processes share, over Debian's real redis-server on loopback."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from typing import IO, TYPE_CHECKING, Any

import pytest
import redis
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from langchain_tale.errors import ConfigurationError
from langchain_tale.resilience import breaker, circuit_redis
from langchain_tale.resilience.breaker import Circuits, circuits, reset_circuits, shared_circuits
from langchain_tale.resilience.circuit import PROBE_LEASE_S
from langchain_tale.resilience.policy import BreakerPolicy
from langchain_tale.telemetry.events import CircuitOpened
from tests.resilience.circuit_machine import TIMEOUT_S, CircuitMachine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langchain_tale.resilience.circuit import Circuit, Permit
    from tests.conftest import FakeTime

pytestmark = pytest.mark.slow  # they need redis-server, which not every machine has

URL = "https://openrouter.ai/api/v1"
MODEL = "a/b:free"
KEYS = f"langchain_tale|{URL}|{MODEL}:pybreaker"
PASSWORD = "hush-hush"
DEADLINE_S = 30.0


class RedisServer:
    """A redis-server of our own: in memory, on a free loopback port, behind a password."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.plain_url = f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"
        # A busy machine is no outage: what a URL says goes before our own impatience.
        self.url = f"{self.plain_url}?socket_timeout=20&socket_connect_timeout=20"
        self.start()

    def start(self) -> None:
        program = shutil.which("redis-server")
        assert program, "these tests need redis-server: apt-get install -y redis-server"
        options = f"--port {self.port} --bind 127.0.0.1 --appendonly no --requirepass {PASSWORD}"
        self.process = subprocess.Popen(  # noqa: S603
            [program, *options.split(), "--save", ""], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        ready = (line for line in self.process.stdout if "Ready to accept connections" in line)
        assert next(ready, None), "redis-server ended before it was ready"

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.process.communicate()

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)


@pytest.fixture(scope="module")
def running() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.kill()


@pytest.fixture
def server(running: RedisServer) -> Iterator[RedisServer]:
    """The server, with nothing in it."""
    with running.client() as client:
        client.flushall()
    yield running
    if running.process.returncode is not None:
        running.start()


@pytest.fixture
def registry(server: RedisServer, fake_time: FakeTime) -> Callable[[], Circuits]:
    """Makes registries that have nothing in common but the server and the time."""
    return lambda: Circuits(policy(server), clock=lambda: fake_time.now)


@pytest.fixture
def ours(registry: Callable[[], Circuits]) -> Circuit:
    return registry().of(URL, MODEL)


@pytest.fixture
def theirs(registry: Callable[[], Circuits]) -> Circuit:
    return registry().of(URL, MODEL)


def policy(server: RedisServer, **limits: Any) -> BreakerPolicy:
    return BreakerPolicy(**{"fail_max": 3, "redis_url": server.url, **limits})


def admitted(circuit: Circuit) -> Permit:
    permit = circuit.admit()
    assert permit is not None
    return permit


def fail(circuit: Circuit, times: int = 3) -> None:
    for _ in range(times):
        admitted(circuit).failed()


def seen(*circuits: Circuit) -> list[str]:
    return [circuit.state for circuit in circuits]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """All but those of circuits that open."""
    grave = [record for record in caplog.records if record.levelno >= logging.WARNING]
    others = [each for each in grave if not isinstance(vars(each).get("event"), CircuitOpened)]
    return [record.getMessage() for record in others]


# ── sharing ─────────────────────────────────────────────────────────────────


def test_failures_of_all_are_counted_together(ours: Circuit, theirs: Circuit) -> None:
    fail(ours, times=2)
    fail(theirs, times=1)
    assert seen(ours, theirs) == ["open", "open"]
    assert ours.admit() is None
    assert ours.reopens_in_s() == theirs.reopens_in_s() == 30.0


def test_a_success_of_one_forgets_the_failures_of_all(ours: Circuit, theirs: Circuit) -> None:
    fail(ours, times=2)
    admitted(theirs).succeeded()
    fail(ours, times=2)
    assert seen(ours, theirs) == ["closed", "closed"]


def test_one_of_all_probes_and_what_it_finds_holds_for_all(
    ours: Circuit, theirs: Circuit, fake_time: FakeTime
) -> None:
    fail(ours)
    fake_time.now += 30
    probe = admitted(theirs)
    assert (ours.admit(), theirs.admit()) == (None, None)
    assert ours.reopens_in_s() == 1.0

    probe.failed()
    assert seen(ours, theirs) == ["open", "open"]

    fake_time.now += 30
    admitted(ours).abandoned()
    admitted(theirs).succeeded()
    assert seen(ours, theirs) == ["closed", "closed"]


def test_who_notices_late_that_it_closed_loses_no_failures(
    ours: Circuit, theirs: Circuit, fake_time: FakeTime
) -> None:
    fail(ours)
    assert theirs.admit() is None
    fake_time.now += 30
    admitted(ours).succeeded()
    fail(ours, times=2)

    fail(theirs, times=1)

    assert seen(ours, theirs) == ["open", "open"]


def test_a_prober_that_died_blocks_nobody_for_ever(
    server: RedisServer, ours: Circuit, theirs: Circuit, fake_time: FakeTime
) -> None:
    fail(ours)
    fake_time.now += 30
    admitted(ours)
    with server.client() as client:
        assert 0 < client.pttl(f"{KEYS}:probe") <= PROBE_LEASE_S * 1000
        client.pexpire(f"{KEYS}:probe", 1)
        soon = time.monotonic() + DEADLINE_S
        while client.exists(f"{KEYS}:probe") and time.monotonic() < soon:
            pass

    admitted(theirs).succeeded()
    assert seen(ours, theirs) == ["closed", "closed"]


def test_who_is_a_moment_late_for_the_probe_may_have_the_next(
    ours: Circuit, theirs: Circuit, fake_time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(circuit_redis._AtRedis, "probe_ends_in_s", lambda _: 0.0)  # as both ask
    fail(ours)
    fake_time.now += 30
    probe = admitted(ours)
    assert theirs.admit() is None

    probe.abandoned()

    assert theirs.admit() is not None


def test_who_asks_while_another_probes_from_start_to_end_does_not_probe_as_well(
    ours: Circuit, theirs: Circuit, fake_time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def after_a_whole_probe(storage: circuit_redis._AtRedis, token: str) -> bool:
        monkeypatch.undo()
        admitted(theirs).failed()
        return lend_probe(storage, token)

    lend_probe = circuit_redis._AtRedis.lend_probe
    fail(ours)
    fake_time.now += 30
    monkeypatch.setattr(circuit_redis._AtRedis, "lend_probe", after_a_whole_probe)

    assert ours.admit() is None

    assert seen(ours, theirs) == ["open", "open"]
    fake_time.now += 30
    assert ours.admit() is not None


def test_a_reset_closes_for_all(
    registry: Callable[[], Circuits], ours: Circuit, theirs: Circuit, fake_time: FakeTime
) -> None:
    fail(ours)
    fake_time.now += 30
    admitted(ours)
    fresh = registry()
    fresh.of(URL, MODEL)

    fresh.reset()

    assert seen(ours, theirs) == ["closed", "closed"]
    fail(theirs, times=2)
    assert seen(ours, theirs) == ["closed", "closed"]


def test_the_process_wide_reset_reaches_redis(server: RedisServer, theirs: Circuit) -> None:
    fail(theirs)
    shared_circuits(policy(server)).of(URL, MODEL)
    assert circuits()[URL, MODEL] == "open"

    reset_circuits()

    assert circuits() == {}
    assert seen(theirs) == ["closed"]
    breaker._shared.clear()


def test_whatever_happens_two_registries_behave_like_one(server: RedisServer) -> None:
    def apart(given: BreakerPolicy, clock: Callable[[], float]) -> list[Circuits]:
        shared = given.model_copy(update={"redis_url": server.url})
        return [Circuits(shared, clock=clock) for _ in range(2)]

    class SoonerThanRedis(CircuitMachine):
        longest_step_s = TIMEOUT_S  # leases in Redis end by its own clock, which nobody moves

    run_state_machine_as_test(
        partial(SoonerThanRedis, apart),  # type: ignore[arg-type]
        settings=settings(max_examples=40, stateful_step_count=30, deadline=None),
    )


PROCESS = f"""
import sys
from langchain_tale.resilience.breaker import Circuits
from langchain_tale.resilience.policy import BreakerPolicy
policy = BreakerPolicy(fail_max=3, reset_timeout_s=float(sys.argv[2]), redis_url=sys.argv[1])
circuit = Circuits(policy).of({URL!r}, {MODEL!r})
for line in sys.stdin:
    state, permit = circuit.state, circuit.admit()
    if permit is not None and line.strip() != "nothing":
        getattr(permit, line.strip())()
    print(state, permit is not None, flush=True)
"""


def tell(process: subprocess.Popen[str], word: str) -> None:
    to: IO[str] | None = process.stdin
    assert to is not None
    to.write(word + "\n")
    to.flush()


def answer(process: subprocess.Popen[str]) -> str:
    """The state that a process saw, and whether it was admitted."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture
def processes(server: RedisServer) -> Iterator[list[subprocess.Popen[str]]]:
    """Three that circuits of a thousandth of a second share with us."""
    program = [sys.executable, "-c", PROCESS, server.url, "1e-3"]
    start = partial(subprocess.Popen, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    running = [start(program) for _ in range(3)]
    yield running
    for process in running:
        process.communicate(timeout=DEADLINE_S)


def test_processes_share_a_circuit_and_one_of_them_probes(
    server: RedisServer, processes: list[subprocess.Popen[str]]
) -> None:
    for process in processes:
        tell(process, "failed")
        assert answer(process) == "closed True"
    circuit = Circuits(policy(server, reset_timeout_s=1e-3)).of(URL, MODEL)
    assert seen(circuit) == ["open"]
    while circuit.reopens_in_s() > 0:
        pass

    for process in processes:  # all at once, and none settles
        tell(process, "nothing")
    admitted = [answer(process).split()[1] for process in processes]

    assert sorted(admitted) == ["False", "False", "True"]
    assert seen(circuit) == ["half-open"]
    assert circuit.admit() is None


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_a_connection_of_its_own(ours: Circuit, theirs: Circuit) -> None:
    fail(ours, times=2)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        fail(ours, times=1)
        os._exit(0 if ours.state == "open" else 1)

    _, status = os.waitpid(child, 0)
    assert status == 0
    assert seen(ours, theirs) == ["open", "open"]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_survives_redis_though_a_lock_was_held(
    server: RedisServer, registry: Callable[[], Circuits]
) -> None:
    both = registry()
    circuit = both.of(URL, MODEL)
    server.kill()
    assert both._link is not None
    both._link._lock.acquire()
    child = os.fork()
    if child == 0:  # where nobody will ever release it
        signal.alarm(20)
        fail(circuit)
        os._exit(0 if circuit.state == "open" else 1)

    both._link._lock.release()
    _, status = os.waitpid(child, 0)
    assert status == 0


def test_a_registry_that_nobody_needs_closes_its_connections(
    registry: Callable[[], Circuits],
) -> None:
    both = registry()
    admitted(both.of(URL, MODEL)).abandoned()
    assert both._link is not None
    pool = both._link._client.connection_pool
    connection = pool.get_connection()
    pool.release(connection)
    assert connection.is_connected

    del both
    gc.collect()

    assert not connection.is_connected


# ── Redis goes away ─────────────────────────────────────────────────────────


def test_circuits_survive_redis_and_share_again_when_it_is_back(
    server: RedisServer,
    ours: Circuit,
    theirs: Circuit,
    fake_time: FakeTime,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fail(ours)
    assert theirs.admit() is None

    server.kill()
    assert seen(ours, theirs) == ["open", "open"], "what was known stays known"
    fake_time.now += 30
    admitted(ours).succeeded()
    assert seen(ours, theirs) == ["closed", "open"], "each for itself"
    fail(ours)
    assert (ours.state, ours.admit()) == ("open", None)

    server.start()
    assert ours.admit() is None
    fake_time.now += 30
    admitted(ours).failed()
    assert seen(ours, theirs) == ["open", "open"], "an empty Redis learns what was known"
    fake_time.now += 30
    admitted(theirs).succeeded()
    assert seen(ours, theirs) == ["closed", "closed"]
    assert len(warnings(caplog)) == 2, "one for each registry"


def test_it_says_so_once_and_keeps_the_password_to_itself(
    server: RedisServer,
    registry: Callable[[], Circuits],
    fake_time: FakeTime,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    both = registry()
    one, another = both.of(URL, "a/b"), both.of(URL, "c/d")
    admitted(one).succeeded()
    server.kill()

    for _ in range(4):
        fail(one, times=2)
        fail(another, times=2)
        admitted(one).succeeded()
        admitted(another).abandoned()
        another.reset()
        fake_time.now += 30
    server.start()
    fake_time.now += 30
    fail(one, times=1)
    server.kill()
    fail(one, times=2)

    assert seen(one) == ["open"]
    [warning] = warnings(caplog)
    assert warning.startswith(f"Redis at 127.0.0.1:{server.port} is away (ConnectionError); ")
    assert warning.endswith("circuits of this process alone until it is back")
    assert all(record.name.startswith("langchain_tale") for record in caplog.records)
    assert PASSWORD not in caplog.text
    assert PASSWORD not in repr(both) + repr(one) + repr(both.policy)
    assert PASSWORD not in repr(vars(both))


def test_redis_that_comes_back_is_not_asked_before_its_time(
    server: RedisServer, ours: Circuit, fake_time: FakeTime
) -> None:
    server.kill()
    fail(ours, times=1)
    server.start()
    with server.client() as client:
        fake_time.now += 29
        fail(ours, times=1)
        assert client.keys() == []
        fake_time.now += 1
        admitted(ours).abandoned()
        assert client.keys() == [f"{KEYS}:state".encode()]


def test_a_redis_that_was_never_there_is_survived(
    server: RedisServer, fake_time: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    server.kill()
    circuit = Circuits(policy(server), clock=lambda: fake_time.now).of(URL, MODEL)
    fail(circuit)
    assert seen(circuit) == ["open"]
    fake_time.now += 30
    admitted(circuit).succeeded()
    assert seen(circuit) == ["closed"]
    assert len(warnings(caplog)) == 1


def test_a_probe_goes_on_when_redis_goes_away(
    server: RedisServer, ours: Circuit, fake_time: FakeTime
) -> None:
    fail(ours)
    fake_time.now += 30
    probe = admitted(ours)
    server.kill()
    assert ours.admit() is None
    probe.succeeded()
    assert seen(ours) == ["closed"]


def test_a_connection_that_died_idle_is_made_anew_in_silence(
    server: RedisServer, ours: Circuit, theirs: Circuit, caplog: pytest.LogCaptureFixture
) -> None:
    fail(ours, times=1)
    server.kill()
    server.start()
    fail(ours)
    assert seen(ours, theirs) == ["open", "open"]
    assert warnings(caplog) == []


def test_a_redis_that_does_not_answer_is_left_alone(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    circuit = Circuits(policy(server, redis_url=server.plain_url)).of(URL, MODEL)
    fail(circuit, times=1)
    server.signal(signal.SIGSTOP)
    try:
        fail(circuit, times=2)
        assert seen(circuit) == ["open"]
    finally:
        server.signal(signal.SIGCONT)
    assert [text.split("(")[1].split(")")[0] for text in warnings(caplog)] == ["TimeoutError"]


def test_a_redis_that_only_reads_is_left_alone(
    server: RedisServer, ours: Circuit, caplog: pytest.LogCaptureFixture
) -> None:
    admitted(ours).succeeded()
    with server.client() as client:
        client.replicaof("127.0.0.1", server.port)
        try:
            fail(ours, times=2)
            assert seen(ours) == ["closed"]
            fail(ours, times=1)
            assert seen(ours) == ["open"]
        finally:
            client.replicaof("NO", "ONE")
    assert [text.split("(")[1].split(")")[0] for text in warnings(caplog)] == ["ReadOnlyError"]


def test_a_wrong_password_is_survived_and_not_told(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"redis://:wrong-{PASSWORD}@127.0.0.1:{server.port}/0"
    fail(circuit := Circuits(BreakerPolicy(fail_max=3, redis_url=url)).of(URL, MODEL))
    assert seen(circuit) == ["open"]
    assert "AuthenticationError" in caplog.text
    assert PASSWORD not in caplog.text


@pytest.mark.parametrize(
    ("key", "value"),
    [("state", "ajar"), ("opened_at", "yesterday"), ("fail_counter", "many"), ("state", b"\xff")],
    ids=["state", "time", "counter", "bytes"],
)
def test_what_others_wrote_there_does_no_harm(
    server: RedisServer, ours: Circuit, fake_time: FakeTime, key: str, value: str
) -> None:
    admitted(ours).succeeded()
    with server.client() as client:
        client.set(f"{KEYS}:{key}", value)
    for _ in range(4):
        if (permit := ours.admit()) is not None:
            permit.failed()
    assert seen(ours) == ["open"]
    fake_time.now += 30
    admitted(ours).succeeded()
    assert seen(ours) == ["closed"]


@pytest.mark.parametrize(
    "url",
    [
        f"http://:{PASSWORD}@127.0.0.1:6379",
        f"redis://:{PASSWORD}@127.0.0.1:port",
        f"redis://:{PASSWORD}@127.0.0.1:6379/0?no_such_option=1",
        f"redis://:{PASSWORD}@127.0.0.1:6379/0?socket_timeout=soon",
        "",
    ],
    ids=["scheme", "port", "option", "value", "empty"],
)
def test_what_is_no_redis_url_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match="redis_url is no Redis URL") as caught:
        Circuits(BreakerPolicy(redis_url=url))
    assert PASSWORD not in str(caught.value)
    assert caught.value.__cause__ is None
