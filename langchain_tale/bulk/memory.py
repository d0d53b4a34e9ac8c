"""The outcome of every request, kept in memory: for runs without an output."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from langchain_tale.bulk.index import Index, State
from langchain_tale.bulk.rows import failed_row, told_row

if TYPE_CHECKING:
    from langchain_tale.bulk.asked import Asked
    from langchain_tale.bulk.index import Known
    from langchain_tale.bulk.rows import Tries
    from langchain_tale.story.result import StoryGenerationResult


class Book(Protocol):
    """Where outcomes go; see `ledger.Ledger`."""

    index: Index

    def told(self, asked: Asked, known: Known, result: StoryGenerationResult) -> dict[str, Any]:
        """Keep a story, and give its row."""

    def failed(self, asked: Asked, known: Known, error: Exception, tries: Tries) -> dict[str, Any]:
        """Keep a failure, and give its row."""

    def sync(self) -> None:
        """Have the disk keep all that was written."""

    def finish(self, *, ordered: bool) -> None:
        """Bring everything into its last form."""

    def close(self) -> None:
        """Let go of everything."""


class Memory:
    """Stories and failures of one run.

    Attributes:
        results: The stories by the line of their request.
        failures: The rows of what failed.
    """

    def __init__(self) -> None:
        self.index = Index()
        self.results: dict[int, StoryGenerationResult] = {}
        self.failures: list[dict[str, Any]] = []

    def told(self, asked: Asked, known: Known, result: StoryGenerationResult) -> dict[str, Any]:
        """Keep a story, and give its row."""
        self.results[asked.line] = result
        self.index.put(asked.key, replace(known, state=State.TOLD))
        return told_row(asked, result, known.spent_usd)

    def failed(self, asked: Asked, known: Known, error: Exception, tries: Tries) -> dict[str, Any]:
        """Keep a failure, and give its row."""
        row = failed_row(asked, error, tries, known.spent_usd)
        self.failures.append(row)
        self.index.put(asked.key, replace(known, state=State.FAILED))
        return row

    def sync(self) -> None:
        """Nothing is on disk."""

    def finish(self, *, ordered: bool) -> None:
        """The order is always that of the requests."""
        del ordered
        self.failures.sort(key=lambda row: int(row["line"]))

    def close(self) -> None:
        """Throw the index away."""
        self.index.close()

    def in_order(self) -> list[StoryGenerationResult | None]:
        """The stories in the order of the requests; None for what was not told."""
        return [self.results.get(line) for line in self.index.lines()]
