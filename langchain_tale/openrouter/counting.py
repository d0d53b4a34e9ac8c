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

from langchain_tale.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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


class CountsTokens:
    """What of a chat model counts tokens, offline."""

    if TYPE_CHECKING:
        custom_get_token_ids: Callable[[str], list[int]] | None

    def get_token_ids(self, text: str) -> list[int]:
        """The tokens of a text, by `custom_get_token_ids`: no model's own are known offline.

        Raises:
            ConfigurationError: There is no `custom_get_token_ids`.
        """
        if self.custom_get_token_ids is None:
            msg = "Token ids need custom_get_token_ids; get_num_tokens counts without it."
            raise ConfigurationError(msg)
        return self.custom_get_token_ids(text)

    def get_num_tokens(self, text: str) -> int:
        """About how many tokens a text has; exactly, by `custom_get_token_ids`."""
        if self.custom_get_token_ids is not None:
            return len(self.custom_get_token_ids(text))
        return tokens_in(text)

    def get_num_tokens_from_messages(
        self, messages: Sequence[BaseMessage], tools: Sequence[Any] | None = None, **_: Any
    ) -> int:
        """About how many tokens a conversation has, tools and images included."""
        return tokens_in_messages(messages, None if tools is None else list(tools))
