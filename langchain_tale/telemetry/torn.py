"""A last line that a crash left half-written: finding it, and making the file whole again."""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from langchain_tale.telemetry.emitting import LOGGER

if TYPE_CHECKING:
    from pathlib import Path

_LONGEST_BYTES: Final = 1 << 20
"""No line of ours is longer; what is longer is not looked through for its beginning."""


def ends_whole(fd: int, size: int) -> bool:
    """Whether a file of `size` bytes ends with a whole line, or has none."""
    return size == 0 or _read(fd, size - 1) == b"\n"


def mend(fd: int, size: int, path: Path) -> int:
    r"""Make the last line of a file whole, so that the next one begins a line of its own.

    A record that lacks only its line break gets it. Half a record is set aside, into
    `<path>.torn`, and then cut off; where either is not possible (an append-only file, a full
    disk), it is ended by a line break and stays as a line that is no JSON.

    Args:
        fd: The file, open for reading and appending; the caller holds its lock.
        size: Its size in bytes.
        path: Its name.

    Returns:
        Its new size.

    Raises:
        OSError: Nothing can be written.
    """
    if ends_whole(fd, size):
        return size
    fragment = last_line(_read(fd, max(0, size - _LONGEST_BYTES)))
    if not is_record(fragment) and len(fragment) < _LONGEST_BYTES:
        with suppress(OSError):
            _set_aside(fragment, path)
            cut(fd, size, size - len(fragment))
            return size - len(fragment)
    os.write(fd, b"\n")
    return os.fstat(fd).st_size


def cut(fd: int, size: int, to_size: int) -> None:
    """Shorten a file that has not grown since its size was looked at.

    Raises:
        OSError: It cannot be shortened, or somebody wrote without the lock.
    """
    if os.fstat(fd).st_size != size:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
    os.ftruncate(fd, to_size)


def last_line(content: bytes) -> bytes:
    r"""What follows the last line break.

    Example:
        >>> last_line(b'{"a": 1}\n{"a"')
        b'{"a"'
    """
    return content.rpartition(b"\n")[2]


def is_record(line: bytes) -> bool:
    """Whether a line is a whole JSON object.

    Example:
        >>> is_record(b'{"a": 1}'), is_record(b'{"a": 1'), is_record(b"1")
        (True, False, False)
    """
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:  # broken UTF-8 is one too
        return False


def _read(fd: int, start: int) -> bytes:
    """What follows `start`; Windows has no `pread`, and appending heeds no position."""
    os.lseek(fd, start, os.SEEK_SET)
    return os.read(fd, _LONGEST_BYTES)


def _set_aside(fragment: bytes, path: Path) -> None:
    aside = path.with_name(f"{path.name}.torn")
    with aside.open("ab") as file:
        file.write(fragment + b"\n")
    LOGGER.warning("The last line of %s was half-written; it is in %s now.", path, aside.name)
