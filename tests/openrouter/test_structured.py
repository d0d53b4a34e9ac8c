"""Answers that fit a schema: asked for in three ways, read in one, refused when they do not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from langchain_core.exceptions import OutputParserException
from pydantic import BaseModel
from pydantic.v1 import BaseModel as OldBaseModel
from typing_extensions import TypedDict

from langchain_tale import errors
from tests.openrouter.replies import Wire, call, reply

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage

METHODS: Final = ("function_calling", "json_schema", "json_mode")
EACH_METHOD = pytest.mark.parametrize("method", METHODS)


class Scene(BaseModel):
    """A scene."""

    place: str
    hours: int


class OldScene(OldBaseModel):
    """A scene."""

    place: str
    hours: int


class SceneDict(TypedDict):
    """A scene."""

    place: str
    hours: int


JSON_SCENE = {
    "title": "SceneJson",
    "type": "object",
    "properties": {"place": {"type": "string"}, "hours": {"type": "integer"}},
    "required": ["place", "hours"],
}
SCHEMAS: dict[str, tuple[Any, str, Any]] = {
    "pydantic": (Scene, "Scene", Scene(place="fox", hours=1)),
    "pydantic 1": (OldScene, "OldScene", OldScene(place="fox", hours=1)),
    "typed dict": (SceneDict, "SceneDict", {"place": "fox", "hours": 1}),
    "json schema": (JSON_SCENE, "SceneJson", {"place": "fox", "hours": 1}),
}
EACH_SCHEMA = pytest.mark.parametrize(("schema", "name", "scene"), SCHEMAS.values(), ids=SCHEMAS)
WHOLE: Final = '{"place": "fox", "hours": 1}'


def answer(text: str, method: str, name: str = "Scene", **choice: Any) -> dict[str, Any]:
    """A structured answer, as a call or as text."""
    if method == "function_calling":
        return reply({"content": None, "tool_calls": [call(name, text)]}, choice=choice)
    return reply({"content": text}, choice=choice)


# ── asking ──────────────────────────────────────────────────────────────────


def asked(method: Any, schema: Any = Scene, **options: Any) -> dict[str, Any]:
    """The body of a request for a structured answer."""
    wire = Wire(answer(WHOLE, method))
    wire.llm(provider={"zdr": True}).with_structured_output(
        schema, method=method, **options
    ).invoke("x")
    return wire.body


def test_function_calling_asks_for_the_tool() -> None:
    body = asked("function_calling")

    assert [tool["function"]["name"] for tool in body["tools"]] == ["Scene"]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "Scene"}}
    assert "response_format" not in body


def test_json_schema_asks_for_the_schema() -> None:
    body = asked("json_schema")

    assert body["response_format"]["json_schema"]["name"] == "Scene"
    assert body["response_format"]["json_schema"]["schema"]["required"] == ["place", "hours"]
    assert "tools" not in body


def test_json_mode_asks_for_json() -> None:
    assert asked("json_mode")["response_format"] == {"type": "json_object"}


@EACH_METHOD
def test_only_providers_that_know_the_parameters_are_asked(method: str) -> None:
    assert asked(method)["provider"] == {"zdr": True, "require_parameters": True}
    free = asked(method, require_parameters=False)
    assert free["provider"] == {"zdr": True, "require_parameters": False}


@EACH_METHOD
def test_healing_and_whatever_else_a_call_takes_go_along(method: str) -> None:
    body = asked(method, response_healing=True, max_tokens=9)

    assert body["plugins"] == [{"id": "response-healing"}]
    assert body["max_tokens"] == 9
    assert not body.keys() & {"ls_structured_output_format", "response_healing", "strict"}


@pytest.mark.parametrize("strict", [True, False])
def test_strictness_is_the_providers_matter(strict: Any) -> None:
    function = asked("function_calling", strict=strict)["tools"][0]["function"]
    schema = asked("json_schema", strict=strict)["response_format"]["json_schema"]

    assert (function["strict"], schema["strict"]) == (strict, strict)
    assert "strict" not in asked("json_schema")["response_format"]["json_schema"]


@pytest.mark.parametrize(
    ("schema", "options", "sentence"),
    [
        (Scene, {"method": "telepathy"}, "method must be one of function_calling, json_schema"),
        (None, {}, "needs a schema"),
        (None, {"method": "json_schema"}, "needs a schema"),
    ],
    ids=["method", "no schema", "no schema for json_schema"],
)
def test_a_wrong_request_is_our_callers_mistake(
    schema: Any, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(errors.ConfigurationError, match=sentence):
        Wire().llm().with_structured_output(schema, **options)


# ── reading ─────────────────────────────────────────────────────────────────


@EACH_METHOD
@EACH_SCHEMA
async def test_an_answer_is_an_instance_of_its_schema(
    schema: Any, name: str, scene: Any, method: Any
) -> None:
    llm = Wire(answer(WHOLE, method, name)).llm()
    structured = llm.with_structured_output(schema, method=method)

    assert structured.invoke("x") == scene
    assert await structured.ainvoke("x") == scene
    assert structured.batch(["x", "x"]) == [scene, scene]


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{WHOLE}\n```",
        f"Here it is:\n\n```json\n{WHOLE}\n```",
        f"\n  {WHOLE}\n",
        '{"place": "fox",\n "hours": 1}',
    ],
    ids=["fenced", "with words before", "with space around", "over lines"],
)
def test_json_is_found_in_its_wrappings(text: str) -> None:
    llm = Wire(answer(text, "json_schema")).llm()

    assert llm.with_structured_output(Scene, method="json_schema").invoke("x") == Scene(
        place="fox", hours=1
    )


def test_raw_line_breaks_in_texts_are_forgiven() -> None:
    text = '{"place": "a\nfox", "hours": 1}'
    for method in METHODS:
        structured = Wire(answer(text, method)).llm().with_structured_output(Scene, method=method)
        assert structured.invoke("x").place == "a\nfox"


def test_json_mode_without_a_schema_is_any_object() -> None:
    llm = Wire(answer('{"anything": []}', "json_mode")).llm()

    assert llm.with_structured_output(method="json_mode").invoke("x") == {"anything": []}


def test_a_model_that_answers_in_text_instead_of_calling_the_tool_is_understood() -> None:
    llm = Wire(answer(WHOLE, "json_schema")).llm()

    assert llm.with_structured_output(Scene).invoke("x") == Scene(place="fox", hours=1)


# ── refusing ────────────────────────────────────────────────────────────────

UNFIT = {
    "prose": ("Once upon a time", "no whole JSON object"),
    "cut": ('{"place": "fox", "ho', "no whole JSON object"),
    "list": ("[1]", "no JSON object"),
}


@EACH_METHOD
@pytest.mark.parametrize("kind", SCHEMAS)
@pytest.mark.parametrize(("text", "sentence"), UNFIT.values(), ids=UNFIT)
def test_what_is_no_json_object_is_no_answer(
    kind: str, method: Any, text: str, sentence: str
) -> None:
    schema, name, _scene = SCHEMAS[kind]
    llm = Wire(answer(text, method, name)).llm()

    with pytest.raises(errors.UnparsableReplyError, match=sentence) as caught:
        llm.with_structured_output(schema, method=method).invoke("x")
    assert isinstance(caught.value, OutputParserException)
    assert caught.value.partial_text == caught.value.llm_output == text
    assert (caught.value.model, caught.value.generation_id) == ("a/b-2", "gen-1")
    assert caught.value.provider_name == "P"


@EACH_METHOD
@pytest.mark.parametrize("kind", SCHEMAS)
def test_an_answer_that_lacks_something_names_it(kind: str, method: Any) -> None:
    schema, name, _scene = SCHEMAS[kind]
    llm = Wire(answer('{"place": "fox"}', method, name)).llm()

    with pytest.raises(errors.UnparsableReplyError, match="hours"):
        llm.with_structured_output(schema, method=method).invoke("x")


def test_an_answer_of_the_wrong_types_names_the_places_and_quotes_nothing() -> None:
    text = '{"place": "a secret den", "hours": "many"}'
    llm = Wire(answer(text, "json_schema")).llm()

    with pytest.raises(errors.UnparsableReplyError, match=r"\(hours\)") as caught:
        llm.with_structured_output(Scene, method="json_schema").invoke("x")
    assert "many" not in str(caught.value)
    assert "secret" not in str(caught.value)


@EACH_METHOD
def test_an_answer_cut_off_by_max_tokens_says_so(method: Any) -> None:
    cut = '{"place": "fox", "hours": 1'
    llm = Wire(answer(cut, method, finish_reason="length")).llm()

    with pytest.raises(errors.UnparsableReplyError, match=r"raise max_tokens") as caught:
        llm.with_structured_output(Scene, method=method).invoke("x")
    assert caught.value.partial_text == cut


def test_a_call_of_another_tool_is_no_answer() -> None:
    llm = Wire(answer(WHOLE, "function_calling", "another")).llm()

    with pytest.raises(errors.UnparsableReplyError):
        llm.with_structured_output(Scene).invoke("x")


@EACH_METHOD
def test_a_refusal_is_moderation(method: Any) -> None:
    llm = Wire(reply({"content": None, "refusal": "I won't."})).llm()

    with pytest.raises(errors.ModerationError, match="refused") as caught:
        llm.with_structured_output(Scene, method=method).invoke("x")
    assert caught.value.partial_text == "I won't."
    assert caught.value.generation_id == "gen-1"


def test_an_error_of_the_server_passes_through() -> None:
    llm = Wire({"error": {"code": 429, "message": "x"}}).llm()

    with pytest.raises(errors.RateLimitError):
        llm.with_structured_output(Scene).invoke("x")


# ── the raw answer beside it ────────────────────────────────────────────────


@EACH_METHOD
@EACH_SCHEMA
async def test_the_raw_answer_may_be_had_too(
    schema: Any, name: str, scene: Any, method: Any
) -> None:
    llm = Wire(answer(WHOLE, method, name)).llm()
    structured = llm.with_structured_output(schema, method=method, include_raw=True)

    for found in (structured.invoke("x"), await structured.ainvoke("x")):
        raw: AIMessage = found["raw"]
        assert (found["parsed"], found["parsing_error"]) == (scene, None)
        assert raw.response_metadata["id"] == "gen-1"


@EACH_METHOD
async def test_with_the_raw_answer_nothing_is_raised(method: Any) -> None:
    llm = Wire(answer("Once upon a time", method)).llm()
    structured = llm.with_structured_output(Scene, method=method, include_raw=True)

    for found in (structured.invoke("x"), await structured.ainvoke("x")):
        assert found["parsed"] is None
        assert isinstance(found["parsing_error"], errors.UnparsableReplyError)
        assert found["raw"].response_metadata["id"] == "gen-1"
