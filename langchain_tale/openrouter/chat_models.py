"""`ChatOpenRouter`: hundreds of models as one LangChain chat model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from langchain_core.callbacks import (  # noqa: TC002 (as above)
    AsyncCallbackManagerForLLMRun,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models import LangSmithParams
from langchain_core.messages import BaseMessage, convert_to_messages
from langchain_core.outputs import ChatGenerationChunk, ChatResult  # noqa: TC002 (as above)

from langchain_tale.openrouter import (
    profiles,
    protocol,
    requests,
    transport,
)
from langchain_tale.openrouter.asking import Asking
from langchain_tale.openrouter.connected import ConnectedChatModel
from langchain_tale.openrouter.counting import CountsTokens
from langchain_tale.openrouter.exchanges import Exchanges
from langchain_tale.openrouter.failures import Source
from langchain_tale.openrouter.loading import allow_loading
from langchain_tale.openrouter.messages import to_wire
from langchain_tale.openrouter.reasoning import MODEL_PROVIDER
from langchain_tale.openrouter.streams import StreamReader, keeping_partial_text
from langchain_tale.openrouter.structured import asking_for
from langchain_tale.openrouter.tools import choice_of, is_server_tool, with_cache_points
from langchain_tale.resilience.batching import BatchesWidely
from langchain_tale.resilience.belonging import SCOPE, KnowsItsRun, described
from langchain_tale.resilience.chat_models import resilient
from langchain_tale.resilience.composing import chat_models_from, policy_from, split_options
from langchain_tale.resilience.recalling import Recalling, arecalled, recalled
from langchain_tale.resilience.runs import Parent, named, parent_of
from langchain_tale.telemetry.disclosure import log_prompt
from langchain_tale.telemetry.scopes import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from langchain_core.language_models import LanguageModelInput, ModelProfile
    from langchain_core.messages import AIMessage
    from langchain_core.runnables import Runnable, RunnableBinding, RunnableConfig
    from langchain_core.tools import BaseTool

    from langchain_tale.openrouter.structured import Method
    from langchain_tale.resilience.chat_models import ResilientChatModel
    from langchain_tale.resilience.policy import RetryPolicy

COMPLETIONS_PATH: Final = "/chat/completions"
SLOWEST_TOKENS_PER_S: Final = 5


class ChatOpenRouter(BatchesWidely, KnowsItsRun, Recalling, CountsTokens, ConnectedChatModel):
    """A chat model on OpenRouter.

    Everything of LangChain's chat models is here: `invoke`, `batch`, `stream` and their
    twins, tools, structured output, callbacks. On top of it an answer's `response_metadata`
    has `id` (the generation's), `model_name` (the model that answered), `provider_name`,
    `finish_reason`, `native_finish_reason`, `cost` in USD and `cost_details`, streamed or not.
    Reasoning, citations, images and sound are in `content_blocks`, and as they came in
    `additional_kwargs`; reasoning goes back on the next turn to the model that produced it.

    Attributes:
        model_name: `model=`: a slug or an `OpenRouterModel`.
        openai_api_key: `api_key=`: a string; several, of which the next is used when OpenRouter
            refuses one; or a function (async too) that is asked before each request; else
            `OPENROUTER_API_KEY`.
        openai_api_base: `base_url=`: https, or http on loopback; else `OPENROUTER_API_BASE`,
            else OpenRouter's.
        request_timeout: `timeout=`: **seconds** for a whole answer, and in a stream for each
            wait for an event; 30 unless settings say otherwise; None for no limit.
        max_tokens: Most tokens to generate. OpenRouter reserves credit for that many, and
            for a model's maximum where it is None.
        max_retries: Retries by the SDK of 408, 409, 429, 5xx and lost connections.
        reasoning: How much to think, e.g. `{"effort": "low"}`; see `ReasoningOptions`.
        metadata: LangChain's run metadata. What of it are short strings is sent as OpenRouter's
            `metadata` too.
        app_url: The application that OpenRouter's rankings credit.
        app_title: Its name there.
        app_categories: At most two of OpenRouter's categories, e.g. `["creative-writing"]`.
        sends_request_id: Whether OpenRouter is told the request id, as `trace["trace_id"]`.

    Further fields of a request are those of `RequestFields`: `models`, `provider`, `plugins`,
    `session_id`, … Each may also be given to `bind` or to a single call; what OpenRouter does
    not document goes into `extra_body`.

    A pickled model leaves its key and its connections behind: where it is loaded, the key
    comes from there. A deep copy shares both.

    Raises:
        ConfigurationError: No key, or a base URL that a key must not be sent to (a
            ValueError too; nothing is sent).
        ExternalServiceError: From every call that fails; see `langchain_tale.errors`.

    Example:
        ```python
        llm = ChatOpenRouter(model="anthropic/claude-3-haiku", temperature=0.7)
        safe = llm.with_retry().with_fallbacks([OpenRouterModel.GPT_4O_MINI, "openrouter/auto"])
        safe.invoke("Tell me of a fox.").text
        ```
    """

    # ── who it is ───────────────────────────────────────────────────────────

    @property
    def _llm_type(self) -> str:
        return "openrouter-chat"

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Whether LangChain can dump and load it; its key is left out."""
        return True

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Where a loaded copy finds its key."""
        return {"openai_api_key": "OPENROUTER_API_KEY", "api_key": "OPENROUTER_API_KEY"}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        """langchain-openai's, which would gather all that describes a call a second time."""
        asked = {**self._default_params, **kwargs}
        params = LangSmithParams(
            ls_provider=MODEL_PROVIDER,
            ls_model_name=asked["model"],
            ls_model_type="chat",
            ls_temperature=asked.get("temperature", self.temperature),
        )
        most = asked.get("max_tokens", self.max_tokens)
        if most := most or asked.get("max_completion_tokens", self.max_tokens):
            params["ls_max_tokens"] = most
        if stops := stop or asked.get("stop"):
            params["ls_stop"] = stops
        return params

    def _resolve_model_profile(self) -> ModelProfile | None:
        return profiles.known_profile(self.model_name)

    @property
    def _default_params(self) -> dict[str, Any]:
        metadata = requests.fitting(self.metadata, beside=self.request_metadata or {})
        named = {"request_metadata": metadata} if metadata else {}
        return {**super()._default_params, **self.chosen(), **named}

    def _use_responses_api(self, payload: dict[str, Any]) -> bool:  # noqa: ARG002
        """Never: reasoning, tools and all else go to the chat-completions endpoint."""
        return False

    def _combine_llm_outputs(self, llm_outputs: list[dict[str, Any] | None]) -> dict[str, Any]:
        usages = [output.get("token_usage") for output in llm_outputs if output]
        return {"token_usage": protocol.summed_usage(usages), "model_name": self.model_name}

    def _announced(self, config: RunnableConfig, kind: Any) -> tuple[RunnableConfig, Parent]:  # noqa: ARG002 (of `KnowsItsRun`)
        return named(config)

    # ── asking ──────────────────────────────────────────────────────────────

    def invoke(
        self,
        input: LanguageModelInput,  # noqa: A002 (langchain-core's name)
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """As on any chat model; `metadata=` is OpenRouter's field, which langchain-core takes."""
        return super().invoke(input, config, stop=stop, **_named_apart(kwargs))

    async def ainvoke(
        self,
        input: LanguageModelInput,  # noqa: A002 (langchain-core's name)
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """The twin of `invoke`."""
        return await super().ainvoke(input, config, stop=stop, **_named_apart(kwargs))

    def _get_request_payload(
        self, input_: LanguageModelInput, *, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """A call's arguments, with the messages as OpenRouter takes them."""
        stops = {} if stop is None else {"stop": stop}
        payload = {**self._default_params, **_named_apart(kwargs), **stops}
        if "max_tokens" in kwargs and "max_completion_tokens" not in kwargs:
            payload.pop("max_completion_tokens", None)  # the call's own word wins
        if isinstance(input_, list):  # as langchain-core gives it: no prompt needs to be made of it
            messages = convert_to_messages(input_)
        else:
            messages = self._convert_input(input_).to_messages()
        asked = (str(payload["model"]), *(payload.get("models") or ()))
        return {**payload, "messages": to_wire(messages, *asked)}

    def _asking(self, run_manager: Any, kwargs: dict[str, Any], *, streamed: bool) -> Asking:
        """The events of one call, told to the policy that asks, if one does."""
        within: Scope | None = kwargs.pop(SCOPE, None)
        scope = within or Scope.of(parent_of(run_manager), to_handlers=False)
        model = str(kwargs.get("model") or self.model_name)
        return Asking(Exchanges(scope, model, streamed), is_attempt=within is not None)

    def _call(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        exchanges: Exchanges,
        kwargs: dict[str, Any],
    ) -> transport.Call:
        kwargs.pop("stream", None)  # langchain-core's switch for a call, which it has obeyed
        payload = self._get_request_payload(messages, stop=stop, **kwargs)
        if self.sends_request_id:
            traced = {"trace_id": exchanges.scope.request_id}
            payload["trace"] = {**traced, **(payload.get("trace") or {})}
        timeout = payload.pop("timeout", self.request_timeout)
        max_retries = payload.pop("max_retries", self.max_retries)
        request = requests.request(payload, stream=exchanges.is_streamed)
        log_prompt(exchanges.scope, str(request.body["model"]), request.body["messages"])
        return transport.Call(
            path=COMPLETIONS_PATH,
            model=str(request.body["model"]),
            body=request.body,
            query=request.query,
            headers=request.headers,
            timeout=timeout,
            max_retries=max_retries or 0,
            keys=self._keys,
            has_fallbacks=bool(request.body.get("models")),
            exchanges=exchanges,
        )

    @described
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with self._asking(run_manager, kwargs, streamed=False) as asking:
            self._ensure_sync_client_available()
            call = self._call(messages, stop, asking.exchanges, kwargs)
            body, source = transport.fetch(self.root_client, call)
            asking.body = lambda: body
            return asking.whole(protocol.read_reply(body, source))

    @described
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        async with self._asking(run_manager, kwargs, streamed=False) as asking:
            call = self._call(messages, stop, asking.exchanges, kwargs)
            body, source = await transport.afetch(self.root_async_client, call)
            asking.body = lambda: body
            return asking.whole(protocol.read_reply(body, source))

    @recalled
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        with self._asking(run_manager, kwargs, streamed=True) as asking:
            self._ensure_sync_client_available()
            call = self._call(messages, stop, asking.exchanges, kwargs)
            reader = asking.reads(StreamReader(Source(call.model)))
            with (
                keeping_partial_text(reader),
                transport.events(self.root_client, call) as (events, reader.source),
            ):
                for event in events:
                    if (chunk := reader.read(event)) is not None:
                        yield asking.chunk(chunk)
                yield asking.last_chunk(reader.finish())

    @arecalled
    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        async with self._asking(run_manager, kwargs, streamed=True) as asking:
            call = self._call(messages, stop, asking.exchanges, kwargs)
            reader = asking.reads(StreamReader(Source(call.model)))
            connection = transport.aevents(self.root_async_client, call)
            with keeping_partial_text(reader):
                async with connection as (events, reader.source):
                    async for event in events:
                        if (chunk := reader.read(event)) is not None:
                            yield asking.chunk(chunk)
                    yield asking.last_chunk(reader.finish())

    # ── tools and schemas ───────────────────────────────────────────────────

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: dict[str, Any] | str | bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools to this model.

        Args:
            tools: Functions, pydantic classes, LangChain's tools, schemas, and those that
                OpenRouter runs itself, e.g. `{"type": "openrouter:web_search"}`. A
                `cache_control` of a tool's dict or `extras` is kept.
            tool_choice: A tool's name, `"auto"`, `"none"`, `"any"` or `"required"`.
            **kwargs: `strict`, `parallel_tool_calls`, and whatever else a call takes.
        """
        own = [tool for tool in tools if not is_server_tool(tool)]
        bound = super().bind_tools(own, tool_choice=choice_of(tool_choice), **kwargs)
        arguments = cast("RunnableBinding[Any, Any]", bound).kwargs
        formatted = iter(with_cache_points(own, arguments["tools"]))
        every = [tool if is_server_tool(tool) else next(formatted) for tool in tools]
        return self.bind(**{**arguments, "tools": every})

    def with_structured_output(
        self,
        schema: Any = None,
        *,
        method: Method = "function_calling",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """A runnable whose answers fit a schema; streamed, those of a dict schema grow.

        Asks only providers that know the parameters (`require_parameters`), and so fails where
        there is none, instead of getting prose.

        Args:
            schema: A pydantic class, for instances of it; or a typed dict, JSON schema or
                function, for dicts.
            method: `"function_calling"`, which most models know; `"json_schema"`; or
                `"json_mode"`, where the prompt has to ask for JSON.
            include_raw: Give `{"raw", "parsed", "parsing_error"}` instead of raising.
            strict: Whether the provider shall hold the model to the schema.
            **kwargs: `response_healing=True` has OpenRouter repair broken JSON (not in
                streams); `require_parameters=False`; and whatever else a call takes.

        Raises:
            ConfigurationError: An unknown method, or no schema.
            UnparsableReplyError: From the runnable: an answer that is cut off or does not
                fit; `partial_text` has it.
            ModerationError: From the runnable: the model refused.
        """
        return asking_for(
            self, schema, method=method, include_raw=include_raw, strict=strict, **kwargs
        )

    # ── composing ───────────────────────────────────────────────────────────

    def for_model(self, model: str) -> ChatOpenRouter:
        """The same settings and connections, asking `model` instead."""
        return self.model_copy(
            update={"model_name": str(model), "profile": profiles.known_profile(str(model))}
        )

    continues_prefill: ClassVar[bool] = True
    """OpenRouter's models go on from a last message of their own (§4.6)."""

    def within(self, timeout_s: float) -> dict[str, Any]:
        """The arguments of a call that may take so many seconds, and no longer than always."""
        own = self.request_timeout
        return {"timeout": min(own, timeout_s) if isinstance(own, int | float) else timeout_s}

    def with_room(self, max_tokens: int) -> ChatOpenRouter:
        """The same, with room and time for a long answer, where the caller has not set them.

        The time is that of `max_tokens` at the slowest speed worth waiting for.
        """
        needs: dict[str, Any] = {"max_tokens": max_tokens}
        if isinstance(self.request_timeout, int | float):
            needs["request_timeout"] = max(self.request_timeout, max_tokens / SLOWEST_TOKENS_PER_S)
        update = {name: need for name, need in needs.items() if name not in self.model_fields_set}
        return self.model_copy(update=update)

    def with_retry(self, retry: RetryPolicy | None = None, **kwargs: Any) -> ResilientChatModel:
        """A chat model that tries again what another try can mend.

        Args:
            retry: The policy, else `RetryPolicy()`.
            **kwargs: `on_broken_stream`, `accept` and `breaker` of `ResilientChatModel`;
                and instead of a policy langchain-core's `stop_after_attempt`,
                `wait_exponential_jitter` and `retry_if_exception_type`.

        Returns:
            A chat model; its attempts are in `response_metadata["attempts"]`.

        Raises:
            ConfigurationError: A policy and keywords at once, or an unknown keyword.
        """
        options, rest = split_options(kwargs)
        return resilient([self], retry=policy_from(retry, **rest), **options)

    def with_fallbacks(  # type: ignore[override]  # takes slugs too
        self, fallbacks: Sequence[Runnable[LanguageModelInput, AIMessage] | str], **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """A chat model that asks others when this one fails.

        Args:
            fallbacks: Slugs, `OpenRouterModel`s, or chat models of any vendor, best first.
            **kwargs: langchain-core's `exceptions_to_handle`; `retry`, and the options that
                `with_retry` takes.

        Returns:
            A chat model. Where a fallback is another kind of runnable, or `exception_key` is
            asked for, it is langchain-core's own `RunnableWithFallbacks`.
        """
        models = chat_models_from(fallbacks, kin=self)
        if models is None or "exception_key" in kwargs:
            return super().with_fallbacks(fallbacks, **kwargs)  # type: ignore[arg-type]
        return resilient([self, *models], **kwargs)


def _named_apart(kwargs: dict[str, Any]) -> dict[str, Any]:
    """A call's arguments, `metadata` under a name that langchain-core leaves alone."""
    if "metadata" not in kwargs:
        return kwargs
    rest = {name: value for name, value in kwargs.items() if name != "metadata"}
    return {**rest, "request_metadata": kwargs["metadata"]}


allow_loading(tuple(ChatOpenRouter.lc_id()))
