"""`ResilientChatModel`: a chat model made of chat models, and of a policy between them."""

from __future__ import annotations

from contextlib import AsyncExitStack, ExitStack, aclosing, closing
from typing import TYPE_CHECKING, Any, NoReturn, cast

from langchain_core.callbacks import (
    AsyncCallbackManager,
    AsyncCallbackManagerForLLMRun,
    CallbackManager,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableBinding, RunnableConfig
from langchain_core.runnables.config import ensure_config
from pydantic import ConfigDict, Field, model_validator

from langchain_tale.errors import ConfigurationError
from langchain_tale.resilience.attempts import Timing, Walk
from langchain_tale.resilience.composing import chat_models_from, policy_from
from langchain_tale.resilience.members import Member, facts_of, without_retries
from langchain_tale.resilience.opened import Opened
from langchain_tale.resilience.policy import RetryPolicy
from langchain_tale.resilience.runs import (
    aattempt_run,
    announced,
    attempt_run,
    parent_is,
    parent_of,
)

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Callable,
        Generator,
        Iterator,
        Sequence,
    )

    from langchain_core.language_models import LangSmithParams, LanguageModelInput
    from langchain_core.tools import BaseTool


class ResilientChatModel(BaseChatModel):
    """Chat models that are tried as a policy says, and together are one chat model.

    Give it to anything that takes a chat model: `prompt | model | parser`, agents, tools,
    structured output. Usually made by `ChatOpenRouter.with_retry` and `.with_fallbacks`.

    A failure that another try can mend is tried again: by a model that has not been asked yet
    at once, else after a wait. Every request is an attempt, and the policy counts attempts
    across all models. Streams are tried again until the first content. The answer's
    `response_metadata["attempts"]` lists every attempt; each is also a child run of this one,
    tagged `attempt:N`.

    Attributes:
        models: Chat models of any vendor, best first.
        retry: The policy.
        timing: Clock, sleep and randomness, for tests.

    Raises:
        AllModelsFailedError: Several attempts failed; `.attempts` has each with its error.
            A single attempt that nothing can mend raises its own error.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    models: list[BaseChatModel] = Field(min_length=1)
    retry: RetryPolicy = Field(default_factory=RetryPolicy)
    timing: Timing = Field(default_factory=Timing, exclude=True, repr=False)
    tool_kwargs: list[dict[str, Any]] = Field(default_factory=list, repr=False)
    """The bound tools in each model's own dialect, or empty."""

    @model_validator(mode="after")
    def _one_owner_of_retries(self) -> ResilientChatModel:
        """Switch the models' own retries off, so that N attempts mean at most N requests."""
        self.models = [without_retries(model) for model in self.models]
        return self

    @property
    def _llm_type(self) -> str:
        return "resilient-chat"

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        """What the LLM cache tells two models apart by."""
        members, _ = self._set_out()
        strings = [m.model._get_llm_string(stop, **{**kwargs, **m.kwargs}) for m in members]
        return "\n".join(strings)

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return self.models[0]._get_ls_params(stop=stop, **kwargs)

    # ── asking ──────────────────────────────────────────────────────────────

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        members, walk = self._set_out()
        parent = parent_of(run_manager)

        def ask() -> ChatResult:
            turn = walk.begin()
            member = members[turn.model_index]
            with attempt_run(parent, member.name, turn.number, messages) as answer:
                result = member.generate(messages, stop=stop, **kwargs)
                answer.message = result.generations[0].message
            return result

        try:
            result = walk.retrying()(ask)
        except Exception as error:  # noqa: BLE001 (the walk judged it, and raises it again)
            _give_up(walk, error)
        return _with_log(result, walk)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        members, walk = self._set_out()
        parent = parent_of(run_manager)

        async def ask() -> ChatResult:
            turn = walk.begin()
            member = members[turn.model_index]
            async with aattempt_run(parent, member.name, turn.number, messages) as answer:
                result = await member.agenerate(messages, stop=stop, **kwargs)
                answer.message = result.generations[0].message
            return result

        try:
            result: ChatResult = await walk.aretrying()(ask)
        except Exception as error:  # noqa: BLE001 (the walk judged it, and raises it again)
            _give_up(walk, error)
        return _with_log(result, walk)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        members, walk = self._set_out()
        parent = parent_of(run_manager)

        def open_() -> Opened[Generator[ChatGenerationChunk], ExitStack]:
            turn = walk.begin()
            member = members[turn.model_index]
            with ExitStack() as stack:
                answer = stack.enter_context(
                    attempt_run(parent, member.name, turn.number, messages)
                )
                rest = stack.enter_context(closing(member.stream(messages, stop=stop, **kwargs)))
                opened = Opened(rest=rest, answer=answer, until=stack)
                for chunk in rest:
                    if opened.starts_with(chunk):
                        break
                opened.until = stack.pop_all()
            return opened

        try:
            opened = walk.retrying()(open_)
        except Exception as error:  # noqa: BLE001 (the walk judged it, and raises it again)
            _give_up(walk, error)
        try:
            with opened.until:
                yield from opened.head
                for chunk in opened.rest:
                    opened.note(chunk)
                    yield chunk
                opened.finish()
        except Exception as error:  # noqa: BLE001 (too late for another try)
            walk.failed(error)
            _give_up(walk, error)
        yield _log_chunk(walk, opened.metadata)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        members, walk = self._set_out()
        parent = parent_of(run_manager)

        async def open_() -> Opened[AsyncGenerator[ChatGenerationChunk], AsyncExitStack]:
            turn = walk.begin()
            member = members[turn.model_index]
            async with AsyncExitStack() as stack:
                answer = await stack.enter_async_context(
                    aattempt_run(parent, member.name, turn.number, messages)
                )
                rest = await stack.enter_async_context(
                    aclosing(member.astream(messages, stop=stop, **kwargs))
                )
                opened = Opened(rest=rest, answer=answer, until=stack)
                async for chunk in rest:
                    if opened.starts_with(chunk):
                        break
                opened.until = stack.pop_all()
            return opened

        try:
            opened: Opened[AsyncGenerator[ChatGenerationChunk], AsyncExitStack]
            opened = await walk.aretrying()(open_)
        except Exception as error:  # noqa: BLE001 (the walk judged it, and raises it again)
            _give_up(walk, error)
        try:
            async with opened.until:
                for chunk in opened.head:
                    yield chunk
                async for chunk in opened.rest:
                    opened.note(chunk)
                    yield chunk
                opened.finish()
        except Exception as error:  # noqa: BLE001 (too late for another try)
            walk.failed(error)
            _give_up(walk, error)
        yield _log_chunk(walk, opened.metadata)

    # ── the runs that attempts belong to ────────────────────────────────────

    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002 (langchain-core's name)
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """As on any chat model; attempts are runs below this one."""
        config, parent = announced(ensure_config(config), CallbackManager)
        chunks = super().stream(input, config, **kwargs)
        with parent_is(parent):
            first = next(chunks, None)
        if first is not None:
            yield first
        yield from chunks

    async def astream(
        self,
        input: LanguageModelInput,  # noqa: A002 (langchain-core's name)
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """The twin of `stream`."""
        config, parent = announced(ensure_config(config), AsyncCallbackManager)
        stream = cast("AsyncGenerator[AIMessageChunk]", super().astream(input, config, **kwargs))
        async with aclosing(stream) as chunks:
            with parent_is(parent):
                first = await anext(chunks, None)
            if first is not None:
                yield first
            async for chunk in chunks:
                yield chunk

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

    def _set_out(self) -> tuple[list[Member], Walk]:
        own = self.tool_kwargs or [{}] * len(self.models)
        members = [Member(model, kwargs) for model, kwargs in zip(self.models, own, strict=True)]
        return members, Walk([member.name for member in members], self.retry, self.timing)

    # ── composing ───────────────────────────────────────────────────────────

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> ResilientChatModel:
        """Bind tools to each model in its own dialect; the result is still a chat model."""
        kwargs.pop("ls_structured_output_format", None)  # for tracing only; no model takes it
        choice = {} if tool_choice is None else {"tool_choice": tool_choice}
        bound = [model.bind_tools(tools, **choice, **kwargs) for model in self.models]
        own = [binding.kwargs for binding in bound if isinstance(binding, RunnableBinding)]
        if len(own) != len(bound):
            msg = "A model's bind_tools did not return a binding; bind the tools to it beforehand."
            raise ConfigurationError(msg)
        return self.model_copy(update={"tool_kwargs": own})

    def with_retry(self, retry: RetryPolicy | None = None, **kwargs: Any) -> ResilientChatModel:
        """The same models under another policy; see `ChatOpenRouter.with_retry`."""
        return self.model_copy(update={"retry": policy_from(retry, **kwargs)})

    def with_fallbacks(  # type: ignore[override]  # takes slugs too
        self, fallbacks: Sequence[Runnable[LanguageModelInput, AIMessage] | str], **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """More models to ask when these fail; see `ChatOpenRouter.with_fallbacks`."""
        more = chat_models_from(fallbacks, kin=self.models[0])
        if more is None or self.tool_kwargs or "exception_key" in kwargs:
            return super().with_fallbacks(fallbacks, **kwargs)  # type: ignore[arg-type]
        return resilient([*self.models, *more], retry=self.retry, timing=self.timing, **kwargs)


def resilient(
    models: Sequence[BaseChatModel],
    *,
    retry: RetryPolicy | None = None,
    timing: Timing | None = None,
    exceptions_to_handle: tuple[type[BaseException], ...] = (Exception,),
) -> ResilientChatModel:
    """Models under a policy; without one, each of them gets at least one try.

    Cache, callbacks, tags, metadata and verbosity of the first model become those of the whole.
    """
    retry = retry or RetryPolicy(max_retries=max(3, len(models) - 1))
    if exceptions_to_handle != (Exception,):
        retry = retry.model_copy(update={"retry_if_exception_type": exceptions_to_handle})
    first = models[0]
    return ResilientChatModel(
        models=list(models),
        retry=retry,
        timing=timing or Timing(),
        cache=first.cache,
        callbacks=first.callbacks,
        tags=first.tags,
        metadata=first.metadata,
        verbose=first.verbose,
        disable_streaming=first.disable_streaming,
    )


def _give_up(walk: Walk, error: Exception) -> NoReturn:
    final = walk.outcome(error)
    if final is error:
        raise error
    raise final from error


def _with_log(result: ChatResult, walk: Walk) -> ChatResult:
    message = result.generations[0].message
    metadata = {**(result.llm_output or {}), **message.response_metadata}
    walk.succeeded(**facts_of(metadata))
    message.response_metadata["attempts"] = [attempt.to_dict() for attempt in walk.log]
    return result


def _log_chunk(walk: Walk, metadata: dict[str, Any]) -> ChatGenerationChunk:
    walk.succeeded(**facts_of(metadata))
    log = [attempt.to_dict() for attempt in walk.log]
    return ChatGenerationChunk(
        message=AIMessageChunk(content="", response_metadata={"attempts": log})
    )
