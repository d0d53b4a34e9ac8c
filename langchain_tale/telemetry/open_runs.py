"""LangChain runs under way, as far as one handler remembers them; bounded, and safe for threads."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

RunT = TypeVar("RunT")
MOST_OPEN: Final = 32_768
"""Beyond it the oldest is forgotten: langchain-core does not tell of every run that ends."""


class OpenRuns(Generic[RunT]):
    """What is remembered of each run, by its id.

    Single steps of a dict are safe for threads by themselves.
    """

    def __init__(self) -> None:
        self._runs: dict[Any, RunT] = {}

    def __len__(self) -> int:
        return len(self._runs)

    def __contains__(self, run_id: UUID | None) -> bool:
        return _key(run_id) in self._runs

    def get(self, run_id: UUID | None) -> RunT | None:
        """What is remembered of a run, if it is under way."""
        return self._runs.get(_key(run_id))

    def begin(self, run_id: UUID, run: RunT) -> RunT | None:
        """Remember a run; returns the one that is forgotten for it, if there are too many."""
        self._runs[_key(run_id)] = run
        return self._forget_oldest() if len(self._runs) > MOST_OPEN else None

    def _forget_oldest(self) -> RunT | None:
        with suppress(RuntimeError):  # another thread came between: one more is remembered
            return self._runs.pop(next(iter(self._runs), 0), None)
        return None

    def end(self, run_id: UUID) -> RunT | None:
        """Forget a run that has ended; None where it was not under way."""
        return self._runs.pop(_key(run_id), None)

    def end_all(self, whose: Callable[[RunT], bool]) -> list[RunT]:
        """Forget all runs of a kind."""
        ids = [run_id for run_id, run in list(self._runs.items()) if whose(run)]
        ended = [self._runs.pop(run_id, None) for run_id in ids]
        return [run for run in ended if run is not None]


def _key(run_id: UUID | None) -> Any:
    """A number, whose hash needs no call; LangChain passes ids of any kind through."""
    return getattr(run_id, "int", run_id)
