"""The count of a `Budget` that processes and machines share."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.errors import SharedStateError
from langchain_tale.redis_client import redis_client
from langchain_tale.telemetry.ledger import Spent

if TYPE_CHECKING:
    from collections.abc import Sequence

PATIENCE_S: Final = 5.0
PER_USD: Final = 10**12
"""Redis adds whole numbers exactly, and floats not: a million millionths of a dollar are kept."""
_NOTHING: Final = Spent(Decimal(0), 0)


class RedisLedger:
    """What all that share it have spent together.

    `Budget(usd=5, ledger=RedisLedger(url, "night"))` in every process is one budget. Every
    request is counted in one step, so that none is lost between two that end at once. Nothing is
    set aside: what is under way when the limit is reached is let finish, on all machines.

    While Redis is away nothing more may be spent. What requests under way have cost by then is
    counted once it is back, for as long as this process lives.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        name: Which count: those with the same name share it. Kept for ever; `forget` ends it.

    Raises:
        ConfigurationError: The extra is missing, or `url` is none.
    """

    def __init__(self, url: str, name: str) -> None:
        self._url, self._name = url, name
        self._begin(_NOTHING)

    def _begin(self, owed: Spent) -> None:
        self._key = f"langchain_tale|spent|{self._name}"
        self._client = redis_client(
            self._url, patience_s=PATIENCE_S, of="This is", needed_by="A shared budget"
        )
        self._owed, self._lock = owed, threading.Lock()

    def __repr__(self) -> str:
        return f"RedisLedger(name={self._name!r})"  # the URL may hold a password

    def add(self, usd: Decimal, tokens: int) -> None:
        """Count what a request has cost; while Redis is away, keep it in mind."""
        with self._lock:
            self._owed = Spent(self._owed.usd + usd, self._owed.tokens + tokens)
        self._pay()

    def spent(self) -> Spent:
        """Everything counted so far, by all.

        Raises:
            SharedStateError: Redis does not answer.
        """
        import redis  # noqa: PLC0415 (an extra)

        if self._owed != _NOTHING:
            self._pay()
        try:
            found: Sequence[bytes | None] = self._client.hmget(self._key, ["usd", "tokens"])  # type: ignore[assignment]  # not async
        except (redis.RedisError, OSError) as error:
            msg = f"The budget in Redis cannot be read ({type(error).__name__}); nothing was sent."
            raise SharedStateError(msg) from None
        usd, tokens = (int(one or 0) for one in found)
        return Spent(Decimal(usd) / PER_USD + self._owed.usd, tokens + self._owed.tokens)

    def forget(self) -> None:
        """Count from nothing again, for all."""
        self._client.delete(self._key)

    def _pay(self) -> None:
        """Hand over what is owed; it is still owed where Redis is away."""
        import redis  # noqa: PLC0415 (an extra)

        with self._lock:
            owed, self._owed = self._owed, _NOTHING
        try:
            with self._client.pipeline(transaction=True) as both:
                both.hincrby(self._key, "usd", round(owed.usd * PER_USD))
                both.hincrby(self._key, "tokens", owed.tokens)
                both.execute()
        except (redis.RedisError, OSError):
            with self._lock:
                self._owed = Spent(self._owed.usd + owed.usd, self._owed.tokens + owed.tokens)

    # ── copies connect for themselves ───────────────────────────────────────

    def __getstate__(self) -> dict[str, Any]:
        return {"_url": self._url, "_name": self._name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._begin(_NOTHING)
