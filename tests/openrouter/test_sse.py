from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._streaming import SSEDecoder

from langchain_tale.openrouter.sse import EventDecoder

_LINES = st.one_of(
    st.sampled_from(
        ["", "", "data", "data:", "data: ", "event: x", "retry: 1", ": note", "dat: a"]
    ),
    st.text(alphabet="ab :é🦊\\", max_size=8).map(lambda text: f"data: {text}"),
)


def events_of(parts: list[bytes]) -> list[bytes]:
    decoder = EventDecoder()
    found = [event for part in parts for event in decoder.feed(part)]
    return found + decoder.finish()


@given(
    lines=st.lists(_LINES, max_size=12),
    ends=st.lists(st.sampled_from(["\n", "\r\n", "\r"]), min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 120), max_size=8),
    last=st.sampled_from(["", "\n", "\n\n"]),
)
def test_events_are_those_that_the_sdk_finds_wherever_they_are_cut(
    lines: list[str], ends: list[str], cuts: list[int], last: str
) -> None:
    text = "".join(line + ends[number % len(ends)] for number, line in enumerate(lines)) + last
    content = text.encode()
    places = sorted({0, *(cut for cut in cuts if cut < len(content)), len(content)})
    parts = [content[begin:end] for begin, end in pairwise(places)]

    theirs = SSEDecoder().iter_bytes(iter([content, b"\n\n"]))

    assert events_of(parts) == [event.data.encode() for event in theirs if event.data]


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_a_byte_order_mark_is_no_part_of_the_first_line(size: int) -> None:
    content = b"\xef\xbb\xbfdata: 1\n\ndata: \xef\xbb\xbf2\n\n"
    parts = [content[start : start + size] for start in range(0, len(content), size)]

    assert events_of(parts) == [b"1", b"\xef\xbb\xbf2"]


def test_an_event_is_told_as_soon_as_it_is_whole() -> None:
    decoder = EventDecoder()

    assert decoder.feed(b"data: 1\r\n\r") == [b"1"]
    assert decoder.feed(b"\ndata: 2\n") == []
    assert decoder.feed(b"\n") == [b"2"]


def test_the_last_event_needs_no_line_end() -> None:
    assert events_of([b"data: 1\n\ndata: 2"]) == [b"1", b"2"]


def test_events_without_data_are_none() -> None:
    assert events_of([b"event: ping\nid: 7\n\nretry: 5\n\n: x\n\ndata:\n\n\n\ndata: 1\n\n"]) == [
        b"1"
    ]


def test_a_long_line_is_joined_once() -> None:
    text = json.dumps("x" * 300_000).encode()

    assert events_of([b"data: ", *(text[n : n + 100] for n in range(0, len(text), 100))]) == [text]
