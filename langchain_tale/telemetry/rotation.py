"""A file and the older ones that rotation made of it: `audit.jsonl`, `audit.jsonl.1` and so on.

The higher the number, the older the lines.
"""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path


def numbered(path: Path, number: int) -> Path:
    """An older file; number 0 is the one that is written to."""
    return path.with_name(f"{path.name}.{number}") if number else path


def numbers_of(path: Path) -> list[int]:
    """The numbers of the older files that are there, newest first."""
    pattern = re.compile(re.escape(path.name) + r"\.([1-9][0-9]*)")
    names = (entry.name for entry in path.parent.iterdir())
    found = (pattern.fullmatch(name) for name in names)
    return sorted(int(match[1]) for match in found if match)


def moves(taken: Collection[int], keep: int | None) -> list[tuple[int, int]]:
    """Which file takes which number when number 0 is full; pure.

    Each file moves up by one, the oldest first, as far as the first number that is free: so no
    move but the first can replace a file, and a rotation that was killed halfway, which leaves
    such a gap, is made good by the next.

    Args:
        taken: The numbers of the older files.
        keep: How many older files to keep: the one beyond is replaced. None keeps all.

    Returns:
        Pairs of old and new number, to be renamed in order.

    Example:
        >>> moves([1, 2], None)
        [(2, 3), (1, 2), (0, 1)]
        >>> moves([1, 2], 2)
        [(1, 2), (0, 1)]
        >>> moves([1, 3], None)
        [(1, 2), (0, 1)]
    """
    free = next(number for number in range(1, len(taken) + 2) if number not in taken)
    last = free if keep is None else min(free, keep)
    return [(number - 1, number) for number in range(last, 0, -1)]


def rotate(path: Path, keep: int | None) -> None:
    """Give every file its next number, so that `path` is free.

    Raises:
        OSError: A file cannot be renamed; none is lost.
    """
    for old, new in moves(numbers_of(path), keep):
        numbered(path, old).replace(numbered(path, new))


def open_all(path: Path) -> list[IO[bytes]]:
    """All files, oldest first, open for reading.

    They are looked for upwards, the way a rotation moves them, so that one that happens
    meanwhile hides none; a file that is met twice is known by its inode.

    Raises:
        OSError: There is none, or one cannot be read.
    """
    found: dict[tuple[int, int], IO[bytes]] = {}
    number = 0
    while number <= max(numbers_of(path), default=0):
        with suppress(FileNotFoundError):
            file = numbered(path, number).open("rb")
            status = os.fstat(file.fileno())
            if found.setdefault((status.st_dev, status.st_ino), file) is not file:
                file.close()
        number += 1
    if not found:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return list(reversed(found.values()))
