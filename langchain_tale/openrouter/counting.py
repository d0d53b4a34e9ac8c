"""How many tokens a text has, without asking the network; pure.

OpenRouter bills by each model's own tokenizer, and none of them comes without a download. Four
bytes of UTF-8 to a token is the rule of thumb for English; Cyrillic has two bytes a letter, and
so about two letters a token.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any, Final

from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.utils.function_calling import convert_to_openai_tool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.messages import BaseMessage

BYTES_PER_TOKEN: Final = 4.0


def tokens_in(text: str) -> int:
    """About how many tokens a text has.

    Example:
        >>> tokens_in("Once upon a time")
        4
        >>> tokens_in("Жили-были")
        5
    """
    return ceil(len(text.encode()) / BYTES_PER_TOKEN)


def tokens_in_messages(messages: Sequence[BaseMessage], tools: list[Any] | None = None) -> int:
    """About how many tokens a conversation has, tools and images included."""
    text = "".join(message.text for message in messages)
    chars_per_token = BYTES_PER_TOKEN * (len(text) or 1) / (len(text.encode()) or 1)
    named: list[Any] | None = (
        None if tools is None else [convert_to_openai_tool(tool) for tool in tools]
    )
    return count_tokens_approximately(messages, chars_per_token=chars_per_token, tools=named)
