"""A chat model of another vendor that answers when it is told to."""

from __future__ import annotations

import asyncio
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field


class Waiting(BaseChatModel):
    """Puts every request into `asked`, and answers once `release` is set."""

    asked: Any = Field(default_factory=asyncio.Queue)
    release: Any = Field(default_factory=asyncio.Event)
    tokens: int = 10

    @property
    def _llm_type(self) -> str:
        return "waiting"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        raise NotImplementedError

    async def _agenerate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        self.asked.put_nowait(None)
        await self.release.wait()
        half = self.tokens // 2
        usage = {"input_tokens": half, "output_tokens": half, "total_tokens": self.tokens}
        message = AIMessage("Once upon a time.", usage_metadata=usage)
        return ChatResult(generations=[ChatGeneration(message=message)])
