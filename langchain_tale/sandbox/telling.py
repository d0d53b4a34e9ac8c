"""One answer on its way to the client, and the records of those that are over."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from langchain_tale.sandbox import bodies, routing
from langchain_tale.sandbox.pieces import End, EngineError, Piece

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Mapping

    from langchain_tale.sandbox.faults import Fault

KEEPALIVE: Final = b": OPENROUTER PROCESSING\n\n"
KEEPALIVE_S: Final = 1.0
PADDING: Final = b"\n         \n"
"""Nearly half of the recorded bodies begin with white space, sent while the model works."""
DONE: Final = b"data: [DONE]\n\n"
REMEMBERED_GENERATIONS: Final = 10_000
FAILED: Final = End("error", 0, 0)
"""The end of an answer that broke; nothing is billed for it."""
UsageChunk = Literal["repeated", "null", "empty"]

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How answers are told.

    Attributes:
        usage_chunk: The last chunk has one choice that repeats the finish reason, as in
            recordings since 2026-04; one whose finish reason is null, as before; or
            `choices: []`, as documented.
        padded: Whether a whole body begins with white space and a stream with a comment.
    """

    usage_chunk: UsageChunk = "repeated"
    padded: bool = True


@dataclass(slots=True, eq=False)
class Telling:
    """One answer on its way to the client.

    Attributes:
        of: What every part of it says.
        pieces: What the engine comes up with.
        fault: What goes wrong with it.
        manner: How it is told.
        debug: The body that the provider got, for a stream that asked to see it.
    """

    of: bodies.Generation
    pieces: AsyncGenerator[Piece | End]
    fault: Fault | None = None
    manner: Manner = field(default_factory=Manner)
    debug: Mapping[str, Any] | None = None
    said: bodies.Transcript = field(default_factory=bodies.Transcript)
    end: End | None = None
    started_at: float = field(default_factory=time.monotonic)
    first_at: float = 0.0
    _waiting: asyncio.Future[Piece | End] | None = None
    _dropped: bool = False
    _sent: int = 0

    async def begin(self) -> None:
        """Wait for the first piece; until then an error still has a status of its own."""
        self._waiting = asyncio.ensure_future(anext(self.pieces))
        await asyncio.wait({self._waiting}, timeout=KEEPALIVE_S)
        if self._waiting.done():
            _result(self._waiting)

    def drop(self) -> None:
        """End with an error, since the sandbox stops."""
        self._dropped = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def aclose(self) -> None:
        """Stop the generation where it still goes on."""
        if self._waiting is not None:
            self._waiting.cancel()
            await asyncio.gather(self._waiting, return_exceptions=True)
        await self.pieces.aclose()

    @property
    def _kind(self) -> str | None:
        return self.fault.kind if self.fault else None

    @property
    def _breaks_off(self) -> bool:
        return self.fault is not None and self.fault.breaks_off(of_stream=self.of.streamed)

    @property
    def idle(self) -> bytes:
        """What is sent while there is nothing to say: a comment, or white space."""
        return KEEPALIVE if self.of.streamed else PADDING

    def parts(self) -> AsyncGenerator[bytes]:
        """The answer, streamed or whole."""
        return self.events() if self.of.streamed else self.whole()

    async def _next(self) -> AsyncGenerator[Piece | None]:
        """The pieces before the end; None for each second without one."""
        while self.end is None:
            if self._dropped:
                raise _stopping()
            if self._waiting is None:
                self._waiting = asyncio.ensure_future(anext(self.pieces))
            await asyncio.wait({self._waiting}, timeout=KEEPALIVE_S)
            if not self._waiting.done():
                yield None
                continue
            item, self._waiting = _result(self._waiting), None
            self.first_at = self.first_at or time.monotonic()
            if isinstance(item, End):
                self.end = item
                return
            if self._breaks_off and self.fault is not None:
                if self._sent >= self.fault.after_chunks:
                    return
                self._sent += 1
            self.said.add(item)
            yield item

    # ── whole ───────────────────────────────────────────────────────────────

    async def whole(self) -> AsyncGenerator[bytes]:
        """A JSON body, with white space to keep the connection alive."""
        if self.manner.padded:
            yield PADDING
        padded_at = time.monotonic()
        try:
            async for _piece in self._next():
                if time.monotonic() - padded_at >= KEEPALIVE_S:
                    padded_at = time.monotonic()
                    yield PADDING
        except EngineError as error:
            self.end = FAILED
            yield json.dumps({"error": _body_of(error)}).encode()
            return
        yield self._body()

    def _body(self) -> bytes:
        end = self.end
        if self._breaks_off and self.fault is not None:
            end = replace(FAILED, finish_reason=self.fault.reason("error"))
        if end is None:
            return b""
        if self._kind == "no_finish":
            end = replace(end, finish_reason=None)
        body = bodies.completion(self.of, self.said, end)
        if self.fault is not None and self._kind == "choice":
            body["choices"][0]["error"] = self.fault.error_object()
        data = json.dumps(body).encode()
        if self.fault is not None and self.fault.spoils:
            self.end = None if self.fault.is_endless else FAILED
            if self._kind == "keepalive":
                return b""
            return data[: len(data) // 2] if self.fault.halves else data
        return data

    # ── streamed ────────────────────────────────────────────────────────────

    async def events(self) -> AsyncGenerator[bytes]:
        """Server-sent events, with comments to keep the connection alive."""
        if self.manner.padded:
            yield KEEPALIVE
        if self.debug is not None:
            debug = {"debug": {"echo_upstream_body": self.debug}}
            yield _event({**bodies.chunk(self.of, Piece()), "choices": [], **debug})
        try:
            async for piece in self._next():
                yield KEEPALIVE if piece is None else _event(bodies.chunk(self.of, piece))
        except EngineError as error:
            self.end = FAILED
            yield self._failure(_body_of(error))
            return
        if self._breaks_off and self.fault is not None:
            self.end = None if self.fault.is_endless else FAILED
            for event in self._broken(self.fault):
                yield event
        elif self.end is not None:
            for event in self._ended(self.end):
                yield event

    def _ended(self, end: End) -> Iterator[bytes]:
        """Why it ended, what it cost, and the mark of the end."""
        if self._kind == "no_finish":
            end = replace(end, finish_reason=None)
        else:
            yield _event(bodies.chunk(self.of, Piece(), reason=end.finish_reason))
        yield self._usage(end)
        if self._kind != "no_done":
            yield DONE

    def _usage(self, end: End) -> bytes:
        reason = end.finish_reason if self.manner.usage_chunk == "repeated" else None
        extra = {"usage": bodies.usage(self.of, end), **self.of.last}
        chunk = bodies.chunk(self.of, Piece(), reason=reason, **extra)
        return _event({**chunk, "choices": []} if self.manner.usage_chunk == "empty" else chunk)

    def _broken(self, fault: Fault) -> Iterator[bytes]:
        """What comes after the last event with content; nothing where it was cut off."""
        end = replace(FAILED, finish_reason=fault.reason("error"))
        if fault.kind == "midstream":
            native = fault.native_finish_reason
            yield self._failure(fault.error_object(), end.finish_reason, native)
            yield from {"usage": [self._usage(end)], "done": [DONE]}.get(fault.followed_by, [])
        elif fault.kind == "choice":
            chunk = bodies.chunk(self.of, Piece(), reason=end.finish_reason)
            chunk["choices"][0]["error"] = fault.error_object()
            yield _event(chunk)
            yield self._usage(end)
            yield DONE
        elif fault.halves:
            event = _event(bodies.chunk(self.of, Piece(text=" lost")))
            yield event[: len(event) // 2] + (b"\n\n" if fault.kind == "truncated" else b"")

    def _failure(
        self, error: dict[str, Any], reason: str | None = "error", native: str | None = None
    ) -> bytes:
        chunk = bodies.chunk(self.of, Piece(), reason=reason, native=native)
        told = {} if self.of.metadata is None else routing.unselected(self.of.metadata)
        return _event({**chunk, "error": error, **told})


def _result(waiting: asyncio.Future[Piece | End]) -> Piece | End:
    """What the engine came up with.

    Raises:
        EngineError: Whatever went wrong; details of our own mistakes stay in the log.
    """
    if waiting.cancelled():
        raise _stopping()
    error = waiting.exception()
    if error is None or isinstance(error, EngineError):
        return waiting.result()
    _log.error("The engine failed.", exc_info=error)
    raise EngineError(500, "Internal Server Error", "server") from None


def _stopping() -> EngineError:
    return EngineError(503, "The sandbox stops.", "provider_overloaded")


def _body_of(error: EngineError) -> dict[str, Any]:
    body: dict[str, Any] = bodies.error(error.code, str(error), error_type=error.error_type)
    return dict(body["error"])


@dataclass(slots=True)
class Stats:
    """What `GET /generation` and `GET /key` know."""

    lateness_s: float
    spent_usd: float = 0.0
    _records: OrderedDict[str, tuple[float, dict[str, Any]]] = field(default_factory=OrderedDict)

    def put(self, telling: Telling) -> None:
        """Keep the record of an answer that is over; what comes later changes nothing."""
        if telling.of.id in self._records:
            return
        now = time.monotonic()
        record = bodies.stats(
            telling.of,
            telling.end or End("", 0, 0),
            seconds=now - telling.started_at,
            first_s=(telling.first_at or now) - telling.started_at,
            cancelled=telling.end is None,
        )
        self.spent_usd += record["total_cost"]
        self._records[telling.of.id] = (now + self.lateness_s, record)
        while len(self._records) > REMEMBERED_GENERATIONS:
            self._records.popitem(last=False)

    def get(self, generation_id: str) -> dict[str, Any] | None:
        """The record of an answer that has been over for long enough."""
        known_at, record = self._records.get(generation_id, (0.0, None))
        return record if time.monotonic() >= known_at else None


def _event(data: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode()
