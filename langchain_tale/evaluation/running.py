"""`compare` and `acompare`: every model on the same requests."""

from __future__ import annotations

import asyncio
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from langchain_tale.bulk.blocking import wait_for
from langchain_tale.cards.wording import dollars_in_full
from langchain_tale.errors import AuthenticationError, BudgetSpentError, ConfigurationError
from langchain_tale.evaluation.cases import Case, cases_of
from langchain_tale.evaluation.comparison import Comparison
from langchain_tale.evaluation.contenders import Contender, contenders_of, setup_of
from langchain_tale.evaluation.results import Results
from langchain_tale.evaluation.row import Key, Row, failed_row, told_row
from langchain_tale.telemetry.budget import Budget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langchain_tale.evaluation.cases import Requests
    from langchain_tale.evaluation.contenders import Models
    from langchain_tale.resilience.policy import RetryPolicy

MOST: Final = 1000
"""Most repeats, and most stories under way at once."""


class Progress(NamedTuple):
    """How far a comparison has come.

    Attributes:
        row: What has just ended.
        done: How many stories have ended, those of earlier runs included.
        wanted: How many there are to be.
    """

    row: Row
    done: int
    wanted: int


class _Cell(NamedTuple):
    """One story to be asked for."""

    contender: Contender
    case: Case
    repeat: int

    @property
    def key(self) -> Key:
        return Key(self.contender.name, self.case.digest, self.repeat)


async def acompare(
    models: Models,
    requests: Requests = None,
    repeats: int = 1,
    *,
    out: str | Path | None = None,
    resume: bool = True,
    concurrency: int = 4,
    budget: Budget | float | None = None,
    retry: RetryPolicy | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    **chain_options: Any,
) -> Comparison:
    """Ask every model for the same stories; the twin of `compare`, which see.

    Cancelled, it cancels the stories under way; what has ended is in `out`.
    """
    _check("repeats", repeats)
    _check("concurrency", concurrency)
    cases, setup = cases_of(requests), setup_of(chain_options)
    contenders_of(models, chain_options, retry=retry, budget=None)  # complains before any file
    results = Results(None if out is None else Path(out), setup=setup, resume=resume)
    try:
        purse = _purse(budget, results)
        contenders = contenders_of(models, chain_options, retry=retry, budget=purse.budget)
        cells = [
            _Cell(contender, case, repeat)
            for repeat, case, contender in product(range(1, repeats + 1), cases, contenders)
        ]
        run = _Run(cells, results, setup, on_progress)
        run.stopped = purse.is_empty_because
        await run.go(concurrency)
    finally:
        results.close()
    names = [contender.name for contender in contenders]
    return Comparison(
        models=tuple(names),
        cases=cases,
        repeats=repeats,
        rows=tuple(
            results.rows[key] for key in _in_order(cells, cases, names) if key in results.rows
        ),
        stopped=run.stopped,
    )


def compare(
    models: Models,
    requests: Requests = None,
    repeats: int = 1,
    *,
    out: str | Path | None = None,
    resume: bool = True,
    concurrency: int = 4,
    budget: Budget | float | None = None,
    retry: RetryPolicy | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    **chain_options: Any,
) -> Comparison:
    """Ask every model for the same stories, and measure them alike.

    Each model is asked alone: it is retried as `retry` says, and no other answers for it, not
    even its successor. Models take turns, request by request, so that a run that stops early
    has asked all of them for nearly the same. No cache answers. Works in notebooks too.

    With `out`, each story that has ended is a line of `results.jsonl` there before it is
    counted, and a further call asks only for what is missing and for what failed. More models,
    requests or repeats may be added. The file holds the stories, and so children's names.

    Args:
        models: Slugs, `OpenRouterModel`s or chat models of any vendor.
        requests: A `.jsonl`, `.csv` or `.parquet` file; or `StoryRequest`s, dicts of their
            fields and perhaps an `id`, and themes; None for ten that come with the package.
        repeats: How often each model is asked for each story, 1 to 1000.
        out: A folder for the results; None keeps them in memory.
        resume: Whether to go on with what `out` has; else it must have nothing.
        concurrency: Most stories under way at once, 1 to 1000. A local model is best asked
            for one: its latency is else that of a queue.
        budget: What may be spent: a `Budget`, or USD for all that `out` has, earlier runs
            included. Once it is spent, the comparison stops, and what is missing is left out.
        retry: How hard to try each model; else as the settings say.
        on_progress: Called after each story.
        **chain_options: For `create_story_chain`: `max_revisions`, `judge`, `temperature`,
            `api_key`, …

    Returns:
        The comparison. Failures are rows of it. It has `stopped` where it is not complete: at
        the end of a budget, or where the key is refused.

    Raises:
        ConfigurationError: Nothing was sent: no models, requests that cannot be read, two that
            are the same, results that are there already or were told with other options.
        OutputError: `out` cannot be written.

    Example:
        ```python
        comparison = compare(["openai/gpt-4o-mini", "anthropic/claude-3-haiku"], repeats=3)
        comparison.table()
        comparison.plot().savefig("models.svg")
        ```
    """
    return wait_for(
        acompare(
            models,
            requests,
            repeats,
            out=out,
            resume=resume,
            concurrency=concurrency,
            budget=budget,
            retry=retry,
            on_progress=on_progress,
            **chain_options,
        )
    )


