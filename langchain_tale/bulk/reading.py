"""Requests in: JSONL, CSV and Parquet, a piece at a time, whatever their size.

| suffix | a request is |
| --- | --- |
| `.jsonl`, `.ndjson` | a line: an object of `StoryRequest`'s fields, or a string, the theme |
| `.csv`, `.tsv` | a row below a header of field names; `interests` and `avoid` part at `;` |
| `.parquet`, `.pq` | a row; lists as lists |

All may have an `id`. Empty lines, empty cells and nulls are not there. Text is UTF-8. A line that
cannot be read is a request with a problem, and what follows it is read on.
"""

from __future__ import annotations

import csv
import json
import os
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.bulk.asked import ID, Asked, asked, unreadable
from langchain_tale.errors import ConfigurationError
from langchain_tale.story.request import StoryRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from io import BufferedReader
    from pathlib import Path

LONGEST_LINE: Final = 1 << 20
"""Bytes of a line; a longer one is no request, and must not fill the memory."""
ROWS_AT_ONCE: Final = 512
NEEDS_PYARROW: Final = "Parquet needs an extra: pip install 'langchain-tale[scale]'."
FIELDS: Final = frozenset(StoryRequest.model_fields) | {ID}
_LISTS: Final = frozenset({"interests", "avoid"})
_BOM: Final = b"\xef\xbb\xbf"


def reader_of(path: Path) -> Callable[[Path], Iterator[Asked]]:
    """The function that reads a file like this.

    Raises:
        ConfigurationError: There is no such file, or its suffix is none of ours.
    """
    if path.is_dir() or not path.exists():
        msg = f"There is no file {path}."
        raise ConfigurationError(msg)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        msg = f"{path.name}: requests are read from .jsonl, .csv, .tsv and .parquet."
        raise ConfigurationError(msg)
    return reader


def read_file(path: Path) -> Iterator[Asked]:
    """The requests of a file, in order.

    Raises:
        ConfigurationError: The file cannot be read, or has columns that no request has.
    """
    with _opening(path):
        yield from reader_of(path)(path)


def read_items(items: Iterable[Any]) -> Iterator[Asked]:
    """The requests among any objects: `StoryRequest`s, dicts and themes."""
    return map(asked, count(1), items)


@contextmanager
def _opening(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        msg = f"Cannot read {path}: {error.strerror or error}."
        raise ConfigurationError(msg) from None


# ── JSON lines ──────────────────────────────────────────────────────────────


def _read_jsonl(path: Path) -> Iterator[Asked]:
    with path.open("rb") as file:
        for line, content in enumerate(_lines(file), start=1):
            if content is None:
                yield unreadable(line, f"it is longer than {LONGEST_LINE:,} bytes")
            elif content.strip():
                yield _from_json(line, content)


def _lines(file: BufferedReader) -> Iterator[bytes | None]:
    """The lines of a file; None for one that is too long to be kept."""
    if file.peek(len(_BOM)).startswith(_BOM):
        file.read(len(_BOM))
    while content := file.readline(LONGEST_LINE):
        if len(content) < LONGEST_LINE or content.endswith(b"\n"):
            yield content
            continue
        while content and not content.endswith(b"\n"):
            content = file.readline(LONGEST_LINE)
        yield None


def _from_json(line: int, content: bytes) -> Asked:
    try:
        return asked(line, json.loads(content.rstrip().decode()))
    except UnicodeDecodeError:
        return unreadable(line, "it is not UTF-8", content.hex())
    except json.JSONDecodeError as error:
        why = f"it is no JSON ({error.msg} at column {error.colno})"
        return unreadable(line, why, content.hex())
    except (RecursionError, ValueError):  # nested without end; a number of thousands of digits
        return unreadable(line, "it is no JSON that can be read", content.hex())


# ── tables ──────────────────────────────────────────────────────────────────


def _read_csv(path: Path) -> Iterator[Asked]:
    # What is no UTF-8 is carried along as surrogates, so that only its own row is lost.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        delimiter = _delimiter(file.readline(LONGEST_LINE))
        file.seek(0)
        lines = iter(partial(file.readline, LONGEST_LINE), "")
        rows = csv.reader(lines, delimiter=delimiter)
        header = [name.strip() for name in next(rows, [])]
        check_columns(header, path.name)
        while True:
            line = rows.line_num + 1
            try:
                row = next(rows, None)
            except csv.Error as error:
                yield unreadable(line, f"it is no CSV ({error})")
                continue
            if row is None:
                return
            if any(cell.strip() for cell in row):
                yield _from_row(line, header, row)


def _delimiter(header: str) -> str:
    """What parts the columns: spreadsheets write commas, semicolons or tabs."""
    return max(",;\t", key=header.count)


def _from_row(line: int, header: list[str], row: list[str]) -> Asked:
    if len(row) > len(header):
        return unreadable(line, f"it has {len(row)} cells for {len(header)} columns", row)
    cells = dict(zip(header, row, strict=False))
    record = {name: _cell(name, text) for name, text in cells.items() if text.strip()}
    if any("\udc80" <= char <= "\udcff" for text in row for char in text):
        return unreadable(line, "it is not UTF-8", row)
    return asked(line, record)


def _cell(name: str, text: str) -> Any:
    return [part for part in text.split(";") if part.strip()] if name in _LISTS else text


def _read_parquet(path: Path) -> Iterator[Asked]:
    try:
        import pyarrow as pa  # noqa: PLC0415 (an extra)
        import pyarrow.parquet as pq  # noqa: PLC0415 (an extra)
    except ImportError:
        raise ConfigurationError(NEEDS_PYARROW) from None
    try:
        with pq.ParquetFile(path, buffer_size=LONGEST_LINE) as file:
            check_columns(file.schema_arrow.names, path.name)
            lines = count(1)
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
                for row in batch.to_pylist():
                    record = {name: value for name, value in row.items() if value is not None}
                    yield asked(next(lines), record)
    except pa.ArrowException as error:
        msg = f"{path} is no Parquet file that can be read ({type(error).__name__})."
        raise ConfigurationError(msg) from None


def check_columns(names: list[str], of: str) -> None:
    """Refuse a table that has no column `theme`, or one that no request has.

    Args:
        names: Its columns.
        of: What the table is called.

    Raises:
        ConfigurationError: It is none of ours.
    """
    unknown = [name for name in names if name not in FIELDS]
    twice = [name for name in names if names.count(name) > 1]
    if "theme" in names and not unknown and not twice:
        return
    if twice:
        why = f"has the column {twice[0]!r} twice"
    elif unknown:
        why = f"has the column {unknown[0]!r}, which no request has"
    else:
        why = "has no column 'theme'"
    known = ", ".join([ID, *StoryRequest.model_fields])
    msg = f"{of} {why}; columns may be {known}."
    raise ConfigurationError(msg)


_READERS: Final[dict[str, Callable[[Path], Iterator[Asked]]]] = {
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".parquet": _read_parquet,
    ".pq": _read_parquet,
}


def is_read_twice(path: Path) -> bool:
    """Whether a file may be read through before the run; a pipe may not."""
    return path.is_file() and os.access(path, os.R_OK)
