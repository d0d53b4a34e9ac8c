"""`ComparisonTable`: a line for each model, as text, Markdown or HTML."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

from langchain_tale.evaluation import wording

if TYPE_CHECKING:
    from langchain_tale.evaluation.comparison import Comparison
    from langchain_tale.evaluation.summary import ModelSummary

HEADINGS: Final = (
    "model", "fit (95 %)", "score", "seconds", "cost of a story", "words", "failed", "refused by",
)  # fmt: skip
LEGEND: Final = (
    "fit: stories that pass all checks, of all asked for, with Wilson's 95 % interval. Score, "
    "seconds, cost and words: the median of stories told, with quartiles. Best first; *: no other "
    "is as fit, as quick and as cheap."
)
_STYLE: Final = (
    "border-collapse:collapse;font:13px/1.5 system-ui,sans-serif;font-variant-numeric:tabular-nums"
)
_CELL: Final = (
    "padding:.3em .9em .3em 0;text-align:left;vertical-align:top;white-space:nowrap;"
    "border-bottom:1px solid color-mix(in srgb,currentColor 25%,transparent)"
)


@dataclass(frozen=True, slots=True)
class ComparisonTable:
    """A line for each model, the best first; `str` of it is plain text.

    Attributes:
        headings: What the columns are.
        rows: The cells of each line.
        note: What is to be said of all of it.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str

    def __str__(self) -> str:
        lines = (self.headings, *self.rows)
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        shown = (
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )
        return "\n".join([*shown, "", self.note])

    def to_markdown(self) -> str:
        """The same as a Markdown table."""
        lines = [self.headings, ("---",) * len(self.headings), *self.rows]
        shown = (f"| {' | '.join(map(_in_markdown, line))} |" for line in lines)
        return "\n".join([*shown, "", _in_markdown(self.note)])

    def _repr_markdown_(self) -> str:
        return self.to_markdown()

    def _repr_html_(self) -> str:
        head = "".join(
            f'<th scope="col" style="{_CELL}">{escape(name)}</th>' for name in self.headings
        )
        body = "".join(f"<tr>{''.join(map(_td, line))}</tr>" for line in self.rows)
        return (
            f'<div style="overflow-x:auto"><table style="{_STYLE}"><thead><tr>{head}</tr></thead>'
            f'<tbody>{body}</tbody></table><p style="font-size:12px">{escape(self.note)}</p></div>'
        )


def table_of(comparison: Comparison) -> ComparisonTable:
    """The table of a comparison."""
    front = comparison.front()
    summaries = best_first(comparison.summary())
    rows = tuple(_cells(each, is_on_front=each.model in front) for each in summaries)
    return ComparisonTable(HEADINGS, rows, f"{counts_of(comparison)} {LEGEND}")


def counts_of(comparison: Comparison) -> str:
    """How much there is: `"2 models, 10 requests, 3 repeats: 60 stories."`."""
    sizes = (
        (len(comparison.models), "model"),
        (len(comparison.cases), "request"),
        (comparison.repeats, "repeat"),
    )
    shown = ", ".join(f"{count} {what}{'' if count == 1 else 's'}" for count, what in sizes)
    missing = f", {comparison.missing} not asked for" if comparison.missing else ""
    return f"{shown}: {len(comparison.rows)} answers{missing}."


def best_first(summaries: tuple[ModelSummary, ...]) -> list[ModelSummary]:
    """By share of fit stories, then score, then price, then speed."""
    return sorted(summaries, key=_rank)


def _rank(summary: ModelSummary) -> tuple[float, float, float, float]:
    fit, score, cost, latency = (
        None if spread is None else spread.middle
        for spread in (summary.share_fit, summary.score, summary.cost_usd, summary.latency_s)
    )
    last = float("inf")
    return (
        -(fit if fit is not None else -1),
        -(score if score is not None else -1),
        last if cost is None else cost,
        last if latency is None else latency,
    )


def _cells(summary: ModelSummary, *, is_on_front: bool) -> tuple[str, ...]:
    words = summary.words
    return (
        f"{summary.model}{' *' if is_on_front else ''}",
        wording.fit_words(summary),
        wording.score_words(summary.score),
        wording.seconds_words(summary.latency_s),
        wording.cost_words(summary.cost_usd),
        wording.UNKNOWN if words is None else f"{words.middle:.0f}",
        wording.counted_words(summary.errors) or "0",
        wording.counted_words(summary.failed_checks) or wording.UNKNOWN,
    )


def _td(cell: str) -> str:
    return f'<td style="{_CELL}">{escape(cell)}</td>'


def _in_markdown(cell: str) -> str:
    return escape(cell, quote=False).replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")
