"""The HTTP side: OpenRouter's documented API as a Starlette application on loopback."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import threading
import time
from collections import OrderedDict
from contextlib import aclosing
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from langchain_tale.catalogue import OpenRouterModel
from langchain_tale.sandbox import bodies
from langchain_tale.sandbox.engines import (
    End,
    Engine,
    EngineError,
    LlamaEngine,
    Piece,
    SandboxError,
    ScriptedEngine,
)
from langchain_tale.sandbox.faults import Fault, FaultPlan

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping
    from types import TracebackType

    from starlette.requests import Request

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse, Response, StreamingResponse
    from starlette.routing import Route
except ImportError as error:
    msg = "The sandbox needs an extra: pip install 'langchain-tale[local]'."
    raise SandboxError(msg) from error

SANDBOX_KEY: Final = "sk-or-v1-sandbox"
KEEPALIVE: Final = b": OPENROUTER PROCESSING\n\n"
KEEPALIVE_S: Final = 1.0
PADDING: Final = b"\n         \n"
"""Nearly half of the recorded bodies begin with white space, sent while the model works."""
REMEMBERED_GENERATIONS: Final = 10_000
SERVER_NAME: Final = "langchain-tale-sandbox"


class Sandbox:
    """A local OpenRouter on a loopback port, for as long as a `with` block lasts.

    Args:
        engine: `"llama"`, a small real model; `"scripted"`, instant and deterministic; or an
            engine of your own.
        port: TCP port, or 0 for a free one.
        api_key: The only key it accepts.
        faults: For each model, what goes wrong with its requests, in order; None among them
            for a healthy one. After the last, all are healthy.
        lateness_s: Seconds until `GET /generation` knows an answer that has ended.

    Attributes:
        base_url: For `ChatOpenRouter(base_url=…)`, up to and including `/v1`.
        requests: Completions asked of each model so far.
        cancelled: Generations that the client left before they had ended.

    Raises:
        SandboxError: An extra or the model is missing, or the port is taken.

    Example:
        ```python
        with Sandbox(engine="scripted") as sandbox:
            llm = ChatOpenRouter(base_url=sandbox.base_url, api_key=sandbox.api_key)
            llm.invoke("Tell me of a fox.")
        ```
    """

    def __init__(
        self,
        engine: Engine | Literal["llama", "scripted"] = "llama",
        *,
        port: int = 0,
        api_key: str = SANDBOX_KEY,
        faults: Mapping[str, Iterable[Fault | None]] | None = None,
        lateness_s: float = 0.2,
    ) -> None:
        self.api_key = api_key
        self.cancelled = 0
        self._engine = _engine(engine)
        self._plan = FaultPlan(faults)
        self._stats = _Stats(lateness_s)
        self._socket = _listening(port)
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._application(), log_config=None, server_header=False, lifespan="off", ws="none"
            )
        )
        self._thread = threading.Thread(target=self._serve, name="sandbox", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._socket.getsockname()[1])

    @property
    def base_url(self) -> str:
        """Where the API lives."""
        return f"http://127.0.0.1:{self.port}/api/v1"

    @property
    def requests(self) -> Mapping[str, int]:
        """Completions asked of each model so far."""
        return self._plan.requests

    def start(self) -> Self:
        """Begin to answer; requests that came before are waiting already."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop answering; what is being written is dropped."""
        self._server.should_exit = self._server.force_exit = True
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()
        self._engine.close()

    def wait(self) -> None:
        """Block until it stops."""
        while self._thread.is_alive():
            self._thread.join(timeout=1.0)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])

    # ── routes ──────────────────────────────────────────────────────────────

    def _application(self) -> Starlette:
        routes = [
            Route("/api/v1/chat/completions", self._complete, methods=["POST"]),
            Route("/api/v1/generation", self._get_generation),
            Route("/api/v1/models", self._get_models),
            Route("/api/v1/models/{author}/{slug}/endpoints", self._get_endpoints),
            Route("/api/v1/key", self._get_key),
        ]
        return Starlette(routes=routes, exception_handlers={404: _not_found, 405: _not_found})

    def _denied(self, request: Request) -> Response | None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given:
            return _refused(401, "Missing Authentication header", error_type="authentication")
        if not secrets.compare_digest(given.encode(), self.api_key.encode()):
            return _refused(401, "User not found.", error_type="authentication")
        return None

    async def _get_models(self, _request: Request) -> Response:
        return _json(bodies.models())

    async def _get_endpoints(self, request: Request) -> Response:
        slug = "{author}/{slug}".format(**request.path_params)
        known = {model["id"] for model in bodies.models()["data"]}
        if slug not in known:
            return _refused(404, f"Model {slug} not found", error_type="not_found")
        return _json(bodies.endpoints(slug))

    async def _get_key(self, request: Request) -> Response:
        return self._denied(request) or _json(bodies.key(self._stats.spent_usd))

    async def _get_generation(self, request: Request) -> Response:
        if denied := self._denied(request):
            return denied
        generation_id = request.query_params.get("id", "")
        record = self._stats.get(generation_id)
        if record is None:
            return _refused(404, f"Generation {generation_id} not found")
        return _json({"data": record})

    async def _complete(self, request: Request) -> Response:
        if denied := self._denied(request):
            return denied
        try:
            body = await request.json()
        except ValueError:
            return _refused(400, "The body is no JSON.", error_type="invalid_request")
        if problem := bodies.problem_with(body):
            return _refused(400, problem, error_type="invalid_request")
        answer: Response | None = None
        for asked in filter(None, (body.get("model"), *(body.get("models") or ()))):
            answer = await self._ask(asked, body)
            if answer.status_code == 200:  # noqa: PLR2004 (HTTP's word for success)
                break
        return answer or _refused(400, "model must be a string.", error_type="invalid_request")

    async def _ask(self, asked: str, body: dict[str, Any]) -> Response:
        fault = self._plan.next_for(asked)
        if "/" not in asked:
            return _refused(400, f"{asked} is not a valid model ID", error_type="invalid_request")
        known = OpenRouterModel(asked) if asked in set(OpenRouterModel) else None
        if known is not None and known.info.status == "retired":
            return _json(bodies.retired(known), status_code=404)
        of = bodies.Generation(
            id=f"gen-{int(time.time())}-{secrets.token_urlsafe(15)}",
            asked=asked,
            model=bodies.concrete(asked),
            provider_name=self._engine.provider_name,
            created=int(time.time()),
            streamed=bool(body.get("stream")),
        )
        headers = {"X-Generation-Id": of.id}
        if fault is not None and _is_whole(fault, of):
            return _faulty(fault, of, headers)
        telling = _Telling(of, self._engine.generate(body), fault)
        try:
            await telling.begin()
        except EngineError as error:
            return _refused(error.code, str(error), error_type=error.error_type)
        parts = telling.events() if of.streamed else telling.whole()
        media_type = "text/event-stream" if of.streamed else "application/json"
        if of.streamed:
            headers["Cache-Control"] = "no-cache"
        return _named(
            StreamingResponse(
                self._remembering(telling, parts), media_type=media_type, headers=headers
            )
        )

    async def _remembering(
        self, telling: _Telling, parts: AsyncGenerator[bytes]
    ) -> AsyncGenerator[bytes]:
        """Pass the answer on, and keep its record however it ends."""
        try:
            async with aclosing(telling.pieces), aclosing(parts):
                async for part in parts:
                    yield part
        finally:
            self.cancelled += telling.end is None
            self._stats.put(telling)


