"""`RedisRateLimiter`: how fast all processes together may ask.

One number in Redis says when the next request may start. Whoever asks gets that moment for
itself, and moves the number on; so a request costs one question, and nobody has to ask again and
again. Redis's own clock counts, whatever those of the machines say.

A model that has said `Retry-After` is left alone by all until then.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any, Final

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.rate_limiters import BaseRateLimiter

from langchain_tale.errors import (
    AllModelsFailedError,
    CircuitOpenError,
    ConfigurationError,
    SharedStateError,
)
from langchain_tale.redis_client import redis_client

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

PATIENCE_S: Final = 5.0
LONGEST_HOLD_S: Final = 600.0
"""A `Retry-After` beyond this is left to each call's own policy."""
_SPREAD: Final = 0.1
"""After a hold all wait up to a tenth longer, each as long as chance will."""
_MS: Final = 1000

_TURN: Final = """
local now = redis.call("time")
now = now[1] * 1000 + now[2] / 1000
local held = tonumber(redis.call("get", KEYS[2]) or 0)
if held > now then return {"held", string.format("%.3f", held - now)} end
local every, at_once = tonumber(ARGV[1]), tonumber(ARGV[2])
if every == 0 then return {"turn", "0"} end
local due = math.max(now, tonumber(redis.call("get", KEYS[1]) or 0))
local after = due + every
redis.call("set", KEYS[1], string.format("%.3f", after), "px", math.ceil(after - now) + 60000)
local wait = math.max(0, due - now - every * (at_once - 1))
return {"turn", string.format("%.3f", wait)}
"""
_HOLD: Final = """
local now = redis.call("time")
now = now[1] * 1000 + now[2] / 1000
local held = tonumber(redis.call("get", KEYS[1]) or 0)
local until_ = now + tonumber(ARGV[1])
if until_ > held then
  local kept = math.ceil(tonumber(ARGV[1])) + 1000
  redis.call("set", KEYS[1], string.format("%.3f", until_), "px", kept)
end
return 1
"""


