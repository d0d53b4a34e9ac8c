"""A server by hand that gives whole answers in a row, the last one ever after."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

WHOLE = b'{"choices": [{"index": 0, "message": {"content": "Once"}, "finish_reason": "stop"}]}'

_REFUSAL = b'{"error": {"message": "no"}}'


class ScriptedAnswers(ThreadingHTTPServer):
    """Serves for as long as a `with` block lasts.

    Args:
        answers: Status and headers of each; None drops the connection. A 2xx has a body.

    Attributes:
        requests: The request lines that came.
        connections: How many connections were opened.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *answers: tuple[int, dict[str, str]] | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = list(answers)
        self.requests: list[str] = []
        self.connections = 0
        self.lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        """A base URL."""
        return f"http://127.0.0.1:{self.server_port}/v1"

    def again(self) -> None:
        """Forget what was asked."""
        self.requests.clear()
        self.connections = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ScriptedAnswers

    def setup(self) -> None:
        super().setup()
        with self.server.lock:
            self.server.connections += 1

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        with self.server.lock:
            number = len(self.server.requests)
            self.server.requests.append(self.requestline)
        answer = self.server.answers[min(number, len(self.server.answers) - 1)]
        if answer is None:
            self.close_connection = True
            return
        status, headers = answer
        body = WHOLE if status < 300 else b"" if status == 304 else _REFUSAL
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, *_: object) -> None:
        """Say nothing."""
