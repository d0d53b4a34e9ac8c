"""The HTTP side: OpenRouter's documented API as a Starlette application on loopback."""

from __future__ import annotations

import asyncio
import secrets
import socket
import threading
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from langchain_tale.sandbox import listings
from langchain_tale.sandbox.batches import USUAL, Batches, BatchManner
from langchain_tale.sandbox.completing import Completions
from langchain_tale.sandbox.engines import Engine, SandboxError, engine_of
from langchain_tale.sandbox.keys import KeyTerms
from langchain_tale.sandbox.plans import FaultPlan, Faults
from langchain_tale.sandbox.replies import not_found, refused, reply
from langchain_tale.sandbox.telling import Manner, Stats, UsageChunk
from langchain_tale.sandbox.wire import Wire

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping
    from types import TracebackType

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from langchain_tale.sandbox.faults import Kind

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.routing import Route
    from uvicorn.protocols.http.h11_impl import H11Protocol
except ImportError as error:
    msg = "The sandbox needs an extra: pip install 'langchain-tale[local]'."
    raise SandboxError(msg) from error

SANDBOX_KEY: Final = "sk-or-v1-sandbox"
NO_TERMS: Final = KeyTerms()
STOPPING_S: Final = 2
"""A client that does not read what it asked for cannot delay the end by more."""


