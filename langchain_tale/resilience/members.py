"""One chat model of several: how it is named, asked and streamed, whatever its vendor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator


@dataclass(frozen=True, slots=True)
class Member:
    """A chat model, and the arguments that only it is called with.

    It is asked through LangChain's protected contract for chat models (`_generate`, `_stream`
    and their twins), so that cache, callbacks and tracing happen once, around the whole.
    """

    model: BaseChatModel
    kwargs: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the log calls it: the model's slug where it has one."""
        named = (getattr(self.model, attribute, None) for attribute in ("model_name", "model"))
        return str(next(filter(None, named), None) or self.model.get_name())

    def generate(self, messages: list[BaseMessage], **kwargs: Any) -> ChatResult:
        """One answer."""
        if self.model.rate_limiter:
            self.model.rate_limiter.acquire(blocking=True)
        return self.model._generate(messages, **{**kwargs, **self.kwargs})

    async def agenerate(self, messages: list[BaseMessage], **kwargs: Any) -> ChatResult:
        """The twin of `generate`."""
        if self.model.rate_limiter:
            await self.model.rate_limiter.aacquire(blocking=True)
        return await self.model._agenerate(messages, **{**kwargs, **self.kwargs})

    def stream(self, messages: list[BaseMessage], **kwargs: Any) -> Generator[ChatGenerationChunk]:
        """An answer in chunks; in one chunk from a model that cannot stream."""
        if not self._streams("_stream"):
            yield _as_chunk(self.generate(messages, **kwargs))
            return
        if self.model.rate_limiter:
            self.model.rate_limiter.acquire(blocking=True)
        yield from self.model._stream(messages, **{**kwargs, **self.kwargs})

    async def astream(
        self, messages: list[BaseMessage], **kwargs: Any
    ) -> AsyncGenerator[ChatGenerationChunk]:
        """The twin of `stream`."""
        if not self._streams("_stream", "_astream"):
            yield _as_chunk(await self.agenerate(messages, **kwargs))
            return
        if self.model.rate_limiter:
            await self.model.rate_limiter.aacquire(blocking=True)
        async for chunk in self.model._astream(messages, **{**kwargs, **self.kwargs}):
            yield chunk

    def _streams(self, *methods: str) -> bool:
        if self.model.disable_streaming is True:
            return False
        kind = type(self.model)
        return any(getattr(kind, name) is not getattr(BaseChatModel, name) for name in methods)


def without_retries(model: BaseChatModel) -> BaseChatModel:
    """The model with its own retries off, where it has a `max_retries` that can be changed."""
    if getattr(model, "max_retries", 0) in (0, None):
        return model
    return model.model_copy(update={"max_retries": 0})


def facts_of(metadata: dict[str, Any]) -> dict[str, Any]:
    """What an answer's `response_metadata` tells the attempt log."""
    return {
        "answered_by": metadata.get("model_name") or metadata.get("model"),
        "provider_name": metadata.get("provider_name"),
        "cost_usd": metadata.get("cost"),
    }


def has_content(chunk: ChatGenerationChunk) -> bool:
    """Whether a consumer has seen something once it has this chunk."""
    message = chunk.message
    calls = isinstance(message, AIMessageChunk) and bool(message.tool_call_chunks)
    return bool(message.content) or calls


def _as_chunk(result: ChatResult) -> ChatGenerationChunk:
    generation = result.generations[0]
    message = generation.message
    chunk = AIMessageChunk(**message.model_dump(exclude={"type"}))
    chunk.response_metadata = {**(result.llm_output or {}), **message.response_metadata}
    return ChatGenerationChunk(message=chunk, generation_info=generation.generation_info)
