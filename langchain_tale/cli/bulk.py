"""`langchain-tale bulk`: many stories, from a file to a file."""

from __future__ import annotations

import json
import logging
import sys
import time
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path  # noqa: TC003 (typer reads it)
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from langchain_tale.cli.app import INTERRUPTED, app
from langchain_tale.cli.console import noted_signals, reachable, say
from langchain_tale.errors import ConfigurationError
from langchain_tale.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from langchain_tale.bulk.progress import Progress
    from langchain_tale.bulk.summary import BulkSummary


class Via(StrEnum):
    """How stories are asked for."""

    CALLS = "calls"
    BATCH = "batch"


LINE_EVERY_S: Final = 10.0
"""Seconds between lines of progress where there is no terminal."""


@app.command("bulk")
def bulk(
    requests: Annotated[Path, typer.Argument(help="A .jsonl, .csv or .parquet file.")],
    *,
    out: Annotated[
        Path,
        typer.Option(help="Where the stories go: .jsonl, .csv or .parquet.", show_default=False),
    ],
    concurrency: Annotated[
        int | None, typer.Option(help="Most stories under way at once; 32 by default.")
    ] = None,
    via: Annotated[
        Via, typer.Option(help="batch: about half the price, within a day (beta).")
    ] = Via.CALLS,
    budget: Annotated[
        float | None, typer.Option(help="USD that the output may cost, earlier runs included.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Slug; repeat it for fallbacks, in order.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a run stopped.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try again what failed, and only that.")
    ] = False,
    ordered: Annotated[
        bool, typer.Option("--ordered", help="Stories in the order of the requests.")
    ] = False,
    cache: Annotated[
        Path | None, typer.Option(help="Keep answers in this file, and ask nothing twice.")
    ] = None,
    patience: Annotated[
        float, typer.Option(help="Seconds to wait for a service that is gone.")
    ] = 3600.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON on stdout.")
    ] = False,
) -> int:
    """Tell many stories; Ctrl-C stops, --resume goes on."""
    from langchain_tale.bulk.telling import tell_all  # noqa: PLC0415 (slow to import)

    options: dict[str, Any] = {}
    if cache is not None:
        from langchain_tale.caching.sqlite import StoryCache  # noqa: PLC0415 (slow to import)

        options["cache"] = StoryCache(cache)
    with noted_signals() as received, _reachable(model or [], via) as (models, address):
        with _without_lines_of_events(), _shown(received) as show:
            summary = tell_all(
                requests,
                out=out,
                models=models or None,
                via=via.value,
                concurrency=concurrency,
                budget_usd=budget,
                resume=resume,
                retry_failed=retry_failed,
                ordered=ordered,
                patience_s=patience,
                on_progress=show,
                should_stop=lambda: len(received),
                **options,
                **address,
            )
        say(str(summary))
    if as_json:
        sys.stdout.write(json.dumps(summary.to_dict(), ensure_ascii=False, indent=2) + "\n")
    return _code(summary)


def _reachable(models: list[str], via: Via) -> AbstractContextManager[tuple[list[str], Any]]:
    """The models, and where they are.

    Raises:
        ConfigurationError: Batches without a key.
    """
    if via is Via.BATCH and get_settings().ai_service.api_key is None:
        msg = "--via batch needs OPENROUTER_API_KEY: batches of the local model end with it."
        raise ConfigurationError(msg)
    return reachable(models)


def _code(summary: BulkSummary) -> int:
    if summary.is_interrupted:
        say("Go on with the same command and --resume.")
        return INTERRUPTED
    return 0 if summary.is_complete else 1


@contextmanager
def _shown(received: list[int]) -> Iterator[Callable[[Progress], None]]:
    """What shows progress: one line that changes, or on no terminal a line now and then."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield _Lines()
        return
    with Live(console=console, refresh_per_second=4, transient=True) as live:

        def show(progress: Progress) -> None:
            ending = " · finishing; Ctrl-C again to stop now" if received else ""
            live.update(Text(f"{progress}{ending}", overflow="ellipsis", no_wrap=True))

        yield show


@contextmanager
def _without_lines_of_events() -> Iterator[None]:
    """Thousands of tries are no lines beside the one of progress, unless logging is set up."""
    logger = logging.getLogger("langchain_tale")
    if logger.hasHandlers():
        yield
        return

    def drop(record: logging.LogRecord) -> bool:
        return record.name != logger.name

    logger.addFilter(drop)
    try:
        yield
    finally:
        logger.removeFilter(drop)


class _Lines:
    """A line at the first moment, and then every ten seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next_at = float("-inf")

    def __call__(self, progress: Progress) -> None:
        now = self._clock()
        if now >= self._next_at:
            self._next_at = now + LINE_EVERY_S
            say(str(progress))
