"""Tools of ours and of OpenRouter's, as they are bound and sent (§17)."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.tools import tool
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from tests.openrouter.replies import Wire

MARK = {"type": "ephemeral", "ttl": "1h"}
SEARCH = {"type": "openrouter:web_search", "parameters": {"max_results": 3}}


def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


class Weather(BaseModel):
    """The weather in a city."""

    city: str = Field()


class WeatherDict(TypedDict):
    """The weather in a city."""

    city: str


IN_CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def on_wire(name: str, **more: Any) -> dict[str, Any]:
    function = {"name": name, "description": "The weather in a city.", "parameters": IN_CITY}
    return {"type": "function", "function": {**function, **more}}


def sent(tools: list[Any], **options: Any) -> dict[str, Any]:
    """The body of a request with these tools."""
    wire = Wire()
    wire.llm().bind_tools(tools, **options).invoke("x")
    return wire.body


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (weather, "weather"),
        (tool(weather), "weather"),
        (Weather, "Weather"),
        (WeatherDict, "WeatherDict"),
        (on_wire("weather"), "weather"),
        (
            {"name": "weather", "description": "The weather in a city.", "parameters": IN_CITY},
            "weather",
        ),
        (
            {"name": "weather", "description": "The weather in a city.", "input_schema": IN_CITY},
            "weather",
        ),
    ],
    ids=[
        "function",
        "tool",
        "pydantic",
        "typed dict",
        "openai's",
        "function schema",
        "anthropic's",
    ],
)
def test_every_kind_of_tool_is_openais_on_the_wire(given: Any, name: str) -> None:
    assert sent([given])["tools"] == [on_wire(name)]


def test_server_tools_go_along_as_they_are_and_keep_their_place() -> None:
    assert sent([SEARCH, weather])["tools"] == [SEARCH, on_wire("weather")]
    assert sent([weather, SEARCH])["tools"] == [on_wire("weather"), SEARCH]
    assert sent([SEARCH])["tools"] == [SEARCH]


@pytest.mark.parametrize(
    ("choice", "on_the_wire"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("any", "required"),
        ("required", "required"),
        (True, "required"),
        ("weather", {"type": "function", "function": {"name": "weather"}}),
        ({"type": "function", "function": {"name": "weather"}}, None),
        ("openrouter:web_search", {"type": "openrouter:web_search"}),
        ({"type": "openrouter:web_search"}, None),
    ],
    ids=str,
)
def test_a_tool_may_be_chosen(choice: Any, on_the_wire: Any) -> None:
    assert sent([weather, SEARCH], tool_choice=choice)["tool_choice"] == (on_the_wire or choice)


@pytest.mark.parametrize("choice", [None, False])
def test_no_choice_is_no_field(choice: Any) -> None:
    assert "tool_choice" not in sent([weather], tool_choice=choice)


def test_strict_and_parallel_are_kept_false_too() -> None:
    body = sent([weather], strict=True, parallel_tool_calls=False)

    assert body["tools"][0]["function"]["strict"] is True
    assert body["tools"][0]["function"]["parameters"]["additionalProperties"] is False
    assert body["parallel_tool_calls"] is False
    assert sent([weather], strict=False)["tools"][0]["function"]["strict"] is False
    assert "strict" not in sent([weather])["tools"][0]["function"]


def test_whatever_else_a_call_takes_may_be_bound_along() -> None:
    body = sent([weather], provider={"zdr": True}, max_tokens=9)

    assert (body["provider"], body["max_tokens"]) == ({"zdr": True}, 9)


@pytest.mark.parametrize(
    "marked",
    [
        {**on_wire("weather"), "cache_control": MARK},
        {
            "name": "weather",
            "description": "The weather in a city.",
            "input_schema": IN_CITY,
            "cache_control": MARK,
        },
        tool(extras={"cache_control": MARK})(weather),
    ],
    ids=["openai's", "anthropic's", "extras"],
)
def test_a_cache_point_of_a_tool_is_kept(marked: Any) -> None:
    other = on_wire("other")

    assert sent([other, marked])["tools"] == [other, {**on_wire("weather"), "cache_control": MARK}]


def test_a_cache_point_of_a_server_tool_is_kept() -> None:
    assert sent([{**SEARCH, "cache_control": MARK}])["tools"] == [{**SEARCH, "cache_control": MARK}]


def test_binding_leaves_the_model_and_the_tools_as_they_were() -> None:
    wire, given = Wire(), on_wire("weather")
    llm = wire.llm()
    llm.bind_tools([given, SEARCH]).invoke("x")
    llm.invoke("x")

    assert "tools" not in wire.body
    assert given == on_wire("weather")
