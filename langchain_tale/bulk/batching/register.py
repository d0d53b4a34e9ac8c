"""Which request is in which batch, on disk before anything is submitted.

`stories.batches.jsonl`, beside the output, has a line before each submission, with the ids of its
requests; one after it, with the id of the batch; and one for each request that has failed, so
that it may be asked again. A submission without a second line is in doubt: the API lists no
batches, so that nobody can tell whether it was taken.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.bulk.journal import Journal
from langchain_tale.errors import ConfigurationError, TaleError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_SCHEMA: Final = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -8192;
PRAGMA temp_store = FILE;
CREATE TABLE letters (id TEXT PRIMARY KEY, posting INTEGER) WITHOUT ROWID;
CREATE TABLE failures (key TEXT PRIMARY KEY, number INTEGER) WITHOUT ROWID;
BEGIN;
"""
POSTING: Final = "posting"
FAILED: Final = "failed"


def path_beside(out: Path) -> Path:
    """Where the register of an output is."""
    return out.with_name(f"{out.stem}.batches.jsonl")


@dataclass(slots=True)
class Posting:
    """One submission.

    Attributes:
        address: Where it went.
        requests: How many.
        batch: The id of the batch, once that is known.
    """

    address: str
    requests: int
    batch: str | None = None


class Register:
    """The submissions of a run, and of the runs before it.

    Args:
        path: The file.

    Attributes:
        doubtful: Requests of earlier runs of which nobody knows whether they were taken.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.doubtful = 0
        self._journal = Journal(path, is_row=_is_ours)
        self._postings: dict[int, Posting] = {}
        self._next = 1
        # An empty name is a temporary file, as for the index.
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.executescript(_SCHEMA)

    def open(self, *, goes_on: bool) -> None:
        """Take the file, and what earlier runs have written.

        Raises:
            ConfigurationError: There are batches already, and none is to be gone on with.
            OutputError: The file cannot be written, is none of ours, or another run has it.
        """
        try:
            self._journal.open()
            if self._journal.size and not goes_on:
                msg = f"{self.path} has batches of an earlier run; resume that run, or remove it."
                raise ConfigurationError(msg)
            for _, row in self._journal.mended_rows():
                self._take_over(row)
        except TaleError:
            self._db.close()
            self._journal.close()
            raise
        for number, posting in list(self._postings.items()):
            if posting.batch is None:
                self.doubtful += posting.requests
                self.refused(number, "nobody knows")

    def _take_over(self, row: dict[str, Any]) -> None:
        if FAILED in row:
            self._count_failure(row[FAILED])
        elif "letters" in row:
            self._begin(row[POSTING], row["address"], row["letters"])
        elif "batch" in row:
            self._postings[row[POSTING]].batch = row["batch"]
        else:
            self._forget(row[POSTING])

    # ── a submission ────────────────────────────────────────────────────────

    def posting(self, address: str, model: str, letters: Sequence[str]) -> int:
        """Write down what is about to be submitted, and give its number."""
        number = self._next
        row = {POSTING: number, "address": address, "model": model, "letters": list(letters)}
        self._write(row)
        self._begin(number, address, letters)
        return number

    def posted(self, number: int, batch: str) -> None:
        """Write down what became a batch."""
        self._write({POSTING: number, "batch": batch})
        self._postings[number].batch = batch

    def refused(self, number: int, why: str) -> None:
        """Write down what became none; its requests may be submitted again."""
        self._write({POSTING: number, "refused": why})
        self._forget(number)

    def _begin(self, number: int, address: str, letters: Sequence[str]) -> None:
        self._next = max(self._next, number) + 1
        self._postings[number] = Posting(address, len(letters))
        rows = ((letter, number) for letter in letters)
        self._db.executemany("INSERT OR REPLACE INTO letters VALUES (?, ?)", rows)

    def _forget(self, number: int) -> None:
        if self._postings.pop(number, None) is not None:
            self._db.execute("DELETE FROM letters WHERE posting = ?", (number,))

    # ── requests ────────────────────────────────────────────────────────────

    def find(self, letter: str) -> Posting | None:
        """The submission that a request is in."""
        query = "SELECT posting FROM letters WHERE id = ?"
        found = self._db.execute(query, (letter,)).fetchone()
        return None if found is None else self._postings.get(found[0])

    def has_any(self, prefix: str) -> bool:
        """Whether a request is in a batch whose id begins so."""
        query = "SELECT 1 FROM letters WHERE id >= ? AND id < ? LIMIT 1"
        return self._db.execute(query, (prefix, f"{prefix}~")).fetchone() is not None

    def failures(self, key: bytes) -> int:
        """How often a request of the run has failed for good."""
        query = "SELECT number FROM failures WHERE key = ?"
        found = self._db.execute(query, (key.hex(),)).fetchone()
        return 0 if found is None else int(found[0])

    def failed(self, key: bytes) -> None:
        """Write down that a request has failed: what it was answered counts no more."""
        self._journal.append({FAILED: key.hex()})
        self._count_failure(key.hex())

    def _count_failure(self, key: str) -> None:
        query = "INSERT INTO failures VALUES (?, 1) ON CONFLICT DO UPDATE SET number = number + 1"
        self._db.execute(query, (key,))

    # ── the file ────────────────────────────────────────────────────────────

    def _write(self, row: dict[str, Any]) -> None:
        self._journal.append(row)
        self._journal.sync()

    def close(self, *, is_needed: bool) -> None:
        """Let others have the file; without need of it, remove it."""
        self._db.close()
        if not (is_needed and self._journal.size):
            self.path.unlink(missing_ok=True)
        self._journal.close()


def _is_ours(row: Any) -> bool:
    return isinstance(row, dict) and (POSTING in row or FAILED in row)
