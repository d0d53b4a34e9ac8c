"""What the workers of a run share in Redis: stories told, leases, room at once, metrics.

| key | holds |
| --- | --- |
| `langchain_tale|run|NAME|told` | rows of stories, by the key of their request |
| `langchain_tale|run|NAME|failed` | rows of failures, likewise |
| `langchain_tale|run|NAME|lease|KEY` | which worker tells that request now; ends by itself |
| `langchain_tale|run|NAME|room` | the stories under way, by when their room ends |
| `langchain_tale|run|NAME|metrics` | the metrics of each worker |
| `langchain_tale|run|NAME|said` | why the run has stopped, said once |

A lease is renewed for as long as its worker lives. Redis must keep what it has: without its
append-only file a Redis that dies takes the stories along that are not in the output yet.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.errors import ConfigurationError, SharedStateError
from langchain_tale.redis_client import redis_client
from langchain_tale.telemetry.ledger_redis import RedisLedger
from langchain_tale.telemetry.metrics import StoryMetrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Row = dict[str, Any]

PATIENCE_S: Final = 10.0
LEASE_S: Final = 30.0
KEPT_S: Final = 7 * 24 * 3600.0
_MS: Final = 1000
LONGEST_NAME: Final = 100

_CLAIM: Final = """
local row = redis.call("hget", KEYS[1], ARGV[1])
if not row and ARGV[4] == "0" then row = redis.call("hget", KEYS[2], ARGV[1]) end
if row then return row end
if redis.call("set", KEYS[3], ARGV[2], "nx", "px", ARGV[3]) then return 1 end
if redis.call("get", KEYS[3]) == ARGV[2] then return 1 end
return 0
"""
_KEEP: Final = """
if redis.call("hexists", KEYS[1], ARGV[1]) == 0 then
  redis.call("hset", KEYS[2], ARGV[1], ARGV[2])
  if KEYS[1] == KEYS[2] then redis.call("hdel", KEYS[4], ARGV[1]) end
  redis.call("pexpire", KEYS[2], ARGV[4])
