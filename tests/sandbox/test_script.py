"""What the scripted engine can do when asked: images, sound, likelihoods, many tools at once."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import Any

import pytest


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
