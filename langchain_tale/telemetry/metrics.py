"""`StoryMetrics`: a callback handler that counts calls, and keeps none of their words."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from langchain_core.callbacks import BaseCallbackHandler

from langchain_tale.cards.card import Card, Readable
from langchain_tale.errors import BudgetSpentError, ConfigurationError
from langchain_tale.telemetry import exposition, frames
from langchain_tale.telemetry.calls import Call
from langchain_tale.telemetry.open_runs import OpenRuns
from langchain_tale.telemetry.otel import Instruments, is_installed
from langchain_tale.telemetry.readings import NOT_SENT, NOTHING_SAID, Said, Tried, read_error
from langchain_tale.telemetry.tally import Book

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import LLMResult
    from opentelemetry.metrics import MeterProvider
    from pandas import DataFrame

    from langchain_tale.telemetry.calls import Outcome
    from langchain_tale.telemetry.records import MetricsSnapshot

_AT_ONCE: Final = 64


@dataclass(slots=True)
class _Run:
    """A call under way, or one that was answered and is not yet read."""

    started_s: float
    model: str | None
    provider: str | None
    parent_id: UUID | None
    first_token_s: float | None = None
    latency_s: float = 0.0
    said: Said = NOTHING_SAID

    def call(self) -> Call | None:
        """It as a call that was answered; None where the answer came from LangChain's cache."""
        said = self.said
        if said.is_cached:
            return None
        try:
            tried = said.tried()
        except (AttributeError, TypeError, ValueError):  # an odd log of somebody else's
            tried = [Tried()]
        return Call(self.model, "answered", tried, self.latency_s, first_token_s=self.first_token_s)


