"""Fragments of tool calls and of sound: every provider numbers and cuts them in its own way."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_tale.openrouter.messages import to_wire
from tests.openrouter.replies import STOP, call, chunks, event, read, streamed

Fragment = dict[str, Any]


def more(arguments: str | None, index: int | None = 0, **also: Any) -> Fragment:
    """A later fragment of a tool call."""
    return {"index": index, "function": {"arguments": arguments}, **also}


def calls(*fragments: Fragment) -> list[tuple[str, Any, str | None]]:
    """The calls that fragments make, one in each event."""
    message = streamed(*(event({"tool_calls": [one]}) for one in fragments), event(choice=STOP))
    assert message.invalid_tool_calls == []
    return [(c["name"], c["args"], c["id"]) for c in message.tool_calls]


ONE, TWO = ("f", {"a": 1}, "1"), ("g", {"b": 2}, "2")
PARALLEL = {
    "numbered": [
        *(call("f", '{"a":', index=0), more(" 1}")),
        *(call("g", '{"b":', "2", index=1), more(" 2}", 1)),
    ],
    "in turns": [
        *(call("f", '{"a":', index=0), call("g", '{"b":', "2", index=1)),
        *(more(" 1}"), more(" 2}", 1)),
    ],
    "not numbered": [
        *(call("f", '{"a":', index=None), more(" 1}", None)),
        *(call("g", '{"b":', "2", index=None), more(" 2}", None)),
    ],
    "all numbered 0": [
        *(call("f", '{"a":', index=0), more(" 1}")),
        *(call("g", '{"b":', "2", index=0), more(" 2}")),
    ],
    "numbered from 1": [
        *(call("f", '{"a":', index=1), more(" 1}", 1)),
        *(call("g", '{"b":', "2", index=2), more(" 2}", 2)),
    ],
    "whole": [call("f", '{"a": 1}', index=0), call("g", '{"b": 2}', "2", index=1)],
    "whole, all numbered 0": [call("f", '{"a": 1}', index=0), call("g", '{"b": 2}', "2", index=0)],
    "objects": [call("f", {"a": 1}, index=0), call("g", {"b": 2}, "2", index=1)],
    "names and ids repeated": [
        *(call("f", '{"a":', index=0), call("f", " 1}", index=0)),
        *(call("g", '{"b":', "2", index=1), call("g", " 2}", "2", index=1)),
    ],
    "told apart by their ids only": [
        *(call("f", '{"a":', index=0), call("g", '{"b":', "2", index=0)),
        *(call("f", " 1}", index=0), call("g", " 2}", "2", index=0)),
    ],
    "empty names and ids later": [
        *(call("f", '{"a":', index=0), call("", " 1}", "", index=0)),
        *(call("g", '{"b":', "2", index=1), call("", " 2}", "", index=1)),
    ],
}


@pytest.mark.parametrize("fragments", PARALLEL.values(), ids=PARALLEL)
def test_fragments_find_their_call_however_they_are_numbered(fragments: list[Fragment]) -> None:
    assert calls(*fragments) == [ONE, TWO]


def test_several_fragments_of_one_event_are_told_apart() -> None:
    both = [call("f", '{"a": 1}', index=0), call("g", '{"b": 2}', "2", index=1)]
    message = streamed(event({"tool_calls": both}, choice=STOP))

    assert [c["name"] for c in message.tool_calls] == ["f", "g"]


def test_an_id_may_come_late() -> None:
    late = more("}", id="1")

    assert calls(call("f", "{", None, index=0), late) == [("f", {}, "1")]


def test_calls_without_ids_are_numbered_by_their_index() -> None:
    one, two = call("f", '{"a": 1}', None, index=0), call("g", '{"b": 2}', None, index=1)

    assert calls(one, two) == [("f", {"a": 1}, None), ("g", {"b": 2}, None)]


@pytest.mark.parametrize("arguments", [None, "", {}, "{}"], ids=repr)
def test_a_call_without_arguments_has_none(arguments: Any) -> None:
    assert calls(call("f", arguments, index=0)) == [("f", {}, "1")]
    assert read({"tool_calls": [call("f", arguments)]}).tool_calls[0]["args"] == {}


@pytest.mark.parametrize("arguments", ['{"a": ', '{"a": "b', '{"a": "b",', "[1]", "a fox"])
def test_a_call_that_is_not_whole_is_invalid_and_not_mended(arguments: str) -> None:
    fragments = [call("f", arguments[:3], index=0), more(arguments[3:])]
    events = [event({"tool_calls": [fragment]}) for fragment in fragments]
    message = streamed(*events, event(choice={"finish_reason": "length"}))

    assert message.tool_calls == []
    broken = message.invalid_tool_calls[0]
    assert (broken["name"], broken["id"]) == ("f", "1")
    assert (broken["args"] or "").startswith(arguments)
    assert to_wire([message], "a/b")[0]["tool_calls"][0]["function"]["arguments"] == arguments


def test_each_fragment_is_handed_on_as_it_comes() -> None:
    events = [event({"tool_calls": [one]}) for one in PARALLEL["in turns"]]
    seen = [chunk.tool_call_chunks for chunk in chunks(*events, event(choice=STOP))]

    assert [[(c["args"], c["index"]) for c in one] for one in seen] == [
        *([('{"a":', 0)], [('{"b":', 1)], [(" 1}", 0)], [(" 2}", 1)]),
        [],
    ]


VALUES = st.recursive(
    st.booleans() | st.integers() | st.text('ab "\\{}[]é', max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)


@settings(deadline=None, max_examples=50)
@given(args=st.dictionaries(st.text(max_size=3), VALUES, max_size=3), data=st.data())
def test_arguments_may_be_cut_anywhere(args: dict[str, Any], data: st.DataObject) -> None:
    text = json.dumps(args, ensure_ascii=data.draw(st.booleans()), separators=(",", ":"))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4)))
    parts = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]

    assert calls(call("f", parts[0], index=0), *map(more, parts[1:])) == [("f", args, "1")]


# ── sound ───────────────────────────────────────────────────────────────────


def spoken(*pieces: dict[str, Any]) -> dict[str, Any]:
    events = [event({"audio": piece}) for piece in pieces]
    audio: dict[str, Any] = streamed(*events, event(choice=STOP)).additional_kwargs["audio"]
    return audio


@settings(deadline=None)
@given(st.lists(st.binary(max_size=7), min_size=1).filter(any))
def test_pieces_of_sound_are_joined_to_the_right_bytes(pieces: list[bytes]) -> None:
    audio = spoken(*({"data": base64.b64encode(piece).decode()} for piece in pieces))

    assert base64.b64decode(audio["data"], validate=True) == b"".join(pieces)


@settings(deadline=None, max_examples=50)
@given(sound=st.binary(min_size=3, max_size=12), data=st.data())
def test_one_text_of_sound_may_be_cut_anywhere(sound: bytes, data: st.DataObject) -> None:
    sound = sound[: len(sound) - len(sound) % 3]  # and so its base64 needs no padding
    text = base64.b64encode(sound).decode()
    cut = data.draw(st.integers(1, len(text) - 1))

    audio = spoken({"data": text[:cut]}, {"data": text[cut:]})
    assert base64.b64decode(audio["data"], validate=True) == sound


def test_what_is_said_with_the_sound_is_kept() -> None:
    pieces: list[dict[str, Any]] = [
        {"id": "audio_1", "transcript": "Once "},
        {"data": "AAEC", "transcript": "upon"},
        {"data": None, "transcript": None},
        {"id": "audio_1", "expires_at": 1_800_000_000},
    ]

    assert spoken(*pieces) == {
        "id": "audio_1",
        "expires_at": 1_800_000_000,
        "transcript": "Once upon",
        "data": "AAEC",
    }
