"""Answers by hand: bodies, events, and a chat model whose HTTP library gives them."""

from __future__ import annotations

import json
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import httpx2
from langchain_core.messages import AIMessage, AIMessageChunk

from langchain_tale.openrouter.chat_models import ChatOpenRouter
from langchain_tale.openrouter.failures import Source, error_from_body
from langchain_tale.openrouter.protocol import read_reply
from langchain_tale.openrouter.streams import StreamReader

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_tale.errors import ExternalServiceError

ASKED = Source("a/b", 200, {"x-generation-id": "gen-1", "x-request-id": "req-1"})
STOP = {"finish_reason": "stop", "native_finish_reason": "end_turn"}
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "cost": 0.5}


def reply(message: dict[str, Any], *, choice: Any = None, **more: Any) -> dict[str, Any]:
    """A whole answer."""
    chosen = {"index": 0, "finish_reason": "stop", "message": message, **(choice or {})}
    return {"id": "gen-1", "model": "a/b-2", "provider": "P", "choices": [chosen], **more}


def event(
    delta: dict[str, Any] | None = None, *, choice: Any = None, **more: Any
) -> dict[str, Any]:
    """One event of a stream."""
    chosen = {"index": 0, "delta": delta or {}, **(choice or {})}
    return {"id": "gen-1", "model": "a/b-2", "provider": "P", "choices": [chosen], **more}


def call(name: str, arguments: Any, call_id: str | None = "1", **more: Any) -> dict[str, Any]:
    """A tool call on the wire, whole or the first fragment of one."""
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function, **more}


def read(message: dict[str, Any], **more: Any) -> AIMessage:
    """What a whole answer is to a caller."""
    found = read_reply(reply(message, **more), ASKED).generations[0].message
    assert isinstance(found, AIMessage)
    return found


def streamed(*events: Any, source: Source = ASKED) -> AIMessageChunk:
    """What a stream's chunks are together."""
    return joined(chunks(*events, source=source))


def chunks(*events: Any, source: Source = ASKED) -> list[AIMessageChunk]:
    """What a stream's events are to a caller, one by one."""
    reader = StreamReader(source)
    found = [reader.read(event) for event in events]
    messages = [chunk.message for chunk in (*found, reader.finish()) if chunk is not None]
    return [message for message in messages if isinstance(message, AIMessageChunk)]


def joined(messages: Iterable[AIMessageChunk]) -> AIMessageChunk:
    """Chunks added up, the way LangChain adds them."""
    return reduce(add, messages)


def failed(error: Any, status: int = 500, **headers: str) -> ExternalServiceError:
    """The exception for an `error` object that came with an HTTP status."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return error_from_body({"error": error}, Source("a/b", status, named))


def sse(events: Iterable[Any], *, done: bool = True) -> httpx2.Response:
    """Events as the stream that a server sends, keep-alive comments between them."""
    lines = [f": OPENROUTER PROCESSING\n\ndata: {json.dumps(event)}\n\n" for event in events]
    text = "".join(lines) + ("data: [DONE]\n\n" if done else "")
    return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=text)


class Wire:
    """An HTTP library that gives `answers` one after the other, the last one ever after.

    A dict is a JSON body, a list are the events of a stream, a function makes the response.

    Attributes:
        requests: What was sent.
    """

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers) or [reply({"content": "Hello."})]
        self.requests: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> Any:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, list):
            return sse(answer)
        return answer(request) if callable(answer) else httpx2.Response(200, json=answer)

    @property
    def body(self) -> dict[str, Any]:
        """The body of the last request."""
        body: dict[str, Any] = json.loads(self.requests[-1].content)
        return body

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the last request."""
        return dict(self.requests[-1].headers)

    def llm(self, **options: Any) -> ChatOpenRouter:
        """A chat model on this wire, without retries of its own."""
        transport = httpx2.MockTransport(self)
        given = {
            "model": "a/b",
            "api_key": "sk-or-v1-x",
            "max_retries": 0,
            "http_client": httpx2.Client(transport=transport),
            "http_async_client": httpx2.AsyncClient(transport=transport),
            **options,
        }
        return ChatOpenRouter(**given)
