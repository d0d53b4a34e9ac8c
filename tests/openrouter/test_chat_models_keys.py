"""Keys and addresses: where they come from, where they go, and where they are never seen."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.load import dumpd
from pydantic import SecretStr

from langchain_tale import errors
from langchain_tale.errors import ConfigurationError
from langchain_tale.openrouter.chat_models import ChatOpenRouter
from langchain_tale.openrouter.keys import has_key, key_sources
from tests.conftest import chat_model
from tests.openrouter.replies import Wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_tale.sandbox import Sandbox

# ── keys ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("key", [None, "", "  ", SecretStr(""), SecretStr(" \n")], ids=repr)
def test_a_missing_key_is_said_before_anything_is_sent(key: Any) -> None:
    with pytest.raises(ValueError, match="OPENROUTER_API_KEY") as caught:
        ChatOpenRouter(model="a/b", api_key=key)
    assert isinstance(caught.value, ConfigurationError)


@pytest.mark.parametrize(
    ("given", "environment", "sent"),
    [
        ("sk-1", None, "sk-1"),
        (SecretStr("sk-1"), None, "sk-1"),
        (" sk-1\n", None, "sk-1"),
        (lambda: "sk-1\n", None, "sk-1"),
        (lambda: SecretStr("sk-1"), None, "sk-1"),
        ("sk-1", "sk-2", "sk-1"),
        (None, "sk-2", "sk-2"),
    ],
    ids=["text", "secret", "with space", "function", "secret function", "given", "environment"],
)
async def test_the_key_is_sent_and_only_the_key(
    monkeypatch: pytest.MonkeyPatch, given: Any, environment: str | None, sent: str
) -> None:
    if environment is not None:
        monkeypatch.setenv("OPENROUTER_API_KEY", environment)
    wire = Wire()
    llm = wire.llm(api_key=given)
    llm.invoke("x")
    assert wire.headers["authorization"] == f"Bearer {sent}"
    await llm.ainvoke("x")
    assert wire.headers["authorization"] == f"Bearer {sent}"


def test_a_function_is_asked_before_each_request(sandbox: Sandbox) -> None:
    current = [sandbox.api_key]
    llm = chat_model(sandbox, api_key=lambda: current[-1])

    assert llm.invoke("x").text
    current.append("sk-or-v1-revoked")
    with pytest.raises(errors.AuthenticationError):
        llm.invoke("x")
    current.append(sandbox.api_key)
    assert asyncio.run(llm.ainvoke("x")).text


async def test_a_coroutine_function_serves_asynchronous_calls() -> None:
    async def key() -> str:
        return "sk-1"

    wire = Wire()
    llm = wire.llm(api_key=key)
    await llm.ainvoke("x")

    assert wire.headers["authorization"] == "Bearer sk-1"
    with pytest.raises(ValueError, match="async"):
        llm.invoke("x")


@pytest.mark.parametrize("key", ["", " ", None, 7], ids=repr)
async def test_a_function_without_a_key_is_an_error_of_ours(key: Any) -> None:
    wire = Wire()
    llm = wire.llm(api_key=lambda: key)

    with pytest.raises(ConfigurationError, match="no key"):
        llm.invoke("x")
    with pytest.raises(ConfigurationError, match="no key"):
        await llm.ainvoke("x")
    assert wire.requests == []


def test_a_source_of_keys_suits_the_client_that_asks_it() -> None:
    async def akey() -> str:
        return "sk-1"

    sync, asynchronous = key_sources(lambda: "sk-1")
    assert callable(sync)
    assert inspect.iscoroutinefunction(asynchronous)
    assert key_sources(akey)[0] is None
    assert key_sources(SecretStr(" sk-1 ")) == ("sk-1", "sk-1")
    assert has_key(akey)
    assert not has_key(None)


# ── never seen ──────────────────────────────────────────────────────────────


def test_the_key_is_nowhere_to_be_seen() -> None:
    llm = ChatOpenRouter(api_key="sk-or-v1-hidden")

    shown = (repr(llm), str(llm), dumpd(llm), llm._get_ls_params(), llm._identifying_params)
    assert "hidden" not in "".join(map(str, shown))
    assert isinstance(llm.openai_api_key, SecretStr)


def test_a_bad_argument_is_one_sentence_without_the_key() -> None:
    with pytest.raises(ConfigurationError) as caught:
        ChatOpenRouter(api_key="sk-or-v1-hidden", model="", max_tokens="many")

    assert str(caught.value).startswith("ChatOpenRouter.model: ")
    assert "ChatOpenRouter.max_tokens: " in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "hidden" not in repr(caught.value)


def test_an_error_tells_no_key(sandbox: Sandbox) -> None:
    with pytest.raises(errors.AuthenticationError) as caught:
        chat_model(sandbox, api_key="sk-or-v1-hidden").invoke("x")

    assert "hidden" not in f"{caught.value!r} {caught.value.raw} {vars(caught.value)}"


# ── addresses ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "url",
    ["http://openrouter.ai/api/v1", "ftp://127.0.0.1", "openrouter.ai", "https://u:p@x.test/v1"],
)
def test_a_key_is_never_sent_in_the_clear(url: str) -> None:
    with pytest.raises(ConfigurationError, match="base URL must") as caught:
        ChatOpenRouter(api_key="sk-or-v1-hidden", base_url=url)
    assert "hidden" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "environment", "asked"),
    [
        (None, None, "https://openrouter.ai/api/v1"),
        ("https://eu.openrouter.ai/api/v1/", None, "https://eu.openrouter.ai/api/v1"),
        (None, "https://us.openrouter.ai/api/v1", "https://us.openrouter.ai/api/v1"),
        ("https://x.test/v1", "https://us.openrouter.ai/api/v1", "https://x.test/v1"),
        ("http://localhost:8000/api/v1", None, "http://localhost:8000/api/v1"),
    ],
    ids=["nobody", "given", "environment", "both", "loopback"],
)
def test_chat_completions_are_asked_at_the_base_url(
    monkeypatch: pytest.MonkeyPatch, given: str | None, environment: str | None, asked: str
) -> None:
    if environment is not None:
        monkeypatch.setenv("OPENROUTER_API_BASE", environment)
    wire = Wire()
    wire.llm(base_url=given).invoke("x")

    assert str(wire.requests[0].url) == f"{asked}/chat/completions"


OF_OPENAI = (
    "OPENAI_API_KEY",
    "OPENAI_API_BASE",
    "OPENAI_BASE_URL",
    "OPENAI_ORG_ID",
    "OPENAI_ORGANIZATION",
    "OPENAI_PROJECT_ID",
    "OPENAI_ADMIN_KEY",
    "OPENAI_PROXY",
    "LANGSMITH_GATEWAY",
    "LANGSMITH_GATEWAY_API_KEY",
)


@pytest.fixture
def openais(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that is all about OpenAI."""
    for name in OF_OPENAI:
        monkeypatch.setenv(name, "http://127.0.0.1:9/leak")


@pytest.mark.usefixtures("openais")
async def test_nothing_of_openais_environment_is_sent() -> None:
    wire = Wire()
    llm = wire.llm()
    llm.invoke("x")
    await llm.ainvoke("x")

    for request in wire.requests:
        assert request.url.host == "openrouter.ai"
        assert "leak" not in f"{request.headers} {request.content!r}"
        assert not [name for name in request.headers if name.startswith(("x-stainless", "openai-"))]
        assert request.headers["user-agent"] == "langchain-tale"


@pytest.mark.usefixtures("openais")
def test_openais_key_and_proxy_are_not_taken_for_openrouters(sandbox: Sandbox) -> None:
    assert chat_model(sandbox).invoke("x").text
    with pytest.raises(ConfigurationError, match="OPENROUTER_API_KEY"):
        ChatOpenRouter()


@pytest.mark.parametrize(
    "broken",
    [lambda: 1 / 0, lambda: dict[str, str]()["key"]],
    ids=["arithmetic", "lookup"],
)
def test_what_a_function_raises_is_its_own(broken: Callable[[], Any]) -> None:
    with pytest.raises((ZeroDivisionError, KeyError)):
        Wire().llm(api_key=broken).invoke("x")
