"""Circuits that processes share through Redis, and what happens while it is away.

Redis is asked first and memory follows it, so that memory has the last known picture when
Redis stops answering. Each process then goes on alone; after a while one request finds out
whether Redis is back.
"""

from __future__ import annotations

import logging
import sys
import threading
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from weakref import finalize

import redis
from pybreaker import STATE_CLOSED, CircuitRedisStorage

from langchain_tale.redis_client import redis_client
from langchain_tale.resilience.circuit import PROBE_LEASE_S, LocalStorage, Period
from langchain_tale.telemetry.events import RedisLost
from langchain_tale.telemetry.scopes import tell

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_PATIENCE_S: Final = 0.25
"""Seconds to wait for Redis, which a model call waits for in its turn."""

_TAKE_BACK: Final = """
if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("del", KEYS[1]) end
return 0
"""


class RedisLink:
    """The way to one Redis, for all circuits of a registry.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        retry_after_s: Seconds to leave it alone when it did not answer.
        clock: Seconds.

    Raises:
        ConfigurationError: `url` is none that Redis knows.
    """

    def __init__(self, url: str, *, retry_after_s: float, clock: Callable[[], float]) -> None:
        self._client = redis_client(
            url,
            patience_s=_PATIENCE_S,
            of="BreakerPolicy.redis_url is",
            needed_by="Sharing circuits",
        )
        finalize(self, self._client.connection_pool.disconnect)
        self._retry_after_s = retry_after_s
        self._clock = clock
        self._lock = threading.Lock()
        self._away_since: float | None = None
        self._has_warned = False

    def storage(self, name: str) -> LocalStorage:
        """What is known of the circuit called `name`."""
        return _SharedStorage(self, _AtRedis(STATE_CLOSED, self._client, name), self._clock)

    def ask(self, question: Callable[[], T], *, otherwise: T) -> T:
        """What Redis says, or `otherwise` while it is away. Never raises."""
        if not self._is_worth_asking():
            return otherwise
        try:
            answer = question()
        except (redis.RedisError, OSError, ValueError) as error:  # ValueError: not written by us
            self._lost(error)
            return otherwise
        self._away_since = None
        return answer

    def _is_worth_asking(self) -> bool:
        since, now = self._away_since, self._clock()
        if since is None:
            return True
        if abs(now - since) < self._retry_after_s:
            return False
        with self._lock:
            is_first = self._away_since == since
            if is_first:  # it finds out; meanwhile the others go on in memory
                self._away_since = now
        return is_first

    def _lost(self, error: Exception) -> None:
        with self._lock:
            self._away_since = self._clock()
            is_news, self._has_warned = not self._has_warned, True
        if is_news:
            tell(RedisLost, address=self._address(), error=type(error).__name__)

    def _address(self) -> str:
        known = self._client.connection_pool.connection_kwargs
        host, port = known.get("host", "localhost"), known.get("port", 6379)
        return known.get("path") or f"{host}:{port}"


class _SharedStorage(LocalStorage):
    """What processes know of a circuit together; memory follows, and serves while Redis is away."""

    def __init__(self, link: RedisLink, remote: _AtRedis, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self._link = link
        self._remote = remote

    def period(self) -> Period:
        known = super().period()
        found = self._link.ask(partial(self._remote.period, known), otherwise=known)
        self._state, self._opened_at = found
        return found

    @property
    def is_spotless(self) -> bool:
        return False  # others may have failed

    @property
    def state(self) -> str:
        return self._state  # no question: pybreaker asks only when a circuit is made

    @state.setter
    def state(self, state: str) -> None:
        self._state = state
        self._link.ask(partial(setattr, self._remote, "state", state), otherwise=None)

    @property
    def opened_at(self) -> datetime | None:
        return self._opened_at

    @opened_at.setter
    def opened_at(self, moment: datetime) -> None:
        self._opened_at = moment
        self._link.ask(partial(self._remote.put_opened_at, moment), otherwise=None)

    @property
    def counter(self) -> int:
        known = self._fail_counter
        self._fail_counter = self._link.ask(lambda: self._remote.counter, otherwise=known)
        return self._fail_counter

    def increment_counter(self) -> None:
        super().increment_counter()
        self._link.ask(self._remote.increment_counter, otherwise=None)

    def reset_counter(self) -> None:
        super().reset_counter()
        self._link.ask(self._remote.reset_counter, otherwise=None)

    def lend_probe(self, token: str) -> bool:
        if not super().lend_probe(token):
            return False
        if self._link.ask(partial(self._remote.lend_probe, token), otherwise=True):
            return True
        super().take_back_probe(token)
        return False

    def take_back_probe(self, token: str | None = None) -> None:
        super().take_back_probe(token)
        self._link.ask(partial(self._remote.take_back_probe, token), otherwise=None)

    def probe_ends_in_s(self) -> float:
        known_s = super().probe_ends_in_s()
        return max(known_s, self._link.ask(self._remote.probe_ends_in_s, otherwise=0.0))


class _LettingOut(logging.Logger):
    """pybreaker logs Redis's errors and goes on with made-up facts; this hands them on."""

    def exception(self, msg: object, *args: object, **kwargs: Any) -> None:  # noqa: ARG002
        error = sys.exception()
        if error is not None:
            raise error


class _AtRedis(CircuitRedisStorage):
    """pybreaker's facts in Redis, and beside them the lease of the probe."""

    logger = _LettingOut("pybreaker")

    def _initialize_redis_state(self, state: str) -> None:
        """Nothing: making a circuit must not wait for Redis; `period` writes what is missing."""

    def period(self, known: Period) -> Period:
        """The state and when the circuit opened; `known` where Redis has none, which it learns."""
        keys = self._namespace("state"), self._namespace("opened_at")
        state, opened_at = cast("list[bytes | None]", self._redis.mget(*keys))
        if state is None:  # nobody was here before, or Redis came back empty
            self._learn(known)
            return known
        moment = datetime.fromisoformat(opened_at.decode()) if opened_at else None
        return cast("Period", (state.decode(), moment))

    def _learn(self, known: Period) -> None:
        state, opened_at = known
        if opened_at is not None:
            self._redis.setnx(self._namespace("opened_at"), opened_at.isoformat())
        self._redis.setnx(self._namespace("state"), state)

    def put_opened_at(self, moment: datetime) -> None:
        """As pybreaker's setter, which cuts to whole seconds; but it tells periods apart."""
        self._redis.set(self._namespace("opened_at"), moment.isoformat())

    def lend_probe(self, token: str) -> bool:
        """Take the lease unless somebody has it. It ends by itself: its holder may have died."""
        lease_ms = int(PROBE_LEASE_S * 1000)
        return bool(self._redis.set(self._namespace("probe"), token, nx=True, px=lease_ms))

    def take_back_probe(self, token: str | None) -> None:
        """End the lease of `token`, or of anybody."""
        key = self._namespace("probe")
        if token is None:
            self._redis.delete(key)
        else:
            self._redis.eval(_TAKE_BACK, 1, key, token)

    def probe_ends_in_s(self) -> float:
        """Seconds that the lease still runs; 0.0 when nobody has it."""
        return max(0, self._redis.pttl(self._namespace("probe"))) / 1000
