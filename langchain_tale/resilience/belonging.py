"""Chat models that know which run they belong to, also where they stream.

langchain-core tells `_generate` its run, but not `_stream`: see `runs`.
"""

from __future__ import annotations

import inspect
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeVar, cast

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager
from langchain_core.runnables import ensure_config

from langchain_tale.resilience.runs import announced, parent_is, parent_of
from langchain_tale.resilience.tokens import let_off_handlers, says_something

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator

    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
    from langchain_core.language_models import BaseChatModel as Base
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.messages import AIMessageChunk, BaseMessage
    from langchain_core.outputs import ChatResult
    from langchain_core.runnables import RunnableConfig

    from langchain_tale.resilience.runs import Parent
    from langchain_tale.telemetry.scopes import Scope
else:
    Base = object  # a second pydantic base would bring its fields along

SCOPE: str = "telemetry_scope"
"""The argument that a policy calls its models with; see `told_to`."""

_TAP: str = "tap_output_iter"
"""What langchain-core knows a handler by for whose sake an `invoke` streams."""

_AskT = TypeVar("_AskT", bound="Callable[..., Any]")


def described(ask: _AskT) -> _AskT:
    """A method whose signature is at hand, since langchain-core asks for it on every call."""
    ask.__signature__ = inspect.signature(ask)  # type: ignore[attr-defined]  # where Python looks
    return ask


class KnowsItsRun(Base):
    """What a chat model needs so that `runs.parent_of` tells `_stream` its run too."""

    def _announced(
        self, config: RunnableConfig, kind: type[CallbackManager | AsyncCallbackManager]
    ) -> tuple[RunnableConfig, Parent]:
        """The config of a stream, and its run."""
        return announced(config, kind)

    def told_to(self, scope: Scope) -> dict[str, Any]:
        """The arguments of a call that is an attempt of another, whose scope is told of it."""
        return {SCOPE: scope}

    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002 (langchain-core's name)
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """As on any chat model; what happens belongs to its run."""
        config, parent = self._announced(ensure_config(config), CallbackManager)
        chunks = super().stream(input, config, **kwargs)
        with parent_is(parent):
            chunk = next(chunks, None)
        while chunk is not None and not says_something(chunk):
            yield chunk
            chunk = next(chunks, None)
        if chunk is not None:
            let_off_handlers(chunks)
            yield chunk
            yield from chunks

    async def astream(
        self,
        input: LanguageModelInput,  # noqa: A002 (langchain-core's name)
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """The twin of `stream`."""
        config, parent = self._announced(ensure_config(config), AsyncCallbackManager)
        stream = cast("AsyncGenerator[AIMessageChunk]", super().astream(input, config, **kwargs))
        async with aclosing(stream) as chunks:
            with parent_is(parent):
                chunk = await anext(chunks, None)
            while chunk is not None and not says_something(chunk):
                yield chunk
                chunk = await anext(chunks, None)
            if chunk is None:
                return
            let_off_handlers(chunks)
            yield chunk
            async for following in chunks:
                yield following

    def _generate_with_cache(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with parent_is(parent_of(run_manager)):  # it may decide to stream
            return super()._generate_with_cache(messages, stop, run_manager, **kwargs)

    async def _agenerate_with_cache(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with parent_is(parent_of(run_manager)):  # it may decide to stream
            return await super()._agenerate_with_cache(messages, stop, run_manager, **kwargs)

    def _should_stream(
        self,
        *,
        async_api: bool,
        run_manager: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> bool:
        """langchain-core's word, which takes 20 µs for each handler that taps no streams."""
        handlers = [] if run_manager is None else run_manager.handlers
        taps = any(hasattr(handler, _TAP) for handler in handlers)
        asked = run_manager if taps else None
        return super()._should_stream(async_api=async_api, run_manager=asked, **kwargs)
