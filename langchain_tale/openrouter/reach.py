"""Whether OpenRouter can be reached, by which way, and what time it is there."""

from __future__ import annotations

import socket
import ssl
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

import httpx2
import openai

from langchain_tale.errors import ConfigurationError
from langchain_tale.openrouter.sending import USER_AGENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

_PATH: Final = "/key"
"""Answers whoever asks, with a 401 where no key is shown."""
_DATE_IS_CUT_BY_S: Final = 0.5
"""A `Date` header has whole seconds: the time is half a second later on average."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What became of one request without a key.

    Attributes:
        status_code: HTTP status; None where no answer came.
        is_json: Whether the answer is of the kind that an API gives.
        latency_s: Seconds it took.
        connected_to: `host:port` that the connection was made to, which may be a proxy's; None
            where none was tried.
        skew_s: Seconds that this machine's clock is ahead of the server's, to about one second;
            None where the server did not say.
        error: Why no answer came, as the end of a sentence.
        advice: What to do about it.
    """

    status_code: int | None = None
    is_json: bool = False
    latency_s: float = 0.0
    connected_to: str | None = None
    skew_s: float | None = None
    error: str | None = None
    advice: str = ""


async def reach(
    http: httpx2.AsyncClient,
    base_url: str,
    *,
    timeout_s: float,
    now: Callable[[], float] = time.time,
) -> Reach:
    """Ask without a key.

    Args:
        http: A client that uses the proxies of the environment, as a chat model's does.
        base_url: OpenRouter's API.
        timeout_s: Seconds to wait for each step of the way.
        now: Seconds since 1970 by this machine's clock.

    Returns:
        What became of it; errors of the way are facts here, and raise nothing.
    """
    connected: list[str] = []

    async def note(name: str, info: dict[str, Any]) -> None:
        if name == "connection.connect_tcp.started":
            connected.append(f"{info['host']}:{info['port']}")

    began, started = now(), time.monotonic()
    try:
        answer = await http.get(
            base_url + _PATH,
            headers={"User-Agent": USER_AGENT},
            timeout=timeout_s,
            extensions={"trace": note},
        )
    except (httpx2.HTTPError, OSError) as error:
        why, advice = explained(error)
        return Reach(error=why, advice=advice, connected_to=_last(connected))
    return Reach(
        status_code=answer.status_code,
        is_json="json" in answer.headers.get("content-type", ""),
        latency_s=time.monotonic() - started,
        connected_to=_last(connected),
        skew_s=skew_s(answer.headers.get("date"), (began + now()) / 2),
    )


def _last(found: list[str]) -> str | None:
    return found[-1] if found else None


def skew_s(date: str | None, now_s: float) -> float | None:
    """Seconds that a clock is ahead of a `Date` header.

    Args:
        date: The header, or None.
        now_s: Seconds since 1970 by the clock, when the header was written.

    Example:
        >>> skew_s("Thu, 01 Jan 1970 00:01:00 GMT", 90.5)
        30.0
    """
    try:
        server: datetime = parsedate_to_datetime(date or "")
    except ValueError:
        return None
    return now_s - server.timestamp() - _DATE_IS_CUT_BY_S


def explained(error: Exception) -> tuple[str, str]:
    """Why there was no answer, and what to do; no address of a proxy is quoted.

    Example:
        >>> explained(httpx2.ReadTimeout("..."))[0]
        'no answer in time'
    """
    causes = list(_causes(error))
    if any(isinstance(each, socket.gaierror) for each in causes):
        return "its name is not known here", "check the network, the DNS and base_url"
    for each in causes:
        if isinstance(each, ssl.SSLCertVerificationError):
            why = f"its certificate is not trusted ({each.verify_message.rstrip('.')})"
            return why, "check the clock; where a proxy opens TLS, name its CA in SSL_CERT_FILE"
    if isinstance(error, httpx2.ProxyError):
        return f"the proxy refuses ({error})", "check the proxy's address, user and password"
    if isinstance(error, httpx2.TimeoutException | TimeoutError):
        return "no answer in time", "check the network, the DNS and the firewall"
    if isinstance(error, httpx2.ConnectError):
        return "the connection is refused or lost", "check the network, base_url and proxies"
    return f"the answer is none ({type(error).__name__})", "check base_url and proxies"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and all that led to it, groups included."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for each in error.exceptions:
                yield from _causes(each)
        error = error.__cause__ or error.__context__


def http_client() -> httpx2.AsyncClient:
    """A client as chat models use, for one event loop and to be closed.

    Raises:
        ImportError: A proxy speaks SOCKS, and `socksio` is not installed.
        ConfigurationError: A proxy's URL is none.
    """
    try:
        return openai.DefaultAsyncHttpxClient()
    except (ValueError, httpx2.InvalidURL):
        msg = "A proxy's address must look like http://host:port (HTTPS_PROXY, HTTP_PROXY)."
        raise ConfigurationError(msg) from None
