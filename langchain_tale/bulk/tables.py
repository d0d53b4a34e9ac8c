"""Stories as a table: CSV, or Parquet in row groups, whatever their number."""

from __future__ import annotations

import csv
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.bulk.journal import replacing
from langchain_tale.bulk.reading import NEEDS_PYARROW
from langchain_tale.bulk.rows import COLUMNS, flat
from langchain_tale.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    TableWriter = Callable[[Path, Iterator[dict[str, Any]]], None]

ROWS_IN_GROUP: Final = 1000


def table_writer(path: Path) -> TableWriter:
    """The function that writes a file like this.

    Raises:
        ConfigurationError: Its suffix is none of ours, or an extra is missing.
    """
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        msg = f"{path.name}: stories are written to .jsonl, .csv and .parquet."
        raise ConfigurationError(msg)
    if writer is _write_parquet:
        _pyarrow()
    return writer


def _write_csv(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="replace", newline="") as file,
    ):
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(map(flat, rows))


def _write_parquet(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    pa, pq = _pyarrow()
    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])
    with replacing(path) as temporary, pq.ParquetWriter(temporary, schema) as table:
        while group := [flat(row) for row in islice(rows, ROWS_IN_GROUP)]:
            table.write_table(pa.Table.from_pylist(group, schema=schema))


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa  # noqa: PLC0415 (an extra)
        import pyarrow.parquet as pq  # noqa: PLC0415 (an extra)
    except ImportError:
        raise ConfigurationError(NEEDS_PYARROW) from None
    return pa, pq


_WRITERS: Final[dict[str, TableWriter]] = {
    ".csv": _write_csv,
    ".parquet": _write_parquet,
    ".pq": _write_parquet,
}
