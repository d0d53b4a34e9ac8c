"""LangChain runs under way, as far as one handler remembers them; bounded, and safe for threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

RunT = TypeVar("RunT")
MOST_OPEN: Final = 32_768
"""Beyond it the oldest is forgotten: langchain-core does not tell of every run that ends."""


class OpenRuns(Generic[RunT]):
    """What is remembered of each run, by its id.

    Attributes:
        is_empty: Whether no run is under way.
    """

    def __init__(self) -> None:
        self.is_empty = True
        self._runs: OrderedDict[UUID, RunT] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._runs)

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._runs

    def get(self, run_id: UUID | None) -> RunT | None:
        """What is remembered of a run, if it is under way."""
        return None if run_id is None else self._runs.get(run_id)

    def begin(self, run_id: UUID, run: RunT) -> RunT | None:
        """Remember a run; returns the one that is forgotten for it, if there are too many."""
        with self._lock:
            self._runs[run_id] = run
            self.is_empty = False
            return self._runs.popitem(last=False)[1] if len(self._runs) > MOST_OPEN else None

    def end(self, run_id: UUID) -> RunT | None:
        """Forget a run that has ended; None where it was not under way."""
        with self._lock:
            ended = self._runs.pop(run_id, None)
            self.is_empty = not self._runs
            return ended

    def end_all(self, whose: Callable[[RunT], bool]) -> list[RunT]:
        """Forget all runs of a kind."""
        with self._lock:
            ids = [run_id for run_id, run in self._runs.items() if whose(run)]
            ended = [self._runs.pop(run_id) for run_id in ids]
            self.is_empty = not self._runs
            return ended