@dataclass(slots=True)
class _Telling:
    """One answer on its way to the client."""

    of: bodies.Generation
    pieces: AsyncGenerator[Piece | End]
    fault: Fault | None
    said: bodies.Transcript = field(default_factory=bodies.Transcript)
    end: End | None = None
    started_at: float = field(default_factory=time.monotonic)
    first_at: float = 0.0
    _waiting: asyncio.Future[Piece | End] | None = None
    _sent: int = 0

    async def begin(self) -> None:
        """Wait for the first piece; until then an error still has a status of its own."""
        self._waiting = asyncio.ensure_future(anext(self.pieces))
        try:
            await asyncio.wait({self._waiting}, timeout=KEEPALIVE_S)
        except asyncio.CancelledError:
            self._waiting.cancel()
            raise
        if self._waiting.done():
            self._waiting.result()

    async def _next(self) -> AsyncGenerator[Piece | None]:
        """The pieces before the end; None for each second without one."""
        try:
            while self.end is None:
                if self._waiting is None:
                    self._waiting = asyncio.ensure_future(anext(self.pieces))
                await asyncio.wait({self._waiting}, timeout=KEEPALIVE_S)
                if not self._waiting.done():
                    yield None
                    continue
                item, self._waiting = self._waiting.result(), None
                self.first_at = self.first_at or time.monotonic()
                if isinstance(item, End):
                    self.end = item
                else:
                    self.said.add(item)
                    yield item
        finally:
            if self._waiting is not None:
                self._waiting.cancel()
                await asyncio.wait({self._waiting})

    async def whole(self) -> AsyncGenerator[bytes]:
        """A JSON body, with white space to keep the connection alive."""
        yield PADDING
        padded_at = time.monotonic()
        async for _piece in self._next():
            if time.monotonic() - padded_at >= KEEPALIVE_S:
                padded_at = time.monotonic()
                yield PADDING
        if self.end is not None:
            yield json.dumps(bodies.completion(self.of, self.said, self.end)).encode()

    async def events(self) -> AsyncGenerator[bytes]:
        """Server-sent events, with comments to keep the connection alive."""
        yield KEEPALIVE
        async for piece in self._next():
            if piece is None:
                yield KEEPALIVE
                continue
            if self.fault is not None and self._sent >= self.fault.after_chunks:
                if self.fault.kind == "midstream":
                    yield _event(self._failure(self.fault))
                return
            index = max(0, len(self.said.tool_calls) - 1)
            yield _event(bodies.chunk(self.of, piece, index=index))
            self._sent += 1
        if self.end is not None:
            yield _event(bodies.chunk(self.of, Piece(), end=self.end))
            usage = bodies.usage(self.of.model, self.end)
            yield _event(bodies.chunk(self.of, Piece(), end=self.end, usage=usage))
            yield b"data: [DONE]\n\n"

    def _failure(self, fault: Fault) -> dict[str, Any]:
        failed = bodies.chunk(self.of, Piece(), end=End("error", 0, 0))
        return {**failed, "error": fault.error()}


