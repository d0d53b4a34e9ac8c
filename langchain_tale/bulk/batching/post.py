"""The post: letters are gathered into batches, and answered when these are over.

As a way of a run it knows which request a letter belongs to. A letter that an earlier process has
submitted is not submitted again: it waits for the answer of the batch that it is in.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.bulk.batching.letters import Letter, digest_of, parcels
from langchain_tale.bulk.batching.submitting import Submitting
from langchain_tale.bulk.batching.watching import PASSING, Watching
from langchain_tale.bulk.judging import Judged, Meaning, judged
from langchain_tale.bulk.spending import HeldBackError
from langchain_tale.errors import ConfigurationError, ExternalServiceError
from langchain_tale.openrouter.batches import address_of

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Sequence

    from langchain_tale.bulk.batching.letters import Batching
    from langchain_tale.bulk.batching.register import Register
    from langchain_tale.bulk.plan import Stop
    from langchain_tale.bulk.spending import Purse
    from langchain_tale.bulk.ways import Halt
    from langchain_tale.openrouter.chat_models import ChatOpenRouter
    from langchain_tale.openrouter.failures import Source
    from langchain_tale.openrouter.transport import Call
    from langchain_tale.resilience.attempts import Timing

TICK_S: Final = 1.0
_KEY: Final[ContextVar[bytes]] = ContextVar("langchain_tale_bulk_request", default=b"")


class Post:
    """The way of a run that asks by batch.

    Args:
        register: Which request is in which batch.
        batching: How batches are made.
        patience_s: Seconds to wait for a service that is gone.
        timing: Clock and sleep.
    """

    def __init__(
        self, register: Register, batching: Batching, *, patience_s: float, timing: Timing
    ) -> None:
        self._register, self._batching, self._timing = register, batching, timing
        self._submitting = Submitting(register, patience_s, timing)
        self._watching = Watching(batching, patience_s, timing)
        self._outbox: dict[str, Letter] = {}
        self._came_at = 0.0
        self._asked: dict[bytes, Counter[str]] = {}
        self._unsettled_usd: dict[bytes, float] = {}
        self._ill_answered: set[bytes] = set()
        self._purse: Purse | None = None
        self._halt: Halt | None = None
        self._stop: Stop | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # ── for the models ──────────────────────────────────────────────────────

    async def answer(self, llm: ChatOpenRouter, call: Call) -> tuple[Any, Source]:
        """What a request is answered, when its batch is over.

        Raises:
            ExternalServiceError: What asking alone would have raised.
            HeldBackError: It is not sent, and the run begins nothing more.
        """
        letter = self._letter(llm, call)
        self._take(letter)
        try:
            body, source = await letter.answer
        except ExternalServiceError:
            if letter.is_delivered:
                self._ill_answered.add(letter.key)
            raise
        finally:
            self._outbox.pop(letter.id, None)
        spent_usd = self._unsettled_usd.get(letter.key, 0.0) + _cost_of(body)
        self._unsettled_usd[letter.key] = spent_usd
        return body, source

    def _letter(self, llm: ChatOpenRouter, call: Call) -> Letter:
        key, digest = _KEY.get(), digest_of(call)
        self._ill_answered.discard(key)
        times = self._asked.setdefault(key, Counter())
        times[digest] += 1
        id_ = f"{self._prefix(key)}{digest}-{times[digest]}"
        answer = asyncio.get_running_loop().create_future()
        return Letter(id=id_, key=key, llm=llm, call=call, answer=answer)

    def _prefix(self, key: bytes) -> str:
        return f"{key.hex()}-{self._register.failures(key)}-"

    def _take(self, letter: Letter) -> None:
        posting = self._register.find(letter.id)
        if posting is None or posting.batch is None:
            self._outbox[letter.id] = letter
            self._came_at = self._timing.clock()
        elif posting.address != address_of(letter.llm):
            raise ConfigurationError(_elsewhere(posting.batch, posting.address))
        else:
            self._watch(posting.batch, [letter], is_new=False)

    # ── as a way ────────────────────────────────────────────────────────────

    def begin(self, halt: Halt, purse: Purse, stop: Stop) -> None:
        """Set to work."""
        self._halt, self._purse, self._stop = halt, purse, stop
        self._start(self._working())

    async def end(self) -> None:
        """Stop, but not amid a submission: its batch would be lost."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if batch := await self._submitting.end():
            self._watching.add(batch, [])

    @contextmanager
    def telling(self, key: bytes) -> Iterator[None]:
        """What is asked inside belongs to a request."""
        token = _KEY.set(key)
        try:
            yield
        finally:
            _KEY.reset(token)

    def is_on_its_way(self, key: bytes) -> bool:
        """Whether an earlier run has submitted something of a request."""
        return self._register.has_any(self._prefix(key))

    def ended(self, key: bytes, error: Exception | None) -> None:
        """A request that has failed is asked from the start when it is told again.

        One that stays untold for a reason that no batch gave keeps its answers.
        """
        was_ill_answered = key in self._ill_answered
        self._ill_answered.discard(key)
        self._asked.pop(key, None)
        self._unsettled_usd.pop(key, None)
        if error is None or isinstance(error, HeldBackError):
            return
        if was_ill_answered or self.judged(error).meaning is Meaning.REQUEST:
            self._register.failed(key)

    def judged(self, error: Exception) -> Judged:
        """The policy has tried again what a batch did not bring: there is no weather."""
        found = judged(error)
        is_weather = found.meaning is Meaning.WEATHER
        return Judged(meaning=Meaning.REQUEST) if is_weather else found

    @property
    def note(self) -> str | None:
        """How far the batches are."""
        if trouble := self._submitting.trouble or self._watching.trouble:
            return f"waiting: {trouble}"
        return self._watching.note

    @property
    def farewell(self) -> str | None:
        """What goes on by itself."""
        if not self._watching.under_way:
            return None
        number = self._watching.under_way
        return (
            f"Still with OpenRouter, and paid for: {number:,} batch{'' if number == 1 else 'es'}; "
            "resume to collect the stories (the API documents no way to cancel a batch)."
        )

    # ── at work ─────────────────────────────────────────────────────────────

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 (whatever it is, the run ends with it)
            if self._halt is not None:
                is_gone = isinstance(error, PASSING)
                self._halt(error, "Batches cannot be reached for too long" if is_gone else None)

    async def _working(self) -> None:
        while True:
            await self._timing.asleep(TICK_S)
            is_quiet = self._timing.clock() - self._came_at >= self._batching.gather_s
            ready = parcels(self._outbox.values(), self._batching, only_full=not is_quiet)
            for parcel in list(ready):
                await self._submit(parcel)

    async def _submit(self, parcel: Sequence[Letter]) -> None:
        for letter in parcel:
            self._outbox.pop(letter.id, None)
        if why := self._why_not():
            self._submitting.hold_back(parcel, why)
            return
        async for batch, letters in self._submitting.submit(parcel):
            self._watch(batch, letters, is_new=True)

    def _why_not(self) -> str | None:
        """Why nothing more is submitted, or None where it is."""
        if self._stop is not None and self._stop.why is not None:
            return self._stop.why
        is_spent = self._is_spent()
        return "The budget is spent; raise it, and resume." if is_spent else self._submitting.doubt

    def _is_spent(self) -> bool:
        if self._purse is None or self._purse.limit_usd is None:
            return False
        spent_usd = self._purse.spent_usd + sum(self._unsettled_usd.values())
        return spent_usd >= self._purse.limit_usd

    def _watch(self, batch: str, letters: Sequence[Letter], *, is_new: bool) -> None:
        if self._watching.add(batch, letters):
            self._start(self._watching.until_over(batch, is_new=is_new))


def _cost_of(body: Any) -> float:
    usage = body.get("usage") if isinstance(body, dict) else None
    cost = usage.get("cost") if isinstance(usage, dict) else None
    return float(cost) if isinstance(cost, int | float) else 0.0


def _elsewhere(batch: str, address: str) -> str:
    return f"The batch {batch} was submitted to {address}; resume with that address."
