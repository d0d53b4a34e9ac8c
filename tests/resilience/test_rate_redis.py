"""A rate limit that processes share, over Debian's real redis-server on loopback."""

from __future__ import annotations

import asyncio
import copy
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from langchain_tale import (
    AllModelsFailedError,
    ConfigurationError,
    RedisRateLimiter,
    RetryPolicy,
    SharedStateError,
)
from langchain_tale.errors import CircuitOpenError, RateLimitError
from langchain_tale.sandbox import Fault
from tests.conftest import chat_model
from tests.resilience.test_breaker_redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_tale.sandbox.pytest_plugin import StartSandbox
    from tests.conftest import FakeTime

SLOW = pytest.mark.slow  # they need redis-server, which not every machine has
NAME = "night"


@pytest.fixture(scope="module")
def running() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.kill()


@pytest.fixture
def url(running: RedisServer) -> str:
    with running.client() as client:
        client.flushall()
    return running.url


def limiter(url: str, slept: list[float], **options: Any) -> RedisRateLimiter:
    """One whose waits are written down and not waited; Redis's clock goes on as it does."""

    async def asleep(seconds: float) -> None:
        slept.append(seconds)

    given = {"sleep": slept.append, "asleep": asleep, "uniform": lambda low, _high: low}
    return RedisRateLimiter(url, NAME, **given | options)


@SLOW
def test_turns_are_spread_over_all_who_ask(url: str) -> None:
    slept: list[float] = []
    ours, theirs = (limiter(url, slept, requests_per_minute=1) for _ in range(2))

    for one in (ours, theirs, ours, theirs):
        assert one.acquire()

    # The clock of Redis goes on while we ask, so each wait is a little below whole minutes.
    assert [round(wait_s / 60) for wait_s in slept] == [1, 2, 3]
    assert all(wait_s <= 60 * turn for turn, wait_s in enumerate(slept, 1))


@SLOW
async def test_coroutines_take_turns_alike(url: str) -> None:
    slept: list[float] = []
    one = limiter(url, slept, requests_per_minute=1)

    assert all(await asyncio.gather(*(one.aacquire() for _ in range(5))))

    assert sorted(round(wait_s / 60) for wait_s in slept) == [1, 2, 3, 4]


@SLOW
def test_after_a_pause_a_burst_may_start_at_once(url: str) -> None:
    slept: list[float] = []
    one = limiter(url, slept, requests_per_minute=1, burst=3)

    for _ in range(5):
        one.acquire()

    assert [round(wait_s / 60) for wait_s in slept] == [1, 2]


@SLOW
def test_whoever_does_not_wait_is_told_so(url: str) -> None:
    one = limiter(url, [], requests_per_minute=1)

    assert one.acquire(blocking=False)
    assert not one.acquire(blocking=False)


@SLOW
async def test_whoever_does_not_wait_is_told_so_in_coroutines(url: str) -> None:
    one = limiter(url, [], requests_per_minute=1)

    assert await one.aacquire(blocking=False)
    assert not await one.aacquire(blocking=False)


@SLOW
def test_names_are_limits_of_their_own(url: str) -> None:
    slept: list[float] = []
    limiter(url, slept, requests_per_minute=1).acquire()

    RedisRateLimiter(url, "other", requests_per_minute=1, sleep=slept.append).acquire()

    assert slept == []


@SLOW
def test_what_one_heard_all_keep(url: str) -> None:
    slept: list[float] = []
    ours, theirs = (limiter(url, slept, model="a/b") for _ in range(2))
    others = limiter(url, [], model="c/d")
    ours.hold(300)

    assert not theirs.acquire(blocking=False)
    assert others.acquire(blocking=False)
    ours.hold(1)  # a shorter one takes nothing back
    assert not theirs.acquire(blocking=False)


@SLOW
def test_a_held_model_is_waited_for_where_there_is_no_other(url: str) -> None:
    waits: list[float] = []
    one = limiter(url, [], model="a/b")
    one.hold(100)

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        one._client.flushall()  # the time is over

    one._sleep = sleep

    assert one.acquire()
    assert [round(wait_s) for wait_s in waits] == [100]


