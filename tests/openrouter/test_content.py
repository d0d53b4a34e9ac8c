"""LangChain's content blocks as OpenRouter's parts (§18); answers as blocks are tested apart."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.messages.content import (
    create_audio_block,
    create_file_block,
    create_image_block,
    create_plaintext_block,
    create_text_block,
    create_video_block,
)

from langchain_tale.errors import ConfigurationError
from langchain_tale.openrouter.content import parts

URL, DATA = "https://x.test/a.png", "data:image/png;base64,AA=="
MARK = {"type": "ephemeral", "ttl": "1h"}


def image(url: str, **detail: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **detail}}


def file(address: str, name: str) -> dict[str, Any]:
    return {"type": "file", "file": {"filename": name, "file_data": address}}


def sound(kind: str) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": "AA==", "format": kind}}


TEXT = {"type": "text", "text": "hi"}
PDF = "data:application/pdf;base64,AA=="
PARTS: dict[str, tuple[Any, dict[str, Any]]] = {
    # LangChain's standard blocks
    "text": (create_text_block("hi", id="x"), TEXT),
    "string": ("hi", TEXT),
    "image url": (create_image_block(url=URL), image(URL)),
    "image base64": (create_image_block(base64="AA==", mime_type="image/png"), image(DATA)),
    "image detail": (create_image_block(url=URL, detail="low"), image(URL, detail="low")),
    "video": (
        create_video_block(url="https://x.test/a.mp4"),
        {"type": "video_url", "video_url": {"url": "https://x.test/a.mp4"}},
    ),
    "video base64": (
        create_video_block(base64="AA==", mime_type="video/mp4"),
        {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AA=="}},
    ),
    "audio": (create_audio_block(base64="AA==", mime_type="audio/wav"), sound("wav")),
    "audio mp3": (create_audio_block(base64="AA==", mime_type="audio/mpeg"), sound("mp3")),
    "audio opus": (
        create_audio_block(base64="AA==", mime_type="audio/ogg;codecs=opus"),
        sound("ogg"),
    ),
    "file": (
        create_file_block(base64="AA==", mime_type="application/pdf", filename="a.pdf"),
        file(PDF, "a.pdf"),
    ),
    "file without a name": (
        create_file_block(base64="AA==", mime_type="application/pdf"),
        file(PDF, "file.pdf"),
    ),
    "file url": (
        create_file_block(url="https://x.test/docs/b.pdf?v=1"),
        file("https://x.test/docs/b.pdf?v=1", "b.pdf"),
    ),
    "file id": (create_file_block(file_id="f1"), {"type": "file", "file": {"file_id": "f1"}}),
    "plain text": (create_plaintext_block("hi"), TEXT),
    "non-standard": ({"type": "non_standard", "value": image(URL)}, image(URL)),
    # its older ones
    "older image url": ({"type": "image", "source_type": "url", "url": URL}, image(URL)),
    "older image": (
        {"type": "image", "source_type": "base64", "data": "AA==", "mime_type": "image/png"},
        image(DATA),
    ),
    "older file": (
        {
            "type": "file",
            "source_type": "base64",
            "data": "AA==",
            "mime_type": "application/pdf",
            "metadata": {"filename": "a.pdf"},
        },
        file(PDF, "a.pdf"),
    ),
    "older file id": (
        {"type": "file", "source_type": "id", "id": "f1"},
        {"type": "file", "file": {"file_id": "f1"}},
    ),
    "older audio": (
        {"type": "audio", "source_type": "base64", "data": "AA==", "mime_type": "audio/wav"},
        sound("wav"),
    ),
    # Anthropic's
    "anthropic image": (
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": "AA=="},
        },
        image(DATA),
    ),
    "anthropic image url": ({"type": "image", "source": {"type": "url", "url": URL}}, image(URL)),
    "anthropic document": (
        {
            "type": "document",
            "title": "a.pdf",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "AA=="},
        },
        file(PDF, "a.pdf"),
    ),
    # OpenRouter's own
    "own image": (image(URL, detail="high"), image(URL, detail="high")),
    "own image, bare": ({"type": "image_url", "image_url": URL}, image(URL)),
    "own file": (file(PDF, "a.pdf"), file(PDF, "a.pdf")),
    "own audio": (sound("flac"), sound("flac")),
    "own video": (
        {"type": "video_url", "video_url": {"url": URL}},
        {"type": "video_url", "video_url": {"url": URL}},
    ),
    "of tomorrow": ({"type": "hologram", "x": 1}, {"type": "hologram", "x": 1}),
}


@pytest.mark.parametrize(("block", "part"), PARTS.values(), ids=PARTS)
def test_a_block_becomes_the_part_that_openrouter_takes(block: Any, part: dict[str, Any]) -> None:
    assert parts([block]) == [part]


@pytest.mark.parametrize(
    ("mime_type", "kind"),
    [
        *(("audio/mpeg", "mp3"), ("audio/mp3", "mp3"), ("audio/flac", "flac")),
        *(("audio/x-flac", "flac"), ("audio/wave", "wav"), ("audio/x-wav", "wav")),
        *(("audio/vnd.wave", "wav"), ("audio/mp4", "m4a"), ("audio/x-m4a", "m4a")),
        *(("audio/aac", "aac"), ("audio/x-aiff", "aiff"), ("audio/L16; rate=8000", "pcm16")),
    ],
)
def test_a_type_of_audio_has_openrouters_name(mime_type: str, kind: str) -> None:
    assert parts([create_audio_block(base64="AA==", mime_type=mime_type)]) == [sound(kind)]


@pytest.mark.parametrize("name", ["text", "image url", "file", "audio", "own image"])
def test_cache_points_go_along_wherever_they_stand(name: str) -> None:
    block, part = PARTS[name]
    marked = {**part, "cache_control": MARK}

    assert parts([{**block, "cache_control": MARK}]) == [marked]
    extras = {**block.get("extras", {}), "cache_control": MARK}
    assert parts([{**block, "extras": extras}]) == [marked]


def test_openais_cache_point_goes_along_too() -> None:
    mark = {"mode": "explicit"}

    assert parts([{**TEXT, "prompt_cache_breakpoint": mark}]) == [
        {**TEXT, "prompt_cache_breakpoint": mark}
    ]


@pytest.mark.parametrize("content", ["hi", "", None], ids=repr)
def test_content_that_is_no_list_stays_as_it_is(content: Any) -> None:
    assert parts(content) == content


@pytest.mark.parametrize(
    "kind",
    [
        "reasoning",
        "thinking",
        "redacted_thinking",
        "tool_use",
        "tool_call",
        "tool_call_chunk",
        "invalid_tool_call",
        "function_call",
        "server_tool_call",
        "server_tool_result",
    ],
)
def test_what_a_message_says_elsewhere_is_no_part(kind: str) -> None:
    assert parts([{"type": kind, "text": "x"}, TEXT]) == [TEXT]


@pytest.mark.parametrize(
    ("block", "sentence"),
    [
        ({"type": "image"}, "'image' needs url or base64"),
        ({"type": "image", "base64": "AA=="}, "'image' with base64 needs its mime_type"),
        ({"type": "file"}, "'file' needs url or base64"),
        ({"type": "audio", "url": "https://x.test/a.wav"}, "no addresses of audio"),
        ({"type": "audio", "base64": "AA=="}, "'audio' with base64 needs its mime_type"),
        ({"type": "video", "file_id": "f"}, "'video' needs url or base64"),
    ],
    ids=["image", "image type", "file", "audio url", "audio type", "video id"],
)
def test_a_block_that_openrouter_has_no_part_for_is_our_callers_mistake(
    block: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        parts([block])


def test_the_callers_blocks_are_left_as_they_are() -> None:
    block = {**image(URL), "extras": {"cache_control": MARK}}
    message = HumanMessage([block])
    sent = parts(message.content)
    sent[0]["text"] = "changed"

    assert message.content == [{**image(URL), "extras": {"cache_control": MARK}}]
