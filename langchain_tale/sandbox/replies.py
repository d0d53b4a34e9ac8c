"""HTTP of the sandbox: JSON, pages of the edge, answers told in parts, hang-ups."""

from __future__ import annotations

import asyncio
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.sandbox import bodies
from langchain_tale.sandbox.pieces import SandboxError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from starlette.types import Receive, Scope, Send

try:
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
except ImportError as error:
    msg = "The sandbox needs an extra: pip install 'langchain-tale[local]'."
    raise SandboxError(msg) from error

SERVER_NAME: Final = "langchain-tale-sandbox"


class ToldAnswer(StreamingResponse):
    """A body that is closed however it ends, even where the client left before it began."""

    def __init__(
        self,
        parts: AsyncGenerator[bytes],
        close: Callable[[], Awaitable[None]],
        headers: dict[str, str],
    ) -> None:
        super().__init__(parts, headers=headers)
        self.close = close
        _name(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the parts."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self.close()


class NoAnswer(Response):
    """Not a byte: the connection ends instead.

    Args:
        end_connection: Ends it.
        until: What is waited for before that, unless the client leaves first.
    """

    def __init__(
        self, end_connection: Callable[[], None], until: asyncio.Event | None = None
    ) -> None:
        super().__init__()
        self._end_connection = end_connection
        self._until = until

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Hang up, and wait until the server has noticed."""
        leaving = asyncio.create_task(_disconnected(receive))
        if self._until is not None:
            waiting = asyncio.create_task(self._until.wait())
            await asyncio.wait({leaving, waiting}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
        self._end_connection()
        await leaving


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def body_of(request: Request) -> bytes | None:
    """What was sent; None where the client left before that was all."""
    try:
        return await request.body()
    except ClientDisconnect:
        return None


def reply(body: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON body."""
    return _name(JSONResponse(body, status_code=status, headers=headers))


def refused(code: int, message: str, *, error_type: str | None = None) -> Response:
    """The classic error envelope, under its own status."""
    return reply(bodies.error(code, message, error_type=error_type), status=code)


def page(status: int, message: str, headers: dict[str, str]) -> Response:
    """A page in HTML, which is what the edge in front of OpenRouter sends by itself."""
    html = (
        f"<!DOCTYPE html>\n<html><head><title>{status}: {message}</title></head>"
        f"<body><center><h1>Error {status}</h1></center><p>{message}</p></body></html>\n"
    )
    return _name(HTMLResponse(html, status_code=status, headers=headers))


async def not_found(request: Request, _error: Exception) -> Response:
    """The answer to an unknown path or method."""
    message = f"No such path: {request.method} {request.url.path}"
    return refused(404, message, error_type="not_found")


def _name(response: Response) -> Response:
    """Say in the `server` header that this is no OpenRouter; cassettes keep it."""
    response.headers["server"] = f"{SERVER_NAME}/{_version()}"
    return response


def _version() -> str:
    try:
        return version("langchain-tale")
    except PackageNotFoundError:
        return "unknown"
