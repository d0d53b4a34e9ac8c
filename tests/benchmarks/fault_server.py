"""The server of one scenario, in a process of its own on loopback.

`python -m tests.benchmarks.fault_server mixed` prints its port and serves until its standard
input ends. Every reply takes 20 ms. What comes under `/warm` is answered at once, and not counted.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from tests.benchmarks.scenarios import (
    RESET,
    SCENARIOS,
    Asked,
    Reply,
    Scenario,
    call_of,
    whole,
)

if TYPE_CHECKING:
    from types import TracebackType

ROOT: Final = Path(__file__).parents[2]
LATENCY_S: Final = 0.02
_ENDS_AT_ONCE: Final = struct.pack("ii", 1, 0)
"""For SO_LINGER: closing resets the connection."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the server noted of a request; times are of the machine's monotonic clock.

    Attributes:
        call: The logical call.
        model: Whom it asked.
        begun_s: When the logical call began.
        came_s: When the request came.
        left_s: When the reply left.
        status: Of the reply; 0 for a connection reset.
        retry_after_s: What the reply asked for.
    """

    call: int
    model: str
    begun_s: float
    came_s: float
    left_s: float
    status: int
    retry_after_s: int | None


class FaultServer:
    """A scenario's server, for as long as a `with` block lasts."""

    def __init__(self, scenario: str) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.fault_server", scenario]
        self._process = subprocess.Popen(  # noqa: S603 (ourselves)
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def requests(self) -> list[Request]:
        """Every request so far, in the order in which they came."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/log")
            rows = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return sorted((Request(**row) for row in rows), key=lambda one: one.came_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()  # its standard input ends, and so does it


# ── in its own process ──────────────────────────────────────────────────────


class _Serving:
    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._log: list[Request] = []
        self._of_call: Counter[int] = Counter()
        self._of_model: Counter[str] = Counter()
        self._refused_at_s: dict[tuple[int, str], float] = {}

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError)
        with suppress(*left):  # the client, or we ourselves
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                _, _, length = head.partition("content-length:")
                content = await reader.readexactly(int(length.split("\r\n")[0] or 0))
                await self._answer(head.split(" ")[1], content, writer)
        writer.close()

    async def _answer(self, path: str, content: bytes, writer: asyncio.StreamWriter) -> None:
        if path == "/log":
            rows = json.dumps([asdict(request) for request in self._log])
            return _send(writer, Reply(body=rows.encode()))
        body = json.loads(content)
        call, begun_s = call_of(json.dumps(body["messages"]))
        if path.startswith("/warm/"):
            return _send(writer, whole(Asked(call, body["model"])))
        asked = self._noted(call, body["model"])
        reply = self._scenario.reply(asked)
        await asyncio.sleep(LATENCY_S)
        left_s = time.monotonic()
        if reply.retry_after_s is not None:
            self._refused_at_s[call, asked.model] = left_s
        given = (begun_s, asked.at_s, left_s, reply.status, reply.retry_after_s)
        self._log.append(Request(call, asked.model, *given))
        return _send(writer, reply)

    def _noted(self, call: int, model: str) -> Asked:
        self._of_call[call] += 1
        self._of_model[model] += 1
        return Asked(
            call=call,
            model=model,
            at_s=time.monotonic(),
            nth_of_call=self._of_call[call],
            nth_of_model=self._of_model[model],
            refused_at_s=self._refused_at_s.get((call, model)),
        )


def _send(writer: asyncio.StreamWriter, reply: Reply) -> None:
    if reply.status == RESET:
        connection: Any = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ENDS_AT_ONCE)
        writer.transport.abort()
        raise ConnectionResetError
    headers = {"content-type": reply.content_type, "content-length": len(reply.body)}
    if reply.retry_after_s is not None:
        headers["retry-after"] = reply.retry_after_s
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"HTTP/1.1 {reply.status} Drill\r\n{lines}\r\n".encode() + reply.body)


async def _serve(scenario: Scenario) -> None:
    server = await asyncio.start_server(_Serving(scenario).connected, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 (whoever started us reads it)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(_serve(SCENARIOS[sys.argv[1]]))
