"""One chat model of several: how it is named, asked and streamed, whatever its vendor."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult

from langchain_tale.errors import RequestTimeoutError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator

    from langchain_tale.telemetry.scopes import Scope


_KEEPS_TIME: Final = "within"
"""The method of a chat model that can be told for one call how many seconds it may take: given
them, it returns the arguments of that call."""
_TELLS: Final = "told_to"
"""That of one that tells a scope what becomes of its requests: given the scope, likewise."""


@dataclass(slots=True)
class Member:
    """A chat model, and the arguments that only it is called with.

    It is asked through LangChain's protected contract for chat models (`_generate`, `_stream`
    and their twins), so that cache, callbacks and tracing happen once, around the whole.
    """

    model: BaseChatModel
    kwargs: dict[str, Any] = field(default_factory=dict)
    scope: Scope | None = None

    @property
    def name(self) -> str:
        """What the log calls it: the model's slug where it has one."""
        slug = getattr(self.model, "model_name", None) or getattr(self.model, "model", None)
        return str(slug or self.model.get_name())

    @property
    def address(self) -> str:
        """Where it is asked: its base URL where it has one, else its class."""
        model = self.model
        url = getattr(model, "openai_api_base", None) or getattr(model, "base_url", None)
        return str(url or type(model).__name__)

    @property
    def continues_prefill(self) -> bool:
        """Whether it goes on from a last message of its own."""
        return bool(getattr(self.model, "continues_prefill", False))

    def generate(
        self, messages: list[BaseMessage], *, within_s: float | None = None, **kwargs: Any
    ) -> ChatResult:
        """One answer, within so many seconds.

        A model that keeps no time is asked in a thread of its own, which is left to itself
        when the time is over: nothing can stop it.

        Raises:
            RequestTimeoutError: The time is over.
        """
        if self.model.rate_limiter:
            self.model.rate_limiter.acquire(blocking=True)
        arguments = self._arguments(kwargs, within_s)
        if within_s is None or self._can(_KEEPS_TIME):
            return self.model._generate(messages, **arguments)
        try:
            return _in_thread(partial(self.model._generate, messages, **arguments), within_s)
        except TimeoutError as error:
            raise self.too_late() from error

    def agenerate(
        self, messages: list[BaseMessage], *, within_s: float | None = None, **kwargs: Any
    ) -> Coroutine[Any, Any, ChatResult]:
        """The twin of `generate`; the request is cancelled when the time is over.

        Returns:
            A coroutine: the model's own where nothing is to be added, since one around it is
            gone through again at each step. It raises Python's own `TimeoutError`; see
            `too_late`.
        """
        arguments = self._arguments(kwargs, within_s)
        if within_s is None and not self.model.rate_limiter:
            return self.model._agenerate(messages, **arguments)
        return self._agenerate_within(within_s, messages, arguments)

    async def _agenerate_within(
        self, within_s: float | None, messages: list[BaseMessage], arguments: dict[str, Any]
    ) -> ChatResult:
        if self.model.rate_limiter:
            await self.model.rate_limiter.aacquire(blocking=True)
        async with asyncio.timeout(within_s):
            return await self.model._agenerate(messages, **arguments)

    def too_late(self) -> RequestTimeoutError:
        """What is raised instead of Python's own `TimeoutError`."""
        msg = f"{self.name} did not answer in time; try again, or raise the limits."
        return RequestTimeoutError(msg, model=self.name)

    def stream(
        self, messages: list[BaseMessage], *, within_s: float | None = None, **kwargs: Any
    ) -> Generator[ChatGenerationChunk]:
        """An answer in chunks; in one chunk from a model that cannot stream.

        The time is for each wait for a chunk; a model that keeps none is not stopped.

        Returns:
            A stream to be closed: the model's own, since a generator around it costs each chunk.
        """
        if not self._streams("_stream"):
            return self._whole(messages, within_s, kwargs)
        if self.model.rate_limiter:
            self.model.rate_limiter.acquire(blocking=True)
        chunks: Any = self.model._stream(messages, **self._arguments(kwargs, within_s))
        return chunks if hasattr(chunks, "close") else (chunk for chunk in chunks)

    async def astream(
        self, messages: list[BaseMessage], *, within_s: float | None = None, **kwargs: Any
    ) -> AsyncGenerator[ChatGenerationChunk]:
        """The twin of `stream`; whatever the model, it is stopped when the time is over."""
        if not self._streams("_stream", "_astream"):
            return self._awhole(messages, within_s, kwargs)
        if self.model.rate_limiter:
            await self.model.rate_limiter.aacquire(blocking=True)
        chunks: Any = self.model._astream(messages, **self._arguments(kwargs, within_s))
        is_on_time = within_s is None and self._can(_KEEPS_TIME) and hasattr(chunks, "aclose")
        return chunks if is_on_time else self._timed(chunks, within_s)

    def _whole(
        self, messages: list[BaseMessage], within_s: float | None, kwargs: dict[str, Any]
    ) -> Generator[ChatGenerationChunk]:
        yield _as_chunk(self.generate(messages, within_s=within_s, **kwargs))

    async def _awhole(
        self, messages: list[BaseMessage], within_s: float | None, kwargs: dict[str, Any]
    ) -> AsyncGenerator[ChatGenerationChunk]:
        try:
            result = await self.agenerate(messages, within_s=within_s, **kwargs)
        except TimeoutError as error:
            raise self.too_late() from error
        yield _as_chunk(result)

    async def _timed(
        self, chunks: AsyncIterator[ChatGenerationChunk], within_s: float | None
    ) -> AsyncGenerator[ChatGenerationChunk]:
        """The same chunks, each within so many seconds."""
        try:
            if within_s is None:
                async for chunk in chunks:
                    yield chunk
                return
            while True:
                async with asyncio.timeout(within_s):
                    following = await anext(chunks, None)
                if following is None:
                    return
                yield following
        except TimeoutError as error:
            raise self.too_late() from error
        finally:
            if hasattr(chunks, "aclose"):
                await chunks.aclose()

    def _arguments(self, kwargs: dict[str, Any], within_s: float | None) -> dict[str, Any]:
        model: Any = self.model
        arguments = {**kwargs, **self.kwargs}
        if within_s is not None and self._can(_KEEPS_TIME):
            arguments |= model.within(within_s)
        if self.scope is not None and self._can(_TELLS):
            arguments |= model.told_to(self.scope)
        return arguments

    def _can(self, method: str) -> bool:
        return hasattr(type(self.model), method)  # ten times as fast as `isinstance` of a protocol

    def _streams(self, *methods: str) -> bool:
        if self.model.disable_streaming is True:
            return False
        kind = type(self.model)
        return any(getattr(kind, name) is not getattr(BaseChatModel, name) for name in methods)


