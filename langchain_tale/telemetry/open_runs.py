"""LangChain runs under way, as far as one handler remembers them; bounded, and safe for threads."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

RunT = TypeVar("RunT")
MOST_OPEN: Final = 32_768
"""Beyond it the oldest is forgotten: langchain-core does not tell of every run that ends."""


class OpenRuns(dict[Any, RunT]):
    """What is remembered of each run, by its id: a UUID, or whatever a caller gave LangChain.

    A dict, whose single steps are safe for threads by themselves.
    """

    def begin(self, run_id: UUID, run: RunT) -> RunT | None:
        """Remember a run; returns the one that is forgotten for it, if there are too many."""
        self[run_id] = run
        return self._forget_oldest() if len(self) > MOST_OPEN else None

    def _forget_oldest(self) -> RunT | None:
        with suppress(RuntimeError):  # another thread came between: one more is remembered
            return self.pop(next(iter(self), None), None)
        return None

    def end_all(self, whose: Callable[[RunT], bool]) -> list[RunT]:
        """Forget all runs of a kind."""
        ids = [run_id for run_id, run in list(self.items()) if whose(run)]
        ended = [self.pop(run_id, None) for run_id in ids]
        return [run for run in ended if run is not None]
