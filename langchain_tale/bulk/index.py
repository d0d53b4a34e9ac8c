"""What became of each request: a table that is made of the ledger, and thrown away.

It lives in a temporary file, so that ten million requests need no more memory than ten; the file
has no name, and is gone with the process, however that ends.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from langchain_tale.bulk.asked import key_of
from langchain_tale.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from langchain_tale.bulk.asked import Asked


class State(IntEnum):
    """What became of a request."""

    UNTOLD = 0
    TOLD = 1
    FAILED = 2


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a request.

    Attributes:
        state: What became of it.
        at: Where its row begins in its file, in bytes.
        spent_usd: What it has cost so far.
        line: Its line.
        digest: What it said.
        is_asked: It is among the requests of this run.
    """

    state: State = State.UNTOLD
    at: int = 0
    spent_usd: float = 0.0
    line: int = 0
    digest: str = ""
    is_asked: bool = False


_NOTHING: Final = Known()
_SCHEMA: Final = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -8192;
PRAGMA temp_store = FILE;
CREATE TABLE requests (
    key BLOB PRIMARY KEY, state INTEGER, at INTEGER, spent_usd REAL, line INTEGER, digest TEXT,
    is_asked INTEGER
) WITHOUT ROWID;
BEGIN;
"""


class Index:
    """Requests by what they are known by."""

    def __init__(self) -> None:
        # An empty name is a temporary file. The run is in one thread at a time.
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Throw it away."""
        self._db.close()

    def known(self, key: bytes) -> Known:
        """What is known of a request."""
        found = self._db.execute(
            "SELECT state, at, spent_usd, line, digest, is_asked FROM requests WHERE key = ?",
            (key,),
        ).fetchone()
        if found is None:
            return _NOTHING
        state, at, spent_usd, line, digest, is_asked = found
        return Known(State(state), at, spent_usd, line, digest, bool(is_asked))

    def put(self, key: bytes, known: Known) -> None:
        """Remember what became of a request."""
        row = (
            key,
            known.state,
            known.at,
            known.spent_usd,
            known.line,
            known.digest,
            known.is_asked,
        )
        self._db.execute("INSERT OR REPLACE INTO requests VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def recall(self, row: dict[str, Any], state: State, at: int) -> bool:
        """Take over a row that an earlier run has written.

        Returns:
            Whether it counts: a story does before a failure, and of two stories the first.
        """
        key = key_of(row["id"], row["line"])
        before = self.known(key)
        if before.state is State.TOLD:
            return False
        known = Known(state, at, row.get("spent_usd") or 0.0, row["line"], row["request"])
        self.put(key, known)
        return True

    def ask(self, asked: Asked) -> Known:
        """Take part in this run.

        Returns:
            What is known of it so far.

        Raises:
            ConfigurationError: Another request of this run has the same id; or an earlier run
                has told what stood in its line before, and that was another request.
        """
        before = self.known(asked.key)
        if before.is_asked:
            msg = (
                f"Lines {before.line} and {asked.line} have the same id {asked.id!r}; "
                "an id must stand for one request."
            )
            raise ConfigurationError(msg)
        is_changed = asked.id is None and before.digest not in ("", asked.digest)
        if before.state is State.TOLD and is_changed:
            msg = (
                f"Line {asked.line} has changed since its story was told; go on with the requests "
                "as they were, choose another output, or give them ids."
            )
            raise ConfigurationError(msg)
        if asked.id is not None:
            self._forget_failure(key_of(None, asked.line))
        known = replace(before, line=asked.line, digest=asked.digest, is_asked=True)
        self.put(asked.key, known)
        return known

    def _forget_failure(self, key: bytes) -> None:
        """A line that could not be read has become a request with an id."""
        if self.known(key).state is State.FAILED:
            self._db.execute("DELETE FROM requests WHERE key = ?", (key,))

    def counted(self, state: State) -> int:
        """How many requests of this run have come to that."""
        query = "SELECT count(*) FROM requests WHERE is_asked AND state = ?"
        return int(self._db.execute(query, (state,)).fetchone()[0])

    def asked_for(self) -> int:
        """How many requests of this run are known."""
        return int(self._db.execute("SELECT count(*) FROM requests WHERE is_asked").fetchone()[0])

    def lines(self) -> list[int]:
        """The lines of the requests of this run, in order."""
        query = "SELECT line FROM requests WHERE is_asked ORDER BY line"
        return [line for (line,) in self._db.execute(query)]

    def spent(self) -> tuple[float, int]:
        """What all requests have cost, those of earlier runs too, and how many cost something."""
        query = "SELECT total(spent_usd), count(*) FROM requests WHERE spent_usd > 0"
        total, number = self._db.execute(query).fetchone()
        return float(total), int(number)

    def places(self, state: State) -> Iterator[int]:
        """Where the rows of such requests begin, in the order of the requests."""
        query = "SELECT at FROM requests WHERE state = ? ORDER BY line"
        for (at,) in self._db.execute(query, (state,)):
            yield at
