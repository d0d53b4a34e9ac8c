"""Files that are made of a comparison: whole, or not at all."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Sequence

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes a cell that begins so for (OWASP, "CSV Injection")."""


def csv_of(records: Sequence[dict[str, Any]]) -> str:
    """Records as CSV (RFC 4180), a header first; None is an empty cell."""
    text = io.StringIO()
    names = list(records[0]) if records else []
    table = csv.DictWriter(text, names, lineterminator="\r\n")
    table.writeheader()
    table.writerows({name: _cell(value) for name, value in each.items()} for each in records)
    return text.getvalue()


def _cell(value: Any) -> Any:
    is_formula = isinstance(value, str) and value.startswith(_FORMULA)
    return f"'{value}" if is_formula else value


def written(text: str, path: str | Path | None) -> str:
    """The text, which is now in the file too.

    Raises:
        OutputError: It cannot be written.
    """
    if path is None:
        return text
    target = Path(path)
    temporary = target.with_name(f".{target.name}.new")
    try:
        temporary.write_text(text, encoding="utf-8", newline="")
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        msg = f"Cannot write {target}: {error.strerror or error}; choose another file."
        raise OutputError(msg) from None
    return text
