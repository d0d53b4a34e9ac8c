"""What is to be said of the way to OpenRouter: the connection, proxies, the clock; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from langchain_tale.doctor.finding import Finding, skipped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_tale.openrouter.reach import Reach

MOST_SKEW_S: Final = 30.0
"""A clock that is further off than this misdates logs and audits, and in time breaks TLS."""
_SERVES: Final = frozenset({200, 401, 403, 429})
"""What OpenRouter answers to a request without a key."""
_UNREADABLE: Final = "an address that cannot be read"


def connection_found(base_url: str, reach: Reach) -> Finding:
    """Whether OpenRouter's API answers at its address."""
    facts: dict[str, Any] = {"base_url": base_url, "status_code": reach.status_code}
    if reach.error is not None:
        return Finding(
            check="connection",
            status="failed",
            text=f"{base_url}: {reach.error}",
            advice=reach.advice,
            facts=facts,
        )
    if reach.status_code not in _SERVES or not reach.is_json:
        is_down = (reach.status_code or 0) >= 500  # noqa: PLR2004 (HTTP's own border)
        kind = "JSON" if reach.is_json else "no JSON"
        return Finding(
            check="connection",
            status="failed",
            text=f"{base_url} answers {reach.status_code} and {kind}, as OpenRouter's API does not",
            advice="try again later"
            if is_down
            else "check base_url, and whether the network wants a login first",
            facts=facts,
        )
    text = f"{base_url} answers in {reach.latency_s:.2f} s"
    facts["latency_s"] = round(reach.latency_s, 3)
    return Finding(check="connection", status="ok", text=text, facts=facts)


def clock_found(reach: Reach) -> Finding:
    """Whether this machine's clock goes right."""
    if reach.skew_s is None:
        return skipped("clock", "the server did not say what time it is")
    off_s = abs(reach.skew_s)
    facts = {"skew_s": round(reach.skew_s, 1)}
    if off_s <= MOST_SKEW_S:
        text = f"within {max(1.0, off_s):.0f} s of the server's"
        return Finding(check="clock", status="ok", text=text, facts=facts)
    return Finding(
        check="clock",
        status="failed",
        text=f"{off_s:.0f} s {'ahead of' if reach.skew_s > 0 else 'behind'} the server's",
        advice="set it, best by NTP",
        facts=facts,
    )


# ── proxies ─────────────────────────────────────────────────────────────────


def proxy_found(base_url: str, proxies: Mapping[str, str], reach: Reach) -> Finding:
    """Which proxy is set, and whether the way to OpenRouter leads through it.

    Args:
        base_url: OpenRouter's API.
        proxies: By scheme, as the environment has them.
        reach: What became of a request.
    """
    proxy = proxy_for(base_url, proxies)
    if proxy is None:
        return skipped("proxy", f"none is set for {urlsplit(base_url).scheme}")
    host = urlsplit(base_url).hostname
    is_used = reach.connected_to != _address(base_url)
    way = f"the way to {host} leads through" if is_used else f"NO_PROXY keeps {host} from"
    facts = {"proxy": without_credentials(proxy), "is_used": is_used}
    text = f"{way} {without_credentials(proxy)}"
    return Finding(check="proxy", status="ok", text=text, facts=facts)


def is_unreadable(base_url: str, proxies: Mapping[str, str]) -> bool:
    """Whether the proxy that is set for an address has an address that is none."""
    proxy = proxy_for(base_url, proxies)
    return proxy is not None and without_credentials(proxy) == _UNREADABLE


def proxy_unusable(
    base_url: str, proxies: Mapping[str, str], error: Exception | None = None
) -> Finding:
    """A proxy that no client can be made for."""
    proxy = proxy_for(base_url, proxies)
    shown = _UNREADABLE if proxy is None else without_credentials(proxy)
    text = f"it has {shown}" if shown == _UNREADABLE else f"{shown} cannot be used"
    return Finding(
        check="proxy",
        status="failed",
        text=text,
        advice="pip install 'httpx2[socks]'"
        if isinstance(error, ImportError)
        else "write it like http://host:port in HTTPS_PROXY, HTTP_PROXY and ALL_PROXY",
    )


def proxy_for(base_url: str, proxies: Mapping[str, str]) -> str | None:
    """The proxy that is set for an address, exceptions aside."""
    return proxies.get(urlsplit(base_url).scheme) or proxies.get("all")


def without_credentials(proxy: str) -> str:
    """The address of a proxy, without the user and the password in it.

    Example:
        >>> without_credentials("http://mia:secret@proxy.example:3128/")
        'http://proxy.example:3128 (with a password)'
    """
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        return _UNREADABLE
    if not parts.hostname:
        return _UNREADABLE
    known = " (with a password)" if "@" in parts.netloc else ""
    return f"{parts.scheme}://{parts.hostname}{port}{known}"


def _address(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
