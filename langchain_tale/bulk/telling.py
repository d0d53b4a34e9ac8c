"""`tell_all` and `atell_all`: many stories by one call."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from langchain_tale.bulk.batching.opening import Mail, batching_of, check_no_batches
from langchain_tale.bulk.blocking import wait_for
from langchain_tale.bulk.index import State
from langchain_tale.bulk.ledger import Ledger
from langchain_tale.bulk.memory import Memory
from langchain_tale.bulk.plan import GRACE_S, Plan
from langchain_tale.bulk.run import Run
from langchain_tale.bulk.sources import Requests, Source
from langchain_tale.bulk.summary import BulkSummary, Tally
from langchain_tale.errors import ConfigurationError
from langchain_tale.resilience.attempts import Timing
from langchain_tale.story.chain import create_story_chain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_core.language_models import BaseChatModel
    from langchain_core.runnables import Runnable, RunnableConfig

    from langchain_tale.bulk.batching.letters import Batching
    from langchain_tale.bulk.progress import Progress
    from langchain_tale.story.request import StoryInput
    from langchain_tale.story.result import StoryGenerationResult

MOST_AT_ONCE: Final = 10_000
USUALLY_AT_ONCE: Final = 32
BATCH_GRACE_S: Final = 2.0
"""Time to write down what is answered already; for what is not, nobody waits."""


async def atell_all(
    requests: Requests,
    *,
    out: str | Path | None = None,
    models: Sequence[str | BaseChatModel] | str | BaseChatModel | None = None,
    chain: Runnable[StoryInput, StoryGenerationResult] | None = None,
    via: Literal["calls", "batch"] | Batching = "calls",
    concurrency: int | None = None,
    budget_usd: float | None = None,
    resume: bool = False,
    retry_failed: bool = False,
    ordered: bool = False,
    patience_s: float = 3600.0,
    on_progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], int] | None = None,
    config: RunnableConfig | None = None,
    timing: Timing | None = None,
    **chain_options: Any,
) -> BulkSummary:
    """Tell many stories; the twin of `tell_all`, which see.

    Cancelled, it cancels the stories under way and leaves the output fit to be resumed.
    """
    if chain is not None and (models is not None or chain_options):
        given = ", ".join([*(["models"] if models is not None else []), *chain_options])
        msg = f"chain has its own models and options; leave out {given}."
        raise ConfigurationError(msg)
    batching = batching_of(via)
    plan = Plan(
        concurrency=_at_once(concurrency, batching),
        budget_usd=budget_usd,
        wanted=_wanted(resume=resume, retry_failed=retry_failed),
        patience_s=patience_s,
        grace_s=GRACE_S if batching is None else BATCH_GRACE_S,
        on_progress=on_progress,
        should_stop=should_stop,
        config=config,
        timing=timing or Timing(),
    )
    _check(plan)
    source = Source(requests)
    if out is None and (resume or retry_failed):
        msg = "resume and retry_failed go on with an output; say which by out."
        raise ConfigurationError(msg)
    if batching is not None:
        _check_batch(out, chain)
    if chain is None:  # for batches it is only a check, before anything is opened
        chain = create_story_chain(models, timing=timing, **chain_options)
    began_at, tally = plan.timing.clock(), Tally()
    with ExitStack() as opened:
        book = Memory() if out is None else Ledger(_checked(Path(out), source))
        opened.callback(book.close)
        goes_on, mail = resume or retry_failed, None
        if isinstance(book, Ledger):
            await asyncio.to_thread(book.open, goes_on=goes_on, seen=tally.add)
            mail = _mail(book, batching, plan, goes_on=goes_on)
        if mail is not None:
            opened.callback(mail.close)
            chain = mail.chain(models, timing, chain_options)
        way = None if mail is None else mail.post
        run = Run(chain, source, book, plan, tally, way=way)
        if source.may_be_read_twice:
            await run.look_through()
        await run.go()
        if not run.stop.is_interrupted:
            await asyncio.to_thread(book.finish, ordered=ordered)
        run.report()
        summary = _summary(run, book, tally, plan.timing.clock() - began_at, mail)
        if mail is not None:
            mail.is_needed = summary.stopped is not None or summary.untold != 0
        return summary


def tell_all(
    requests: Requests,
    *,
    out: str | Path | None = None,
    models: Sequence[str | BaseChatModel] | str | BaseChatModel | None = None,
    chain: Runnable[StoryInput, StoryGenerationResult] | None = None,
    via: Literal["calls", "batch"] | Batching = "calls",
    concurrency: int | None = None,
    budget_usd: float | None = None,
    resume: bool = False,
    retry_failed: bool = False,
    ordered: bool = False,
    patience_s: float = 3600.0,
    on_progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], int] | None = None,
    config: RunnableConfig | None = None,
    timing: Timing | None = None,
    **chain_options: Any,
) -> BulkSummary:
    """Tell many stories, in memory that does not grow with their number.

    Every story is on disk before it is counted, and a run that was killed is resumed where it
    was: only stories that were under way, at most `concurrency`, are asked for again. What the
    request of a story cannot help (too many at once, no connection, a service that is down) is
    waited for; what no request can succeed with (a refused key, no credit) stops the run, and
    the rest stays untold. Works in notebooks too.

    Args:
        requests: A `.jsonl`, `.csv` or `.parquet` file; or `StoryRequest`s, dicts of their
            fields and perhaps an `id`, and themes.
        out: Where the stories go: `.jsonl`, and the file is written as they are told; or `.csv`
            or `.parquet`, and it is written at the end from `….ledger.jsonl`. Failures go to
            `….failed.jsonl`. None keeps everything in memory, in the summary's `results`.
        models: Slugs or chat models, best first, as for `create_story_chain`.
        chain: A chain of your own instead.
        via: `"calls"` asks for each story by itself; `"batch"`, or a `Batching`, uses
            OpenRouter's batch API: about half the price, within a day. The batches are in
            `….batches.jsonl` until the run has come to its end, and `resume` waits for those
            that are there. With a budget the first batch is of four stories, to learn what one
            costs. The API is beta, and was tried against the sandbox only.
        concurrency: Most stories under way at once, 1 to 10,000, or 32 unless you say otherwise;
            fewer while there are 429s. Not for batches.
        budget_usd: What the output may cost in USD, earlier runs included. Money is set aside for
            stories under way, as much as stories have cost so far; so it may be passed by what
            these cost above the mean.
        resume: Go on with `out`: what it has is not told again, and what failed neither.
        retry_failed: Tell what failed again; with `resume` what is untold too.
        ordered: Put a JSONL output into the order of the requests at the end; tables have it
            always.
        patience_s: Seconds to wait for a service that is gone before the run stops.
        on_progress: Called with a `Progress` four times a second.
        should_stop: Called four times a second: 0 to go on, 1 to stop once the stories under
            way have had ten seconds, 2 to stop now.
        config: LangChain's config for each story, e.g. callbacks.
        timing: Clock and sleep, for tests.
        **chain_options: For `create_story_chain`: `retry`, `checks`, `api_key`, `cache`, …; also
            a `budget` that others share, which stops the run once it is spent.

    Returns:
        What has come of it. A run that stops before its end returns too: see `stopped`.

    Raises:
        ConfigurationError: Nothing was sent: requests that cannot be read, two with the same
            id, an output that is there already, requests that have changed since.
        OutputError: An output that another run is writing, or that is no output of ours.
        KeyboardInterrupt: Ctrl-C; what was told is on disk, and `resume` goes on.

    Example:
        ```python
        summary = tell_all("requests.jsonl", out="stories.jsonl", budget_usd=5)
        ```
    """
    coroutine = atell_all(
        requests,
        out=out,
        models=models,
        chain=chain,
        via=via,
        concurrency=concurrency,
        budget_usd=budget_usd,
        resume=resume,
        retry_failed=retry_failed,
        ordered=ordered,
        patience_s=patience_s,
        on_progress=on_progress,
        should_stop=should_stop,
        config=config,
        timing=timing,
        **chain_options,
    )
    return wait_for(coroutine)


def _at_once(concurrency: int | None, batching: Batching | None) -> int:
    if batching is None:
        return USUALLY_AT_ONCE if concurrency is None else concurrency
    if concurrency is not None:
        msg = "A batch has no concurrency; leave it out, or choose the size of a Batching."
        raise ConfigurationError(msg)
    return batching.window


def _check_batch(out: str | Path | None, chain: object) -> None:
    if chain is not None:
        msg = "via='batch' makes its own chain; give models and their options instead of chain."
        raise ConfigurationError(msg)
    if out is None:
        msg = "via='batch' needs out: its batches outlive this process."
        raise ConfigurationError(msg)


def _mail(book: Ledger, batching: Batching | None, plan: Plan, *, goes_on: bool) -> Mail | None:
    if batching is None:
        check_no_batches(book.out)
        return None
    limits: dict[str, Any] = {"patience_s": plan.patience_s, "timing": plan.timing}
    return Mail.open(book.out, batching, goes_on=goes_on, **limits)


def _wanted(*, resume: bool, retry_failed: bool) -> frozenset[State]:
    if retry_failed and not resume:
        return frozenset({State.FAILED})
    return frozenset({State.UNTOLD, *({State.FAILED} if retry_failed else ())})


def _check(plan: Plan) -> None:
    if not 1 <= plan.concurrency <= MOST_AT_ONCE:
        msg = f"concurrency must be from 1 to {MOST_AT_ONCE:,}."
        raise ConfigurationError(msg)
    if plan.budget_usd is not None and not plan.budget_usd >= 0:
        msg = "budget_usd must not be negative."
        raise ConfigurationError(msg)
    if not plan.patience_s >= 0:
        msg = "patience_s must not be negative."
        raise ConfigurationError(msg)


def _checked(out: Path, source: Source) -> Path:
    if source.path is not None and out.absolute() == source.path.absolute():
        msg = f"{out} holds the requests; choose another file for the stories."
        raise ConfigurationError(msg)
    return out


def _summary(
    run: Run, book: Memory | Ledger, tally: Tally, duration_s: float, mail: Mail | None
) -> BulkSummary:
    counts, stop, latencies = run.settling.counts, run.stop, tally.latencies
    places: dict[str, Any] = {}
    if isinstance(book, Ledger):
        has_failures = book.failed_path.exists()
        out = book.told_path if stop.is_interrupted else book.out
        places = {"out": out, "failed_out": book.failed_path if has_failures else None}
    else:
        places = {"results": book.in_order(), "failures": book.failures}
    return BulkSummary(
        requested=run.requested,
        told=counts.told,
        failed=counts.failed,
        told_now=counts.told_now,
        failed_now=counts.failed_now,
        spent_usd=run.spent_usd,
        duration_s=duration_s,
        tries=tally.tries,
        cached=tally.cached,
        cut_off=tally.cut_off,
        best_effort=tally.best_effort,
        unpriced=tally.unpriced,
        p50_s=latencies.percentile(50),
        p95_s=latencies.percentile(95),
        p99_s=latencies.percentile(99),
        by_model=tally.by_model,
        doubtful=0 if mail is None else mail.register.doubtful,
        stopped=" ".join(filter(None, (stop.why, mail.post.farewell if mail else None))) or None,
        is_interrupted=stop.is_interrupted,
        error=stop.error,
        **places,
    )