def _in_thread(ask: Callable[[], ChatResult], within_s: float) -> ChatResult:
    """The result, unless the time is over first; the thread does not keep the process alive."""
    result: Future[ChatResult] = Future()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            result.set_result(context.run(ask))
        except BaseException as error:  # noqa: BLE001 (it is raised where the result is awaited)
            result.set_exception(error)

    threading.Thread(target=run, name="langchain_tale-attempt", daemon=True).start()
    return result.result(within_s)


def without_retries(model: BaseChatModel) -> BaseChatModel:
    """The model with its own retries off, where it has a `max_retries` that can be changed."""
    if getattr(model, "max_retries", 0) in (0, None):
        return model
    return model.model_copy(update={"max_retries": 0})


def facts_of(metadata: dict[str, Any]) -> dict[str, Any]:
    """What an answer's `response_metadata` tells the attempt log."""
    usage = metadata.get("token_usage")
    usage = usage if isinstance(usage, dict) else {}
    return {
        "answered_by": metadata.get("model_name") or metadata.get("model"),
        "provider_name": metadata.get("provider_name"),
        "cost_usd": metadata.get("cost"),
        "input_tokens": usage.get("prompt_tokens"),
        "output_tokens": usage.get("completion_tokens"),
    }


def has_calls(chunk: ChatGenerationChunk) -> bool:
    """Whether a chunk holds a part of a tool call."""
    message = chunk.message
    return isinstance(message, AIMessageChunk) and bool(message.tool_call_chunks)


def has_content(chunk: ChatGenerationChunk) -> bool:
    """Whether a consumer has seen something once it has this chunk."""
    return bool(chunk.message.content) or has_calls(chunk)


def _as_chunk(result: ChatResult) -> ChatGenerationChunk:
    generation = result.generations[0]
    chunk = chunk_of(generation.message, generation.generation_info)
    chunk.message.response_metadata = {
        **(result.llm_output or {}),
        **generation.message.response_metadata,
    }
    return chunk


def chunk_of(message: BaseMessage, info: dict[str, Any] | None = None) -> ChatGenerationChunk:
    """A whole message as one chunk."""
    chunk = AIMessageChunk(**message.model_dump(exclude={"type"}))
    return ChatGenerationChunk(message=chunk, generation_info=info)
