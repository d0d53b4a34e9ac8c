"""The outcomes of one batch: each is with all workers before it is counted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from langchain_tale.bulk.cluster import tables
from langchain_tale.bulk.index import Index, State
from langchain_tale.errors import SharedStateError

if TYPE_CHECKING:
    from langchain_tale.bulk.asked import Asked
    from langchain_tale.bulk.cluster.shared import SharedRun
    from langchain_tale.bulk.index import Known
    from langchain_tale.bulk.rows import Tries
    from langchain_tale.story.result import StoryGenerationResult

    Row = dict[str, Any]


class SharedBook:
    """Rows of one batch; a `bulk.memory.Book`.

    A story whose row cannot be kept, since Redis is away, has been paid for: it is in the batch
    all the same, and is kept as soon as that is possible.

    Attributes:
        rows: By the key of their request.
    """

    def __init__(self, run: SharedRun) -> None:
        self.index = Index()
        self.rows: dict[str, Row] = {}
        self._run = run
        self._unkept: list[str] = []

    def told(self, asked: Asked, known: Known, result: StoryGenerationResult) -> Row:
        """Keep a story, and give its row."""
        row = tables.told(asked, result, known.spent_usd)
        return self._put(asked, known, row, State.TOLD)

    def failed(self, asked: Asked, known: Known, error: Exception, tries: Tries) -> Row:
        """Keep a failure, and give its row."""
        row = tables.failed(asked, error, tries, known.spent_usd)
        return self._put(asked, known, row, State.FAILED)

    def _put(self, asked: Asked, known: Known, row: Row, state: State) -> Row:
        key = asked.key.hex()
        self.rows[key] = row
        self._keep(key)
        self.index.put(asked.key, replace(known, state=state))
        return self.rows[key]

    def _keep(self, key: str) -> None:
        row = self.rows[key]
        try:
            self.rows[key] = self._run.keep(key, row, is_told=row["status"] == tables.TOLD)
        except SharedStateError:
            self._unkept.append(key)

    def sync(self) -> None:
        """Keep what could not be kept before."""
        unkept, self._unkept = self._unkept, []
        for key in unkept:
            self._keep(key)

    def finish(self, *, ordered: bool) -> None:
        """The batch has its own order."""

    def close(self) -> None:
        """Throw the index away."""
        self.index.close()
