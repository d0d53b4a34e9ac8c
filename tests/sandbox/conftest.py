"""A plain HTTP client for the sandbox, and engines that end only when told."""

from __future__ import annotations

import asyncio
import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from langchain_tale.sandbox import Sandbox
from langchain_tale.sandbox.engines import End, Engine, Piece

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Mapping

MODEL = "openai/gpt-4o-mini"


class Client(httpx2.Client):
    """Speaks to a sandbox with its key, and knows where completions are."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(
            base_url=sandbox.base_url,
            headers={"Authorization": f"Bearer {sandbox.api_key}"},
            timeout=20,
        )

    def ask(self, content: str = "Tell me of a fox.", **fields: Any) -> httpx2.Response:
        return self.post("/chat/completions", json=_body(content, fields))

    def ask_with(self, headers: dict[str, str], **fields: Any) -> httpx2.Response:
        """Ask with some more headers."""
        body = _body("Tell me of a fox.", fields)
        return self.post("/chat/completions", json=body, headers=headers)

    def message(self, **fields: Any) -> dict[str, Any]:
        """The message of a whole answer."""
        message: dict[str, Any] = self.ask(**fields).json()["choices"][0]["message"]
        return message

    def chunks(self, **fields: Any) -> list[dict[str, Any]]:
        """The chunks of a stream."""
        return _chunks(self.events(**fields))

    def deltas(self, name: str, **fields: Any) -> list[Any]:
        """What the deltas of a stream say under one name, in order."""
        choices = [chunk["choices"][0] for chunk in self.chunks(**fields)]
        return [choice["delta"][name] for choice in choices if choice["delta"].get(name)]

    def events(self, content: str = "Tell me of a fox.", **fields: Any) -> list[str]:
        """The lines of a stream, blank ones left out."""
        answer = self.ask(content, stream=True, **fields)
        return [line for line in answer.text.splitlines() if line]

    def leave_after(self, lines: int, **fields: Any) -> str:
        """Close a stream after some lines; its generation id."""
        body = _body("Tell me of a fox.", {"stream": True, **fields})
        with self.stream("POST", "/chat/completions", json=body) as answer:
            for _ in zip(range(lines), answer.iter_lines(), strict=False):
                pass
        return str(answer.headers["X-Generation-Id"])

    def until(self, true: Callable[[], bool]) -> None:
        """Ask for little things until something has become true."""
        for _ in range(3000):
            if true():
                return
            self.get("/key")
        pytest.fail("It never became true.")


def _body(content: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": content}], **fields}


@pytest.fixture
def chunks_of() -> Callable[[list[str]], list[dict[str, Any]]]:
    """A function that reads a stream's events, without comments and `[DONE]`."""
    return _chunks


def _chunks(lines: list[str]) -> list[dict[str, Any]]:
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    return [json.loads(item) for item in data if item != "[DONE]"]


class StuckEngine:
    """Says some words, and then nothing more until it is closed."""

    provider_name = "Stuck"

    def __init__(self, *words: str) -> None:
        self._words = words
        self.started = self.stopped = 0

    async def generate(self, request: Mapping[str, Any]) -> AsyncGenerator[Piece | End]:
        self.started += 1
        try:
            for word in self._words:
                yield Piece(text=word)
            await asyncio.Event().wait()
        finally:
            self.stopped += 1

    def close(self) -> None:
        pass


class BrokenEngine:
    """Raises what it is given after the words it is given."""

    provider_name = "Broken"

    def __init__(self, error: Exception | None, *words: str) -> None:
        self._error = error
        self._words = words

    async def generate(self, request: Mapping[str, Any]) -> AsyncGenerator[Piece | End]:
        for word in self._words:
            yield Piece(text=word)
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        pass


@pytest.fixture
def http(sandbox: Sandbox) -> Iterator[Client]:
    with Client(sandbox) as client:
        yield client


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[Sandbox, Client]]]:
    """A function that starts a sandbox of one's own, with a client for it."""
    with ExitStack() as stack:

        def start(engine: Engine | str = "scripted", **options: Any) -> tuple[Sandbox, Client]:
            given: dict[str, Any] = {"engine": engine, "lateness_s": 0.0, **options}
            sandbox = stack.enter_context(Sandbox(**given))
            return sandbox, stack.enter_context(Client(sandbox))

        yield start


@pytest.fixture
def client() -> type[Client]:
    return Client


@pytest.fixture
def stuck() -> type[StuckEngine]:
    return StuckEngine


@pytest.fixture
def broken() -> type[BrokenEngine]:
    return BrokenEngine
