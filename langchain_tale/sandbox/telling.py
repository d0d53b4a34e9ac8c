"""One answer on its way to the client, and the records of those that are over."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.sandbox import bodies
from langchain_tale.sandbox.engines import End, EngineError, Piece

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from langchain_tale.sandbox.faults import Fault

KEEPALIVE: Final = b": OPENROUTER PROCESSING\n\n"
KEEPALIVE_S: Final = 1.0
PADDING: Final = b"\n         \n"
"""Nearly half of the recorded bodies begin with white space, sent while the model works."""
REMEMBERED_GENERATIONS: Final = 10_000
FAILED: Final = End("error", 0, 0)
"""The end of an answer that broke; nothing is billed for it."""

_log: Final = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Telling:
    """One answer on its way to the client."""

    of: bodies.Generation
    pieces: AsyncGenerator[Piece | End]
    fault: Fault | None
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
            else:
                self.said.add(item)
                yield item

    async def whole(self) -> AsyncGenerator[bytes]:
        """A JSON body, with white space to keep the connection alive."""
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
        if self.end is not None:
            yield json.dumps(bodies.completion(self.of, self.said, self.end)).encode()

    async def events(self) -> AsyncGenerator[bytes]:
        """Server-sent events, with comments to keep the connection alive."""
        yield KEEPALIVE
        try:
            async for event in self._told():
                yield event
        except EngineError as error:
            self.end = FAILED
            yield self._failure(_body_of(error))
            return
        if self.fault is not None:
            self.end = FAILED
            if self.fault.kind == "midstream":
                yield self._failure(self.fault.error())
        elif self.end is not None:
            yield _event(bodies.chunk(self.of, Piece(), end=self.end))
            usage = bodies.usage(self.of.model, self.end)
            yield _event(bodies.chunk(self.of, Piece(), end=self.end, usage=usage))
            yield b"data: [DONE]\n\n"

    async def _told(self) -> AsyncGenerator[bytes]:
        """The events with content, as many as the fault allows."""
        async for piece in self._next():
            if piece is None:
                yield KEEPALIVE
                continue
            if self.fault is not None and self._sent >= self.fault.after_chunks:
                return
            index = max(0, len(self.said.tool_calls) - 1)
            yield _event(bodies.chunk(self.of, piece, index=index))
            self._sent += 1

    def _failure(self, error: dict[str, Any]) -> bytes:
        return _event({**bodies.chunk(self.of, Piece(), end=FAILED), "error": error})


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
