"""LangChain's cache for streams too, and hits that say that they are some.

langchain-core looks into its cache for `invoke` and `batch` only (langchain#13119). Here `stream`
and `astream` do as well: a hit is one chunk, and a stream that came to its end is kept. A model
among others never looks: the policy around them does, once. langchain-core does not tell
`_stream` who called it; a context variable does.
"""

from __future__ import annotations

from contextlib import aclosing, contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, Self, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, message_chunk_to_message
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.outputs.chat_generation import merge_chat_generation_chunks

from langchain_tale.resilience.shelf import Shelf, accept_of, as_hit, cache_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator

    from langchain_core.callbacks import (
        AsyncCallbackManagerForLLMRun,
        CallbackManagerForLLMRun,
    )
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import Generation
    from langchain_core.runnables import RunnableConfig

_WANTED: Final[ContextVar[object]] = ContextVar("langchain_tale_recalling", default=None)
_SERIALIZED: Final = "_serialized"
"""langchain-core describes a model once, and a copy with other settings would inherit that."""


class Recalling(BaseChatModel):
    """A chat model whose streams use the cache, and whose hits cost nothing and say so."""

    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002 (langchain-core's name)
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """As on any chat model, and from the cache where there is one."""
        chunks = super().stream(input, config, stop=stop, **kwargs)
        return chunks if cache_of(self) is None else _recalled(self, chunks)

    def astream(
        self,
        input: LanguageModelInput,  # noqa: A002 (langchain-core's name)
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """The twin of `stream`."""
        chunks = super().astream(input, config, stop=stop, **kwargs)
        return chunks if cache_of(self) is None else _arecalled(self, chunks)

    def _generate_with_cache(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        """langchain-core's; where there is a check, what was kept has to pass it too."""
        shelf = self._checked_shelf(messages, stop, kwargs)
        if shelf is None:
            return super()._generate_with_cache(messages, stop, run_manager, **kwargs)
        if hits := shelf.find():
            self._replay_v2_events_for_cache_hit(hits, run_manager=run_manager, **kwargs)
            return ChatResult(generations=hits)
        ask = BaseChatModel._generate_with_cache
        result = ask(shelf.without_cache(), messages, stop, run_manager, **kwargs)
        shelf.keep(result.generations)
        return result

    async def _agenerate_with_cache(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        """The twin of `_generate_with_cache`."""
        shelf = self._checked_shelf(messages, stop, kwargs)
        if shelf is None:
            return await super()._agenerate_with_cache(messages, stop, run_manager, **kwargs)
        if hits := await shelf.afind():
            await self._areplay_v2_events_for_cache_hit(hits, run_manager=run_manager, **kwargs)
            return ChatResult(generations=hits)
        ask = BaseChatModel._agenerate_with_cache
        result = await ask(shelf.without_cache(), messages, stop, run_manager, **kwargs)
        await shelf.akeep(result.generations)
        return result

    def _checked_shelf(
        self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]
    ) -> Shelf | None:
        return Shelf.of(self, messages, stop, kwargs) if accept_of(self) else None

    def _convert_cached_generations(self, cache_val: list[Generation]) -> list[ChatGeneration]:
        return [as_hit(one) for one in super()._convert_cached_generations(cache_val)]

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        vars(self).pop(_SERIALIZED, None)
        return super()._get_llm_string(stop, **kwargs)

    def __copy__(self) -> Self:
        """A copy that is described anew."""
        copied = super().__copy__()
        vars(copied).pop(_SERIALIZED, None)
        return copied


# ── streams ─────────────────────────────────────────────────────────────────


@contextmanager
def _wanting(model: BaseChatModel) -> Iterator[None]:
    token = _WANTED.set(model)
    try:
        yield
    finally:
        _WANTED.reset(token)


def _is_wanted(model: BaseChatModel) -> bool:
    """Whether the public `stream` of this very model asks; once."""
    is_wanted = _WANTED.get() is model
    if is_wanted:
        _WANTED.set(None)
    return is_wanted


def _recalled(model: BaseChatModel, chunks: Iterator[AIMessageChunk]) -> Iterator[AIMessageChunk]:
    with _wanting(model):
        first = next(chunks, None)
    if first is not None:
        yield first
    yield from chunks


async def _arecalled(
    model: BaseChatModel, chunks: AsyncIterator[AIMessageChunk]
) -> AsyncIterator[AIMessageChunk]:
    async with aclosing(cast("AsyncGenerator[AIMessageChunk]", chunks)) as told:
        with _wanting(model):
            first = await anext(told, None)
        if first is not None:
            yield first
        async for chunk in told:
            yield chunk


def recalled(stream: Callable[..., Iterator[ChatGenerationChunk]]) -> Any:
    """A model's `_stream` that looks into the cache first, and keeps what came to its end."""

    @wraps(stream)
    def recalling(
        self: BaseChatModel,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        shelf = Shelf.of(self, messages, stop, kwargs) if _is_wanted(self) else None
        if shelf is None:
            return stream(self, messages, stop, run_manager, **kwargs)
        return _kept(shelf, lambda: stream(self, messages, stop, run_manager, **kwargs))

    return recalling


def arecalled(stream: Callable[..., AsyncIterator[ChatGenerationChunk]]) -> Any:
    """The twin of `recalled`, for `_astream`."""

    @wraps(stream)
    def recalling(
        self: BaseChatModel,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        shelf = Shelf.of(self, messages, stop, kwargs) if _is_wanted(self) else None
        if shelf is None:
            return stream(self, messages, stop, run_manager, **kwargs)
        return _akept(shelf, lambda: stream(self, messages, stop, run_manager, **kwargs))

    return recalling


def _kept(
    shelf: Shelf, asked: Callable[[], Iterator[ChatGenerationChunk]]
) -> Iterator[ChatGenerationChunk]:
    if hits := shelf.find():
        yield _as_chunk(hits[0])
        return
    said: list[ChatGenerationChunk] = []
    for chunk in asked():
        _add(said, chunk)
        yield chunk
    shelf.keep(_whole(said))


async def _akept(
    shelf: Shelf, asked: Callable[[], AsyncIterator[ChatGenerationChunk]]
) -> AsyncIterator[ChatGenerationChunk]:
    if hits := await shelf.afind():
        yield _as_chunk(hits[0])
        return
    said: list[ChatGenerationChunk] = []
    async with aclosing(cast("AsyncGenerator[ChatGenerationChunk]", asked())) as chunks:
        async for chunk in chunks:
            _add(said, chunk)
            yield chunk
    await shelf.akeep(_whole(said))


def _add(said: list[ChatGenerationChunk], chunk: ChatGenerationChunk) -> None:
    if chunk.message.response_metadata.get("is_restarted"):
        said.clear()  # what came before is not part of the answer
        return
    said.append(chunk)


def _whole(said: list[ChatGenerationChunk]) -> list[ChatGeneration]:
    """The chunks as the one answer that `invoke` would have given."""
    merged = merge_chat_generation_chunks(said)
    if merged is None:
        return []
    message = message_chunk_to_message(merged.message)
    return [ChatGeneration(message=message, generation_info=merged.generation_info)]


def _as_chunk(generation: ChatGeneration) -> ChatGenerationChunk:
    fields = generation.message.model_dump(exclude={"type", "id"})
    message = AIMessageChunk(**fields, chunk_position="last")
    return ChatGenerationChunk(message=message, generation_info=generation.generation_info)