end
if redis.call("get", KEYS[3]) == ARGV[3] then redis.call("del", KEYS[3]) end
return redis.call("hget", KEYS[1], ARGV[1]) or ARGV[2]
"""
_RENEW: Final = """
if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("pexpire", KEYS[1], ARGV[2]) end
return redis.call("set", KEYS[1], ARGV[1], "nx", "px", ARGV[2]) and 1 or 0
"""
_RELEASE: Final = """
if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("del", KEYS[1]) end
return 0
"""
_ENTER: Final = """
local now = redis.call("time")
now = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call("zremrangebyscore", KEYS[1], "-inf", now)
if not redis.call("zscore", KEYS[1], ARGV[1]) and redis.call("zcard", KEYS[1]) >= tonumber(ARGV[2])
then return 0 end
redis.call("zadd", KEYS[1], now + ARGV[3], ARGV[1])
redis.call("pexpire", KEYS[1], ARGV[3])
return 1
"""


class SharedRun:
    """A run on many machines, as Redis knows it.

    Args:
        redis_url: `redis://`, `rediss://` or `unix://`.
        run: The name of the run.
        worker: Whose leases are taken; whoever only looks needs none.
        lease_s: Seconds after which what a worker had begun is anybody's, if it has not been
            heard of.
        kept_s: Seconds that the rows are kept after the last one was told.

    Raises:
        ConfigurationError: The extra is missing, the URL is none, or the name is too long.

    Example:
        ```python
        run = SharedRun("redis://…", "night-42")
        run.told, run.spent_usd, run.metrics().snapshot().overall.latency.p95_s
        ```
    """

    def __init__(
        self,
        redis_url: str,
        run: str,
        *,
        worker: str = "",
        lease_s: float = LEASE_S,
        kept_s: float = KEPT_S,
    ) -> None:
        if not run or len(run) > LONGEST_NAME or "|" in run:
            msg = f"run must be a name of 1 to {LONGEST_NAME} characters without '|'."
            raise ConfigurationError(msg)
        self._redis: Any = redis_client(
            redis_url, patience_s=PATIENCE_S, of="redis_url is", needed_by="A run on many machines"
        )
        self.name, self.worker = run, worker
        self.lease_s = lease_s
        self._lease_ms, self._kept_ms = round(lease_s * _MS), round(kept_s * _MS)
        self.ledger = RedisLedger(redis_url, f"run|{run}")

    def __repr__(self) -> str:
        return f"SharedRun({self.name!r})"  # the URL may hold a password

    # ── what it says ────────────────────────────────────────────────────────

    @property
    def told(self) -> int:
        """Stories told so far that are still kept."""
        with _reaching():
            return int(self._redis.hlen(self._key("told")))

    @property
    def failed(self) -> int:
        """Requests that have failed so far."""
        with _reaching():
            return int(self._redis.hlen(self._key("failed")))

    @property
    def spent_usd(self) -> float:
        """What all workers have spent, on tries that failed too."""
        return float(self.ledger.spent().usd)

    def metrics(self) -> StoryMetrics:
        """The metrics of all workers together, of dead ones as they said last."""
        with _reaching():
            found = self._redis.hvals(self._key("metrics"))
        merged = StoryMetrics(otel=False)
        for facts in found:
            merged.merge(StoryMetrics.from_dict(json.loads(facts), otel=False))
        return merged

    def forget(self) -> None:
        """Remove all that is kept of the run, what it has spent included."""
        names = ("told", "failed", "room", "metrics", "said")
        with _reaching():
            self._redis.delete(*map(self._key, names))
            self.ledger.forget()

    # ── stories ─────────────────────────────────────────────────────────────

    def claim(self, keys: Iterable[str], *, retries_failed: bool = False) -> list[Row | bool]:
        """For each request its row, or whether it is ours to tell now."""
        with _reaching(), self._redis.pipeline(transaction=False) as many:
            for key in keys:
                where = (self._key("told"), self._key("failed"), self._lease_key(key))
                flag = "1" if retries_failed else "0"
                many.eval(_CLAIM, 3, *where, key, self.worker, self._lease_ms, flag)
            found = many.execute()
        return [json.loads(one) if isinstance(one, bytes) else bool(one) for one in found]

    def keep(self, key: str, row: Row, *, is_told: bool) -> Row:
        """Keep the row of a request, unless there is a story of it, and end its lease.

        Returns:
            The row that counts: of two stories the one that was kept first.
        """
        told, failed = self._key("told"), self._key("failed")
        where = (told, told if is_told else failed, self._lease_key(key), failed)
        content = json.dumps(row, ensure_ascii=False, default=str).encode(errors="replace")
        with _reaching():
            kept = self._redis.eval(_KEEP, 4, *where, key, content, self.worker, self._kept_ms)
        found: Row = json.loads(kept)
        return found

    def renew(self, keys: Iterable[str], rooms: Iterable[str]) -> None:
        """Say that the worker is alive, and still at these."""
        with _reaching(), self._redis.pipeline(transaction=False) as many:
            for key in keys:
                many.eval(_RENEW, 1, self._lease_key(key), self.worker, self._lease_ms)
            for room in rooms:
                many.eval(_ENTER, 1, self._key("room"), room, 10**9, self._lease_ms)
            many.execute()

    def release(self, keys: Iterable[str]) -> None:
        """Let others have what was not told."""
        with _reaching(), self._redis.pipeline(transaction=False) as many:
            for key in keys:
                many.eval(_RELEASE, 1, self._lease_key(key), self.worker)
            many.execute()

    # ── room at once ────────────────────────────────────────────────────────

    def enter(self, room: str, most: int) -> bool:
        """Take one of `most` rooms, if one is free."""
        with _reaching():
            key = self._key("room")
            return bool(self._redis.eval(_ENTER, 1, key, room, most, self._lease_ms))

    def leave(self, room: str) -> None:
        """Give it back; where that fails, it ends by itself."""
        with _reaching():
            self._redis.zrem(self._key("room"), room)

    # ── words ───────────────────────────────────────────────────────────────

    def put_metrics(self, metrics: StoryMetrics) -> None:
        """Leave the worker's metrics for others to read."""
        with _reaching(), self._redis.pipeline(transaction=True) as both:
            both.hset(self._key("metrics"), self.worker, json.dumps(metrics.to_dict()))
            both.pexpire(self._key("metrics"), self._kept_ms)
            both.execute()

    def says_first(self, why: str) -> bool:
        """Whether nobody else has said so within the last minute."""
        with _reaching():
            return bool(self._redis.set(self._key("said"), why, nx=True, px=60 * _MS))

    def _key(self, name: str) -> str:
        return f"langchain_tale|run|{self.name}|{name}"

    def _lease_key(self, key: str) -> str:
        return self._key(f"lease|{key}")


@contextmanager
def _reaching() -> Iterator[None]:
    import redis  # noqa: PLC0415 (an extra)

    try:
        yield
    except (redis.RedisError, OSError) as error:
        msg = f"The Redis of the run does not answer ({type(error).__name__})."
        raise SharedStateError(msg) from None
