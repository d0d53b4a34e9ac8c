"""Answers as text and back; only messages, and nothing that is executed; pure."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from langchain_core.messages import AIMessage, message_chunk_to_message
from langchain_core.outputs import ChatGeneration, Generation

if TYPE_CHECKING:
    from collections.abc import Sequence

FORMAT: Final = 1
CUT_OFF: Final = frozenset({"length", "max_tokens", "content_filter", "error", "incomplete"})
"""Reasons to finish, in the words of several vendors, of answers that are not whole."""
_REASONS: Final = ("finish_reason", "stop_reason", "done_reason")


def key_of(prompt: str, llm_string: str) -> str:
    """What an answer is known by: a hash, which tells nothing of the prompt."""
    told = json.dumps([FORMAT, prompt, llm_string])
    return sha256(told.encode(errors="surrogatepass")).hexdigest()


def packed(generations: Sequence[Generation]) -> str | None:
    """Answers as JSON; None for those that must not be kept, or cannot."""
    if not generations or any(_is_partial(generation) for generation in generations):
        return None
    try:
        return json.dumps([_packed(generation) for generation in generations])
    except (TypeError, ValueError):  # somebody's own object among the facts
        return None


def unpacked(text: str | bytes) -> list[Generation] | None:
    """The answers again; None for what `packed` has not written."""
    try:
        return [_unpacked(one) for one in json.loads(text)]
    except (TypeError, ValueError, KeyError, AttributeError):
        return None


def _is_partial(generation: Generation) -> bool:
    said = dict(generation.generation_info or {})
    if isinstance(generation, ChatGeneration):
        said |= generation.message.response_metadata
    return any(said.get(name) in CUT_OFF for name in _REASONS)


def _packed(generation: Generation) -> dict[str, Any]:
    if not isinstance(generation, ChatGeneration):
        return {"text": generation.text, "info": generation.generation_info}
    message = message_chunk_to_message(generation.message)
    if not isinstance(message, AIMessage):
        msg = f"{message.type} is no answer"
        raise TypeError(msg)
    return {"message": message.model_dump(), "info": generation.generation_info}


def _unpacked(one: dict[str, Any]) -> Generation:
    if "message" not in one:
        return Generation(text=one["text"], generation_info=one["info"])
    message = AIMessage.model_validate(one["message"])
    return ChatGeneration(message=message, generation_info=one["info"])