@dataclass(slots=True)
class _Stats:
    """What `GET /generation` and `GET /key` know."""

    lateness_s: float
    spent_usd: float = 0.0
    _records: OrderedDict[str, tuple[float, dict[str, Any]]] = field(default_factory=OrderedDict)

    def put(self, telling: _Telling) -> None:
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
        known_at, record = self._records.get(generation_id, (0.0, None))
        return record if time.monotonic() >= known_at else None


def _engine(engine: Engine | str) -> Engine:
    if isinstance(engine, str):
        kinds: dict[str, type[LlamaEngine | ScriptedEngine]] = {
            "llama": LlamaEngine,
            "scripted": ScriptedEngine,
        }
        if engine not in kinds:
            msg = f"engine must be 'llama', 'scripted' or an engine, not {engine!r}."
            raise SandboxError(msg)
        return kinds[engine]()
    return engine


def _listening(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        listener.close()
        msg = f"Port {port} cannot be used ({error}); choose another, or 0 for a free one."
        raise SandboxError(msg) from None
    listener.listen(2048)
    return listener


def _is_whole(fault: Fault, of: bodies.Generation) -> bool:
    """Whether the fault takes the place of the whole answer."""
    return fault.kind in ("http", "body", "empty") or not of.streamed


def _faulty(fault: Fault, of: bodies.Generation, headers: dict[str, str]) -> Response:
    headers = {**headers, **fault.headers}
    if fault.kind == "empty":
        return _json(bodies.completion(of, bodies.Transcript(), End("stop", 8, 0)), headers=headers)
    if fault.kind == "body":
        return _json({"error": fault.error()}, headers=headers)
    status = fault.status if fault.kind == "http" else 502
    return _json({"error": fault.error()}, status_code=status, headers=headers)


def _event(data: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode()


def _refused(code: int, message: str, *, error_type: str | None = None) -> Response:
    return _json(bodies.error(code, message, error_type=error_type), status_code=code)


def _json(body: Any, *, status_code: int = 200, headers: dict[str, str] | None = None) -> Response:
    return _named(JSONResponse(body, status_code=status_code, headers=headers))


def _named(response: Response) -> Response:
    """Say in the `server` header that this is no OpenRouter; cassettes keep it."""
    response.headers["server"] = f"{SERVER_NAME}/{_version()}"
    return response


def _version() -> str:
    try:
        return version("langchain-tale")
    except PackageNotFoundError:
        return "unknown"


async def _not_found(request: Request, _error: Exception) -> Response:
    return _refused(
        404, f"No such path: {request.method} {request.url.path}", error_type="not_found"
    )
