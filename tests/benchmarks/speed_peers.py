"""The chat models that `speed` measures beside each other, all with their defaults.

`POLICY` is ours below a policy, and `WATCHED` that with metrics and logs.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.language_models import BaseChatModel

    from langchain_tale import ChatOpenRouter, ResilientChatModel

    Make = Callable[[str], BaseChatModel]

MODEL: Final = "openai/gpt-4o-mini"
OURS: Final = "langchain_tale"
POLICY: Final = "+policy"
WATCHED: Final = "+policy+metrics+logs"
YARDSTICK: Final = "ChatOpenAI"
_KEY: Final[Any] = "sk-or-v1-none"
_SINK: Final = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 (for the whole process)


def ours(base_url: str) -> ChatOpenRouter:
    """Ours; what it did is told to nobody."""
    from langchain_tale import ChatOpenRouter

    _log("WARNING")
    return ChatOpenRouter(model=MODEL, api_key=_KEY, base_url=base_url)


def policy(base_url: str) -> ResilientChatModel:
    """Ours with a policy around it."""
    return ours(base_url).with_retry()


def watched(base_url: str) -> ResilientChatModel:
    """The same, with metrics, and logs as lines of JSON."""
    from langchain_tale import StoryMetrics

    model = policy(base_url)
    model.callbacks = [StoryMetrics()]
    _log("INFO")
    return model


def _log(level: str) -> None:
    from langchain_tale import configure_logging

    configure_logging(level, json=True, stream=_SINK)


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
    POLICY: policy,
    WATCHED: watched,
    YARDSTICK: chat_openai,
    "langchain-openrouter": langchain_openrouter,
}