@SLOW
def test_a_held_model_is_passed_over_where_there_is_another(url: str) -> None:
    one = limiter(url, [], model="a/b", has_others=True)
    one.hold(100)

    with pytest.raises(CircuitOpenError, match=r"a/b asked to be left alone for") as caught:
        one.acquire()
    assert caught.value.retry_after_s == pytest.approx(100, abs=30)


@SLOW
def test_what_is_heard_during_a_wait_is_kept_too(url: str) -> None:
    waits: list[float] = []
    one = limiter(url, [], model="a/b", requests_per_minute=1)

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 1:
            one.hold(500)
        else:
            one._client.flushall()

    one._sleep = sleep
    one.acquire()
    one.acquire()

    assert [round(wait_s / 20) for wait_s in waits] == [3, 25]


@SLOW
def test_a_429_of_one_call_is_kept_by_the_next_of_another_process(
    url: str, openrouter_sandbox: StartSandbox, fake_time: FakeTime
) -> None:
    crowded = Fault(status=429, headers={"Retry-After": "120"})
    sandbox = openrouter_sandbox({"a/b": [crowded]})
    ours, theirs = (limiter(url, [], model="a/b", has_others=True) for _ in range(2))
    once = RetryPolicy(max_retries=0)

    with pytest.raises(RateLimitError):
        chat_model(sandbox, "a/b", rate_limiter=ours).with_retry(once).invoke(
            "Hi", config={"callbacks": [ours.hearing()]}
        )
    answer = (
        chat_model(sandbox, "a/b", rate_limiter=theirs)
        .with_retry(RetryPolicy(max_retries=1), timing=fake_time.timing())
        .with_fallbacks([chat_model(sandbox, "c/d")])
        .invoke("Hi", config={"callbacks": [theirs.hearing()]})
    )

    assert answer.response_metadata["model_name"] == "c/d"
    assert sandbox.requests == {"a/b": 1, "c/d": 1}
    assert ours._held_s() <= 120  # what was passed over has not been heard again


@SLOW
def test_every_attempt_takes_its_turn(
    url: str, openrouter_sandbox: StartSandbox, fake_time: FakeTime
) -> None:
    sandbox = openrouter_sandbox({"a/b": [Fault(status=503)] * 5})
    slept: list[float] = []
    model = chat_model(sandbox, "a/b", rate_limiter=limiter(url, slept, requests_per_minute=1))

    with pytest.raises(AllModelsFailedError):
        model.with_retry(RetryPolicy(max_retries=2), timing=fake_time.timing()).invoke("Hi")

    assert [round(wait_s / 60) for wait_s in slept] == [1, 2]


def test_a_copy_is_the_same_limit_and_shows_no_password() -> None:
    one = RedisRateLimiter("redis://:hush-hush@127.0.0.1:9/0", NAME, requests_per_minute=60)
    copies = [pickle.loads(pickle.dumps(one)), copy.deepcopy(one)]  # noqa: S301 (our own)

    assert [repr(each) for each in copies] == ["RedisRateLimiter(name='night')"] * 2
    assert {each._every_ms for each in copies} == {1_000.0}


def test_while_redis_is_away_nothing_is_sent_and_the_model_is_not_blamed(
    openrouter_sandbox: StartSandbox,
) -> None:
    sandbox = openrouter_sandbox()
    away = RedisRateLimiter("redis://:hush-hush@127.0.0.1:9/0", NAME, model="a/b")
    model = chat_model(sandbox, "a/b", rate_limiter=away).with_retry()

    with pytest.raises(SharedStateError, match="nothing was sent") as caught:
        model.invoke("Hi")
    away.hold(10)

    assert "hush" not in str(caught.value)
    assert sandbox.requests == {}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"requests_per_minute": 0}, "requests_per_minute must be above 0"),
        ({"requests_per_minute": float("inf")}, "requests_per_minute must be above 0"),
        ({"burst": 0}, "burst must be at least 1"),
    ],
)
def test_a_limit_that_is_none_is_one_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        RedisRateLimiter("redis://localhost", NAME, **options)