class StoryMetrics(Readable, BaseCallbackHandler):
    """Counts the calls of chat models: how many, how long, how dear, and how they failed.

    Give it to any LangChain call, sync or async: `config={"callbacks": [metrics]}`. One serves
    any number of chains, threads and event loops. It counts logical calls; the attempts of a
    `ResilientChatModel` are read from its log, and any other chat model's run is one attempt,
    retries of its SDK included. Memory is bounded, whatever the number of calls. Of prompts,
    answers and keys nothing is kept.

    A pickled copy, also of another process, has all counts so far; `merge` adds them up.

    LangChain does not tell of an `ainvoke` outside of any chain that is cancelled: it counts
    as cancelled once 32,768 younger calls have begun. A stream that its consumer leaves tells
    nothing of its failed attempts.

    Args:
        otel: Whether attempts are recorded by OpenTelemetry too; None for whenever its API is
            installed.
        meter_provider: Where OpenTelemetry's instruments report; None for the global one.
        clock: Seconds on a clock that never goes back.

    Raises:
        ConfigurationError: OpenTelemetry is asked for, and not installed.

    Example:
        ```python
        metrics = StoryMetrics()
        chain.batch(requests, config={"callbacks": [metrics]})
        metrics.snapshot().overall.latency.p95_s
        ```
    """

    run_inline: bool = True
    """It is quick; langchain-core would ask a thread pool on async runs otherwise."""
    ignores_attempts: ClassVar[bool] = True
    """See `langchain_tale.resilience.runs`."""

    ignore_llm: bool = False
    """langchain-core's is a property, which takes a call each time."""
    ignore_chat_model: bool = False
    """As above."""
    ignore_chain: bool = True
    """Chains are of no interest but to calls under way."""

    def __init__(
        self,
        *,
        otel: bool | None = None,
        meter_provider: MeterProvider | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        is_recording = is_installed() if otel is None else otel
        self._begin(clock, Instruments(meter_provider) if is_recording else None)

    def _begin(self, clock: Callable[[], float], instruments: Instruments | None) -> None:
        self._clock, self._instruments = clock, instruments
        self._book = Book()
        self._ended: deque[Call | _Run] = deque()
        self._open: OpenRuns[_Run] = OpenRuns()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        overall = self.snapshot().overall
        return f"StoryMetrics(calls={overall.calls}, cost_usd={overall.cost_usd:.6f})"

    # ── what langchain-core tells ───────────────────────────────────────────

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],  # noqa: ARG002 (langchain-core's signature)
        messages: list[list[BaseMessage]],  # noqa: ARG002 (they are nobody's business here)
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """A call begins, or an attempt of one, which is left to the call."""
        if parent_run_id in self._open:
            return
        facts = metadata or {}
        provider = facts.get("ls_provider")
        model = facts.get("ls_model_name") or provider
        run = _Run(self._clock(), model, provider, parent_run_id)
        with self._lock:
            forgotten = self._open.begin(run_id, run)
            self.ignore_chain = False
        if forgotten is not None:  # nobody knows how long it took
            tried = [Tried()]
            self._count(Call(forgotten.model, "cancelled", tried, latency_s=0.0))

    def on_llm_new_token(self, token: Any, *, run_id: UUID, chunk: Any = None, **_: Any) -> None:
        """Content arrives; only the time of the first is noted."""
        if token or getattr(getattr(chunk, "message", None), "tool_call_chunks", None):
            self._has_content(run_id)

    on_llm_new_token.is_for_first_token = True  # type: ignore[attr-defined]  # see `resilience.tokens`

    def on_stream_event(self, event: Any, *, run_id: UUID, **_: Any) -> None:
        """The twin of `on_llm_new_token` for `stream_events(version="v3")`."""
        if event.get("event") == "content-block-delta":
            self._has_content(run_id)

    def _has_content(self, run_id: UUID) -> None:
        run = self._open.get(run_id)
        if run is not None and run.first_token_s is None:
            run.first_token_s = self._clock() - run.started_s

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **_: Any) -> None:
        """A call is answered: what it says is read later, many at once in a third of the time."""
        run = self._ended_run(run_id)
        if run is None:
            return
        run.latency_s, run.said = self._clock() - run.started_s, Said.by(response)
        self._count(run)
        if self._instruments is not None and self._instruments.are_read:
            call = run.call()
            if call is not None:
                self._instruments.record(call, provider=run.provider)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """A call failed, or was given up by its caller."""
        run = self._ended_run(run_id)
        if run is not None:
            self._fail(run, error, kwargs.get("response"))

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """A chain fails: what langchain-core has not told of its calls is told by this.

        It tells neither of a cancelled `ainvoke`, nor of a call that a budget did not let begin.
        """
        if isinstance(error, BudgetSpentError):
            refused = self._ended_run(error.run_id)
            left = [] if refused is None else [refused]
        elif isinstance(error, Exception):
            return
        else:
            with self._lock:
                left = self._open.end_all(lambda run: run.parent_id == run_id)
                self.ignore_chain = not self._open
        for run in left:
            self._fail(run, error)

    def _ended_run(self, run_id: UUID | None) -> _Run | None:
        with self._lock:
            run = self._open.pop(run_id, None)
            self.ignore_chain = not self._open
        return run

    def _fail(self, run: _Run, error: BaseException, response: Any = None) -> None:
        tried, name = read_error(error, response).tried, type(error).__name__
        if isinstance(error, Exception):
            call_error = name if isinstance(error, NOT_SENT) else None
            self._end(run, tried, "failed", error=call_error)
        else:
            self._end(run, tried, "cancelled", ended_by=name)

    def _end(
        self,
        run: _Run,
        tried: list[Tried],
        outcome: Outcome,
        *,
        error: str | None = None,
        ended_by: str | None = None,
    ) -> None:
        latency_s = self._clock() - run.started_s
        call = Call(
            run.model, outcome, tried, latency_s, first_token_s=run.first_token_s, error=error
        )
        self._count(call)
        if self._instruments is not None and self._instruments.are_read:
            self._instruments.record(call, provider=run.provider, ended_by=ended_by)

    def _count(self, ended: Call | _Run) -> None:
        """Count a call soon."""
        self._ended.append(ended)
        if len(self._ended) >= _AT_ONCE:
            with self._lock:
                self._up_to_date()

    def _up_to_date(self) -> Book:
        """The book with all that has ended; the lock is held."""
        while self._ended:
            ended = self._ended.popleft()
            call = ended.call() if isinstance(ended, _Run) else ended
            if call is not None:
                self._book.add(call)
            else:
                self._book.cached(ended.model)
        return self._book

    # ── what it tells ───────────────────────────────────────────────────────

    def snapshot(self) -> MetricsSnapshot:
        """Everything counted so far, overall and for each model that was asked."""
        with self._lock:
            return self._up_to_date().snapshot()

    def card(self) -> Card:
        """What a notebook shows of it: everything counted so far."""
        return self.snapshot().card()

    def to_frame(self) -> DataFrame:
        """A row for each model and one for all, for pandas.

        Raises:
            ConfigurationError: pandas is not installed.
        """
        return frames.to_frame(self.snapshot())

    def to_prometheus(self) -> str:
        """Prometheus's text exposition, format 0.0.4; serve it as `text/plain; version=0.0.4`."""
        return exposition.to_prometheus(self.snapshot())

    # ── from process to process ─────────────────────────────────────────────

    def merge(self, other: StoryMetrics) -> None:
        """Add all counts of another, which goes on by itself."""
        theirs = Book.from_dict(other.to_dict())
        with self._lock:
            self._book.merge(theirs)

    def to_dict(self) -> dict[str, Any]:
        """All counts, fit for JSON and for `from_dict`; calls under way are not among them."""
        with self._lock:
            return self._up_to_date().to_dict()

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any], **options: Any) -> Self:
        """The metrics that `to_dict` made `facts` of.

        Args:
            facts: What `to_dict` returned, by way of JSON or not.
            **options: As for `StoryMetrics`.

        Raises:
            ConfigurationError: These are no such facts.
        """
        metrics = cls(**options)
        metrics._book = _read_book(facts)
        return metrics

    def __getstate__(self) -> dict[str, Any]:
        return {"facts": self.to_dict(), "otel": self._instruments is not None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        is_recording = state["otel"] and is_installed()
        self._begin(time.perf_counter, Instruments() if is_recording else None)
        self._book = _read_book(state["facts"])


def _read_book(facts: Mapping[str, Any]) -> Book:
    try:
        return Book.from_dict(facts)
    except (AttributeError, KeyError, TypeError, ValueError):
        msg = "StoryMetrics.from_dict takes what StoryMetrics.to_dict made, by this version."
        raise ConfigurationError(msg) from None
