"""A call's arguments as a body, headers and a query; pure (§3, §4 of the documentation)."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from langchain_tale.errors import ConfigurationError
from langchain_tale.openrouter.requests import check_metadata, fitting, request, response_format

STRICT = "structured-outputs-2025-11-13"


class Scene(BaseModel):
    """A scene."""

    place: str


class SceneDict(TypedDict):
    """A scene."""

    place: str


def body(**payload: Any) -> dict[str, Any]:
    """The body of a request that is not streamed."""
    sent = request({"model": "a/b", **payload}, stream=False).body
    assert (sent.pop("model"), sent.pop("stream")) == ("a/b", False)
    return sent


def headers(**payload: Any) -> dict[str, str]:
    return request({"model": "a/b", **payload}, stream=False).headers


# ── bodies ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("payload", "sent"),
    [
        ({"a": False, "b": 0, "c": "", "d": [], "e": None}, {"a": False, "b": 0, "c": "", "d": []}),
        ({"a": 1, "extra_body": {"a": 2, "b": 3}}, {"a": 2, "b": 3}),
        ({"a": 1, "extra_body": {"a": None}}, {}),
        ({"extra_body": None, "extra_headers": None, "extra_query": None}, {}),
        ({"stream_options": {"include_usage": True}}, {}),
        ({"max_tokens": 5, "max_completion_tokens": None}, {"max_tokens": 5}),
        ({"max_tokens": 5, "max_completion_tokens": 9}, {"max_completion_tokens": 9}),
        (
            {"max_tokens": 5, "extra_body": {"max_completion_tokens": 9}},
            {"max_completion_tokens": 9},
        ),
        ({"request_metadata": {"a": "b"}}, {"metadata": {"a": "b"}}),
        ({"require_parameters": True}, {"provider": {"require_parameters": True}}),
        ({"require_parameters": False}, {"provider": {"require_parameters": False}}),
        (
            {"require_parameters": True, "provider": {"zdr": True}},
            {"provider": {"require_parameters": True, "zdr": True}},
        ),
        (
            {"require_parameters": True, "provider": {"require_parameters": False}},
            {"provider": {"require_parameters": False}},
        ),
        ({"require_parameters": None, "provider": {"zdr": True}}, {"provider": {"zdr": True}}),
        ({"response_healing": True}, {"plugins": [{"id": "response-healing"}]}),
        (
            {"response_healing": True, "plugins": [{"id": "web"}]},
            {"plugins": [{"id": "web"}, {"id": "response-healing"}]},
        ),
        ({"response_healing": False, "plugins": [{"id": "web"}]}, {"plugins": [{"id": "web"}]}),
    ],
    ids=[
        "false, zero and empty",
        "extra body wins",
        "extra body takes back",
        "nothing extra",
        "stream options",
        "max tokens",
        "max completion tokens",
        "and from the extra body",
        "metadata",
        "require parameters",
        "do not require them",
        "with preferences",
        "preferences win",
        "say nothing of them",
        "healing",
        "healing and more",
        "no healing",
    ],
)
def test_the_body_is_what_was_said_and_nothing_else(
    payload: dict[str, Any], sent: dict[str, Any]
) -> None:
    assert body(**payload) == sent


def test_whether_to_stream_is_always_said_and_nobody_elses_choice() -> None:
    for stream in (True, False):
        payload = {"model": "a/b", "stream": not stream, "extra_body": {"stream": not stream}}
        assert request(payload, stream=stream).body["stream"] is stream


def test_the_callers_arguments_are_left_as_they_are() -> None:
    provider, plugins = {"zdr": True}, [{"id": "web"}]
    payload = {
        "model": "a/b",
        "provider": provider,
        "plugins": plugins,
        "require_parameters": True,
        "response_healing": True,
        "router_metadata": True,
        "extra_body": {"a": None},
    }
    before = {**payload}
    request(payload, stream=True)

    assert payload == before
    assert (provider, plugins) == ({"zdr": True}, [{"id": "web"}])


# ── headers and query ───────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("payload", "sent"),
    [
        ({"router_metadata": True}, {"X-OpenRouter-Metadata": "enabled"}),
        ({"router_metadata": False}, {"X-OpenRouter-Metadata": "disabled"}),
        (
            {"response_cache": True, "response_cache_ttl_s": 60, "response_cache_clear": False},
            {
                "X-OpenRouter-Cache": "true",
                "X-OpenRouter-Cache-TTL": "60",
                "X-OpenRouter-Cache-Clear": "false",
            },
        ),
        ({"response_cache": False}, {"X-OpenRouter-Cache": "false"}),
        ({"anthropic_beta": ["a", "b"]}, {"x-anthropic-beta": "a,b"}),
        ({"anthropic_beta": []}, {}),
        ({"extra_headers": {"x-session-id": "s"}}, {"x-session-id": "s"}),
        (
            {"router_metadata": True, "extra_headers": {"X-OpenRouter-Metadata": "disabled"}},
            {"X-OpenRouter-Metadata": "disabled"},
        ),
        ({"router_metadata": None, "response_cache": None}, {}),
    ],
    ids=str,
)
def test_what_travels_as_headers_is_not_in_the_body(
    payload: dict[str, Any], sent: dict[str, str]
) -> None:
    assert headers(**payload) == sent
    assert body(**payload) == {}


def test_the_extra_query_is_the_query() -> None:
    assert request({"model": "a/b", "extra_query": {"q": 1}}, stream=False).query == {"q": 1}


@pytest.mark.parametrize(
    ("model", "strict", "beta"),
    [
        ("anthropic/claude-haiku-4.5", True, STRICT),
        ("~anthropic/claude-sonnet-latest", True, STRICT),
        ("anthropic/claude-haiku-4.5", None, None),
        ("openai/gpt-4o", True, None),
    ],
    ids=str,
)
def test_strict_tools_of_anthropic_need_a_header(model: str, strict: Any, beta: str | None) -> None:
    function = {"name": "f", "parameters": {}} | ({} if strict is None else {"strict": strict})
    tools = [{"type": "openrouter:web_search"}, {"type": "function", "function": function}]

    assert headers(model=model, tools=tools).get("x-anthropic-beta") == beta


def test_the_header_for_strict_tools_joins_those_asked_for() -> None:
    tools = [{"type": "function", "function": {"name": "f", "strict": True}}]
    asked = {"model": "anthropic/claude-haiku-4.5", "tools": tools}

    assert headers(**asked, anthropic_beta=["a"])["x-anthropic-beta"] == f"a,{STRICT}"
    assert headers(**asked, anthropic_beta=[STRICT])["x-anthropic-beta"] == STRICT


# ── schemas ─────────────────────────────────────────────────────────────────


def test_a_pydantic_class_is_a_strict_schema() -> None:
    sent = body(response_format=Scene)["response_format"]

    assert sent["type"] == "json_schema"
    assert (sent["json_schema"]["name"], sent["json_schema"]["strict"]) == ("Scene", True)
    assert sent["json_schema"]["schema"]["required"] == ["place"]
    assert sent["json_schema"]["schema"]["additionalProperties"] is False


@pytest.mark.parametrize(
    "schema",
    [
        Scene,
        SceneDict,
        {"title": "Scene", "type": "object", "properties": {"place": {"type": "string"}}},
    ],
    ids=["pydantic", "typed dict", "json schema"],
)
@pytest.mark.parametrize("strict", [True, False, None])
def test_every_kind_of_schema_is_a_response_format(schema: Any, strict: Any) -> None:
    made = response_format(schema, strict=strict)

    assert made["type"] == "json_schema"
    assert made["json_schema"].get("strict") is strict
    assert made["json_schema"]["schema"]["properties"]["place"]["type"] == "string"


@pytest.mark.parametrize(
    "ready",
    [{"type": "json_object"}, {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}],
    ids=str,
)
def test_a_response_format_is_sent_as_it_is(ready: dict[str, Any]) -> None:
    assert response_format(ready, strict=True) == ready
    assert body(response_format=ready) == {"response_format": ready}


# ── limits ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("where", ["named", "extra body"])
@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("models", ["a/b"] * 4, "models: OpenRouter takes at most 3; use with_fallbacks"),
        ("session_id", "s" * 257, "session_id: OpenRouter takes at most 256"),
        ("metadata", {str(n): "v" for n in range(17)}, "metadata: OpenRouter takes at most 16"),
        ("metadata", {"n" * 65: "v"}, "names up to 64"),
        ("metadata", {"n": "v" * 513}, "values up to 512"),
        ("metadata", {"n": 1}, "pairs of strings"),
        ("metadata", "v", "pairs of strings"),
    ],
    ids=["models", "session", "pairs", "name", "value", "number", "no pairs"],
)
def test_what_openrouter_would_refuse_is_refused_here(
    field: str, value: Any, sentence: str, where: str
) -> None:
    payload = {field: value} if where == "named" else {"extra_body": {field: value}}

    with pytest.raises(ConfigurationError, match=sentence):
        body(**payload)


def test_what_openrouter_just_takes_is_sent() -> None:
    metadata = {f"{n:064}": "v" * 512 for n in range(16)}
    payload = {"models": ["a/b"] * 3, "session_id": "s" * 256, "metadata": metadata}

    assert body(**payload) == payload
    check_metadata(None)


def test_of_langchains_metadata_only_what_fits_is_kept() -> None:
    anything: dict[Any, Any] = {
        "ok": "v",
        "number": 1,
        "n" * 65: "v",
        "long": "v" * 513,
        7: "v",
        "nested": {},
    }

    assert fitting(anything, beside={}) == {"ok": "v"}
    assert fitting(None, beside={}) == {}
    many = fitting({str(n): "v" for n in range(20)}, beside={"mine": "w"})
    assert len(many) == 16
    assert many["mine"] == "w"
