"""What the scripted engine can do when asked: images, sound, likelihoods, tools and arguments."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from langchain_tale.sandbox.engines import ScriptedEngine

if TYPE_CHECKING:
    from collections.abc import Mapping


def png_chunks(data: bytes) -> list[bytes]:
    """The kinds of the chunks of a PNG, each checked."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    kinds, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        (check,) = struct.unpack(">I", data[at + 8 + length : at + 12 + length])
        assert check == zlib.crc32(kind + body)
        kinds.append(kind)
        at += 12 + length
    return kinds


class TestImages:
    @pytest.mark.parametrize("modalities", [["image", "text"], ["image"]], ids=str)
    def test_it_paints_a_valid_png(self, http: Any, modalities: list[str]) -> None:
        body = http.ask(modalities=modalities).json()
        message = body["choices"][0]["message"]
        [image] = message["images"]
        head, _, data = image["image_url"]["url"].partition(",")
        assert head == "data:image/png;base64"
        assert png_chunks(base64.b64decode(data)) == [b"IHDR", b"IDAT", b"IEND"]
        assert bool(message["content"]) is ("text" in modalities)
        details = body["usage"]["completion_tokens_details"]
        assert 0 < details["image_tokens"] <= body["usage"]["completion_tokens"]

    def test_streamed_it_comes_in_one_delta(self, http: Any) -> None:
        fields = {"modalities": ["image", "text"]}
        assert http.deltas("images", **fields) == [http.message(**fields)["images"]]

    def test_nobody_gets_one_unasked(self, http: Any) -> None:
        assert "images" not in http.message(modalities=["text"])


SPOKEN: dict[str, Any] = {
    "modalities": ["text", "audio"],
    "audio": {"voice": "alloy", "format": "pcm16"},
}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": CITY}}
    for name in ("weather", "clock")
]


class TestSound:
    def test_it_speaks_in_fragments(self, http: Any) -> None:
        fragments = http.deltas("audio", **SPOKEN)
        assert [sorted(fragment) for fragment in fragments[:2]] == [
            ["id", "transcript"],
            ["transcript"],
        ]
        said = "".join(fragment.get("transcript", "") for fragment in fragments)
        assert "Once upon a time" in said
        sound = "".join(fragment.get("data", "") for fragment in fragments)
        assert len(base64.b64decode(sound)) % 2 == 0
        assert fragments[-1].keys() == {"expires_at"}

    def test_what_is_spoken_is_not_written(self, http: Any) -> None:
        assert http.deltas("content", **SPOKEN) == []

    def test_it_is_counted(self, http: Any) -> None:
        usage = http.chunks(**SPOKEN)[-1]["usage"]
        details = usage["completion_tokens_details"]
        assert details["audio_tokens"] == usage["completion_tokens"] > 0


class TestLikelihoods:
    def test_every_token_has_its_own(self, http: Any) -> None:
        choice = http.ask(logprobs=True, top_logprobs=2, max_tokens=3).json()["choices"][0]
        tokens = choice["logprobs"]["content"]
        assert "".join(token["token"] for token in tokens) == choice["message"]["content"]
        for token in tokens:
            assert bytes(token["bytes"]).decode() == token["token"]
            assert token["logprob"] <= 0
            first, second = token["top_logprobs"]
            assert first == {name: token[name] for name in ("token", "bytes", "logprob")}
            assert second["logprob"] < first["logprob"]

    def test_alternatives_only_where_wanted(self, http: Any) -> None:
        [token] = http.ask(logprobs=True, max_tokens=1).json()["choices"][0]["logprobs"]["content"]
        assert token["top_logprobs"] == []

    def test_streamed_they_come_with_their_words(self, http: Any) -> None:
        fields = {"logprobs": True, "top_logprobs": 1, "max_tokens": 4}
        told = [chunk["choices"][0] for chunk in http.chunks(**fields)]
        words = [(c["delta"]["content"], c["logprobs"]) for c in told if c["delta"]["content"]]
        assert all(odds["content"][0]["token"] == word for word, odds in words)
        whole = http.ask(**fields).json()["choices"][0]["logprobs"]["content"]
        assert [odds["content"][0] for _, odds in words] == whole
        assert told[-1]["logprobs"] is None

    @pytest.mark.parametrize("fields", [{}, {"logprobs": False}], ids=str)
    def test_nobody_gets_them_unasked(self, http: Any, fields: dict[str, Any]) -> None:
        assert http.ask(**fields).json()["choices"][0]["logprobs"] is None


