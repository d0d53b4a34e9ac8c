"""Answers in which a model declines to answer, as langchain-core 1.7.5 and later tell them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_tale.errors import ModerationError

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage


def raise_if_refused(message: BaseMessage, what: str) -> None:
    """Raise when an answer is a refusal.

    Args:
        message: An answer of any vendor's model.
        what: Who refused what, for the error's sentence.

    Raises:
        ModerationError: It is; `partial_text` has the model's reason, `raw_message` all of it.
    """
    refusal = refusal_in(message)
    if refusal is None:
        return
    error = ModerationError(
        f"{what}; change what is asked for.", partial_text=refusal, **ids_of(message)
    )
    error.raw_message = message
    raise error


def refusal_in(message: BaseMessage) -> str | None:
    """Why a model declined: its own words, maybe none; None where it did not."""
    if said := message.additional_kwargs.get("refusal"):
        return str(said)
    blocks = message.content if isinstance(message.content, list) else ()
    words = [
        str(block.get("refusal") or "")
        for block in blocks
        if isinstance(block, dict) and block.get("type") == "refusal"
    ]
    return "".join(words) if words else None


def ids_of(message: BaseMessage) -> dict[str, Any]:
    """Who answered, in the words of our errors."""
    metadata = message.response_metadata
    return {
        "model": metadata.get("model_name"),
        "provider_name": metadata.get("provider_name"),
        "generation_id": metadata.get("id"),
    }
