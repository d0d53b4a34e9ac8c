"""A file to which threads and processes append whole lines, and which rotates by size.

A line is in the file when `append` returns: nothing is buffered or queued, so it outlives a
process that is killed (not a machine that loses its power: nothing is forced to the disk).

Each line is one write in append mode, under an exclusive lock on the file itself (`flock`). The
lock serves rotation and the mending of torn lines. After a rotation other processes hold a file
that is `….1` by now: each line is preceded by a look whether the name still means the file that
is open. Where there is no `flock` (Windows), let one process write a file.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from langchain_tale.telemetry.emitting import LOGGER
from langchain_tale.telemetry.rotation import rotate
from langchain_tale.telemetry.torn import cut, mend

if sys.platform != "win32":
    from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock

if TYPE_CHECKING:
    from pathlib import Path

_HAS_LOCKS = sys.platform != "win32"
_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
_BUSY: Final = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES})
_PATIENCE_S: Final = 0.5
"""Seconds to wait for the lock, which is held for microseconds unless its holder is suspended."""
_POLL_S: Final = 0.0002
_TURNS: Final = 100
"""Rotations by others that one line puts up with while it is on its way."""


class LineFile:
    """One file of lines, shared by the threads of this process and by other processes.

    Args:
        path: The file; its folder must exist.
        max_bytes: It rotates before a line would make it longer; None for never.
        keep: Older files to keep; None for all.
    """

    def __init__(self, path: Path, *, max_bytes: int | None, keep: int | None) -> None:
        self.path = path
        self._name = str(path)
        self.keep = keep
        self._max_bytes = max_bytes
        self._full_from = max_bytes
        self._fd: int | None = None
        self._inode = self._device = 0
        self._size = -1
        self._is_unlockable = False
        self._begin()

    def _begin(self) -> None:
        self._thread_lock = threading.RLock()
        self._pending: deque[bytes] = deque()
        self._is_writing = False

    def begin_in_child(self) -> None:
        """Let go of what a forked child must not share with its parent: the file and the lock.

        A lock of the file belongs to both as long as both hold the same open file.
        """
        self._close()
        self._begin()

    def limit(self, max_bytes: int | None, keep: int | None) -> None:
        """Rotate by other limits from now on."""
        self._max_bytes = self._full_from = max_bytes
        self.keep = keep

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        with self._thread_lock:
            self._close()

    def append(self, line: bytes = b"") -> None:
        """Write a line, or only open the file and mend it.

        Args:
            line: With its line break.

        Raises:
            OSError: It cannot be written; nothing of it is in the file.
        """
        with self._thread_lock:
            if self._is_writing:  # a finalizer of this thread: the writer below takes its line
                self._pending.append(line)
                return
            self._is_writing = True
            try:
                self._write(line)
                while self._pending:
                    self._write(self._pending.popleft())
            finally:
                self._is_writing = False

    def _write(self, line: bytes) -> None:
        for _ in range(_TURNS):
            fd = self._open() if self._fd is None else self._fd
            is_locked = self._lock(fd)
            try:
                if self._is_written(fd, line, is_locked=is_locked):
                    return
            except OSError:
                self._close()
                raise
            finally:
                if _HAS_LOCKS and self._fd is not None:
                    flock(self._fd, LOCK_UN)
            self._close()
        raise OSError(errno.EAGAIN, "it rotates all the time")

    def _is_written(self, fd: int, line: bytes, *, is_locked: bool) -> bool:
        """Write a line, unless another file must be opened for it."""
        size = self._size_of_current()
        if size is None:
            return False
        if is_locked:
            size = size if size == self._size else mend(fd, size, self.path)
            if self._full_from is not None and size > max(0, self._full_from - len(line)):
                self._rotate(size)
                return False
        written = os.write(fd, line)
        if written < len(line):  # the disk is full
            if is_locked:
                cut(fd, size + written, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size = size + written
        return True

    # ── the file ────────────────────────────────────────────────────────────

    def _open(self) -> int:
        self._fd = os.open(self.path, _FLAGS, 0o666)
        status = os.fstat(self._fd)
        self._inode, self._device, self._size = status.st_ino, status.st_dev, -1
        return self._fd

    def _close(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _size_of_current(self) -> int | None:
        """Bytes in the file; None where its name means another one by now, or none."""
        try:
            status = os.stat(self._name)  # noqa: PTH116 (half a Path's time)
        except FileNotFoundError:
            return None
        is_same = status.st_ino == self._inode and status.st_dev == self._device
        return status.st_size if is_same else None

    # ── rotation ────────────────────────────────────────────────────────────

    def _rotate(self, size: int) -> None:
        """Make room; where that fails, say so and let the file grow by as much again."""
        if not _HAS_LOCKS:  # Windows renames no open file
            self._close()
        try:
            rotate(self.path, self.keep)
        except OSError as error:
            self._full_from = size + (self._max_bytes or 0)
            reason = error.strerror or error
            LOGGER.warning("%s cannot be rotated (%s): it grows on.", self.path, reason)
        else:
            self._full_from = self._max_bytes

    # ── the lock ────────────────────────────────────────────────────────────

    def _lock(self, fd: int) -> bool:
        """Whether the lock could be had; without it lines are still whole."""
        if not _HAS_LOCKS:
            return True
        try:
            flock(fd, LOCK_EX | LOCK_NB)
        except OSError as error:
            return self._wait_for_lock(fd, error)
        self._is_unlockable = False
        return True

    def _wait_for_lock(self, fd: int, error: OSError) -> bool:
        until = time.monotonic() + _PATIENCE_S
        while error.errno in _BUSY and not self._is_unlockable and time.monotonic() < until:
            time.sleep(_POLL_S)
            try:
                flock(fd, LOCK_EX | LOCK_NB)
            except OSError as again:
                error = again
            else:
                return True
        self._say_unlockable(error)
        return False

    def _say_unlockable(self, error: OSError) -> None:
        """Say once that there is no lock; from then on nobody waits for it."""
        if not self._is_unlockable:
            reason = error.strerror or error
            LOGGER.warning(
                "The lock of %s cannot be had (%s): lines are added without, and it is not "
                "rotated meanwhile.",
                self.path,
                reason,
            )
        self._is_unlockable = True