class TestManyTools:
    def test_all_are_called_at_once_where_that_is_wanted(self, http: Any) -> None:
        calls = http.message(tools=TOOLS, parallel_tool_calls=True)["tool_calls"]
        assert [(call["index"], call["function"]["name"]) for call in calls] == [
            (0, "weather"),
            (1, "clock"),
        ]
        assert len({call["id"] for call in calls}) == 2

    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"parallel_tool_calls": False},
            {
                "parallel_tool_calls": True,
                "tool_choice": {"type": "function", "function": {"name": "weather"}},
            },
        ],
        ids=["silence", "no", "named"],
    )
    def test_else_one(self, http: Any, fields: dict[str, Any]) -> None:
        calls = http.message(tools=TOOLS, **fields)["tool_calls"]
        assert [call["function"]["name"] for call in calls] == ["weather"]

    def test_streamed_their_arguments_come_in_fragments(self, http: Any) -> None:
        fields = {"tools": TOOLS, "parallel_tool_calls": True}
        fragments = [fragment for [fragment] in http.deltas("tool_calls", **fields)]
        assert [fragment["index"] for fragment in fragments] == [0, 0, 0, 1, 1, 1]
        assert ["id" in fragment for fragment in fragments] == [True, False, False] * 2
        arguments = {0: "", 1: ""}
        for fragment in fragments:
            arguments[fragment["index"]] += fragment["function"]["arguments"]
        whole = http.message(**fields)["tool_calls"]
        assert list(arguments.values()) == [call["function"]["arguments"] for call in whole]
        assert json.loads(arguments[0]) == {"city": "fox"}


def arguments_for(http: Any, content: str, parameters: dict[str, Any]) -> Any:
    """The arguments with which a tool is called after that message."""
    tools = [{"type": "function", "function": {"name": "f", "parameters": parameters}}]
    message = http.ask(content, tools=tools).json()["choices"][0]["message"]
    return json.loads(message["tool_calls"][0]["function"]["arguments"])


def an_object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


INTEGER = {"type": "integer"}
STRING = {"type": "string"}