class _Run:
    """What is missing is asked for, a few stories at a time."""

    def __init__(
        self,
        cells: list[_Cell],
        results: Results,
        setup: str,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self._results, self._setup, self._on_progress = results, setup, on_progress
        self._missing = [cell for cell in cells if self._is_missing(cell.key)]
        self._wanted, self._done = len(cells), len(cells) - len(self._missing)
        self.stopped: str | None = None

    def _is_missing(self, key: Key) -> bool:
        row = self._results.rows.get(key)
        return row is None or row.error is not None

    async def go(self, concurrency: int) -> None:
        """Ask for all that is missing, until something stops it."""
        cells = iter(self._missing)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(concurrency, len(self._missing))):
                    group.create_task(self._work(cells))
        except BaseExceptionGroup as failed:  # a full disk, or a function of the caller's
            raise _first(failed) from None

    async def _work(self, cells: Iterator[_Cell]) -> None:
        for cell in cells:
            if self.stopped is not None:
                return
            row = await self._row(cell)
            if row is not None:
                self._results.add(row)
                self._done += 1
                if self._on_progress is not None:
                    self._on_progress(Progress(row, self._done, self._wanted))

    async def _row(self, cell: _Cell) -> Row | None:
        """What a story came to; None for one that was not asked for."""
        try:
            result = await cell.contender.chain.ainvoke(cell.case.request)
        except BudgetSpentError as error:
            self.stopped = str(error)
            return None
        except Exception as error:  # noqa: BLE001 (whatever it is, it is a row)
            if isinstance(error, AuthenticationError):
                self.stopped = str(error)
            return failed_row(cell.key, cell.case, error, setup=self._setup)
        return told_row(cell.key, cell.case, result, setup=self._setup)


class _Purse(NamedTuple):
    """What may be spent from now on."""

    budget: Budget | None
    is_empty_because: str | None = None


def _purse(budget: Budget | float | None, results: Results) -> _Purse:
    if budget is None or isinstance(budget, Budget):
        return _Purse(budget)
    whole = Budget(usd=budget)
    spent_usd = sum(row.cost_usd or 0.0 for row in results.rows.values())
    if spent_usd >= budget:
        limit, spent = dollars_in_full(budget), dollars_in_full(spent_usd)
        return _Purse(whole, f"The budget of {limit} is spent: {spent}; raise it.")
    return _Purse(Budget(usd=budget - spent_usd))


def _in_order(cells: list[_Cell], cases: tuple[Case, ...], models: list[str]) -> list[Key]:
    """By model, request and repeat, as a table has them."""
    places = {case.digest: place for place, case in enumerate(cases)}
    keys = [cell.key for cell in cells]
    return sorted(keys, key=lambda key: (models.index(key.model), places[key.digest], key.repeat))


def _first(failed: BaseExceptionGroup[Any]) -> BaseException:
    error = failed.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


def _check(name: str, number: Any) -> None:
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= MOST:
        msg = f"{name} must be a whole number from 1 to {MOST}."
        raise ConfigurationError(msg)
