"""`StoryCache`: answers in a file, for any number of threads and processes."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import finalize

from langchain_core.caches import BaseCache

from langchain_tale.caching.values import key_of, packed, unpacked
from langchain_tale.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_core.outputs import Generation

T = TypeVar("T")
_log: Final = logging.getLogger(__name__)
_MAGIC: Final = b"SQLite format 3\0"
_APPLICATION_ID: Final = 0x54414C45
_ID_AT: Final = 68
"""Where SQLite's file format has the application's id, in bytes."""
_BROKEN: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_OF_THE_OWNER: Final = 0o600
_PATIENCE_S: Final = 5.0
"""Seconds to wait while another process writes."""
_SCHEMA: Final = f"""
PRAGMA synchronous = NORMAL;
PRAGMA secure_delete = ON;
PRAGMA application_id = {_APPLICATION_ID};
CREATE TABLE IF NOT EXISTS answers (
    place INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT UNIQUE, answer TEXT, written_at REAL
);
CREATE INDEX IF NOT EXISTS by_age ON answers (written_at);
"""


class StoryCache(BaseCache):
    """LangChain's cache of answers in a SQLite file.

    A broken file is set aside and begun anew; what cannot be read or written is no hit.

    Args:
        path: The file; it is made, readable by its owner alone, where there is none.
        max_age_s: Older answers are asked for anew; None for no limit.
        max_entries: The oldest answers make room for more than so many.
        clock: Seconds since the epoch, for tests.

    Raises:
        ConfigurationError: The file is none of ours, or cannot be made.

    Example:
        ```python
        chain = create_story_chain(cache=StoryCache("stories.cache"))
        set_llm_cache(StoryCache("stories.cache"))  # for all models of the process
        ```
    """

    def __init__(
        self,
        path: str | Path,
        *,
        max_age_s: float | None = None,
        max_entries: int = 100_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if max_entries < 1 or (max_age_s is not None and not max_age_s > 0):
            msg = "max_entries must be at least 1, and max_age_s above 0."
            raise ConfigurationError(msg)
        self.path = Path(path).absolute()
        self._max_age_s = max_age_s
        self._max_entries = max_entries
        self._clock = clock
        self._begin()
        try:
            with self._lock:
                self._opened()
        except (sqlite3.Error, OSError) as error:
            msg = f"Cannot use {self.path} as a cache ({error}); choose another file."
            raise ConfigurationError(msg) from None

    def __repr__(self) -> str:
        return f"StoryCache({str(self.path)!r})"

    def __len__(self) -> int:
        """How many answers there are, those that are too old included."""
        count = "SELECT count(*) FROM answers"
        return self._try(lambda db: int(db.execute(count).fetchone()[0]), otherwise=0)

    def __getstate__(self) -> dict[str, Any]:
        """A copy opens the file for itself."""
        own = ("path", "_max_age_s", "_max_entries", "_clock")
        return {name: getattr(self, name) for name in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the file when it is first needed."""
        vars(self).update(state)
        self._begin()

    # ── LangChain's contract; its async twins run these in a thread ─────────

    def lookup(self, prompt: str, llm_string: str) -> list[Generation] | None:
        """The answer to this prompt by this model, or None."""
        query = "SELECT answer FROM answers WHERE key = ? AND written_at > ?"
        given = (key_of(prompt, llm_string), self._oldest())
        found = self._try(lambda db: db.execute(query, given).fetchone(), otherwise=None)
        return None if found is None else unpacked(found[0])

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """Keep an answer, if it is a whole one."""
        answer = packed(return_val)
        if answer is None:
            return
        row = (key_of(prompt, llm_string), answer, self._clock())

        def write(db: sqlite3.Connection) -> None:
            with db:
                db.execute("BEGIN IMMEDIATE")
                put = "INSERT OR REPLACE INTO answers (key, answer, written_at) VALUES (?, ?, ?)"
                place = db.execute(put, row).lastrowid or 0
                out = "DELETE FROM answers WHERE place <= ? OR written_at <= ?"
                db.execute(out, (place - self._max_entries, self._oldest()))

        self._try(write, otherwise=None)

    def clear(self, **_: Any) -> None:
        """Remove all answers, from the disk too."""

        def empty(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM answers")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

        self._try(empty, otherwise=None)

    def close(self) -> None:
        """Let go of the file; the next look opens it again."""
        with self._lock:
            self._forget()

    def _oldest(self) -> float:
        return float("-inf") if self._max_age_s is None else self._clock() - self._max_age_s

    # ── the file ────────────────────────────────────────────────────────────

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._process = os.getpid()
        self._has_warned = False

    def _try(self, work: Callable[[sqlite3.Connection], T], *, otherwise: T) -> T:
        """What comes of `work`, or `otherwise` where the file does not do. Never raises."""
        with self._lock:
            try:
                return self._mended(work)
            except (sqlite3.Error, OSError, ConfigurationError) as error:
                self._forget()
                if not self._has_warned:
                    _log.warning("the cache %s does not work (%s)", self.path, error)
                self._has_warned = True
                return otherwise

    def _mended(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return work(self._opened())
        except sqlite3.DatabaseError as error:
            if (getattr(error, "sqlite_errorcode", 0) & 0xFF) not in _BROKEN:
                raise
        self._forget()
        if _is_broken(self.path):
            self._set_aside()
        return work(self._opened())

    def _opened(self) -> sqlite3.Connection:
        if self._process != os.getpid():  # a forked child must not use its parent's connection
            self._db, self._process = None, os.getpid()
        if self._db is None:
            _check(self.path)
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, _OF_THE_OWNER))
            self._db = sqlite3.connect(
                self.path, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False
            )
            finalize(self, _close, self._db, self._process)
            self._db.executescript(_SCHEMA)  # and only then WAL, which leaves the id where it is
            with suppress(sqlite3.OperationalError):  # another process is just doing so
                self._db.execute("PRAGMA journal_mode = WAL")
        return self._db

    def _forget(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            _close(db, self._process)

    def _set_aside(self) -> None:
        aside = self.path.with_name(f"{self.path.name}.broken")
        self.path.replace(aside)
        for rest in ("-wal", "-shm"):
            self.path.with_name(f"{self.path.name}{rest}").unlink(missing_ok=True)
        _log.warning("the cache %s was broken and is begun anew; it is now %s", self.path, aside)


def _close(db: sqlite3.Connection, process: int) -> None:
    """Close a connection of this process; closing a parent's would drop its locks."""
    if process == os.getpid():
        with suppress(sqlite3.Error):
            db.close()


def _check(path: Path) -> None:
    """Raise for a file that is somebody else's."""
    if not path.exists():
        return
    with path.open("rb") as file:
        head = file.read(_ID_AT + 4)
    is_ours = int.from_bytes(head[_ID_AT:], "big") == _APPLICATION_ID
    if head and not (head.startswith(_MAGIC) and is_ours):
        msg = f"{path} is no cache of ours; choose another file."
        raise ConfigurationError(msg)


def _is_broken(path: Path) -> bool:
    """Whether the file is broken, and not just what another process has set aside."""
    try:
        db = sqlite3.connect(path, timeout=_PATIENCE_S)
    except sqlite3.Error:
        return True
    try:
        return bool(db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok")
    except sqlite3.Error:
        return True
    finally:
        db.close()
