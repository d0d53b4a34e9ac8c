from __future__ import annotations

import importlib.util

import httpx2
import pytest

from langchain_tale import ChatOpenRouter, ConfigurationError
from langchain_tale.openrouter import proxies

NEEDS_SOCKSIO = pytest.mark.skipif(
    importlib.util.find_spec("socksio") is not None, reason="socksio is there"
)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "https_proxy"])
@pytest.mark.parametrize(
    "address", [":::", "http://[::1", "ftp://user:secret@proxy:1", "http://a:b"]
)
def test_a_proxy_that_is_none_is_one_sentence_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch, name: str, address: str
) -> None:
    monkeypatch.setenv(name, address)

    with pytest.raises(ConfigurationError, match=rf"{name.upper()} is no address") as raised:
        ChatOpenRouter(model="a/b", api_key="sk-or-v1-nobody")

    assert "secret" not in str(raised.value)


@NEEDS_SOCKSIO
def test_a_socks_proxy_names_the_package_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")

    with pytest.raises(
        ConfigurationError, match=r"ALL_PROXY is a SOCKS proxy.*pip install socksio"
    ):
        ChatOpenRouter(model="a/b", api_key="sk-or-v1-nobody")


def test_a_model_s_own_proxy_counts_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", ":::")
    proxies.check("http://127.0.0.1:9")

    with pytest.raises(ConfigurationError, match="openai_proxy is no address"):
        proxies.check(":::")


@pytest.mark.parametrize("address", ["127.0.0.1:9", "http://u:p@127.0.0.1:9", "https://[::1]:9"])
def test_a_good_proxy_passes(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", address)

    proxies.check(None)


def test_who_brings_connections_brings_proxies_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with httpx2.Client() as client:
        own = {"http_client": client, "http_async_client": httpx2.AsyncClient()}
        monkeypatch.setenv("HTTPS_PROXY", ":::")

        ChatOpenRouter(model="a/b", api_key="sk-or-v1-nobody", **own)
