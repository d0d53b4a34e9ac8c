"""Proxies that cannot be used are said so in a sentence, before anything is sent.

An address may hold a password: no message quotes it.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from typing import Final
from urllib.request import getproxies

import httpx2

from langchain_tale.errors import ConfigurationError

_SCHEMES: Final = ("http", "https", "all")


def check(own: str | None) -> None:
    """Raise unless the proxies that the HTTP library would use can be used.

    Args:
        own: The proxy of one model, where it has one; else those of the environment count.

    Raises:
        ConfigurationError: One is no address of a proxy, or needs a package that is missing.
    """
    if own is not None:
        _check_one(own, "openai_proxy")
        return
    found = getproxies()
    for scheme in _SCHEMES:
        if address := found.get(scheme):
            _check_one(address, f"{scheme.upper()}_PROXY")


@lru_cache(maxsize=64)
def _check_one(address: str, name: str) -> None:
    if problem := _problem(address if "://" in address else f"http://{address}"):
        msg = f"{name} {problem}."
        raise ConfigurationError(msg)


def _problem(address: str) -> str | None:
    try:
        proxy = httpx2.Proxy(address)
    except (httpx2.InvalidURL, ValueError):
        return "is no address of a proxy, such as http://proxy.example:3128; correct or remove it"
    if proxy.url.scheme.startswith("socks") and find_spec("socksio") is None:
        return "is a SOCKS proxy, which needs a package: pip install socksio"
    return None
