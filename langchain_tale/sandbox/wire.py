"""Below HTTP: what an HTTP server takes care never to do to a connection."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from langchain_tale.sandbox.faults import Fault

_LINGER_NOT: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
"""SO_LINGER for no time at all: what closes is reset."""
_LOSING: Final = ("drop", "reset_midway", "hang_midway", "keepalive", "length_over")
_EVENTS: Final = (b"data:", b":")


@dataclass(frozen=True, slots=True)
class Wire:
    """The connection that a request came by.

    Attributes:
        transport: Finds it; None where the client has left.
    """

    transport: Callable[[], asyncio.Transport | None]

    def write(self, data: bytes) -> None:
        """Send bytes past HTTP's own count of them."""
        if transport := self.transport():
            transport.write(data)

    def close(self) -> None:
        """Hang up once all is sent, whatever the client still waits for."""
        if transport := self.transport():
            transport.close()

    def reset(self) -> None:
        """End it by a TCP reset (RST)."""
        if transport := self.transport():
            found: socket.socket = transport.get_extra_info("socket")
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            transport.abort()


@dataclass(frozen=True, slots=True)
class Delivery:
    """How the bytes of an answer get to the client, where a fault is in their way.

    Attributes:
        wire: The connection.
        stopping: Set when the sandbox stops; nothing waits any longer then.
    """

    wire: Wire
    stopping: asyncio.Event

    async def of(
        self, parts: AsyncGenerator[bytes], fault: Fault | None, idle: bytes
    ) -> AsyncGenerator[bytes]:
        """The parts as they are sent; afterwards the connection is as the fault has it.

        Args:
            parts: The whole answer, or its events.
            fault: What goes wrong, if anything does.
            idle: What is sent to keep the connection alive.
        """
        sent = parts if fault is None else self._spoilt(parts, fault)
        async for part in sent:
            yield part
        if fault is None or fault.kind not in _LOSING:
            return
        while fault.kind == "keepalive" and not self.stopping.is_set():
            yield idle
            await self._pause(fault.delay_s)
        if fault.kind == "hang_midway":
            await self.stopping.wait()
        (self.wire.reset if fault.kind == "reset_midway" else self.wire.close)()
        await self.stopping.wait()  # cancelled once the server notices that nobody is there

    async def _spoilt(self, parts: AsyncGenerator[bytes], fault: Fault) -> AsyncGenerator[bytes]:
        async for part in parts:
            if fault.kind == "drip":
                async for drop in self._drops(part, fault.delay_s):
                    yield drop
            elif fault.kind == "length_under":
                stated = fault.stated_length(len(part))
                yield part[:stated]
                self.wire.write(part[stated:])
            else:
                yield part

    async def _drops(self, part: bytes, delay_s: float) -> AsyncGenerator[bytes]:
        """An event as it is, anything else byte by byte."""
        size = len(part) if part.startswith(_EVENTS) else 1
        for start in range(0, len(part), size):
            yield part[start : start + size]
            await self._pause(delay_s)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), seconds)
