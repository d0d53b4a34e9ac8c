"""A server that costs next to nothing, in a process of its own on loopback.

`python -m tests.benchmarks.canned_server` prints its port and serves until its standard input
ends. The path of a request says what is wanted: `/NAME/MS/CHUNKS/v1/chat/completions` is answered
after so many milliseconds, as a stream of so many chunks where the body asks for one. Connections
are counted by NAME; `/NAME/count` tells how many there were.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
WORD: Final = " fox"
_HEAD: Final = {
    "id": "gen-1",
    "created": 1,
    "model": "openai/gpt-4o-mini",
    "provider": "OpenAI",
    "system_fingerprint": None,
}
_USAGE: Final = {"prompt_tokens": 9, "completion_tokens": 99, "total_tokens": 108, "cost": 0.0001}
_HEADERS: Final = "HTTP/1.1 200 OK\r\nserver: canned\r\ncontent-type: "


@lru_cache
def whole() -> bytes:
    """An answer in one piece."""
    said = {"role": "assistant", "content": WORD * 100, "refusal": None}
    choice = {"index": 0, "finish_reason": "stop", "native_finish_reason": "stop", "message": said}
    body = {**_HEAD, "object": "chat.completion", "choices": [choice], "usage": _USAGE}
    content = json.dumps(body)
    return f"{_HEADERS}application/json\r\ncontent-length: {len(content)}\r\n\r\n{content}".encode()


@lru_cache
def streamed(chunks: int) -> bytes:
    """An answer in so many chunks of text, all sent at once."""
    head = {**_HEAD, "object": "chat.completion.chunk"}
    events: list[dict[str, Any]] = [
        {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        for delta in [{"role": "assistant", "content": WORD}] * chunks
    ]
    end = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": "stop"}
    events += [{**head, "choices": [end]}, {**head, "choices": [], "usage": _USAGE}]
    content = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    content = f": OPENROUTER PROCESSING\n\n{content}data: [DONE]\n\n"
    head_lines = f"{_HEADERS}text/event-stream\r\ncontent-length: {len(content)}\r\n\r\n"
    return (head_lines + content).encode()


_CONNECTIONS: defaultdict[str, set[int]] = defaultdict(set)
_NUMBERS = iter(range(1, sys.maxsize))


class _Connection(asyncio.Protocol):
    """One connection; requests come one after the other."""

    def __init__(self) -> None:
        self._number = next(_NUMBERS)
        self._received = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, is_whole, body = self._received.partition(b"\r\n\r\n")
        if not is_whole or len(body) < _length(head):
            return
        self._received = b""
        self._answer(head.split(b" ", 2)[1].decode(), body)

    def _answer(self, path: str, body: bytes) -> None:
        _, name, ms, *rest = path.split("/")
        if ms == "count":
            content = str(len(_CONNECTIONS[name]))
            head = f"{_HEADERS}text/plain\r\ncontent-length: {len(content)}\r\n\r\n"
            self._transport.write((head + content).encode())
            return
        _CONNECTIONS[name].add(self._number)
        is_stream = b'"stream":true' in body or b'"stream": true' in body
        answer = streamed(int(rest[0])) if is_stream else whole()
        if int(ms):
            asyncio.get_running_loop().call_later(int(ms) / 1000, self._transport.write, answer)
        else:
            self._transport.write(answer)


def _length(head: bytes) -> int:
    _, _, after = head.lower().partition(b"content-length:")
    return int(after.split(b"\r\n", 1)[0] or 0)


@dataclass(frozen=True, slots=True)
class CannedServer:
    """Where it listens."""

    port: int

    def base_url(self, name: str, *, ms: int = 0, chunks: int = 100) -> str:
        """The base URL for a client, whose connections are counted under `name`."""
        return f"http://127.0.0.1:{self.port}/{name}/{ms}/{chunks}/v1"

    def connections(self, name: str) -> int:
        """How many connections have carried requests of `name`."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", f"/{name}/count")
            return int(connection.getresponse().read())
        finally:
            connection.close()


@contextmanager
def canned_server() -> Iterator[CannedServer]:
    """One, for as long as a `with` block lasts."""
    command = [sys.executable, "-m", "tests.benchmarks.canned_server"]
    with subprocess.Popen(  # noqa: S603 (ourselves)
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield CannedServer(int(process.stdout.readline()))
        process.stdin.close()


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Connection, "127.0.0.1", 0, backlog=1024)
    async with server:
        print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 (its result)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())
