"""Answers in Redis, over Debian's real redis-server on loopback."""

from __future__ import annotations

import asyncio
import logging
import pickle
import signal
from typing import TYPE_CHECKING, Any

import pytest

from langchain_tale import ConfigurationError, RedisStoryCache
from tests.caching.test_sqlite import answer
from tests.conftest import chat_model
from tests.resilience.test_breaker_redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_tale.sandbox import Sandbox
    from tests.conftest import FakeTime

SLOW = pytest.mark.slow  # they need redis-server, which not every machine has


@pytest.fixture(scope="module")
def running() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.kill()


@pytest.fixture
def redis_server(running: RedisServer) -> RedisServer:
    with running.client() as client:
        client.flushall()
    return running


@pytest.fixture
def cache(redis_server: RedisServer) -> Iterator[RedisStoryCache]:
    cache = RedisStoryCache(redis_server.url)
    yield cache
    cache.close()


@SLOW
def test_what_was_kept_is_found_by_others(
    cache: RedisStoryCache, redis_server: RedisServer
) -> None:
    assert cache.lookup("p", "m") is None
    cache.update("p", "m", answer())

    other = RedisStoryCache(redis_server.url)
    assert other.lookup("p", "m") == answer()
    other.close()


@SLOW
async def test_it_has_twins_for_coroutines(cache: RedisStoryCache) -> None:
    await asyncio.gather(*(cache.aupdate(f"p{n}", "m", answer(str(n))) for n in range(50)))

    found = await asyncio.gather(*(cache.alookup(f"p{n}", "m") for n in range(50)))
    assert found == [answer(str(n)) for n in range(50)]


@SLOW
def test_it_serves_streams(cache: RedisStoryCache, sandbox: Sandbox) -> None:
    model = chat_model(sandbox, "a/b", cache=cache)
    list(model.stream("Hi"))

    [recalled] = model.stream("Hi")

    assert recalled.response_metadata["is_cached"]
    assert sandbox.requests == {"a/b": 1}


@SLOW
def test_redis_itself_forgets_what_is_old(redis_server: RedisServer) -> None:
    cache = RedisStoryCache(redis_server.url, max_age_s=90.5)
    cache.update("p", "m", answer())

    with redis_server.client() as client:
        [key] = client.keys("langchain_tale|answer|*")
        assert 80_000 < client.pttl(key) <= 90_500
    cache.close()


@SLOW
def test_clearing_leaves_the_keys_of_others(
    cache: RedisStoryCache, redis_server: RedisServer
) -> None:
    other = RedisStoryCache(redis_server.url, prefix="other[*]|")
    cache.update("p", "m", answer())
    other.update("p", "m", answer())

    other.clear()

    assert other.lookup("p", "m") is None
    assert cache.lookup("p", "m") == answer()
    cache.clear()
    with redis_server.client() as client:
        assert client.dbsize() == 0
    other.close()


@SLOW
def test_what_is_cut_off_is_not_kept(cache: RedisStoryCache) -> None:
    cache.update("p", "m", answer(finish_reason="length"))

    assert cache.lookup("p", "m") is None


@SLOW
def test_what_somebody_else_wrote_is_no_hit(
    cache: RedisStoryCache, redis_server: RedisServer
) -> None:
    with redis_server.client() as client:
        client.set(cache._key("p", "m"), "garbage")
        client.lpush(cache._key("q", "m"), "a list")

    assert cache.lookup("p", "m") is None
    assert cache.lookup("q", "m") is None


@SLOW
def test_a_copy_connects_for_itself(cache: RedisStoryCache) -> None:
    cache.update("p", "m", answer())
    other = pickle.loads(pickle.dumps(cache))  # noqa: S301 (our own)

    assert other.lookup("p", "m") == answer()
    other.close()


@SLOW
def test_while_redis_is_away_there_are_no_hits_and_no_waits(
    fake_time: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    server = RedisServer()
    cache = RedisStoryCache(f"{server.plain_url}?socket_timeout=0.2", clock=lambda: fake_time.now)
    cache.update("p", "m", answer())
    server.signal(signal.SIGSTOP)
    with caplog.at_level(logging.WARNING):
        for _ in range(100):
            assert cache.lookup("p", "m") is None
            cache.update("q", "m", answer())
    server.signal(signal.SIGCONT)
    fake_time.now += 6

    assert cache.lookup("p", "m") == answer()
    assert caplog.messages == ["the cache in Redis is away (TimeoutError)"]
    cache.close()
    server.kill()


def test_nobody_there_is_no_hit_either(caplog: pytest.LogCaptureFixture) -> None:
    cache = RedisStoryCache("redis://:hush-hush@127.0.0.1:9/0")

    with caplog.at_level(logging.WARNING):
        cache.update("p", "m", answer())
        assert cache.lookup("p", "m") is None
        cache.clear()

    assert len(caplog.messages) == 1
    assert "hush" not in f"{caplog.messages} {cache!r}"
    cache.close()


@pytest.mark.parametrize("url", ["", "http://a", "redis://localhost:port", "redis://a/?x=1"])
def test_what_is_no_url_is_one_sentence(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"This is no Redis URL; write it like redis://"):
        RedisStoryCache(url)


def test_an_age_that_makes_no_sense_is_one_sentence() -> None:
    with pytest.raises(ConfigurationError, match=r"max_age_s must be above 0\."):
        RedisStoryCache("redis://localhost", max_age_s=0)


def test_without_the_extra_it_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    modules: Any = __import__("sys").modules
    monkeypatch.setitem(modules, "redis", None)

    with pytest.raises(ConfigurationError, match=r"pip install 'langchain-tale\[scale\]'"):
        RedisStoryCache("redis://localhost")
