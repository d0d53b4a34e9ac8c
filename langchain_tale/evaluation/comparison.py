"""`Comparison`: every model on the same requests, as rows, tables and pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from langchain_tale.errors import ConfigurationError
from langchain_tale.evaluation.files import csv_of, written
from langchain_tale.evaluation.records import records_of
from langchain_tale.evaluation.summary import ModelSummary, on_the_front, summary_of
from langchain_tale.evaluation.table import ComparisonTable, table_of

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure
    from pandas import DataFrame

    from langchain_tale.evaluation.cases import Case
    from langchain_tale.evaluation.row import Row


@dataclass(frozen=True)
class Comparison:
    """Every model on the same requests.

    Attributes:
        models: The models, in the order they were given.
        cases: The requests, each with its name.
        repeats: How often each model was asked for each.
        rows: One for each story that has ended, failures included, by model and request.
        stopped: Why it stopped before its end, or None.
    """

    models: tuple[str, ...]
    cases: tuple[Case, ...] = field(repr=False)
    repeats: int
    rows: tuple[Row, ...] = field(repr=False)
    stopped: str | None = None

    @property
    def missing(self) -> int:
        """How many stories have not been asked for."""
        return len(self.models) * len(self.cases) * self.repeats - len(self.rows)

    @property
    def is_complete(self) -> bool:
        """Whether every story has been told, by every model."""
        return not self.missing and all(row.error is None for row in self.rows)

    @cached_property
    def _summaries(self) -> tuple[ModelSummary, ...]:
        return tuple(
            summary_of(model, [row for row in self.rows if row.model == model])
            for model in self.models
        )

    def summary(self) -> tuple[ModelSummary, ...]:
        """What the rows of each model come to, with how sure it is, in the order of `models`."""
        return self._summaries

    def front(self) -> tuple[str, ...]:
        """The models that no other equals in quality, speed and price at once and beats in one.

        Judged by the shares and medians alone, however unsure they are.
        """
        return tuple(on_the_front(self._summaries))

    def records(self) -> list[dict[str, Any]]:
        """The rows as flat dicts, all with the same names; see `to_frame`."""
        return records_of(self.rows)

    def to_frame(self) -> DataFrame:
        """A tidy frame: a row for each story.

        Its columns are `model`, `request` (its name), `repeat`, `is_fit`, `score`, `cost_usd`,
        `latency_s`, `words`, `tokens`, `input_tokens`, `output_tokens`, `attempts`,
        `answered_by`, `provider_name`, `error`, `error_message`, `ended_at`, and for each check
        that any story was held to `ok_…`: whether it passed, or None where it was not held to.

        Raises:
            ConfigurationError: pandas is not installed.
        """
        try:
            from pandas import DataFrame  # noqa: PLC0415 (an extra)
        except ImportError:
            msg = "to_frame needs an extra: pip install 'langchain-tale[notebook]'."
            raise ConfigurationError(msg) from None
        return DataFrame.from_records(self.records())

    def table(self) -> ComparisonTable:
        """A line for each model, the best first; as text, Markdown or HTML."""
        return table_of(self)

    def plot(self) -> Figure:
        """Quality, latency and cost of each model, with how sure they are.

        Readable up to a dozen models and in black and white. The figure saves itself:
        `comparison.plot().savefig("models.svg")`, or `….png`.

        Raises:
            ConfigurationError: matplotlib is not installed, or no story has been asked for.
        """
        from langchain_tale.evaluation.plot import figure_of  # noqa: PLC0415 (an extra)

        return figure_of(self)

    def to_csv(self, path: str | Path | None = None) -> str:
        """The rows as CSV, and written to `path` if that is given.

        A text that a spreadsheet would take for a formula has an apostrophe before it.

        Raises:
            OutputError: The file cannot be written.
        """
        return written(csv_of(self.records()), path)

    def to_html(self, path: str | Path | None = None) -> str:
        """A page with everything, the stories too, and written to `path` if that is given.

        It loads nothing from anywhere, and is made for light and dark.

        Raises:
            OutputError: The file cannot be written.
        """
        from langchain_tale.evaluation.page import page_of  # noqa: PLC0415 (it reads this one)

        return written(page_of(self), path)

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    def _repr_markdown_(self) -> str:
        return self.table().to_markdown()
