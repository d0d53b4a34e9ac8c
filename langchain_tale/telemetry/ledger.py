"""Where a `Budget` keeps count: in this process, or wherever else a `Ledger` does."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import Any, NamedTuple, Protocol


class Spent(NamedTuple):
    """What has been spent: USD, exactly, and tokens."""

    usd: Decimal
    tokens: int


class Ledger(Protocol):
    """A count that only grows; safe for threads, and shared by whoever has it."""

    def add(self, usd: Decimal, tokens: int) -> None:
        """Count what a request has cost."""

    def spent(self) -> Spent:
        """Everything counted so far."""


class LocalLedger:
    """The count of one process; a pickled copy goes on by itself from there."""

    def __init__(self, spent: Spent = Spent(Decimal(0), 0)) -> None:  # noqa: B008 (it is frozen)
        self._spent = spent
        self._lock = threading.Lock()

    def add(self, usd: Decimal, tokens: int) -> None:
        """Count what a request has cost."""
        with self._lock:
            self._spent = Spent(self._spent.usd + usd, self._spent.tokens + tokens)

    def spent(self) -> Spent:
        """Everything counted so far."""
        return self._spent

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self._spent,))
