"""Structured answers that come in pieces: they grow, and only the end tells whether they fit."""

from __future__ import annotations

from typing import Any, Final

import pytest

from langchain_tale import errors
from tests.conftest import chat_model
from tests.openrouter.replies import STOP, Wire, call, event
from tests.openrouter.test_structured import (
    EACH_METHOD,
    EACH_SCHEMA,
    JSON_SCENE,
    METHODS,
    WHOLE,
    Scene,
    SceneDict,
)

WHOLE_DICT: Final = {"place": "fox", "hours": 1}
LENGTH: Final = {"finish_reason": "length"}


def pieces(text: str, method: str, name: str = "Scene", ending: Any = STOP) -> list[dict[str, Any]]:
    """A structured answer in events of four characters."""
    parts = [text[start : start + 4] for start in range(0, len(text), 4)]
    if method != "function_calling":
        return [*(event({"content": part}) for part in parts), event(choice=ending)]
    calls = [call(name, part, index=0) for part in parts]
    return [*(event({"tool_calls": [one]}) for one in calls), event(choice=ending)]


@EACH_METHOD
@EACH_SCHEMA
async def test_the_last_that_comes_is_the_whole_answer(
    schema: Any, name: str, scene: Any, method: Any
) -> None:
    llm = Wire(pieces(WHOLE, method, name)).llm()
    structured = llm.with_structured_output(schema, method=method)

    assert list(structured.stream("x"))[-1] == scene
    assert [part async for part in structured.astream("x")][-1] == scene


@pytest.mark.parametrize("schema", [SceneDict, JSON_SCENE], ids=["typed dict", "json schema"])
@EACH_METHOD
async def test_a_dict_grows(schema: Any, method: Any) -> None:
    name = "SceneDict" if schema is SceneDict else "SceneJson"
    llm = Wire(pieces(WHOLE, method, name)).llm()
    structured = llm.with_structured_output(schema, method=method)
    growing = list(structured.stream("x"))

    assert growing == [{}, {"place": "f"}, {"place": "fox"}, WHOLE_DICT]
    assert [part async for part in structured.astream("x")] == growing


@EACH_METHOD
def test_an_instance_comes_once_and_whole(method: Any) -> None:
    llm = Wire(pieces(WHOLE, method)).llm()

    assert list(llm.with_structured_output(Scene, method=method).stream("x")) == [
        Scene(place="fox", hours=1)
    ]


@EACH_METHOD
@pytest.mark.parametrize("schema", [Scene, SceneDict], ids=["pydantic", "typed dict"])
@pytest.mark.parametrize("cut", ['{"place": "fox", "hours": 1', '{"place": "fox", "ho'])
async def test_a_stream_that_is_cut_off_raises_at_its_end(
    schema: Any, method: Any, cut: str
) -> None:
    llm = Wire(pieces(cut, method, schema.__name__, LENGTH)).llm()
    structured = llm.with_structured_output(schema, method=method)

    with pytest.raises(errors.UnparsableReplyError, match="raise max_tokens") as caught:
        list(structured.stream("x"))
    assert (caught.value.partial_text or "").startswith(cut)
    with pytest.raises(errors.UnparsableReplyError):
        _ = [part async for part in structured.astream("x")]


@EACH_METHOD
def test_an_answer_that_only_looks_whole_is_refused_where_invoke_streams(method: Any) -> None:
    cut = '{"place": "fox", "hours": 1'
    llm = Wire(pieces(cut, method, ending=LENGTH)).llm(streaming=True)

    with pytest.raises(errors.UnparsableReplyError, match="raise max_tokens"):
        llm.with_structured_output(Scene, method=method).invoke("x")


@EACH_METHOD
def test_prose_in_a_stream_is_no_answer(method: Any) -> None:
    llm = Wire(pieces("Once upon a time", "json_schema")).llm()

    with pytest.raises(errors.UnparsableReplyError) as caught:
        list(llm.with_structured_output(SceneDict, method=method).stream("x"))
    assert caught.value.partial_text == "Once upon a time"


def test_a_refusal_in_a_stream_is_moderation() -> None:
    events = [event({"refusal": "I "}), event({"refusal": "won't."}, choice=STOP)]

    with pytest.raises(errors.ModerationError) as caught:
        list(Wire(events).llm().with_structured_output(Scene).stream("x"))
    assert caught.value.partial_text == "I won't."


@EACH_METHOD
def test_the_raw_answer_streams_along(method: Any) -> None:
    llm = Wire(pieces(WHOLE, method)).llm()
    structured = llm.with_structured_output(Scene, method=method, include_raw=True)
    parts: dict[str, Any] = {}
    for part in structured.stream("x"):
        parts |= part

    assert parts["parsed"] == Scene(place="fox", hours=1)
    assert parts["parsing_error"] is None


@pytest.mark.parametrize("method", METHODS[:2])
def test_over_real_http_it_is_the_same(sandbox: Any, method: Any) -> None:
    structured = chat_model(sandbox).with_structured_output(Scene, method=method)

    found = structured.invoke("A scene, please.")
    assert isinstance(found, Scene)
    assert list(structured.stream("A scene, please.")) == [found]
