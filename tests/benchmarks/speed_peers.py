"""The chat models that `speed` measures beside each other, all with their defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.language_models import BaseChatModel

    Make = Callable[[str], BaseChatModel]

MODEL: Final = "openai/gpt-4o-mini"
OURS: Final = "langchain_tale"
YARDSTICK: Final = "ChatOpenAI"
_KEY: Final[Any] = "sk-or-v1-none"


def ours(base_url: str) -> BaseChatModel:
    """Ours."""
    from langchain_tale import ChatOpenRouter

    return ChatOpenRouter(model=MODEL, api_key=_KEY, base_url=base_url)


def chat_openai(base_url: str) -> BaseChatModel:
    """langchain-openai's, which all ratios are to."""
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model=MODEL, api_key=_KEY, base_url=base_url, stream_usage=True)


def langchain_openrouter(base_url: str) -> BaseChatModel:
    """LangChain's own for OpenRouter."""
    from langchain_openrouter import ChatOpenRouter

    return ChatOpenRouter(model_name=MODEL, api_key=_KEY, base_url=base_url)


PEERS: Final[dict[str, Make]] = {
    OURS: ours,
    YARDSTICK: chat_openai,
    "langchain-openrouter": langchain_openrouter,
}
