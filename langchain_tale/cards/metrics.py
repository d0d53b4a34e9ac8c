"""The card of what was counted: calls, failures, seconds and dollars for each model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from langchain_tale.cards.blocks import Block, Facts, Table
from langchain_tale.cards.card import Card
from langchain_tale.cards.wording import counted, dollars, seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

COLUMNS: Final = (
    "model", "calls", "answered", "failed", "from cache", "retries",
    "median", "95 of 100 within", "tokens out", "cost",
)  # fmt: skip


class Timed(Protocol):
    """Durations in seconds, or None where there were none."""

    @property
    def p50_s(self) -> float | None:
        """The median."""

    @property
    def p95_s(self) -> float | None:
        """95 of 100 took no longer."""


class Counted(Protocol):
    """What is shown of the calls of one model, or of all."""

    @property
    def calls(self) -> int:
        """How often a caller asked."""

    @property
    def answered(self) -> int:
        """Calls with an answer."""

    @property
    def failed(self) -> int:
        """Calls without one."""

    @property
    def cached(self) -> int:
        """Answers out of a cache."""

    @property
    def retries(self) -> int:
        """Attempts beyond the first."""

    @property
    def latency(self) -> Timed:
        """Of what was answered."""

    @property
    def output_tokens(self) -> int:
        """Tokens written."""

    @property
    def cost_usd(self) -> float:
        """What it all cost."""

    @property
    def failed_cost_usd(self) -> float:
        """What failed attempts cost."""

    @property
    def errors(self) -> Mapping[str, int]:
        """How often which class of error occurred."""


def metrics_card(overall: Counted, models: Mapping[str, Counted]) -> Card:
    """A row for each model and one for all of them; below it, what failed and what it cost."""
    rows = [_row(name, counts) for name, counts in models.items()]
    if len(rows) != 1:
        rows.append(_row("all models", overall))
    numeric = frozenset(range(1, len(COLUMNS)))
    blocks: list[Block] = [Table(COLUMNS, rows, numeric=numeric)]
    said = list(_failures(overall.errors.items()))
    if overall.failed_cost_usd:
        said.append(("spent on failed attempts", dollars(overall.failed_cost_usd)))
    blocks += [Facts(said)] if said else []
    title = f"{counted(overall.calls, 'call')}, {dollars(overall.cost_usd)}"
    return Card(kind="Metrics", title=title, blocks=blocks, is_wide=True)


def _row(name: str, counts: Counted) -> tuple[object, ...]:
    latency = counts.latency
    return (
        name,
        f"{counts.calls:,}",
        f"{counts.answered:,}",
        f"{counts.failed:,}",
        f"{counts.cached:,}",
        f"{counts.retries:,}",
        None if latency.p50_s is None else seconds(latency.p50_s),
        None if latency.p95_s is None else seconds(latency.p95_s),
        f"{counts.output_tokens:,}",
        dollars(counts.cost_usd),
    )


def _failures(errors: Iterable[tuple[str, int]]) -> Iterable[tuple[str, str]]:
    for name, number in sorted(errors, key=lambda each: -each[1]):
        yield name, counted(number, "time")
