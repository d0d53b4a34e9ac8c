"""Copies of a chat model: pickled, deep, dumped and loaded, configured, for another model."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.load import dumpd, dumps, load, loads
from langchain_core.runnables import ConfigurableField
from pydantic import SecretStr

from langchain_tale import errors
from langchain_tale.openrouter.chat_models import ChatOpenRouter
from tests.conftest import chat_model
from tests.openrouter.replies import Wire

if TYPE_CHECKING:
    from langchain_tale.sandbox import Sandbox

KEY = "sk-or-v1-hidden"


def known_everywhere() -> str:
    """A key that a pickle may name, for it is a function of a module."""
    return KEY


def secret_of(llm: ChatOpenRouter) -> str | None:
    """The key, unwrapped."""
    key = llm.openai_api_key
    return key.get_secret_value() if isinstance(key, SecretStr) else None


# ── pickles ─────────────────────────────────────────────────────────────────


def test_a_pickle_has_neither_key_nor_connections() -> None:
    llm = Wire().llm(api_key=KEY)

    assert b"hidden" not in pickle.dumps(llm)
    assert secret_of(llm) == KEY


async def test_a_pickle_works_with_the_key_of_where_it_is_loaded(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = pickle.dumps(chat_model(sandbox, temperature=0.5, top_k=0, provider={"zdr": True}))
    monkeypatch.setenv("OPENROUTER_API_KEY", sandbox.api_key)
    again: ChatOpenRouter = pickle.loads(content)  # noqa: S301 (our own)

    assert (again.temperature, again.top_k, again.provider) == (0.5, 0, {"zdr": True})
    assert again.openai_api_base == sandbox.base_url
    assert again.invoke("x").text == (await again.ainvoke("x")).text != ""


async def test_a_pickle_loads_without_a_key_and_says_so_when_it_is_asked(sandbox: Sandbox) -> None:
    again: ChatOpenRouter = pickle.loads(pickle.dumps(chat_model(sandbox)))  # noqa: S301 (our own)

    with pytest.raises(errors.ConfigurationError, match="OPENROUTER_API_KEY"):
        again.invoke("x")
    with pytest.raises(errors.ConfigurationError, match="OPENROUTER_API_KEY"):
        await again.ainvoke("x")
    with pytest.raises(errors.ConfigurationError, match="OPENROUTER_API_KEY"):
        list(again.stream("x"))
    assert not sandbox.requests


def test_a_function_that_knows_the_key_travels_with_the_pickle() -> None:
    again: ChatOpenRouter = pickle.loads(  # noqa: S301 (our own)
        pickle.dumps(ChatOpenRouter(api_key=known_everywhere))
    )

    assert again.openai_api_key is known_everywhere


def test_what_was_chosen_stays_chosen() -> None:
    chosen = ChatOpenRouter(api_key=KEY, max_tokens=9, timeout=5)
    again: ChatOpenRouter = pickle.loads(pickle.dumps(chosen))  # noqa: S301 (our own)
    roomy = again.with_room(3000)

    assert (roomy.max_tokens, roomy.request_timeout) == (9, 5)


# ── deep copies ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, ChatOpenRouter.model_copy])
async def test_a_copy_shares_the_connections_and_the_key(copied: Any) -> None:
    wire = Wire()
    llm = wire.llm(api_key=KEY)
    twin = copied(llm)

    assert twin.root_client is llm.root_client
    assert twin.root_async_client is llm.root_async_client
    assert secret_of(twin) == KEY
    assert twin.invoke("x").text == (await twin.ainvoke("x")).text == "Hello."
    assert wire.headers["authorization"] == f"Bearer {KEY}"


def test_a_deep_copy_is_a_copy_of_all_else() -> None:
    wire = Wire()
    llm = wire.llm(provider={"only": ["a"]}, extra_body={"x": {}})
    twin = copy.deepcopy({"llm": [llm]})["llm"][0]
    twin.provider["only"].append("b")  # type: ignore[index, union-attr]
    twin.extra_body["x"]["y"] = 1  # type: ignore[index]
    llm.invoke("x")

    assert wire.body["provider"] == {"only": ["a"]}
    assert wire.body["x"] == {}


def test_a_bound_model_may_be_copied() -> None:
    wire = Wire()
    copy.deepcopy(wire.llm().bind(top_k=3)).invoke("x")

    assert wire.body["top_k"] == 3


def test_for_another_model_all_else_stays() -> None:
    wire = Wire()
    llm = wire.llm(top_k=3)
    llm.for_model("c/d").invoke("x")

    assert (wire.body["model"], wire.body["top_k"]) == ("c/d", 3)
    assert llm.model_name == "a/b"


# ── dumped and loaded ───────────────────────────────────────────────────────

TRUSTED: dict[str, Any] = {"allowed_objects": "all", "valid_namespaces": ["langchain_tale"]}


def test_a_dump_has_no_key() -> None:
    llm = Wire().llm(api_key=KEY)

    assert "hidden" not in dumps(llm)
    assert dumpd(llm)["type"] == "constructor"


@pytest.mark.filterwarnings("ignore:The function `loads?` is in beta")
def test_what_was_dumped_is_loaded_with_a_key_of_ones_own() -> None:
    llm = ChatOpenRouter(model="a/b", api_key=KEY, temperature=0.5, provider={"zdr": True})
    secrets = {"OPENROUTER_API_KEY": "sk-or-v1-two"}
    for again in (
        load(dumpd(llm), secrets_map=secrets, **TRUSTED),
        loads(dumps(llm), secrets_map=secrets, **TRUSTED),
    ):
        assert isinstance(again, ChatOpenRouter)
        assert (again.model_name, again.temperature) == ("a/b", 0.5)
        assert again.provider == {"zdr": True}
        assert secret_of(again) == "sk-or-v1-two"


@pytest.mark.filterwarnings("ignore:The function `load` is in beta")
def test_what_was_dumped_is_loaded_with_the_key_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dumped = dumpd(ChatOpenRouter(model="a/b", api_key=KEY))
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-env")

    assert secret_of(load(dumped, **TRUSTED)) == "sk-or-v1-env"


# ── configured while it runs ────────────────────────────────────────────────


def test_a_field_may_be_configured_for_a_run() -> None:
    wire = Wire()
    llm = wire.llm().configurable_fields(temperature=ConfigurableField("t"))
    llm.invoke("x", {"configurable": {"t": 0.25}})

    assert wire.body["temperature"] == 0.25
    assert wire.headers["authorization"] == "Bearer sk-or-v1-x"


def test_another_model_may_be_configured_for_a_run() -> None:
    usual, other = Wire(), Wire()
    llm = usual.llm().configurable_alternatives(
        ConfigurableField("m"), other=other.llm(model="c/d")
    )
    llm.invoke("x", {"configurable": {"m": "other"}})

    assert other.body["model"] == "c/d"
    assert usual.requests == []