class RedisRateLimiter(BaseRateLimiter):
    """LangChain's rate limiter, for all processes that share a Redis.

    Give it to a chat model as `rate_limiter=`, and `hearing()` to its calls as a callback, by
    which it learns of every `Retry-After`. Each attempt of a policy takes its turn.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        name: Which limit: all with the same name share it.
        requests_per_minute: How many may start within a minute, spread evenly; None for any
            number, so that only `Retry-After` is kept.
        burst: How many may start at once after a pause, at least 1.
        model: Whose `Retry-After` is kept; another model's is another's.
        has_others: Another model can be asked: then a held one is passed over by
            `CircuitOpenError`, as by an open circuit, rather than waited for.
        sleep: Waits that many seconds, for tests; `asleep` is its twin.
        asleep: The same for coroutines.
        uniform: A random number between its two arguments.

    Raises:
        ConfigurationError: The extra is missing, `url` is none, or a number is out of range.

    Example:
        ```python
        limiter = RedisRateLimiter("redis://…", "night", requests_per_minute=600)
        llm = ChatOpenRouter(model="openai/gpt-4o-mini", rate_limiter=limiter)
        llm.with_retry().invoke("Hello", config={"callbacks": [limiter.hearing()]})
        ```
    """

    def __init__(
        self,
        url: str,
        name: str,
        *,
        requests_per_minute: float | None = None,
        burst: int = 1,
        model: str = "",
        has_others: bool = False,
        sleep: Callable[[float], None] = time.sleep,
        asleep: Callable[[float], Any] = asyncio.sleep,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        if requests_per_minute is not None and not 0 < requests_per_minute < float("inf"):
            msg = "requests_per_minute must be above 0, or None for no limit."
            raise ConfigurationError(msg)
        if burst < 1:
            msg = "burst must be at least 1."
            raise ConfigurationError(msg)
        self._url, self._client = url, _connected(url)
        self._name, self._model, self._has_others = name, model, has_others
        self._every_ms = 60 * _MS / requests_per_minute if requests_per_minute else 0.0
        self._burst = burst
        self._sleep, self._asleep, self._uniform = sleep, asleep, uniform

    def __repr__(self) -> str:
        return f"RedisRateLimiter(name={self._name!r})"  # the URL may hold a password

    def __getstate__(self) -> dict[str, Any]:
        """A copy connects for itself."""
        return {name: value for name, value in vars(self).items() if name != "_client"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Connect when it is first needed."""
        vars(self).update(state, _client=_connected(state["_url"]))

    def acquire(self, *, blocking: bool = True) -> bool:
        """Wait for a turn.

        Args:
            blocking: False to be told at once whether it is one's turn; a turn that would have
                had to be waited for is lost.

        Raises:
            CircuitOpenError: The model is to be left alone, and there are others.
            SharedStateError: Redis does not answer.
        """
        is_turn = False
        while not is_turn:
            is_turn, wait_s = self._turn()
            if wait_s and not blocking:
                return False
            if wait_s:
                self._sleep(wait_s)
                is_turn = is_turn and not self._held_s()
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        """The twin of `acquire`."""
        is_turn = False
        while not is_turn:
            is_turn, wait_s = await asyncio.to_thread(self._turn)
            if wait_s and not blocking:
                return False
            if wait_s:
                await self._asleep(wait_s)
                is_turn = is_turn and not await asyncio.to_thread(self._held_s)
        return True

    def hold(self, seconds: float) -> None:
        """Have all leave the model alone for so long, at most ten minutes; never raises."""
        import redis  # noqa: PLC0415 (an extra)

        if 0 < seconds <= LONGEST_HOLD_S:
            try:
                self._client.eval(_HOLD, 1, self._held_key, seconds * _MS)
            except (redis.RedisError, OSError):
                return  # the call itself keeps it all the same

    def hearing(self) -> Hearing:
        """A callback handler that hears when the model says `Retry-After`."""
        return Hearing({self._model: self})

    @property
    def _held_key(self) -> str:
        return f"langchain_tale|held|{self._name}|{self._model}"

    def _turn(self) -> tuple[bool, float]:
        """Whether a turn is given, and seconds to wait: for it, or until one may be asked for."""
        key = f"langchain_tale|rate|{self._name}"
        arguments = (self._every_ms, self._burst)
        kind, wait_ms = self._ask(_TURN, 2, key, self._held_key, *arguments)
        wait_s = float(wait_ms) / _MS
        if kind == b"turn":
            return True, wait_s
        if self._has_others:
            raise self._passing_over(wait_s)
        return False, wait_s * (1 + self._uniform(0, _SPREAD))

    def _held_s(self) -> float:
        """Seconds that the model is to be left alone, as was said meanwhile; no turn is taken."""
        kind, wait_ms = self._ask(_TURN, 2, "", self._held_key, 0, 1)
        return float(wait_ms) / _MS if kind == b"held" else 0.0

    def _ask(self, script: str, *arguments: Any) -> Any:
        import redis  # noqa: PLC0415 (an extra)

        try:
            return self._client.eval(script, *arguments)
        except (redis.RedisError, OSError) as error:
            kind = type(error).__name__
            msg = f"The rate limit in Redis cannot be read ({kind}); nothing was sent."
            raise SharedStateError(msg) from None

    def _passing_over(self, wait_s: float) -> CircuitOpenError:
        msg = f"{self._model} asked to be left alone for {wait_s:.1f} s more; nothing was sent."
        return CircuitOpenError(msg, model=self._model, retry_after_s=wait_s)


class Hearing(BaseCallbackHandler):
    """Hears every `Retry-After` of an attempt, and tells the limiter of its model.

    Args:
        limiters: By model.
    """

    run_inline = True

    def __init__(self, limiters: dict[str, RedisRateLimiter]) -> None:
        self._limiters = limiters

    def on_llm_error(self, error: BaseException, **_: Any) -> None:
        """An attempt failed, or a call of a bare model."""
        after_s = getattr(error, "retry_after_s", None)
        limiter = self._limiters.get(str(getattr(error, "model", None) or ""))
        is_old = isinstance(error, CircuitOpenError | AllModelsFailedError)
        if after_s and limiter is not None and not is_old:
            limiter.hold(float(after_s))


def _connected(url: str) -> redis.Redis:
    return redis_client(url, patience_s=PATIENCE_S, of="This is", needed_by="A shared rate limit")
