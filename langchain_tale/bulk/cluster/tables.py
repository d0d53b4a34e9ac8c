"""Batches of Ray Data in, requests and rows between, Arrow tables out; pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.bulk.asked import ID
from langchain_tale.bulk.reading import check_columns
from langchain_tale.bulk.rows import COLUMNS, failed_row, told_row
from langchain_tale.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_tale.bulk.asked import Asked
    from langchain_tale.bulk.rows import Tries
    from langchain_tale.story.result import StoryGenerationResult

    Row = dict[str, Any]

TOLD: Final = "told"
FAILED: Final = "failed"
UNTOLD: Final = "untold"
ROW_COLUMNS: Final[dict[str, type]] = {
    "id": str,
    "status": str,
    **{name: kind for name, kind in COLUMNS.items() if name not in ("id", "line")},
    "error": str,
    "message": str,
    "status_code": int,
}
"""The columns of what a `StoryWriter` gives, and what is in them."""
_NO_ID: Final = "a request needs an id on many machines, where nobody knows its line"
_NEEDS: Final = "Stories on many machines need an extra: pip install 'langchain-tale[scale]'."


def records_of(batch: Any) -> list[Row]:
    """The requests of a batch, as dicts without what is not there.

    Args:
        batch: In any of Ray Data's formats: columns of NumPy, an Arrow table, a pandas frame.

    Raises:
        ConfigurationError: It has no column `id` or `theme`, or one that no request has.
    """
    names, rows = _read(batch)
    check_columns(names, "The batch")
    if ID not in names:
        msg = f"The batch has no column {ID!r}: {_NO_ID}."
        raise ConfigurationError(msg)
    return [{name: value for name, value in row.items() if not _is_nothing(value)} for row in rows]


def _read(batch: Any) -> tuple[list[str], list[Row]]:
    """The columns of a batch, and its rows with Python's own values."""
    if isinstance(batch, dict):
        cells = [map(_plain, column) for column in batch.values()]
        return list(batch), [dict(zip(batch, row, strict=True)) for row in zip(*cells, strict=True)]
    if hasattr(batch, "to_pylist"):
        return list(batch.column_names), batch.to_pylist()
    rows = batch.to_dict("records")
    return list(batch.columns), [{name: _plain(row[name]) for name in row} for row in rows]


def _plain(value: Any) -> Any:
    """A cell of NumPy as Python's own; 5.0 is 5, since where a cell is empty all are floats."""
    own = value.tolist() if hasattr(value, "tolist") else value
    return int(own) if isinstance(own, float) and own.is_integer() else own


def _is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def why_unreadable(asked: Asked) -> str | None:
    """Why a request cannot be told at all; None for one that can."""
    if asked.problem is not None:
        return _without_line(asked, asked.problem)
    return f"{_NO_ID[0].upper()}{_NO_ID[1:]}." if asked.id is None else None


def told(asked: Asked, result: StoryGenerationResult, spent_usd: float) -> Row:
    """A story as the row that is kept of it."""
    row = told_row(asked, result, spent_usd)
    return {**_flat(row), "status": TOLD, "request": asked.digest}


def failed(asked: Asked, error: Exception, tries: Tries, spent_usd: float) -> Row:
    """A failure as the row that is kept of it."""
    row = failed_row(asked, error, tries, spent_usd)
    row["message"] = _without_line(asked, row["message"])
    return {**_flat(row), "status": FAILED, "request": asked.digest}


def untold(asked: Asked, why: str) -> Row:
    """A request that was not asked for."""
    return {**_flat({"id": asked.id}), "status": UNTOLD, "message": why}


def checked(asked: Asked, row: Row) -> Row:
    """The row that is kept of a request, unless it was kept of another one with its id."""
    if row.get("request") == asked.digest:
        return row
    msg = "Another request of this run had the same id; choose another id, or another run."
    return failed(asked, ConfigurationError(msg), (), 0.0)


def table_of(rows: Iterable[Row]) -> Any:
    """Rows as an Arrow table, which has the same columns whatever is in it."""
    arrow = pyarrow()
    kinds = {
        str: arrow.string(),
        int: arrow.int64(),
        float: arrow.float64(),
        bool: arrow.bool_(),
    }
    schema = arrow.schema([(name, kinds[kind]) for name, kind in ROW_COLUMNS.items()])
    return arrow.Table.from_pylist([_flat(row) for row in rows], schema=schema)


def _flat(row: Row) -> Row:
    return {name: row.get(name) for name in ROW_COLUMNS}


def _without_line(asked: Asked, message: str) -> str:
    """Which line of a batch it was tells nobody anything."""
    rest = message.removeprefix(f"Line {asked.line}: ")
    return rest[:1].upper() + rest[1:]


def pyarrow() -> Any:
    """The module.

    Raises:
        ConfigurationError: The extra is missing.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 (an extra)
    except ImportError:
        raise ConfigurationError(_NEEDS) from None
    return pa
