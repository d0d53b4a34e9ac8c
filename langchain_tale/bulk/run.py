"""The run: what may start is started, what ends is settled, and it stops cleanly."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Final

from langchain_tale.bulk.index import State
from langchain_tale.bulk.pacing import Pace
from langchain_tale.bulk.plan import Job, Plan
from langchain_tale.bulk.progress import Progress, Speed
from langchain_tale.bulk.settling import Settling
from langchain_tale.bulk.spending import Purse
from langchain_tale.bulk.ways import CallByCall
from langchain_tale.cards.wording import dollars_in_full
from langchain_tale.errors import ConfigurationError, OutputError
from langchain_tale.story.result import StoryGenerationResult

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from langchain_core.runnables import Runnable

    from langchain_tale.bulk.asked import Asked
    from langchain_tale.bulk.memory import Book
    from langchain_tale.bulk.sources import Source
    from langchain_tale.bulk.summary import Tally
    from langchain_tale.bulk.ways import Way
    from langchain_tale.story.request import StoryInput

    Chunks = AsyncGenerator[list[Asked]]

TICK_S: Final = 0.25
SYNC_S: Final = 1.0


class Run:
    """One run through the requests.

    Args:
        chain: Tells a story.
        source: The requests.
        book: Where outcomes go; what earlier runs have written is taken over already.
        plan: How it goes.
        tally: Adds up stories.
        way: How requests reach the models.
        pace: What an earlier run has learnt of the service; None for nothing.

    Attributes:
        requested: How many requests there are, once that is known.
        settling: What came of them.
        stop: Whether it has stopped before its end.
    """

    def __init__(
        self,
        chain: Runnable[StoryInput, StoryGenerationResult],
        source: Source,
        book: Book,
        plan: Plan,
        tally: Tally,
        *,
        way: Way | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._way = way or CallByCall()
        self._chain, self._source, self._book, self._plan = chain, source, book, plan
        self._pace = pace or Pace(plan.concurrency)
        self._purse = Purse(plan.budget_usd, *book.index.spent())
        self.settling = Settling(book, plan, self._pace, self._purse, tally, self._way.judged)
        self.stop = self.settling.stop
        self.requested: int | None = None
        self._wanted: int | None = None
        self._jobs: deque[Job] = deque()
        self._in_flight: set[asyncio.Task[None]] = set()
        self._reading: asyncio.Task[list[Asked] | None] | None = None
        self._is_exhausted = False
        self._changed = asyncio.Event()
        self._speed = Speed()

    @property
    def spent_usd(self) -> float:
        """What the output has cost, earlier runs included."""
        return self._purse.spent_usd

    @property
    def _now(self) -> float:
        return self._plan.timing.clock()

    # ── from the first to the last ──────────────────────────────────────────

    async def look_through(self) -> None:
        """Get to know all requests of a file before anything is asked.

        Raises:
            ConfigurationError: The file is not what an earlier run was told from, or two
                requests have the same id.
        """
        index = self._book.index
        async with aclosing(self._source.chunks()) as chunks:
            async for chunk in chunks:
                for asked in chunk:
                    index.ask(asked)
                if self._plan.wishes_to_stop:
                    return
        self.requested = index.asked_for()
        self.settling.counts.told = index.counted(State.TOLD)
        self.settling.counts.failed = index.counted(State.FAILED)
        self._wanted = sum(map(index.counted, self._plan.wanted))

    async def go(self) -> None:
        """Tell all that is wanted.

        Cancelled, it cancels what is under way; what was told is on disk.

        Raises:
            Exception: A function of the caller's has failed.
        """
        self._obey()
        self._way.begin(self._halt, self._purse, self.stop)
        chunks = self._source.chunks()
        ticking = asyncio.create_task(self._ticking())
        ticking.add_done_callback(lambda _: self._changed.set())
        try:
            while not self._is_over(chunks):
                self._changed.clear()
                await self._changed.wait()
                if ticking.done():
                    ticking.result()
            self.settling.conclude(self._now)
        finally:
            tasks = [ticking, *self._in_flight, *filter(None, [self._reading])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await chunks.aclose()
            await self._way.end()
            self._book.sync()
        if self._is_exhausted and self.requested is None:
            self.requested = self._book.index.asked_for()

    def _is_over(self, chunks: Chunks) -> bool:
        """Start what may start; True once nothing is under way and nothing will be."""
        while self.stop.why is None and (job := self._next(chunks)) is not None:
            self._start(job)
        if self._in_flight:
            return False
        is_empty = self._is_exhausted and not (self._jobs or self.settling.put_back)
        return self.stop.why is not None or is_empty

    def _next(self, chunks: Chunks) -> Job | None:
        """The next request that may start now."""
        in_flight, waiting = len(self._in_flight), self._waiting()
        if len(self._jobs) < self._source.chunk_size:
            self._read(chunks)
        if not waiting or not self._pace.may_start(in_flight, self._now):
            return None
        is_paid = self._way.is_on_its_way(waiting[0].asked.key)
        if is_paid or self._purse.may_start(in_flight):
            return waiting.popleft()
        if not in_flight:
            self.stop.because(
                f"The budget of {dollars_in_full(self._plan.budget_usd or 0)} is spent: "
                f"{dollars_in_full(self.spent_usd)}; raise it, and resume."
            )
        return None

    def _waiting(self) -> deque[Job]:
        """Who comes next: new requests, unless there are too many that were put back."""
        put_back = self.settling.put_back
        is_their_turn = len(put_back) >= self._pace.at_once or not self._jobs
        return put_back if put_back and is_their_turn else self._jobs

    def _start(self, job: Job) -> None:
        job.tellings += 1
        task = asyncio.create_task(self._tell(job))
        self._in_flight.add(task)
        task.add_done_callback(self._ended)

    async def _tell(self, job: Job) -> None:
        began_at, key = self._now, job.asked.key
        try:
            with self._way.telling(key):
                result = await self._chain.ainvoke(job.request, self._plan.config)
            _check(result)
        except Exception as error:  # noqa: BLE001 (whatever it is, it is judged)
            self.settling.not_told(job, error, began_at, self._now, len(self._in_flight))
            self._way.ended(key, error)
        else:
            self.settling.told(job, result, began_at, self._now)
            self._way.ended(key, None)

    def _halt(self, error: Exception, why: str | None) -> None:
        self.settling.stop_for(error, self._now, why)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self.settling.stop_for(error, self._now)
        self._changed.set()

    # ── reading ─────────────────────────────────────────────────────────────

    def _read(self, chunks: Chunks) -> None:
        if self._reading is None and not self._is_exhausted:
            self._reading = asyncio.create_task(_next_of(chunks))
            self._reading.add_done_callback(self._has_read)

    def _has_read(self, task: asyncio.Task[list[Asked] | None]) -> None:
        self._reading = None
        self._changed.set()
        if task.cancelled():
            return
        try:
            chunk = task.result()
            self._is_exhausted = chunk is None
            for asked in chunk or ():
                self._meet(asked)
        except Exception as error:  # noqa: BLE001 (the caller's iterable may raise anything)
            self.settling.stop_for(error, self._now)

    def _meet(self, asked: Asked) -> None:
        index, counts = self._book.index, self.settling.counts
        if self._source.may_be_read_twice:
            known = index.known(asked.key)
        else:
            known = index.ask(asked)
            counts.told += known.state is State.TOLD
            counts.failed += known.state is State.FAILED
        if known.state not in self._plan.wanted:
            return
        try:
            self._jobs.append(Job(asked, known, asked.request()))
        except ConfigurationError as error:
            self.settling.write_failure(asked, known, error)

    # ── ticking ─────────────────────────────────────────────────────────────

    async def _ticking(self) -> None:
        synced_at = self._now
        while True:
            self._obey()
            self.report()
            await self._plan.timing.asleep(TICK_S)
            self._changed.set()  # a pause may be over
            if self._now - synced_at >= SYNC_S:
                with suppress(OutputError):  # the next row will say it
                    await asyncio.to_thread(self._book.sync)
                synced_at = self._now

    def _obey(self) -> None:
        """Stop where the caller wishes it; at the second time, at once."""
        wishes, now = self._plan.wishes_to_stop, self._now
        if wishes:
            self.stop.interrupt(now + self._plan.grace_s)
        if wishes > 1 or (self.stop.cancels_at is not None and now >= self.stop.cancels_at):
            for task in self._in_flight:
                task.cancel()

    def report(self) -> None:
        """Tell the caller how far it has come."""
        now = self._now
        self._speed.note(now, self.settling.counts.ended_now)
        if self._plan.on_progress is not None:
            self._plan.on_progress(self._progress(now))

    def _progress(self, now: float) -> Progress:
        counts = self.settling.counts
        left = None if self._wanted is None else self._wanted - counts.ended_now
        paused_s = self._pace.paused_s(now)
        is_waiting = paused_s > 0 or self._pace.gone_since is not None
        return Progress(
            requested=self.requested,
            told=counts.told,
            failed=counts.failed,
            in_flight=len(self._in_flight),
            at_once=self._pace.at_once,
            spent_usd=self.spent_usd,
            per_s=self._speed.per_s,
            left_s=self._speed.left_s(left),
            paused_s=paused_s,
            waits_for=self.settling.waits_for if is_waiting else None,
            note=self._way.note,
        )


async def _next_of(chunks: Chunks) -> list[Asked] | None:
    return await anext(chunks, None)


def _check(result: object) -> None:
    if not isinstance(result, StoryGenerationResult):
        msg = f"The chain gave {type(result).__name__}, not a StoryGenerationResult."
        raise ConfigurationError(msg)
