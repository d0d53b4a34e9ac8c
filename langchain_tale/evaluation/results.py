"""The file of results: one line of JSON for each story, the last of one key counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from langchain_tale.errors import ConfigurationError, OutputError
from langchain_tale.evaluation.row import Row
from langchain_tale.telemetry.line_file import LineFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from langchain_tale.evaluation.row import Key

RESULTS: Final = "results.jsonl"


class Results:
    """The rows of an evaluation, on disk where it has a folder.

    A line is written whole before it is counted. One that a crash left half-written is set
    aside, into `results.jsonl.torn`, when the file is opened again; its story is asked for anew.

    Args:
        folder: Where `results.jsonl` is, or will be; None for memory alone.
        setup: A hash of the options that stories are told with.
        resume: Whether to go on with what is there.

    Attributes:
        rows: By key, the latest of each.

    Raises:
        ConfigurationError: There is something and it must not be gone on with, or it was told
            with other options.
        OutputError: The folder cannot be written.
    """

    def __init__(self, folder: Path | None, *, setup: str, resume: bool) -> None:
        self.rows: dict[Key, Row] = {}
        self._file: LineFile | None = None
        if folder is not None:
            path = folder / RESULTS
            self._file = self._opened(path)
            self.rows = {row.key: row for row in _read(path)}
            self._check(path, setup, resume=resume)

    def _opened(self, path: Path) -> LineFile:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = LineFile(path, max_bytes=None, keep=None)
            file.append()  # mends a torn line
        except OSError as error:
            raise _unwritable(path, error) from None
        return file

    def _check(self, path: Path, setup: str, *, resume: bool) -> None:
        if self.rows and not resume:
            msg = f"{path} has results; resume, or choose another folder."
        elif any(row.setup != setup for row in self.rows.values()):
            msg = f"{path} was told with other options; choose another folder."
        else:
            return
        self.close()
        raise ConfigurationError(msg)

    def add(self, row: Row) -> None:
        """Keep a row, on disk first.

        Raises:
            OutputError: It cannot be written.
        """
        if self._file is not None:
            try:
                self._file.append(row.model_dump_json().encode() + b"\n")
            except OSError as error:
                raise _unwritable(self._file.path, error) from None
        self.rows[row.key] = row

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def _read(path: Path) -> Iterator[Row]:
    with path.open("rb") as lines:
        for line in lines:
            try:
                yield Row.model_validate_json(line)
            except ValidationError:  # a torn line that could not be cut off
                continue


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(f"Cannot write {path}: {error.strerror or error}; choose another folder.")
