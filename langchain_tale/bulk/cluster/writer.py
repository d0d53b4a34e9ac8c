"""`StoryWriter`: a class for Ray Data's `map_batches`, which tells the stories of each batch."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from langchain_core.runnables import RunnableLambda

from langchain_tale.bulk.asked import asked
from langchain_tale.bulk.cluster import tables
from langchain_tale.bulk.cluster.book import SharedBook
from langchain_tale.bulk.cluster.shared import SharedRun
from langchain_tale.bulk.cluster.wiring import Wiring
from langchain_tale.bulk.pacing import Pace
from langchain_tale.bulk.plan import Plan
from langchain_tale.bulk.run import Run
from langchain_tale.bulk.sources import Source
from langchain_tale.bulk.summary import Tally
from langchain_tale.errors import ConfigurationError, SharedStateError
from langchain_tale.telemetry.metrics import StoryMetrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from typing import TypeVar

    from langchain_core.language_models import BaseChatModel
    from langchain_core.runnables import RunnableConfig

    from langchain_tale.bulk.asked import Asked
    from langchain_tale.story.request import StoryInput
    from langchain_tale.story.result import StoryGenerationResult

    Row = dict[str, Any]
    T = TypeVar("T")

LOOK_S: Final = 0.25
"""Seconds between looks at what another worker is telling, or for room."""
MOST_AT_ONCE: Final = 10_000
_log: Final = logging.getLogger(__name__)


class StoryWriter:
    """Tells the stories of a batch of requests; Ray Data makes one in each worker process.

    Rows come in with `id`, `theme` and any other field of `StoryRequest`, and go out as
    `bulk.cluster.tables.ROW_COLUMNS` says: `status` is `told`, `failed` (with `error` and
    `message`) or `untold`, after what no story can be told with: a refused key, a spent budget.

    Each request is told once, by its `id`, on however many machines: a worker takes a lease on
    it, and keeps its row in Redis before it is counted. A batch that Ray runs again, since its
    worker died, pays only for what was under way. A row is kept for a week, and then told anew.

    The chain is built once in each worker, with the key of its environment. Circuits, budget,
    rate limit, every `Retry-After` and the room for stories at once hold for all together.

    Args:
        run: The name of the run: what was told under it is not told again.
        redis_url: What the workers share: one Redis that all of them reach, no Redis Cluster.
        models: Slugs or chat models, best first, as for `create_story_chain`.
        concurrency: Most stories under way at once in this worker, 1 to 10,000; give batches
            of several times as many rows.
        at_once: Most stories under way in all workers together; None for no other limit.
        requests_per_minute: How many requests may start within a minute, in all workers
            together; None for any number.
        budget_usd: What the run may cost; earlier jobs of the same run count.
        retry_failed: Tell again what an earlier job has failed to.
        patience_s: Seconds to wait for a service or a Redis that is gone.
        lease_s: Seconds after which what a worker that died had begun is told by others.
        **options: For `create_story_chain` (`retry`, `checks`, `max_revisions` …), for models
            given by name (`temperature` …), and `breaker`.

    Raises:
        ConfigurationError: Nothing was sent: no key, a wrong URL, option or column.
        SharedStateError: Redis was gone for longer than `patience_s`.

    Example:
        ```python
        ray.data.read_json("requests.jsonl").repartition(target_num_rows_per_block=500).map_batches(
            StoryWriter,
            fn_constructor_kwargs={"run": "night-42", "redis_url": "redis://10.0.0.5"},
            compute=ray.data.ActorPoolStrategy(size=8, max_tasks_in_flight_per_actor=1),
            batch_size=500,
        ).write_parquet("stories/")
        ```
    """

    def __init__(
        self,
        run: str,
        redis_url: str,
        models: Sequence[str | BaseChatModel] | str | BaseChatModel | None = None,
        *,
        concurrency: int = 32,
        at_once: int | None = None,
        requests_per_minute: float | None = None,
        budget_usd: float | None = None,
        retry_failed: bool = False,
        patience_s: float = 3600.0,
        lease_s: float = 30.0,
        **options: Any,
    ) -> None:
        _check(concurrency, at_once, patience_s, lease_s)
        tables.pyarrow()
        self._shared = SharedRun(redis_url, run, worker=uuid4().hex, lease_s=lease_s)
        wiring = Wiring(
            self._shared,
            redis_url,
            models,
            budget_usd=budget_usd,
            requests_per_minute=requests_per_minute,
            options=options,
        )
        self._at_once, self._rooms = at_once, set[str]()
        self._chain = wiring.chain if at_once is None else RunnableLambda(self._in_a_room)
        self._bare_chain = wiring.chain
        self.metrics = StoryMetrics()
        self._plan = Plan(
            concurrency=concurrency,
            patience_s=patience_s,
            config={"callbacks": [self.metrics, wiring.hearing]},
        )
        self._pace, self._retries_failed = Pace(concurrency), retry_failed
        self._told = 0
        self._stopped: str | None = None
        self._lock, self._runner = threading.Lock(), asyncio.Runner()

    @property
    def worker(self) -> str:
        """What the others know it by."""
        return self._shared.worker

    def __call__(self, batch: Any) -> Any:
        """Tell the stories of a batch.

        Args:
            batch: Requests, in any of Ray Data's formats.

        Returns:
            An Arrow table with a row for each, in their order.
        """
        requests = [asked(line, record) for line, record in enumerate(tables.records_of(batch), 1)]
        with self._lock:
            rows = self._runner.run(self._rows(requests))
        return tables.table_of(rows)

    def close(self) -> None:
        """Close the connections; with the process of a worker they end by themselves."""
        self._runner.close()

    # ── a batch ─────────────────────────────────────────────────────────────

    async def _rows(self, requests: list[Asked]) -> list[Row]:
        """What becomes of each request: told here, by another worker, or before."""
        unfit = {one.line: why for one in requests if (why := tables.why_unreadable(one))}
        open_ = {one.key.hex(): one for one in requests if one.line not in unfit}
        rows: dict[str, Row] = {}
        async with self._alive(open_):
            while open_:
                found = await self._patiently(self._claim, list(open_))
                mine = [open_[key] for key, row in found.items() if row is True]
                rows |= {key: row for key, row in found.items() if isinstance(row, dict)}
                if mine and self._stopped is None:
                    rows |= await self._tell(mine)
                if self._stopped is not None:
                    rows |= _untold(open_, rows, self._stopped)
                for key in rows.keys() & open_.keys():
                    del open_[key]
                if open_ and not mine:
                    await asyncio.sleep(LOOK_S)
        return [_row_of(one, unfit.get(one.line), rows) for one in requests]

    def _claim(self, keys: list[str]) -> dict[str, Row | bool]:
        found = self._shared.claim(keys, retries_failed=self._retries_failed)
        return dict(zip(keys, found, strict=True))

    async def _tell(self, mine: list[Asked]) -> dict[str, Row]:
        """Tell what is ours; what is not among the rows was not told."""
        book = SharedBook(self._shared)
        records = [_record(one) for one in mine]
        run = Run(self._chain, Source(records), book, self._plan, Tally(), pace=self._pace)
        run.settling.counts.told_now = self._told  # of 20 failures alike it matters what was told
        try:
            await run.look_through()
            await run.go()
        finally:
            book.close()
        self._told = run.settling.counts.told_now
        if run.stop.why is not None:
            await self._stop(run.stop.why)
        return book.rows

    async def _stop(self, why: str) -> None:
        """Ask for nothing more in this worker; of all workers, the first says why."""
        self._stopped = why
        with suppress(SharedStateError):
            if await asyncio.to_thread(self._shared.says_first, why):
                _log.warning("the run %s has stopped: %s", self._shared.name, why)

    async def _patiently(self, ask: Callable[[list[str]], T], keys: list[str]) -> T:
        """What Redis says, as soon as it does."""
        ends_at = time.monotonic() + self._plan.patience_s
        while True:
            try:
                return await asyncio.to_thread(ask, keys)
            except SharedStateError:
                if time.monotonic() > ends_at:
                    raise
            await asyncio.sleep(LOOK_S)

    # ── leases ──────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def _alive(self, open_: dict[str, Asked]) -> AsyncIterator[None]:
        """Renew the leases while a batch is told; afterwards let go of what was not."""
        keys = list(open_)
        beating = asyncio.create_task(self._beating(open_))
        try:
            yield
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            with suppress(SharedStateError):
                await asyncio.to_thread(self._shared.release, keys)
                await asyncio.to_thread(self._shared.put_metrics, self.metrics)

    async def _beating(self, open_: dict[str, Asked]) -> None:
        while True:
            await asyncio.sleep(self._shared.lease_s / 4)
            with suppress(SharedStateError):
                await asyncio.to_thread(self._shared.renew, list(open_), list(self._rooms))
                await asyncio.to_thread(self._shared.put_metrics, self.metrics)

    async def _in_a_room(
        self, request: StoryInput, config: RunnableConfig
    ) -> StoryGenerationResult:
        """Tell a story once there is room for it among those of all workers."""
        room = uuid4().hex
        while not await asyncio.to_thread(self._shared.enter, room, self._at_once or 1):  # noqa: ASYNC110 (the others are in other processes)
            await asyncio.sleep(LOOK_S)
        self._rooms.add(room)
        try:
            return await self._bare_chain.ainvoke(request, config)
        finally:
            self._rooms.discard(room)
            with suppress(SharedStateError):
                self._shared.leave(room)


def _record(one: Asked) -> Row:
    """A request as it was read."""
    return {**one.wish, "id": one.id} if isinstance(one.wish, dict) else {"id": one.id}


def _untold(open_: dict[str, Asked], rows: dict[str, Row], why: str) -> dict[str, Row]:
    return {key: tables.untold(one, why) for key, one in open_.items() if key not in rows}


def _row_of(one: Asked, unfit: str | None, rows: dict[str, Row]) -> Row:
    if unfit is not None:
        return tables.failed(one, ConfigurationError(unfit), (), 0.0)
    row = rows[one.key.hex()]
    return row if row["status"] == tables.UNTOLD else tables.checked(one, row)


def _check(concurrency: int, at_once: int | None, patience_s: float, lease_s: float) -> None:
    if not 1 <= concurrency <= MOST_AT_ONCE:
        msg = f"concurrency must be from 1 to {MOST_AT_ONCE:,}."
    elif at_once is not None and at_once < 1:
        msg = "at_once must be at least 1, or None for no limit."
    elif not patience_s >= 0:
        msg = "patience_s must not be negative."
    elif not lease_s >= 1:
        msg = "lease_s must be at least 1."
    else:
        return
    raise ConfigurationError(msg)
