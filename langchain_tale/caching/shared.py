"""`RedisStoryCache`: answers that machines share."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from langchain_core.caches import BaseCache

from langchain_tale.caching.values import key_of, packed, unpacked
from langchain_tale.errors import ConfigurationError
from langchain_tale.redis_client import redis_client

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_core.outputs import Generation

T = TypeVar("T")
_log: Final = logging.getLogger(__name__)
_PATIENCE_S: Final = 1.0
_REST_S: Final = 5.0
"""Seconds to leave a Redis alone that did not answer: every call would wait for it."""


class RedisStoryCache(BaseCache):
    """LangChain's cache of answers in Redis.

    While Redis is away there are no hits and nothing is kept; that is logged once.

    Args:
        url: `redis://`, `rediss://` or `unix://`; `?socket_timeout=` sets our patience.
        max_age_s: Answers are removed after so many seconds; None leaves it to Redis.
        prefix: What its keys begin with: caches with another prefix are others.
        clock: Seconds on a clock that never goes back, for tests.

    Raises:
        ConfigurationError: The extra is missing, or `url` is none.
    """

    def __init__(
        self,
        url: str,
        *,
        max_age_s: float | None = None,
        prefix: str = "langchain_tale|answer|",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if max_age_s is not None and not max_age_s > 0:
            msg = "max_age_s must be above 0."
            raise ConfigurationError(msg)
        self._url, self._max_age_s, self._prefix, self._clock = url, max_age_s, prefix, clock
        self._begin()

    def __repr__(self) -> str:
        return f"RedisStoryCache(prefix={self._prefix!r})"  # the URL may hold a password

    def __getstate__(self) -> dict[str, Any]:
        """A copy connects for itself."""
        own = ("_url", "_max_age_s", "_prefix", "_clock")
        return {name: getattr(self, name) for name in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Connect when it is first needed."""
        vars(self).update(state)
        self._begin()

    # ── LangChain's contract; its async twins run these in a thread ─────────

    def lookup(self, prompt: str, llm_string: str) -> list[Generation] | None:
        """The answer to this prompt by this model, or None."""
        key = self._key(prompt, llm_string)
        found = self._try(lambda: self._client.get(key), otherwise=None)
        return None if found is None else unpacked(found)

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """Keep an answer, if it is a whole one."""
        answer, key = packed(return_val), self._key(prompt, llm_string)
        if answer is not None:
            age_ms = None if self._max_age_s is None else max(1, round(self._max_age_s * 1000))
            self._try(lambda: self._client.set(key, answer, px=age_ms), otherwise=None)

    def clear(self, **_: Any) -> None:
        """Remove all answers of this prefix."""

        def empty() -> None:
            for key in self._client.scan_iter(match=f"{_literal(self._prefix)}*", count=1000):
                self._client.unlink(key)

        self._try(empty, otherwise=None)

    def close(self) -> None:
        """Close the connections; the next look opens new ones."""
        self._client.connection_pool.disconnect()

    def _key(self, prompt: str, llm_string: str) -> str:
        return self._prefix + key_of(prompt, llm_string)

    # ── the way there ───────────────────────────────────────────────────────

    def _begin(self) -> None:
        self._client = redis_client(
            self._url, patience_s=_PATIENCE_S, of="This is", needed_by="A shared cache"
        )
        self._away_since: float | None = None
        self._has_warned = False

    def _try(self, question: Callable[[], T], *, otherwise: T) -> T:
        """What Redis says, or `otherwise` while it is away. Never raises."""
        import redis  # noqa: PLC0415 (an extra)

        now = self._clock()
        if self._away_since is not None and now - self._away_since < _REST_S:
            return otherwise
        try:
            answer = question()
        except (redis.RedisError, OSError) as error:
            self._away_since = now
            if not self._has_warned:
                _log.warning("the cache in Redis is away (%s)", type(error).__name__)
            self._has_warned = True
            return otherwise
        self._away_since = None
        return answer


def _literal(prefix: str) -> str:
    """The prefix where a pattern is expected."""
    return "".join(f"\\{char}" if char in "*?[]\\^-" else char for char in prefix)
