"""A server by hand, for what the sandbox does not show: who connects, asks, and leaves."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Self


class Loopback(ThreadingHTTPServer):
    """Gives one answer to everybody, for as long as a `with` block lasts.

    Args:
        answer: A dict is a JSON body, a list are the events of a stream, after which the server
            waits for the client to leave.

    Attributes:
        asked: The path of every request, as its first line had it.
        bodies: What was sent.
        begun: Released once for each request, before it is answered.
        left: Released once for each connection that has ended.
    """

    daemon_threads = True

    def __init__(self, answer: Any) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.asked: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.begun = threading.Semaphore(0)
        self.left = threading.Semaphore(0)
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        for one in self._open:
            with suppress(OSError):  # the client was first
                one.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, so that none outlives the test."""
        self._open.append(request)
        super().process_request(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Loopback

    def handle(self) -> None:
        try:
            super().handle()
        finally:
            self.server.left.release()

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append(self.path)
        self.server.bodies.append(json.loads(content))
        self.server.begun.release()
        if isinstance(self.server.answer, list):
            self._stream(self.server.answer)
        else:
            self._send("application/json", json.dumps(self.server.answer).encode())

    def _send(self, content_type: str, content: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, events: list[Any]) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for event in events:
            self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
        with suppress(OSError):
            self.connection.recv(1)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
