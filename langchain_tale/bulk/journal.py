"""A file of JSON lines that survives: what was written stays, and half a line is mended.

A line is written by one `write`, before anything counts it; so it outlives the process, `kill -9`
included. `sync` makes it outlive the machine. It is called every second, so that a power cut
loses the last second.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.bulk.rows import is_row
from langchain_tale.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

_log: Final = logging.getLogger(__name__)
_MODE: Final = 0o666
"""Less what the umask takes away."""


class Journal:
    """Rows, each on a line of a file.

    Args:
        path: The file.
        is_row: Whether what stands in a line is a row of ours.

    Attributes:
        path: The file.
        size: Its length in bytes.
    """

    def __init__(self, path: Path, is_row: Callable[[Any], bool] = is_row) -> None:
        self.path = path
        self._is_row = is_row
        self.size = 0
        self._descriptor: int | None = None
        self._is_synced = True
        self._syncing = threading.Lock()

    def open(self) -> None:
        """Open or make the file; what it holds is read by `mended_rows`.

        Raises:
            OutputError: It cannot be opened, or another run has it open.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        with writing(self.path):
            while self._descriptor is None:
                descriptor = os.open(self.path, flags, _MODE)
                _lock(descriptor, self.path)
                if _is_at(descriptor, self.path):
                    self._descriptor = descriptor
                else:  # another run has just put a new file in its place
                    os.close(descriptor)
            self.size = os.fstat(self._descriptor).st_size
            _sync_directory(self.path.parent)

    def close(self) -> None:
        """Close the file, and let others have it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    # ── writing ─────────────────────────────────────────────────────────────

    def append(self, row: dict[str, Any]) -> int:
        """Write a row.

        Returns:
            Where it begins, in bytes.

        Raises:
            OutputError: There is no room, or the file is gone; nothing of the row is left.
        """
        at, content = self.size, _line_of(row)
        try:
            with writing(self.path):
                self._write(content)
        except OutputError:
            with suppress(OSError):
                os.truncate(self.path, at)
            raise
        self.size += len(content)
        self._is_synced = False
        return at

    def sync(self) -> None:
        """Have the disk keep what was written."""
        with self._syncing, writing(self.path):
            if self._descriptor is not None and not self._is_synced:
                self._is_synced = True
                os.fsync(self._descriptor)

    def _write(self, content: bytes) -> None:
        if self._descriptor is None:
            self.open()
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(self._descriptor or 0, rest) :]

    # ── reading ─────────────────────────────────────────────────────────────

    def mended_rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """All rows with their places; half a row at the end is cut off.

        Raises:
            OutputError: Another line is no row.
        """
        if not self.size:
            return
        at = 0
        with writing(self.path), self.path.open("rb") as file:
            for number, content in enumerate(file, start=1):
                row = self._row_in(content)
                is_whole = content.endswith(b"\n")
                if row is not None:
                    yield at, row
                elif is_whole:
                    raise OutputError(_no_row(self.path, number))
                if not is_whole:
                    self._mend(at, is_row=row is not None)
                    return
                at += len(content)

    def _row_in(self, content: bytes) -> dict[str, Any] | None:
        try:
            row: dict[str, Any] = json.loads(content)
        except ValueError:
            return None
        return row if self._is_row(row) else None

    def _mend(self, at: int, *, is_row: bool) -> None:
        if is_row:
            self._write(b"\n")
            self.size += 1
            return
        _log.warning("the last line of %s was half-written and is removed", self.path.name)
        os.truncate(self.path, at)
        self.size = at

    def rows_at(self, places: Iterable[int]) -> Iterator[dict[str, Any]]:
        """The rows that begin there, in that order."""
        with writing(self.path), self.path.open("rb") as file:
            for at in places:
                file.seek(at)
                yield json.loads(file.readline())

    # ── rewriting ───────────────────────────────────────────────────────────

    def rewrite(self, places: Iterable[int]) -> None:
        """Keep the rows that begin there, in that order; without any, no file.

        A crash leaves the file as it was, or as it shall be.
        """
        with replacing(self.path) as temporary, temporary.open("wb") as file:
            for row in self.rows_at(places):
                file.write(_line_of(row))
            file.flush()
            os.fsync(file.fileno())
            self.size = file.tell()
        if not self.size:
            self.path.unlink()


def _line_of(row: dict[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False, default=str).encode(errors="replace") + b"\n"


def _no_row(path: Path, line: int) -> str:
    return (
        f"Line {line} of {path.name} is no row that a run has written; choose another output, "
        "or remove that line."
    )


# ── files ───────────────────────────────────────────────────────────────────


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Complaints of the system about a file, as one sentence."""
    try:
        yield
    except OSError as error:
        msg = f"Cannot write {path}: {error.strerror or error}."
        raise OutputError(msg) from None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write that takes the place of `path` when all went well."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with writing(path):
            os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, _MODE))
            yield temporary
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _lock(descriptor: int, path: Path) -> None:
    """Have the file to ourselves until it is closed, or the process ends, however it does."""
    try:
        _LOCK(descriptor)
    except OSError:
        os.close(descriptor)
        msg = f"Another run is writing {path}; wait for it, or choose another output."
        raise OutputError(msg) from None


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _sync_directory(directory: Path) -> None:
    """Have the disk keep that there is a new file; not every system can."""
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _locker() -> Callable[[int], None]:
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415 (of this platform alone)

        return lambda descriptor: msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    import fcntl  # noqa: PLC0415 (of the other platforms)

    return lambda descriptor: fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


_LOCK: Final = _locker()
