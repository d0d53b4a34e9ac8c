"""The HTTP side: OpenRouter's documented API as a Starlette application on loopback."""

from __future__ import annotations

import asyncio
import secrets
import socket
import threading
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from langchain_tale.catalogue import OpenRouterModel
from langchain_tale.sandbox import bodies
from langchain_tale.sandbox.engines import (
    End,
    Engine,
    EngineError,
    LlamaEngine,
    SandboxError,
    ScriptedEngine,
)
from langchain_tale.sandbox.faults import Fault, FaultPlan
from langchain_tale.sandbox.telling import Stats, Telling

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
    from types import TracebackType

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse, Response, StreamingResponse
    from starlette.routing import Route
except ImportError as error:
    msg = "The sandbox needs an extra: pip install 'langchain-tale[local]'."
    raise SandboxError(msg) from error

SANDBOX_KEY: Final = "sk-or-v1-sandbox"
SERVER_NAME: Final = "langchain-tale-sandbox"
STOPPING_S: Final = 2
"""A client that does not read what it asked for cannot delay the end by more."""


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
        port: The port it listens on.
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
        self._plan = FaultPlan(faults)
        self._stats = Stats(lateness_s)
        self._ongoing: set[Telling] = set()
        self._socket = _listening(port)
        self.port: int = self._socket.getsockname()[1]
        try:
            self._engine = _engine(engine)
        except SandboxError:
            self._socket.close()
            raise
        self._server = _Server(
            uvicorn.Config(
                self._application(),
                log_config=None,
                server_header=False,
                lifespan="off",
                ws="none",
                timeout_graceful_shutdown=STOPPING_S,
            )
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._has_loop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="sandbox", daemon=True)

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
        """Stop answering; what is being written ends with an error. Again is harmless."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._has_loop.wait()
            self._drop_all()
            self._thread.join()
        self._socket.close()
        self._engine.close()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Block until it stops, or for so many seconds; True once it has stopped."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

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
        asyncio.run(self._until_stopped())

    async def _until_stopped(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._has_loop.set()
        await self._server.serve(sockets=[self._socket])

    def _drop_all(self) -> None:
        def drop() -> None:
            self._server.woken.set()
            for telling in self._ongoing:
                telling.drop()

        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(drop)

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
        telling = Telling(of, self._engine.generate(body), fault)
        self._ongoing.add(telling)
        try:
            await telling.begin()
        except EngineError as error:
            self._ongoing.discard(telling)
            answer = bodies.error(error.code, str(error), error_type=error.error_type)
            return _json(answer, status_code=error.code, headers=headers)
        if of.streamed:
            headers |= {"Cache-Control": "no-cache", "Content-Type": "text/event-stream"}
        else:
            headers |= {"Content-Type": "application/json"}
        return _named(_Answer(self._remembering(telling), lambda: self._close(telling), headers))

    async def _remembering(self, telling: Telling) -> AsyncGenerator[bytes]:
        """Pass the answer on; who has its last words may ask for its record."""
        async for part in telling.events() if telling.of.streamed else telling.whole():
            if telling.end is not None:
                self._stats.put(telling)
            yield part
        self._stats.put(telling)

    async def _close(self, telling: Telling) -> None:
        self._ongoing.discard(telling)
        await telling.aclose()
        self.cancelled += telling.end is None
        self._stats.put(telling)


class _Server(uvicorn.Server):
    """Uvicorn, less the fifth of a second that it takes to stop where nothing is written."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.woken = asyncio.Event()

    async def main_loop(self) -> None:
        for tick in count():
            if await self.on_tick(tick):
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self.woken.wait(), 0.1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.server_state.tasks:
            await super().shutdown(sockets)
            return
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()


class _Answer(StreamingResponse):
    """A body that is closed however it ends, even where the client left before it began."""

    def __init__(
        self,
        parts: AsyncGenerator[bytes],
        close: Callable[[], Awaitable[None]],
        headers: dict[str, str],
    ) -> None:
        super().__init__(parts, headers=headers)
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._close()


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
    # Only with the protocol named does asyncio switch Nagle's algorithm off (40 ms an answer).
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
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
