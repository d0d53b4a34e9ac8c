"""What is sent: each field may be given to the constructor, to `bind`, or to a single call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from langchain_core.messages import HumanMessage

from langchain_tale.errors import ConfigurationError
from langchain_tale.openrouter.chat_models import ChatOpenRouter
from langchain_tale.openrouter.fields import RequestFields
from tests.openrouter.replies import STOP, Wire, event

if TYPE_CHECKING:
    from collections.abc import Callable

BODY: Final[dict[str, Any]] = {
    "models": ["a/b", "c/d"],
    "provider": {"data_collection": "deny", "allow_fallbacks": False, "sort": {"by": "price"}},
    "plugins": [{"id": "web", "max_results": 0}],
    "reasoning": {"effort": "low", "exclude": False},
    "max_completion_tokens": 100,
    "temperature": 0.0,
    "top_p": 0.5,
    "top_k": 0,
    "min_p": 0.0,
    "top_a": 0.5,
    "frequency_penalty": -1.0,
    "presence_penalty": 0.0,
    "repetition_penalty": 1.5,
    "seed": 0,
    "logit_bias": {1: -100},
    "logprobs": False,
    "top_logprobs": 0,
    "parallel_tool_calls": False,
    "response_format": {"type": "json_object"},
    "modalities": ["text", "image"],
    "audio": {"voice": "alloy", "format": "pcm16"},
    "image_config": {"aspect_ratio": "1:1"},
    "prediction": {"type": "content", "content": "x"},
    "user": "u",
    "session_id": "s",
    "trace": {"trace_id": "t"},
    "cache_control": {"type": "ephemeral", "ttl": "1h"},
    "prompt_cache_key": "k",
    "preset": "tales",
    "web_search_options": {"search_context_size": "low"},
    "x_search_filter": {"x": 1},
    "include_reasoning": False,
    "structured_outputs": False,
    "stop_server_tools_when": [{"type": "max_cost", "max_cost_in_dollars": 0}],
    "max_tool_calls": 1,
    "debug": {"echo_upstream_body": False},
    "service_tier": "flex",
    "verbosity": "low",
    "reasoning_effort": "low",
    "stop": ["a", "b"],
}
HEADERS: Final[dict[str, tuple[Any, str, str]]] = {
    "router_metadata": (True, "x-openrouter-metadata", "enabled"),
    "response_cache": (False, "x-openrouter-cache", "false"),
    "response_cache_ttl_s": (60, "x-openrouter-cache-ttl", "60"),
    "response_cache_clear": (True, "x-openrouter-cache-clear", "true"),
    "anthropic_beta": (["a", "b"], "x-anthropic-beta", "a,b"),
}
WAYS: Final[dict[str, Callable[[Wire, dict[str, Any]], Any]]] = {
    "constructor": lambda wire, given: wire.llm(**given).invoke("x"),
    "bind": lambda wire, given: wire.llm().bind(**given).invoke("x"),
    "call": lambda wire, given: wire.llm().invoke("x", **given),
}
EACH_WAY = pytest.mark.parametrize("ask", WAYS.values(), ids=WAYS)


def as_json(value: Any) -> Any:
    return {str(k): v for k, v in value.items()} if isinstance(value, dict) else value


@EACH_WAY
@pytest.mark.parametrize("name", BODY)
def test_a_field_is_sent_however_it_is_given(ask: Any, name: str) -> None:
    wire = Wire()
    ask(wire, {name: BODY[name]})

    assert wire.body[name] == as_json(BODY[name])


@EACH_WAY
@pytest.mark.parametrize("name", HEADERS)
def test_a_header_is_sent_however_it_is_given(ask: Any, name: str) -> None:
    value, header, sent = HEADERS[name]
    wire = Wire()
    ask(wire, {name: value})

    assert wire.headers[header] == sent
    assert name not in wire.body


def test_no_field_is_forgotten() -> None:
    assert RequestFields.model_fields.keys() - BODY.keys() - HEADERS.keys() == {"request_metadata"}


@EACH_WAY
def test_what_openrouter_does_not_document_goes_into_the_extras(ask: Any) -> None:
    wire = Wire()
    given = {"extra_body": {"safe_prompt": False}}
    ask(wire, given)

    assert wire.body["safe_prompt"] is False
    assert "extra_body" not in wire.body


def test_extra_headers_and_query_of_a_call_are_sent() -> None:
    wire = Wire()
    llm = wire.llm(default_headers={"x-a": "1"}, default_query={"q": "1"})
    llm.invoke("x", extra_headers={"x-session-id": "s"}, extra_query={"r": "2"})

    assert (wire.headers["x-a"], wire.headers["x-session-id"]) == ("1", "s")
    assert dict(wire.requests[-1].url.params) == {"q": "1", "r": "2"}
    assert not wire.body.keys() & {"extra_headers", "extra_query"}


def test_a_call_wins_over_bind_and_bind_over_the_constructor() -> None:
    wire = Wire()
    bound = wire.llm(top_k=1, min_p=0.1, user="u").bind(top_k=2, min_p=0.2)
    bound.invoke("x", top_k=3)

    assert {name: wire.body[name] for name in ("top_k", "min_p", "user")} == {
        "top_k": 3,
        "min_p": 0.2,
        "user": "u",
    }


def test_none_takes_a_field_back() -> None:
    wire = Wire()
    wire.llm(temperature=0.5, provider={"zdr": True}).invoke("x", temperature=None, provider=None)

    assert not wire.body.keys() & {"temperature", "provider"}


def test_what_nobody_said_is_not_sent() -> None:
    wire = Wire()
    wire.llm().invoke("x")

    assert wire.body == {
        "model": "a/b",
        "messages": [{"role": "user", "content": "x"}],
        "max_tokens": 4096,
        "stream": False,
    }


async def test_a_stream_sends_the_same_but_for_asking_for_a_stream() -> None:
    wire = Wire([event({"content": "x"}, choice=STOP)])
    llm = wire.llm(provider={"zdr": True})
    list(llm.stream("x", top_k=0, metadata={"a": "b"}))
    synchronous = wire.body
    _ = [chunk async for chunk in llm.astream("x", top_k=0, metadata={"a": "b"})]

    assert wire.body == synchronous
    assert synchronous == {
        "model": "a/b",
        "messages": [{"role": "user", "content": "x"}],
        "max_tokens": 4096,
        "stream": True,
        "provider": {"zdr": True},
        "top_k": 0,
        "metadata": {"a": "b"},
    }


def test_a_call_may_ask_another_model() -> None:
    wire = Wire()
    wire.llm().invoke("x", model="c/d")

    assert wire.body["model"] == "c/d"


def test_the_stops_of_a_call_win() -> None:
    wire = Wire()
    llm = wire.llm(stop=["a"])
    llm.invoke("x")
    own = wire.body["stop"]
    llm.invoke("x", stop=["b"])

    assert (own, wire.body["stop"]) == (["a"], ["b"])


# ── metadata ────────────────────────────────────────────────────────────────


def test_metadata_of_a_call_is_openrouters() -> None:
    wire = Wire()
    wire.llm().invoke("x", metadata={"a": "b"})
    once = wire.body["metadata"]
    wire.llm().bind(metadata={"c": "d"}).invoke("x")

    assert (once, wire.body["metadata"]) == ({"a": "b"}, {"c": "d"})


async def test_metadata_of_an_async_call_is_openrouters() -> None:
    wire = Wire()
    await wire.llm().ainvoke("x", metadata={"a": "b"})

    assert wire.body["metadata"] == {"a": "b"}


def test_metadata_of_the_constructor_is_both_langchains_and_openrouters() -> None:
    wire = Wire()
    llm = wire.llm(metadata={"tale": "fox", "tries": 1}, request_metadata={"child": "none"})
    llm.invoke("x")

    assert wire.body["metadata"] == {"tale": "fox", "child": "none"}
    assert llm.metadata is not None
    assert llm.metadata["tries"] == 1


def test_metadata_of_a_run_is_langchains_alone() -> None:
    wire = Wire()
    wire.llm().invoke("x", {"metadata": {"session": "s"}})
    wire.llm().generate([[HumanMessage("x")]], metadata={"session": "s"})

    assert "metadata" not in wire.body


def test_metadata_that_does_not_fit_is_refused_where_it_was_meant_for_openrouter() -> None:
    wire = Wire()

    with pytest.raises(ConfigurationError, match="metadata"):
        wire.llm().invoke("x", metadata={"tries": 1})
    assert wire.requests == []


# ── what is refused ─────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("models", ["a/b"] * 4),
        ("provider", {"data_colection": "deny"}),
        ("provider", {"data_collection": "maybe"}),
        ("plugins", [{"max_results": 1}]),
        ("max_completion_tokens", 0),
        ("top_k", -1),
        ("min_p", 1.5),
        ("repetition_penalty", 0),
        ("session_id", "s" * 257),
        ("response_cache_ttl_s", 0),
        ("cache_control", {"ttl": "1h"}),
        ("app_categories", ["a", "b", "c"]),
    ],
)
def test_a_constructor_refuses_what_openrouter_would(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"ChatOpenRouter.{name}"):
        ChatOpenRouter(api_key="k", **{name: value})


def test_a_call_is_refused_before_anything_is_sent() -> None:
    wire = Wire()

    with pytest.raises(ConfigurationError, match="at most 3"):
        wire.llm().invoke("x", models=["a/b"] * 4)
    assert wire.requests == []


def test_reasoning_and_plugins_are_open_for_what_is_new() -> None:
    wire = Wire()
    wire.llm(reasoning={"mode": "pro"}, plugins=[{"id": "new", "x": 1}]).invoke("x")

    assert wire.body["reasoning"] == {"mode": "pro"}
    assert wire.body["plugins"] == [{"id": "new", "x": 1}]


@pytest.mark.parametrize("given", ["app_url", "environment"])
def test_an_application_is_credited(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    wire = Wire()
    app: dict[str, Any] = {"app_url": "https://tales.test", "app_title": "Tales"}
    if given == "environment":
        monkeypatch.setenv("TALE_AI_SERVICE__APP_URL", app.pop("app_url"))
        monkeypatch.setenv("TALE_AI_SERVICE__APP_TITLE", app.pop("app_title"))
    wire.llm(**app, app_categories=["creative-writing", "game"]).invoke("x")

    assert wire.headers["http-referer"] == "https://tales.test"
    assert wire.headers["x-openrouter-title"] == "Tales"
    assert wire.headers["x-openrouter-categories"] == "creative-writing,game"
