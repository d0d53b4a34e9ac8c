"""The outcome of every request, on disk before it is counted.

| file | holds |
| --- | --- |
| `stories.jsonl` | the stories, as they are told: the ledger itself |
| `stories.ledger.jsonl` | the same, where the output is `stories.csv` or `stories.parquet` |
| `stories.failed.jsonl` | what failed, and why |

The ledger is the truth. A failure counts for as long as the ledger has no story for it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.bulk.index import Index, State
from langchain_tale.bulk.journal import Journal
from langchain_tale.bulk.rows import failed_row, told_row
from langchain_tale.bulk.tables import table_writer
from langchain_tale.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from langchain_tale.bulk.asked import Asked
    from langchain_tale.bulk.index import Known
    from langchain_tale.bulk.rows import Tries
    from langchain_tale.story.result import StoryGenerationResult

LINES: Final = frozenset({".jsonl", ".ndjson"})


class Ledger:
    """What became of each request of a run, and of the runs before it.

    Args:
        out: Where the stories go: `.jsonl`, `.csv` or `.parquet`.

    Raises:
        ConfigurationError: The suffix is none of ours.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.is_lines = out.suffix.lower() in LINES
        self.write_table = None if self.is_lines else table_writer(out)
        self.told_path = out if self.is_lines else out.with_name(f"{out.stem}.ledger.jsonl")
        self.failed_path = out.with_name(f"{out.stem}.failed.jsonl")
        self.index = Index()
        self._told = Journal(self.told_path)
        self._failed = Journal(self.failed_path)

    def open(self, *, goes_on: bool, seen: Callable[[dict[str, Any]], None]) -> None:
        """Take the files, and take over what earlier runs have written.

        Args:
            goes_on: Whether there may be something to take over.
            seen: Gets the row of every story that is told already.

        Raises:
            ConfigurationError: There is an output already; or one whose ledger is gone.
            OutputError: A file cannot be written, is none of ours, or another run has it.
        """
        is_new = not self.told_path.exists()
        if is_new and not self.is_lines and self.out.exists() and goes_on:
            msg = f"{self.out} is there, but its ledger {self.told_path.name} is not; {_ELSEWHERE}"
            raise ConfigurationError(msg)
        self._told.open()
        if not goes_on and (self._told.size or self.failed_path.exists() or self._has_table()):
            self._told.close()
            if is_new:
                self.told_path.unlink()
            msg = f"{self.out} has been written to already; resume that run, or {_ELSEWHERE}"
            raise ConfigurationError(msg)
        for row in self._taken_over(self._told, State.TOLD):
            seen(row)
        if self.failed_path.exists():
            self._failed.open()
            for _ in self._taken_over(self._failed, State.FAILED):
                pass

    def _has_table(self) -> bool:
        return not self.is_lines and self.out.exists()

    def _taken_over(self, journal: Journal, state: State) -> Iterator[dict[str, Any]]:
        for at, row in journal.mended_rows():
            if self.index.recall(row, state, at):
                yield row

    # ── outcomes ────────────────────────────────────────────────────────────

    def told(self, asked: Asked, known: Known, result: StoryGenerationResult) -> dict[str, Any]:
        """Write a story down.

        Args:
            asked: What it was asked for by.
            known: What was known of the request; `spent_usd` with all that went before.
            result: The story.

        Returns:
            Its row.

        Raises:
            OutputError: It cannot be written.
        """
        row = told_row(asked, result, known.spent_usd)
        at = self._told.append(row)
        self.index.put(asked.key, replace(known, state=State.TOLD, at=at))
        return row

    def failed(self, asked: Asked, known: Known, error: Exception, tries: Tries) -> dict[str, Any]:
        """Write a failure down; else as `told`."""
        row = failed_row(asked, error, tries, known.spent_usd)
        at = self._failed.append(row)
        self.index.put(asked.key, replace(known, state=State.FAILED, at=at))
        return row

    def sync(self) -> None:
        """Have the disk keep all that was written."""
        self._told.sync()
        self._failed.sync()

    def finish(self, *, ordered: bool) -> None:
        """Bring the files into their last form: the order, the table, the failures that are left.

        Args:
            ordered: Stories in the order of their requests.
        """
        if self.failed_path.exists():
            self._failed.rewrite(self.index.places(State.FAILED))
        if self.write_table is not None:
            places = self.index.places(State.TOLD)
            self.write_table(self.out, self._told.rows_at(places))
        elif ordered:
            self._told.rewrite(self.index.places(State.TOLD))

    def close(self) -> None:
        """Let others have the files."""
        self.index.close()
        self._told.close()
        self._failed.close()


_ELSEWHERE: Final = "choose another output."
