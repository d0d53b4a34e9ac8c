"""`langchain-tale evaluate`: every model on the same requests, measured alike."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 (typer reads it)
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from langchain_tale.cli.app import app
from langchain_tale.cli.console import reachable, say
from langchain_tale.errors import ConfigurationError
from langchain_tale.settings import get_settings

if TYPE_CHECKING:
    from langchain_tale.evaluation.comparison import Comparison
    from langchain_tale.evaluation.running import Progress
    from langchain_tale.evaluation.table import ComparisonTable

CSV: Final = "results.csv"
HTML: Final = "report.html"


@app.command("evaluate")
def evaluate(
    *,
    models: Annotated[
        list[str] | None,
        typer.Option("--models", "--model", help="Slug, or several with commas; repeat it."),
    ] = None,
    requests: Annotated[
        Path | None,
        typer.Option(help="A .jsonl, .csv or .parquet file; else ten that are built in."),
    ] = None,
    repeats: Annotated[int, typer.Option(help="How often each model tells each story.")] = 1,
    out: Annotated[
        Path | None, typer.Option(help="Folder for results.jsonl, results.csv and report.html.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with --out: ask for what is missing or failed.")
    ] = False,
    revisions: Annotated[
        int, typer.Option(help="How many stories that fail a check are asked for again.")
    ] = 0,
    concurrency: Annotated[
        int | None, typer.Option(help="Most stories under way at once; 4, or 1 on this machine.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(help="USD that all of it may cost, earlier runs included.")
    ] = None,
) -> int:
    """Compare models on the same requests: quality, cost and latency."""
    from langchain_tale.evaluation.running import compare  # noqa: PLC0415 (slow to import)

    if resume and out is None:
        msg = "--resume goes on with a folder; say which by --out."
        raise ConfigurationError(msg)
    with reachable(_slugs(models)) as (reached, address):
        at_once = (1 if address else 4) if concurrency is None else concurrency
        asked = reached or [get_settings().ai_service.default_model]
        try:
            comparison = compare(
                asked,
                requests,
                repeats,
                out=out,
                resume=resume,
                concurrency=at_once,
                budget=budget,
                on_progress=_say_row,
                max_revisions=revisions,
                **address,
            )
        except KeyboardInterrupt:
            _say_how_to_go_on(out)
            raise
    _show(comparison.table())
    _write(comparison, out)
    if comparison.stopped is not None:
        say(comparison.stopped)
        _say_how_to_go_on(out)
    return 0 if comparison.is_complete else 1


def _slugs(models: list[str] | None) -> list[str]:
    return [slug.strip() for one in models or [] for slug in one.split(",") if slug.strip()]


def _say_row(progress: Progress) -> None:
    row = progress.row
    if row.error is not None:
        came_to = f"failed: {row.error.kind}"
    else:
        came_to = "fit" if row.is_fit else f"not fit: {', '.join(row.failed_checks)}"
    seconds = "" if row.latency_s is None else f" · {row.latency_s:.1f} s"
    say(
        f"{progress.done}/{progress.wanted} · {row.model} · {row.request}{seconds} · {came_to}",
        style="dim",
    )


def _show(table: ComparisonTable) -> None:
    """The table, its cells wrapped to the terminal; redirected, each line is whole."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        sys.stdout.write(f"{table}\n")
        return
    shown = Table(box=None, pad_edge=False)
    for heading in table.headings:
        shown.add_column(heading, overflow="fold")
    for row in table.rows:
        shown.add_row(*row)
    console.print(shown)
    console.print(table.note, style="dim")


def _write(comparison: Comparison, out: Path | None) -> None:
    if out is not None:
        comparison.to_csv(out / CSV)
        comparison.to_html(out / HTML)
        say(f"{out / HTML}, {out / CSV}")


def _say_how_to_go_on(out: Path | None) -> None:
    if out is not None:
        say("Go on with the same command and --resume.")
