"""Reasoning: its fragments as the items they belong to, and back on the next turn; pure.

OpenRouter sends reasoning twice, as text (`reasoning`) and as items (`reasoning_details`), which
may be signed or encrypted. What goes back must match what the model produced: no reordering,
editing or dropping (§13 of the documentation), and only to the model that produced it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage

MODEL_PROVIDER: Final = "openrouter"
_TEXTS: Final = ("text", "summary")
_NAMES: Final = ("id", "tool_call_id")
_DATES: Final = re.compile(r"-(\d{8}|\d{2}-\d{4}|\d{4}-\d{2}-\d{2}|\d{2}-\d{2}|\d{4})(?=-|$)")
_VERSION: Final = re.compile(r"(?<=-)(\d)-(\d)(?=-|$)")
_STAGES: Final = frozenset({"latest", "preview", "beta", "exp"})


def merged(fragments: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """`reasoning_details` of a stream as the items they are fragments of.

    Fragments of one (type, index) are one item: its text and summary are joined, the last of
    any other field counts. Without an index they are one item for as long as they follow each
    other. Encrypted items come whole and are never joined (recorded traffic; the documentation
    does not say).
    """
    items: list[dict[str, Any]] = []
    begun: dict[Any, dict[str, Any]] = {}
    for fragment in fragments:
        key = (fragment.get("type"), fragment.get("index"))
        item = begun.get(key)
        is_stale = key[1] is None and bool(items) and item is not items[-1]
        is_whole = fragment.get("data") is not None
        if item is None or is_stale or is_whole or _names_differ(item, fragment):
            item = begun[key] = dict(fragment)
            items.append(item)
            continue
        joined = {k: (item.get(k) or "") + fragment[k] for k in _TEXTS if fragment.get(k)}
        item |= {k: v for k, v in {**fragment, **joined}.items() if v not in (None, "")}
    return items


def _names_differ(item: Mapping[str, Any], fragment: Mapping[str, Any]) -> bool:
    return any(
        item.get(name) and fragment.get(name) and item[name] != fragment[name] for name in _NAMES
    )


def text_of(said: Mapping[str, Any]) -> str:
    """The readable reasoning of a message or a delta, wherever its provider put it."""
    plain = said.get("reasoning") or said.get("reasoning_content")
    if isinstance(plain, str):
        return plain
    return "".join(item_text(item) for item in said.get("reasoning_details") or ())


def item_text(item: Mapping[str, Any]) -> str:
    """The readable part of one item of `reasoning_details`; empty where it is encrypted."""
    return next((item[name] for name in _TEXTS if isinstance(item.get(name), str)), "")


def as_blocks(message: AIMessage, *, is_chunk: bool = False) -> list[dict[str, Any]]:
    """The reasoning of a message as LangChain's standard content blocks.

    One block for each item, with its text as `reasoning` and all else of it as `extras`. A
    chunk's items come last, after their text: they then carry only the `extras`, all in one block
    where it would be unclear which of them the text belongs to.
    """
    text = message.additional_kwargs.get("reasoning_content") or ""
    items = message.additional_kwargs.get("reasoning_details") or []
    texts = [item_text(item) for item in items]
    hides_text = is_chunk and not text
    if hides_text and [i for i, own in enumerate(texts) if own] not in ([], [0]):
        return [{"type": "reasoning", "extras": {"reasoning_details": items}}]
    if text and text != "".join(texts):
        plain = [_block(text, {})]
        return plain + [_block("", item) for item in items if not item_text(item)]
    pairs = zip(texts, items, strict=True)
    return [_block("" if hides_text else own, item) for own, item in pairs]


def _block(text: str, item: Mapping[str, Any]) -> dict[str, Any]:
    extras = {name: value for name, value in item.items() if name not in _TEXTS}
    block = {"type": "reasoning", "reasoning": text, "extras": extras}
    return {name: value for name, value in block.items() if value}


def to_send(message: AIMessage, *models: str) -> dict[str, Any]:
    """The fields of a wire message that give a model its own reasoning back.

    Args:
        message: An answer of an earlier turn.
        *models: The model that is about to be asked, and those that may answer in its place.

    Returns:
        `reasoning_details` as they came, else the plain `reasoning`, which is all that some
        models have; nothing where another model answered.
    """
    if not any(is_own(message.response_metadata, model) for model in models):
        return {}
    details = message.additional_kwargs.get("reasoning_details") or _from_blocks(message.content)
    if details:
        return {"reasoning_details": details}
    text = message.additional_kwargs.get("reasoning_content")
    return {"reasoning": text} if text else {}


def _from_blocks(content: Any) -> list[dict[str, Any]]:
    """The items that `as_blocks` made blocks of, for a message that has only its content."""
    blocks = content if isinstance(content, list) else ()
    items = []
    for block in blocks:
        extras = block.get("extras") if isinstance(block, Mapping) else None
        if extras and extras.get("reasoning_details"):
            return list(extras["reasoning_details"])
        if extras and str(extras.get("type", "")).startswith("reasoning."):
            name = "summary" if extras["type"] == "reasoning.summary" else "text"
            text = {name: block["reasoning"]} if block.get("reasoning") else {}
            items.append({**extras, **text})
    return items


def is_own(metadata: Mapping[str, Any], model: str) -> bool:
    """Whether the model that is asked wrote the answer that has this `response_metadata`.

    The same name asked for counts as the same model, and so does what it was answered by:
    `anthropic/claude-haiku-4.5` answers as `anthropic/claude-4.5-haiku-20251001`. An answer
    that does not say who wrote it was made by hand, and is taken at its word.
    """
    if metadata.get("model_provider", MODEL_PROVIDER) != MODEL_PROVIDER:
        return False
    names = [metadata[name] for name in ("model_name", "requested_model") if metadata.get(name)]
    return not names or _words(model) in map(_words, names)


def _words(slug: str) -> frozenset[str]:
    """What a model is called, whatever the order, without author, variant, preset and date."""
    name = _DATES.sub("", re.split(r"[:@]", slug)[0].rpartition("/")[2] or slug)
    return frozenset(_VERSION.sub(r"\1.\2", name).split("-")) - _STAGES
