"""`ResilientChatModel`: a chat model made of chat models, and of a policy between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from langchain_core.language_models import BaseChatModel
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable, RunnableBinding
from pydantic import ConfigDict, Field, model_validator

from langchain_tale.errors import ConfigurationError
from langchain_tale.resilience.accepting import (
    Accept,
    AcceptBeginning,
    acheck,
    both,
    check,
    message_of,
)
from langchain_tale.resilience.attempts import Timing
from langchain_tale.resilience.batching import BatchesWidely
from langchain_tale.resilience.belonging import SCOPE, KnowsItsRun, described
from langchain_tale.resilience.breaker import known_policy
from langchain_tale.resilience.calls import Call
from langchain_tale.resilience.composing import (
    LOOP_OPTIONS,
    chat_models_from,
    policy_from,
    split_options,
)
from langchain_tale.resilience.continuing import OnBrokenStream, Telling
from langchain_tale.resilience.members import without_retries
from langchain_tale.resilience.policy import BreakerPolicy, RetryPolicy
from langchain_tale.resilience.recalling import Recalling, arecalled, recalled
from langchain_tale.resilience.revising import Revising
from langchain_tale.resilience.runs import parent_of
from langchain_tale.resilience.streams import Streaming
from langchain_tale.resilience.structured import StructuredReply, with_raw

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Callable,
        Iterable,
        Iterator,
        Sequence,
    )

    from langchain_core.callbacks import (
        AsyncCallbackManagerForLLMRun,
        CallbackManagerForLLMRun,
    )
    from langchain_core.language_models import LangSmithParams, LanguageModelInput
    from langchain_core.messages import AIMessage, BaseMessage
    from langchain_core.outputs import ChatGenerationChunk
    from langchain_core.tools import BaseTool

    from langchain_tale.resilience.reporting import ToldWalk
    from langchain_tale.resilience.runs import Parent


class ResilientChatModel(BatchesWidely, KnowsItsRun, Recalling):
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
        breaker: When a model is left alone by all calls of the process; None for never.
        on_broken_stream: What to do when a stream breaks after its first content: `"raise"`,
            and the error carries the text so far; `"restart"`, and a chunk whose
            `response_metadata` has `is_restarted` tells the consumer to discard what came
            before it; `"continue"`, and the next model goes on from the text so far.
        accept: A check inside the loop: None, True or nothing for an answer that will do;
            False, or a sentence that says why, for one that will not. A ValueError counts as
            such a sentence. With it a stream is handed on once its answer is accepted.
        accept_beginning: Under `accept`: given the text of a stream so far, whether it may be
            handed on at once. Then there is no way back, and `accept` does not see the rest.
        revising: How an answer that `accept` refuses is asked for again, and how often; else as
            it was asked before, as often as the policy allows.
        is_step: Whether something larger tells of success, as the story chain does: then
            answers are told at DEBUG.
        timing: Clock, sleep and randomness, for tests.

    Raises:
        AllModelsFailedError: Several attempts failed; `.attempts` has each with its error.
            A single attempt that nothing can mend raises its own error.
        BudgetSpentError: A `Budget` among the callbacks is spent; `.attempts` has what came
            before.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    models: list[BaseChatModel] = Field(min_length=1)
    retry: RetryPolicy = Field(default_factory=RetryPolicy)
    breaker: BreakerPolicy | None = Field(default_factory=BreakerPolicy)
    on_broken_stream: OnBrokenStream = "raise"
    accept: Accept | None = Field(default=None, exclude=True, repr=False)
    accept_beginning: AcceptBeginning | None = Field(default=None, exclude=True, repr=False)
    revising: Revising | None = Field(default=None, exclude=True, repr=False)
    is_step: bool = Field(default=False, exclude=True, repr=False)
    timing: Timing = Field(default_factory=Timing, exclude=True, repr=False)
    tool_kwargs: list[dict[str, Any]] = Field(default_factory=list, repr=False)
    """The bound tools in each model's own dialect, or empty."""

    @model_validator(mode="after")
    def _one_owner_of_retries(self) -> ResilientChatModel:
        """Switch the models' own retries off, so that N attempts mean at most N requests."""
        self.models = [without_retries(model) for model in self.models]
        self.breaker = self.breaker and known_policy(self.breaker)
        return self

    @property
    def _llm_type(self) -> str:
        return "resilient-chat"

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        """What the LLM cache tells two models apart by."""
        strings = [
            model._get_llm_string(stop, **{**kwargs, **own}) for model, own in self._asked_with()
        ]
        return "\n".join(strings)

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return self.models[0]._get_ls_params(stop=stop, **kwargs)

    def _get_invocation_params(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """langchain-core's, less the detour by which it keeps to a method of old."""
        return {**self._identifying_params, "_type": self._llm_type, "stop": stop, **kwargs}

    # ── asking ──────────────────────────────────────────────────────────────

    @described
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = self._call(parent_of(run_manager), messages, kwargs)
        with call:
            try:
                result = call.walk.persist(self._ask, call, {"stop": stop, **kwargs})
            except Exception as error:  # noqa: BLE001 (the walk judged it, and raises it again)
                _give_up(call.walk, error)
            return _whole(_with_log(result, call.walk), call)

    def _ask(self, call: Call, kwargs: dict[str, Any]) -> ChatResult:
        """One attempt."""
        with call.attempt() as (member, answer):
            within_s, asked = call.walk.left_s(), call.asked(member)
            result = member.generate(asked, within_s=within_s, **kwargs)
            answer.message = message = message_of(result)
            if self.accept is not None:
                check(self.accept, call.whole(message), member.name)
        return result

    @described
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = self._call(parent_of(run_manager), messages, kwargs)
        async with call:
            try:
                result = await call.walk.apersist(self._aask, call, {"stop": stop, **kwargs})
            except Exception as error:  # noqa: BLE001 (the walk judged it, and raises it again)
                _give_up(call.walk, error)
            return _whole(_with_log(result, call.walk), call)

    async def _aask(self, call: Call, kwargs: dict[str, Any]) -> ChatResult:
        """The twin of `_ask`."""
        async with call.attempt() as (member, answer):
            within_s, asked = call.walk.left_s(), call.asked(member)
            try:
                result = await member.agenerate(asked, within_s=within_s, **kwargs)
            except TimeoutError as error:
                raise member.too_late() from error
            answer.message = message = message_of(result)
            if self.accept is not None:
                await acheck(self.accept, call.whole(message), member.name)
        return result

    @recalled
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        return self._streaming(messages, stop, run_manager, kwargs).chunks()

    @arecalled
    def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        return self._streaming(messages, stop, run_manager, kwargs).achunks()

    def _streaming(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        run_manager: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None,
        kwargs: dict[str, Any],
    ) -> Streaming:
        call = self._call(parent_of(run_manager), messages, kwargs)
        telling = Telling(messages, self.on_broken_stream)
        kwargs = {"stop": stop, **kwargs}
        return Streaming(call, telling, self.accept, kwargs, self.accept_beginning)

    def _call(
        self, parent: Parent | None, messages: list[BaseMessage], kwargs: dict[str, Any]
    ) -> Call:
        return Call(
            self._asked_with(),
            self.retry,
            parent,
            messages,
            within=kwargs.pop(SCOPE, None),
            is_step=self.is_step,
            breaker=self.breaker,
            revising=self.revising,
            timing=self.timing,
        )

    def _asked_with(self) -> Iterable[tuple[BaseChatModel, dict[str, Any]]]:
        """The models, and the arguments that only they are called with."""
        return zip(self.models, self.tool_kwargs or [{}] * len(self.models), strict=True)

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

    def with_structured_output(
        self, schema: Any = None, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """A runnable whose answers fit a schema, by whichever model; see `ChatOpenRouter`'s.

        An answer that does not fit is refused inside the loop and asked for again.
        """
        parser = StructuredReply.of(schema)
        bound = [model.with_structured_output(schema, **kwargs) for model in self.models]
        own = [_arguments_of(runnable) for runnable in bound]
        update: dict[str, Any] = {"tool_kwargs": own}
        if not include_raw:
            update["accept"] = both(self.accept, parser.refusal)
        asking = self.model_copy(update=update)
        return with_raw(asking, parser) if include_raw else asking | parser

    def with_retry(self, retry: RetryPolicy | None = None, **kwargs: Any) -> ResilientChatModel:
        """The same models under another policy; see `ChatOpenRouter.with_retry`."""
        options, rest = split_options(kwargs)
        return self.model_copy(update={"retry": policy_from(retry, **rest), **options})

    def with_fallbacks(  # type: ignore[override]  # takes slugs too
        self, fallbacks: Sequence[Runnable[LanguageModelInput, AIMessage] | str], **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """More models to ask when these fail; see `ChatOpenRouter.with_fallbacks`."""
        more = chat_models_from(fallbacks, kin=self.models[0])
        if more is None or self.tool_kwargs or "exception_key" in kwargs:
            return super().with_fallbacks(fallbacks, **kwargs)  # type: ignore[arg-type]
        same = {name: getattr(self, name) for name in ("retry", *LOOP_OPTIONS)}
        return resilient([*self.models, *more], **{**same, **kwargs})


def resilient(
    models: Sequence[BaseChatModel],
    *,
    retry: RetryPolicy | None = None,
    timing: Timing | None = None,
    exceptions_to_handle: tuple[type[BaseException], ...] = (Exception,),
    **options: Any,
) -> ResilientChatModel:
    """Models under a policy; without one, each of several gets three tries, and a lone one four.

    Cache, callbacks, tags, metadata and verbosity of the first model become those of the whole.

    Args:
        models: Chat models, best first.
        retry: The policy.
        timing: Clock, sleep and randomness, for tests.
        exceptions_to_handle: Only these are retried.
        **options: Other fields of `ResilientChatModel`.
    """
    retry = retry or RetryPolicy(max_retries=min(100, max(3, 3 * len(models) - 1)))
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
        **options,
    )


def _arguments_of(runnable: Runnable[Any, Any]) -> dict[str, Any]:
    """What a model's `with_structured_output` binds to it."""
    first = getattr(runnable, "first", runnable)
    if not isinstance(first, RunnableBinding):
        msg = "A model's with_structured_output does not bind its arguments; bind tools instead."
        raise ConfigurationError(msg)
    return {k: v for k, v in first.kwargs.items() if k != "ls_structured_output_format"}


def _give_up(walk: ToldWalk, error: Exception) -> NoReturn:
    final = walk.outcome(error)
    if final is error:
        raise error
    raise final from error


def _whole(result: ChatResult, call: Call) -> ChatResult:
    """The result with the beginning that its answer continues, if it continues one."""
    generation = result.generations[0]
    whole = call.whole(generation.message)
    if whole is generation.message:
        return result
    joined = ChatGeneration(message=whole, generation_info=generation.generation_info)
    return ChatResult(generations=[joined], llm_output=result.llm_output)


def _with_log(result: ChatResult, walk: ToldWalk) -> ChatResult:
    message = result.generations[0].message
    metadata = {**(result.llm_output or {}), **message.response_metadata}
    usage, content = getattr(message, "usage_metadata", None), message.content
    chars = len(content if isinstance(content, str) else message.text)
    walk.answered(metadata, usage, content_chars=chars, is_streamed=False)
    message.response_metadata["attempts"] = [attempt.to_dict() for attempt in walk.log]
    return result
