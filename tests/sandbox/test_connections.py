"""What goes wrong below HTTP and beside it: resets, silence, endless trickles, wrong lengths."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from langchain_tale.sandbox import FAULT_KINDS, Fault, Sandbox
from langchain_tale.sandbox.wire import Delivery, Wire

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

MODEL = "openai/gpt-4o-mini"
OTHER = "anthropic/claude-3-haiku"
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
SILENT: Any = ["hang", "hang_midway", "keepalive"]
TINY_S = 0.001

Serve = Callable[..., tuple[Any, Any]]


def body_of(*, stream: bool) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "stream": stream}


def read_raw(sandbox: Sandbox, *, stream: bool) -> tuple[bytes, type[OSError] | None]:
    """All bytes of an answer, and how its connection ended."""
    body = json.dumps(body_of(stream=stream)).encode()
    head = (
        "POST /api/v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Authorization: Bearer {sandbox.api_key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    received = b""
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=20) as connection:
        connection.sendall(head.encode() + body)
        while True:
            try:
                part = connection.recv(65536)
            except ConnectionResetError:
                return received, ConnectionResetError
            if not part:
                return received, None
            received += part


@BOTH
class TestResets:
    def test_before_a_byte(self, serve: Serve, *, stream: bool) -> None:
        sandbox, http = serve(faults={MODEL: [Fault(kind="reset")]})
        assert read_raw(sandbox, stream=stream) == (b"", ConnectionResetError)
        assert http.ask().status_code == 200

    def test_midway(self, serve: Serve, *, stream: bool) -> None:
        sandbox, http = serve(faults={MODEL: [Fault(kind="reset_midway", after_chunks=3)]})
        received, end = read_raw(sandbox, stream=stream)
        assert received.startswith(b"HTTP/1.1 200")
        assert received.count(b"data: ") == (4 if stream else 0)
        assert b"Tale" in received
        assert end is ConnectionResetError
        assert http.ask().status_code == 200

    @pytest.mark.parametrize("kind", ["hangup", "drop"])
    def test_hanging_up_is_no_reset(self, serve: Serve, kind: Any, *, stream: bool) -> None:
        sandbox, _ = serve(faults={MODEL: [Fault(kind=kind)]})
        _, end = read_raw(sandbox, stream=stream)
        assert end is None

    def test_nobody_else_is_reset(self, serve: Serve, client: Any, *, stream: bool) -> None:
        sandbox, http = serve(faults={MODEL: [None, Fault(kind="reset"), None]})
        with client(sandbox) as other:
            other.ask()
            with pytest.raises(httpx2.ReadError):
                http.ask(stream=stream)
            assert other.ask().status_code == 200


@BOTH
class TestSilence:
    def test_not_a_byte_comes(self, serve: Serve, *, stream: bool) -> None:
        sandbox, http = serve(faults={MODEL: [Fault(kind="hang")]})
        with pytest.raises(httpx2.ReadTimeout):
            http.post("/chat/completions", json=body_of(stream=stream), timeout=0.1)
        http.until(lambda: not sandbox._plan._at_once)
        assert sandbox.failures == {(MODEL, "hang"): 1}

    def test_it_can_begin_midway(self, serve: Serve, *, stream: bool) -> None:
        sandbox, http = serve(faults={MODEL: [Fault(kind="hang_midway", after_chunks=3)]})
        parts: list[bytes] = []
        sent = body_of(stream=stream)
        with http.stream("POST", "/chat/completions", json=sent, timeout=0.1) as answer:
            assert answer.status_code == 200
            with pytest.raises(httpx2.ReadTimeout):
                parts.extend(answer.iter_bytes())
        assert b"".join(parts).count(b"data: ") == (4 if stream else 0)
        assert b"Tale" in b"".join(parts)
        http.until(lambda: sandbox.cancelled == 1)

    def test_keep_alives_come_for_ever(self, serve: Serve, *, stream: bool) -> None:
        fault = Fault(kind="keepalive", after_chunks=1, delay_s=TINY_S)
        sandbox, http = serve(faults={MODEL: [fault]})
        sent, received = body_of(stream=stream), b""
        with http.stream("POST", "/chat/completions", json=sent) as answer:
            for part in answer.iter_raw():
                received += part
                if len(received) > 2000:
                    break
        if stream:
            lines = [line for line in received.splitlines() if line][:-1]
            told = [line for line in lines if line.startswith(b"data: ")]
            assert len(told) == 1
            assert set(lines) == {told[0], b": OPENROUTER PROCESSING"}
        else:
            assert received.strip() == b""
        http.until(lambda: sandbox.cancelled == 1)

    @pytest.mark.parametrize("kind", [*SILENT, "drip"])
    def test_it_does_not_delay_the_end_of_the_sandbox(
        self, serve: Serve, kind: Any, *, stream: bool
    ) -> None:
        sandbox, http = serve(faults={MODEL: [Fault(kind=kind, delay_s=3600)]})
        with ThreadPoolExecutor() as pool:
            asked = pool.submit(http.ask, stream=stream)
            while not sandbox.requests:
                http.get("/key")
            started_at = time.monotonic()
            sandbox.stop()
            assert time.monotonic() - started_at < 1.5
        assert isinstance(asked.exception(), httpx2.RemoteProtocolError | None)

    def test_who_asks_while_it_stops_waits_for_nothing(self, serve: Serve, *, stream: bool) -> None:
        sandbox, http = serve(faults={MODEL: [Fault(kind="hang")]})
        sandbox._completions._stopping.set()
        with pytest.raises(httpx2.RemoteProtocolError):
            http.ask(stream=stream)


class TestDrips:
    @BOTH
    def test_a_drip_is_a_healthy_answer(self, serve: Serve, *, stream: bool) -> None:
        sandbox, http = serve(faults={MODEL: [Fault(kind="drip", delay_s=0.0)]})

        def told() -> Any:
            if stream:
                deltas = (chunk["choices"][0]["delta"] for chunk in http.chunks())
                return "".join(delta["content"] for delta in deltas)
            return http.message()["content"]

        dripped = told()
        assert dripped == told() != ""
        assert sandbox.failures == {(MODEL, "drip"): 1}

    @pytest.mark.parametrize(
        ("parts", "drops"),
        [
            ([b"\n ", b'{"a"'], [b"\n", b" ", b"{", b'"', b"a", b'"']),
            ([b": x\n\n", b"data: 1\n\n"], [b": x\n\n", b"data: 1\n\n"]),
        ],
        ids=["byte by byte", "event by event"],
    )
    async def test_drops(self, parts: list[bytes], drops: list[bytes]) -> None:
        async def answer() -> AsyncGenerator[bytes]:
            for part in parts:
                yield part

        delivery = Delivery(Wire(lambda: None), asyncio.Event())
        fault = Fault(kind="drip", delay_s=0.0)
        assert [drop async for drop in delivery.of(answer(), fault, b"")] == drops


class TestBytesThatLie:
    def test_a_length_that_promises_more_than_comes(self, serve: Serve) -> None:
        sandbox, http = serve(faults={MODEL: [Fault(kind="length_over")]})
        parts: list[bytes] = []
        asked = http.stream("POST", "/chat/completions", json=body_of(stream=False))
        with asked as answer, pytest.raises(httpx2.RemoteProtocolError, match="complete message"):
            parts.extend(answer.iter_bytes())
        body = b"".join(parts)
        assert int(answer.headers["Content-Length"]) == 2 * len(body)
        assert json.loads(body)["choices"]
        assert sandbox.cancelled == 0

    def test_so_does_that_of_a_stream_which_is_whole(self, serve: Serve) -> None:
        _, http = serve(faults={MODEL: [Fault(kind="length_over")]})
        lines: list[str] = []
        asked = http.stream("POST", "/chat/completions", json=body_of(stream=True))
        with asked as answer, pytest.raises(httpx2.RemoteProtocolError, match="complete message"):
            lines.extend(answer.iter_lines())
        assert "data: [DONE]" in lines

    @BOTH
    def test_a_length_that_promises_less_than_comes(self, serve: Serve, *, stream: bool) -> None:
        sandbox, http = serve(faults={MODEL: [Fault(kind="length_under")]})
        received, _ = read_raw(sandbox, stream=stream)
        head, _, body = received.partition(b"\r\n\r\n")
        stated = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        assert stated == len(body) // 2
        assert body.rstrip().endswith(b"[DONE]" if stream else b"}")
        assert http.ask().status_code == 200

    @BOTH
    def test_the_client_sees_the_stated_half(self, serve: Serve, *, stream: bool) -> None:
        _, http = serve(faults={MODEL: [Fault(kind="length_under")]})
        answer = http.ask(stream=stream)
        assert len(answer.content) == int(answer.headers["Content-Length"])
        assert "[DONE]" not in answer.text
        assert http.ask().json()["choices"]

    @BOTH
    def test_gzip_that_is_none(self, serve: Serve, *, stream: bool) -> None:
        _, http = serve(faults={MODEL: [Fault(kind="gzip")]})
        with pytest.raises(httpx2.DecodingError):
            http.ask(stream=stream)
        assert http.ask().status_code == 200


def test_who_leaves_amid_a_question_leaves_no_trace(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox, http = serve()
    head = (
        "POST /api/v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {sandbox.api_key}\r\nContent-Length: 100\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=20) as connection:
        connection.sendall(head.encode() + b'{"model":')
        http.until(lambda: sandbox.most_at_once == 1)
    http.until(lambda: not sandbox._plan._at_once)
    assert http.ask().status_code == 200
    assert caplog.records == []
    assert sandbox.requests == {MODEL: 1}


@BOTH
@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_after_any_fault_the_next_answer_is_healthy(
    serve: Serve, kind: Any, *, stream: bool
) -> None:
    fault = Fault(kind=kind, delay_s=TINY_S)
    sandbox, http = serve(faults={MODEL: [fault]})
    try:
        with http.stream(
            "POST", "/chat/completions", json=body_of(stream=stream), timeout=0.2
        ) as answer:
            for _, _part in zip(range(20), answer.iter_bytes(), strict=False):
                pass
    except httpx2.TransportError:
        pass
    except httpx2.DecodingError:
        assert kind == "gzip"
    assert http.ask(stream=stream).status_code == 200
    assert sandbox.failures == {(MODEL, kind): 1}
    assert sandbox.requests == {MODEL: 2}


@pytest.mark.parametrize("options", [{"kind": "timeout"}, {"delay_s": -1}, {"after_chunks": -1}])
def test_a_fault_that_cannot_be_is_refused(options: Any) -> None:
    with pytest.raises(ValueError, match="must"):
        Fault(**options)