class Sandbox:
    """A local OpenRouter on a loopback port, for as long as a `with` block lasts.

    Args:
        engine: `"llama"`, a small real model; `"scripted"`, instant and deterministic; or an
            engine of your own.
        port: TCP port, or 0 for a free one.
        api_key: The only key it accepts.
        faults: For each model, or for `"*"`, what goes wrong with its requests: in order, None
            among them for a healthy one, and all are after the last; at random, by a
            `FaultMix`; or by a function of the request's body.
        lateness_s: Seconds until `GET /generation` knows an answer that has ended.
        usage_chunk: How a stream tells its usage: in a chunk that repeats the finish reason
            (`"repeated"`, as recorded since 2026-04), that has none (`"null"`, as before), or
            that has no choice (`"empty"`, as documented).
        padded: Whether whole bodies begin with white space and streams with a comment, as
            half of those recorded do.
        byok: Whether a provider key of the caller's own is used, so that OpenRouter itself
            charges nothing.
        key: What the key may spend, and until when; unless you say otherwise, all and for ever.
        batches: How batches fare.
        uptime_percent: For each model, how many of its requests its endpoint is listed to have
            answered lately, 0 to 100; None for too few to tell, and 100 for models not named.

    Attributes:
        port: The port it listens on.
        base_url: For `ChatOpenRouter(base_url=…)`, up to and including `/v1`.
        requests: Completions asked of each model so far; what the response cache answers
            asks no model.
        failures: Faults ordered so far, by model and kind.
        most_at_once: The greatest number of completions that were under way at once.
        cancelled: Generations that the client left before they had ended.
        batch_sizes: How many requests each batch has that it took, in order.

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
        faults: Mapping[str, Faults] | None = None,
        lateness_s: float = 0.2,
        usage_chunk: UsageChunk = "repeated",
        padded: bool = True,
        byok: bool = False,
        key: KeyTerms = NO_TERMS,
        batches: BatchManner = USUAL,
        uptime_percent: Mapping[str, float | None] | None = None,
    ) -> None:
        self.api_key = api_key
        self._key = key
        self._uptime_percent = dict(uptime_percent or {})
        self._plan = FaultPlan(faults)
        self._stats = Stats(lateness_s)
        self._socket = _listening(port)
        self.port: int = self._socket.getsockname()[1]
        try:
            self._engine = engine_of(engine)
        except SandboxError:
            self._socket.close()
            raise
        self._completions = Completions(
            self._engine,
            plan=self._plan,
            stats=self._stats,
            manner=Manner(usage_chunk=usage_chunk, padded=padded),
            is_byok=byok,
        )
        self._batches = Batches(self._completions, batches)
        self._server = _Server(
            uvicorn.Config(
                self._application(),
                log_config=None,
                server_header=False,
                http=H11Protocol,  # others, where installed, would be hung up on differently
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

    @property
    def failures(self) -> Counter[tuple[str, Kind]]:
        """Faults ordered so far, by model and kind, e.g. `failures["a/b", "cut"]`."""
        return self._plan.failures.copy()

    @property
    def most_at_once(self) -> int:
        """The greatest number of completions that were under way at once."""
        return self._plan.most_at_once

    @property
    def cancelled(self) -> int:
        """Generations that the client left before they had ended."""
        return self._completions.cancelled

    @property
    def batch_sizes(self) -> list[int]:
        """How many requests each batch has that it took, in order."""
        return self._batches.sizes

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
            self._completions.drop_all()

        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(drop)

    # ── routes ──────────────────────────────────────────────────────────────

    def _application(self) -> Starlette:
        routes = [
            Route(
                "/api/v1/chat/completions",
                self._complete,
                methods=["POST"],
                middleware=[Middleware(_Counted, plan=self._plan)],
            ),
            Route("/api/beta/batches", self._submit, methods=["POST"]),
            Route("/api/beta/batches/{id}", self._get_batch),
            Route("/api/v1/generation", self._get_generation),
            Route("/api/v1/models", self._get_models),
            Route("/api/v1/model/{author}/{slug}", self._get_model),
            Route("/api/v1/models/{author}/{slug}/endpoints", self._get_endpoints),
            Route("/api/v1/key", self._get_key),
        ]
        return Starlette(routes=routes, exception_handlers={404: not_found, 405: not_found})

    def _denied(self, request: Request) -> Response | None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given:
            return refused(401, "Missing Authentication header", error_type="authentication")
        if not secrets.compare_digest(given.encode(), self.api_key.encode()):
            return refused(401, "User not found.", error_type="authentication")
        if self._key.is_over(datetime.now(UTC)):
            return refused(401, "API key expired.", error_type="authentication")
        return None

    def _unpaid(self) -> Response | None:
        if self._key.is_spent(self._stats.spent_usd):
            return refused(402, "Key limit exceeded.", error_type="payment_required")
        return None

    async def _complete(self, request: Request) -> Response:
        return (
            self._denied(request)
            or self._unpaid()
            or await self._completions.answer(
                request,
                api_key=self.api_key,
                wire=Wire(lambda: self._transport(request.scope)),
            )
        )

    async def _submit(self, request: Request) -> Response:
        if denied := self._denied(request) or self._unpaid():
            return denied
        return await self._batches.submit(request, Wire(lambda: self._transport(request.scope)))

    async def _get_batch(self, request: Request) -> Response:
        return self._denied(request) or self._batches.look(request.path_params["id"])

    async def _get_models(self, _request: Request) -> Response:
        return reply(listings.models())

    async def _get_model(self, request: Request) -> Response:
        slug = _slug(request)
        return _found(listings.model(slug), slug)

    async def _get_endpoints(self, request: Request) -> Response:
        slug = _slug(request)
        return _found(listings.endpoints(slug, self._uptime_percent.get(slug, 100.0)), slug)

    async def _get_key(self, request: Request) -> Response:
        return self._denied(request) or reply(self._key.record(self._stats.spent_usd))

    async def _get_generation(self, request: Request) -> Response:
        if denied := self._denied(request):
            return denied
        generation_id = request.query_params.get("id", "")
        record = self._stats.get(generation_id)
        if record is None:
            return refused(404, f"Generation {generation_id} not found")
        return reply({"data": record})

    def _transport(self, scope: Scope) -> asyncio.Transport | None:
        """The connection of a client, unless it has left."""
        for connection in self._server.server_state.connections:
            if isinstance(connection, H11Protocol) and connection.client == scope["client"]:
                return connection.transport
        return None


class _Counted:
    """An application, and how many requests it answers at once, each up to its last byte."""

    def __init__(self, app: ASGIApp, plan: FaultPlan) -> None:
        self._app = app
        self._plan = plan

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with ExitStack() as under_way:
            under_way.enter_context(self._plan.answering())

            async def sending(message: Message) -> None:
                if message["type"] == "http.response.body" and not message.get("more_body"):
                    under_way.close()
                await send(message)

            await self._app(scope, receive, sending)


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


def _slug(request: Request) -> str:
    return "{author}/{slug}".format(**request.path_params)


def _found(body: dict[str, Any] | None, slug: str) -> Response:
    if body is None:
        return refused(404, f"Model {slug} not found", error_type="not_found")
    return reply(body)
