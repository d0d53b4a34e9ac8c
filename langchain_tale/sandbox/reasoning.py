"""Reasoning as OpenRouter passes it on: who asks for it, and the shape each vendor gives it.

The request follows OpenRouter's guide "Reasoning tokens". The fragments follow recorded
streams: Claude sends text and at last a fragment with only a signature, all of index 0; GPT
sends a summary and then an encrypted item whole, of the next index; Gemini sends text and an
encrypted item, both of index 0; the others send text of unknown format.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from langchain_tale.sandbox.pieces import Piece

EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
FORMATS: Final = (
    "unknown", "openai-responses-v1", "azure-openai-responses-v1", "bedrock-openai-responses-v1",
    "bedrock-xai-responses-v1", "xai-responses-v1", "meta-responses-v1", "anthropic-claude-v1",
    "google-gemini-v1",
)  # fmt: skip
"""The specification's `ReasoningFormat`."""
_FORMAT_OF: Final = {
    "anthropic": "anthropic-claude-v1",
    "google": "google-gemini-v1",
    "openai": "openai-responses-v1",
}
_THOUGHTS: Final = (
    "The request wants an answer that is short and kind.",
    "A small animal makes a good hero for it.",
    "Sharing is a theme that every child understands.",
    "Nothing in it should frighten anyone.",
    "It should end calmly, since it is told at bedtime.",
)
_SEAL: Final = b"sandbox::"  # nine bytes, so that every seal begins with the same letters


def is_wanted(request: Mapping[str, Any]) -> bool:
    """Whether a request asks the model to reason.

    An object that does not switch it off asks, even an empty one: the legacy
    `include_reasoning: true` is documented as `reasoning: {}`.
    """
    asked = request.get("reasoning")
    if isinstance(asked, Mapping):
        return asked.get("enabled") is not False and _effort(request) != "none"
    return _effort(request) not in (None, "none") or request.get("include_reasoning") is True


def _effort(request: Mapping[str, Any]) -> str | None:
    asked = request.get("reasoning") or {}
    effort: str | None = asked.get("effort") or request.get("reasoning_effort")
    return effort


def thoughts(request: Mapping[str, Any]) -> list[str]:
    """The words of the reasoning, more of them for a higher effort; none where nobody asked."""
    if not is_wanted(request):
        return []
    budget = (request.get("reasoning") or {}).get("max_tokens")
    sentences = max(1, EFFORTS.index(_effort(request) or "medium") - 1)
    if budget is not None:
        sentences = len(_THOUGHTS)
    asked = json.dumps(request["messages"], sort_keys=True).encode()
    first = hashlib.sha256(asked).digest()[0]
    told = [_THOUGHTS[(first + n) % len(_THOUGHTS)] for n in range(sentences)]
    return " ".join(told).split(" ")[:budget]


def told(request: Mapping[str, Any], words: list[str], *, is_whole: bool) -> Iterator[Piece]:
    """The pieces of a reasoning, in the shape of the model's vendor.

    Args:
        request: What was asked; `reasoning.exclude` keeps the text back.
        words: As many of the `thoughts` as fit.
        is_whole: Whether these are all; what ends a reasoning is missing from a broken one.
    """
    asked = request.get("reasoning") or {}
    if not words or asked.get("exclude") or request.get("include_reasoning") is False:
        return
    vendor = str(request.get("model") or "").lstrip("~").partition("/")[0]
    form = _FORMAT_OF.get(vendor, "unknown")
    kind = "summary" if vendor == "openai" else "text"
    for number, word in enumerate(words):
        text = word if number == 0 else f" {word}"
        item = {"type": f"reasoning.{kind}", kind: text, "format": form, "index": 0}
        yield Piece(extras={"reasoning": text, "reasoning_details": [item]})
    if is_whole and vendor in _FORMAT_OF:
        yield Piece(extras=_closing(vendor, form, " ".join(words)))


def _closing(vendor: str, form: str, text: str) -> dict[str, Any]:
    """What a vendor sends after the last word, so that it knows its reasoning again."""
    if vendor == "anthropic":
        item = {"type": "reasoning.text", "signature": seal(text), "format": form, "index": 0}
        return {"reasoning_details": [item]}
    item = {
        "type": "reasoning.encrypted",
        "data": seal(text),
        "id": f"rs_{hashlib.sha256(text.encode()).hexdigest()[:24]}"
        if vendor == "openai"
        else None,
        "format": form,
        "index": 1 if vendor == "openai" else 0,
    }
    return {"reasoning": None, "reasoning_details": [item]}


def seal(text: str) -> str:
    """The signature, or the encrypted form, of a reasoning of this sandbox."""
    return base64.b64encode(_SEAL + hashlib.sha256(text.encode()).digest()).decode()


def is_altered(item: Mapping[str, Any]) -> bool:
    """Whether an item that this sandbox signed comes back with another text.

    Anthropic refuses such blocks; signatures of others are let pass.
    """
    signature = item.get("signature") or ""
    is_ours = signature.startswith(base64.b64encode(_SEAL).decode())
    return is_ours and signature != seal(item.get("text") or "")


def merged(
    items: Iterable[Mapping[str, Any]], more: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Fragments of one type and index become one item: texts joined, the rest as it came."""
    whole = {(item["type"], item["index"]): dict(item) for item in items}
    for fragment in more:
        item = whole.setdefault((fragment["type"], fragment["index"]), {})
        for name, value in fragment.items():
            item[name] = item.get(name, "") + value if name in ("text", "summary") else value
    return list(whole.values())