class TestArguments:
    @pytest.mark.parametrize(
        ("content", "parameters", "arguments"),
        [
            pytest.param(
                "What is 3 + 4?", an_object(a=INTEGER, b=INTEGER), {"a": 3, "b": 4}, id="integers"
            ),
            pytest.param(
                "From 1.5 to 2",
                an_object(a={"type": "number"}, b=INTEGER),
                {"a": 1.5, "b": 2},
                id="numbers",
            ),
            pytest.param(
                "Add 'Mia' of 5 to «Луна».",
                an_object(name=STRING, age=INTEGER, group=STRING),
                {"name": "Mia", "age": 5, "group": "Луна"},
                id="both kinds",
            ),
            pytest.param(
                "2.5, 12 or 3 stars",
                an_object(stars={"type": "integer", "maximum": 5}),
                {"stars": 3},
                id="the first that fits",
            ),
            pytest.param(
                "'kelvin' or 'celsius'",
                an_object(unit={"type": "string", "enum": ["fahrenheit", "celsius"]}),
                {"unit": "celsius"},
                id="one of those allowed",
            ),
            pytest.param(
                "For 4 days",
                an_object(days={"anyOf": [INTEGER, {"type": "null"}], "default": 1}),
                {"days": 4},
                id="instead of the default",
            ),
            pytest.param(
                "'Mia' since 'May'",
                an_object(since={"type": "string", "format": "date"}, of={"const": "x"}),
                {"since": "2026-01-31", "of": "x"},
                id="no format, no constant",
            ),
            pytest.param(
                "Say 7 things",
                an_object(text={**STRING, "default": "moon"}, n=INTEGER, m=INTEGER),
                {"text": "moon", "n": 7, "m": 1},
                id="examples for the rest",
            ),
        ],
    )
    def test_they_are_what_the_user_mentions(
        self, http: Any, content: str, parameters: dict[str, Any], arguments: dict[str, Any]
    ) -> None:
        assert arguments_for(http, content, parameters) == arguments

    def test_only_the_last_of_the_users_messages_counts(self, http: Any) -> None:
        tools = [
            {"type": "function", "function": {"name": "f", "parameters": an_object(a=INTEGER)}}
        ]
        parts = [{"type": "text", "text": "Now"}, {"type": "text", "text": "9!"}]
        messages = [
            {"role": "user", "content": "7"},
            {"role": "user", "content": parts},
            {"role": "system", "content": "8"},
        ]
        [call] = http.message(tools=tools, messages=messages)["tool_calls"]
        assert json.loads(call["function"]["arguments"]) == {"a": 9}

    def test_every_tool_reads_the_whole_message(self, http: Any) -> None:
        message = http.ask("In 'Rome'", tools=TOOLS, parallel_tool_calls=True).json()["choices"][0]
        calls = message["message"]["tool_calls"]
        assert [json.loads(call["function"]["arguments"]) for call in calls] == [
            {"city": "Rome"},
            {"city": "Rome"},
        ]

    def test_after_the_result_it_answers(self, http: Any) -> None:
        [call] = http.message(tools=TOOLS)["tool_calls"]
        messages = [
            {"role": "user", "content": "How is it in 'Rome'?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call["id"], "content": "Sunny."},
        ]
        message = http.message(tools=TOOLS, messages=messages)
        assert message.get("tool_calls") is None
        assert "Once upon a time" in message["content"]

    def test_without_a_tool_mentions_change_nothing(self, http: Any) -> None:
        wanted = {"name": "x", "schema": an_object(a=INTEGER, b=STRING)}
        form = {"type": "json_schema", "json_schema": wanted}
        message = http.ask("7 'moons'", response_format=form).json()["choices"][0]["message"]
        assert json.loads(message["content"]) == {"a": 1, "b": "fox"}

    @pytest.mark.parametrize(
        ("content", "answer"),
        [
            pytest.param(
                "JSON with 'setup' and 'punchline' keys",
                {"setup": "fox", "punchline": "fox"},
                id="named",
            ),
            pytest.param("JSON for 'a fox'", {"answer": "yes"}, id="unnamed"),
        ],
    )
    def test_an_object_without_a_schema_has_the_quoted_names(
        self, http: Any, content: str, answer: dict[str, str]
    ) -> None:
        form = {"type": "json_object"}
        message = http.ask(content, response_format=form).json()["choices"][0]["message"]
        assert json.loads(message["content"]) == answer


USER = {"role": "user", "content": "Tell me of a fox."}


def told(http: Any, said: str, **fields: Any) -> dict[str, Any]:
    messages = [USER, {"role": "assistant", "content": said}]
    choice: dict[str, Any] = http.ask(messages=messages, **fields).json()["choices"][0]
    return choice


class TestPrefill:
    def test_the_story_is_continued_to_the_character(self, http: Any) -> None:
        story = http.message()["content"]
        for cut in range(len(story)):
            assert told(http, story[:cut])["message"]["content"] == story[cut:]

    def test_so_it_is_by_any_model_and_streamed(self, http: Any) -> None:
        story = http.message()["content"]
        messages = [USER, {"role": "assistant", "content": story[:25]}]
        words = http.deltas("content", messages=messages, model="anthropic/claude-3-haiku")
        assert "".join(words) == story[25:]
        assert all(words)

    def test_after_its_end_nothing_is_left_to_say(self, http: Any) -> None:
        choice = told(http, http.message()["content"])
        assert (choice["message"]["content"], choice["finish_reason"]) == (None, "stop")

    def test_what_began_otherwise_goes_on_with_a_fresh_sentence(self, http: Any) -> None:
        text = told(http, "The owl said:")["message"]["content"]
        assert text.startswith("Once upon a time")
        assert http.message()["content"].endswith(text)

    def test_tokens_that_are_left_are_counted(self, http: Any) -> None:
        story = http.message()["content"]
        whole = http.ask().json()["usage"]["completion_tokens"]
        messages = [USER, {"role": "assistant", "content": story[:4]}]
        usage = http.ask(messages=messages).json()["usage"]
        assert usage["completion_tokens"] == whole - story[:4].count(" ")
        assert told(http, story[:4], max_tokens=2)["finish_reason"] == "length"

    def test_a_reply_of_ones_own_is_continued_too(self, serve: Any) -> None:
        def shout(request: Mapping[str, Any]) -> str:
            return str(request["messages"][-1]["content"]).upper()

        _, http = serve(ScriptedEngine(shout))
        assert told(http, "TELL ME")["message"]["content"] == " OF A FOX."

    def test_a_conversation_is_no_prefill(self, http: Any) -> None:
        messages = [USER, {"role": "assistant", "content": "# The Tale"}, USER]
        content = http.ask(messages=messages).json()["choices"][0]["message"]["content"]
        assert content.startswith("# The Tale")
