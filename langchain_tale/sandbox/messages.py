"""Which messages OpenRouter takes: the specification's `ChatMessages`, checked by shape; pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from langchain_tale.sandbox import reasoning

Problem = str | None
_ROLES: Final = ("system", "developer", "user", "assistant", "tool")
_TEXT_ONLY: Final = ("system", "developer")
_SOUNDS: Final = ("wav", "mp3", "aiff", "aac", "ogg", "flac", "m4a", "pcm16", "pcm24")
_DETAILS: Final = ("auto", "low", "high", "original")
_PAYLOADS: Final = {
    "reasoning.summary": "summary",
    "reasoning.encrypted": "data",
    "reasoning.text": None,
    "reasoning.server_tool_call": "tool_name",
}
"""Types of reasoning details, and the key without which they mean nothing."""


def problem_with_messages(messages: Any) -> Problem:
    """What is wrong with the messages of a request, or None."""
    if not isinstance(messages, list) or not messages:
        return "messages must be a non-empty array."
    for number, message in enumerate(messages):
        if problem := _problem_with_message(message):
            return f"messages[{number}]: {problem}"
    return None


def _problem_with_message(message: Any) -> Problem:
    if not isinstance(message, Mapping) or "role" not in message:
        return "a message must be an object with a role."
    role = message["role"]
    if role not in _ROLES:
        return f"role must be one of {', '.join(_ROLES)}."
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        return "a tool message needs the tool_call_id that it answers."
    return _problem_with_content(message) or (
        _problem_with_history(message) if role == "assistant" else None
    )


def _problem_with_content(message: Mapping[str, Any]) -> Problem:
    content = message.get("content")
    if content is None or isinstance(content, str):
        return None
    if not isinstance(content, list):
        return "content must be a string or an array of parts."
    for number, part in enumerate(content):
        if problem := _problem_with_part(part, text_only=message["role"] in _TEXT_ONLY):
            return f"content[{number}]: {problem}"
    return None


# ── parts ───────────────────────────────────────────────────────────────────


def _problem_with_part(part: Any, *, text_only: bool) -> Problem:
    if not isinstance(part, Mapping):
        return "a part must be an object."
    kind = part.get("type")
    if kind not in tuple(_PARTS):
        return f"type must be one of {', '.join(_PARTS)}, not {kind!r}."
    if text_only and kind != "text":
        return "system and developer messages take text parts only."
    return problem_with_cache_control(part.get("cache_control")) or _PARTS[kind](part)


def problem_with_cache_control(mark: Any) -> Problem:
    """What is wrong with a `cache_control`, wherever it stands."""
    if mark is None:
        return None
    if not isinstance(mark, Mapping) or mark.get("type") != "ephemeral":
        return "cache_control must be an object of type ephemeral."
    if mark.get("ttl") not in (None, "5m", "1h"):
        return "cache_control.ttl must be 5m or 1h."
    return None


def _problem_with_text(part: Mapping[str, Any]) -> Problem:
    return None if isinstance(part.get("text"), str) else "a text part needs text, a string."


def _problem_with_image(part: Mapping[str, Any]) -> Problem:
    image: Any = part.get("image_url")
    if not _has_strings(image, "url"):
        return "an image_url part needs image_url.url, a string."
    if image.get("detail") not in (None, *_DETAILS):
        return f"image_url.detail must be one of {', '.join(_DETAILS)}."
    if not image["url"].startswith(("http://", "https://", "data:image/")):
        return "image_url.url must be a URL or a data URL of an image."
    return None


def _problem_with_sound(part: Mapping[str, Any]) -> Problem:
    sound: Any = part.get("input_audio")
    if not _has_strings(sound, "data", "format"):
        return "an input_audio part needs input_audio.data and input_audio.format, both strings."
    if sound["data"].startswith(("http://", "https://", "data:")):
        return "input_audio.data must be base64, and no URL."
    if sound["format"] not in _SOUNDS:
        return f"input_audio.format must be one of {', '.join(_SOUNDS)}."
    return None


def _problem_with_file(part: Mapping[str, Any]) -> Problem:
    file: Any = part.get("file")
    if not _has_strings(file, "file_data") and not _has_strings(file, "file_id"):
        return "a file part needs file.file_data, a URL or a data URL, or file.file_id."
    data = file.get("file_data")
    if data is not None and not data.startswith(("http://", "https://", "data:")):
        return "file.file_data must be a URL or a data URL."
    return None


def _problem_with_video(part: Mapping[str, Any]) -> Problem:
    if _has_strings(part.get("video_url"), "url"):
        return None
    return "a video_url part needs video_url.url, a string."


_PARTS: Final[Mapping[str, Callable[[Mapping[str, Any]], Problem]]] = {
    "text": _problem_with_text,
    "image_url": _problem_with_image,
    "input_audio": _problem_with_sound,
    "file": _problem_with_file,
    "video_url": _problem_with_video,
}


def _has_strings(value: Any, *names: str) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(value.get(name), str) and value[name] for name in names
    )


# ── what an assistant said before ───────────────────────────────────────────


def _problem_with_history(message: Mapping[str, Any]) -> Problem:
    for name in ("reasoning", "reasoning_content", "refusal"):
        if not isinstance(message.get(name) or "", str):
            return f"{name} must be a string."
    for name, check in _HISTORY.items():
        items = message.get(name) or []
        if not isinstance(items, list):
            return f"{name} must be an array."
        for number, item in enumerate(items):
            if problem := check(item):
                return f"{name}[{number}]: {problem}"
    return None


def _problem_with_call(call: Any) -> Problem:
    if not _has_strings(call, "id") or not isinstance(call.get("function"), Mapping):
        return "a tool call needs an id and a function."
    function = call["function"]
    if not _has_strings(function, "name") or not isinstance(function.get("arguments"), str):
        return "the function of a tool call needs a name and arguments, both strings."
    return None


def _problem_with_reasoning(item: Any) -> Problem:
    if not isinstance(item, Mapping) or item.get("type") not in tuple(_PAYLOADS):
        return f"type must be one of {', '.join(_PAYLOADS)}."
    needed = _PAYLOADS[item["type"]]
    if needed is not None and not isinstance(item.get(needed), str):
        return f"{item['type']} needs {needed}, a string."
    if item.get("format") not in (None, *reasoning.FORMATS):
        return f"format must be one of {', '.join(reasoning.FORMATS)}."
    if reasoning.is_altered(item):
        return "the signature does not fit the text: send reasoning_details back unmodified."
    return None


def _problem_with_annotation(note: Any) -> Problem:
    kind = note.get("type") if isinstance(note, Mapping) else None
    if kind == "url_citation" and _has_strings(note.get("url_citation"), "url"):
        return None
    if kind == "file" and _has_strings(note.get("file"), "hash"):
        return None
    return "an annotation must be a url_citation with a url, or a file with its hash."


def _problem_with_own_image(image: Any) -> Problem:
    url = image.get("image_url") if isinstance(image, Mapping) else None
    return None if _has_strings(url, "url") else "an image needs image_url.url, a string."


_HISTORY: Final[Mapping[str, Callable[[Any], Problem]]] = {
    "tool_calls": _problem_with_call,
    "reasoning_details": _problem_with_reasoning,
    "annotations": _problem_with_annotation,
    "images": _problem_with_own_image,
}
