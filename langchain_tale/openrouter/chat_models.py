"""`ChatOpenRouter`: hundreds of models as one LangChain chat model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from langchain_core.callbacks import (  # noqa: TC002 (as above)
    AsyncCallbackManagerForLLMRun,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models import LangSmithParams  # noqa: TC002 (as above)
from langchain_core.messages import BaseMessage  # noqa: TC002 (as above)
from langchain_core.outputs import ChatGenerationChunk, ChatResult  # noqa: TC002 (as above)
from langchain_openai.chat_models.base import BaseChatOpenAI
from pydantic import ConfigDict, Field, field_validator, model_validator

from langchain_tale.catalogue import DEFAULT_MODEL
from langchain_tale.errors import ConfigurationError, ExternalServiceError, checking
from langchain_tale.openrouter import protocol, transport
from langchain_tale.openrouter.failures import Source
from langchain_tale.openrouter.keys import has_key, key_sources
from langchain_tale.openrouter.loading import allow_loading
from langchain_tale.resilience.chat_models import resilient
from langchain_tale.resilience.composing import chat_models_from, policy_from
from langchain_tale.settings import checked_base_url, get_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from typing import Self

    from langchain_core.language_models import LanguageModelInput
    from langchain_core.messages import AIMessage
    from langchain_core.runnables import Runnable

    from langchain_tale.resilience.chat_models import ResilientChatModel
    from langchain_tale.resilience.policy import RetryPolicy

COMPLETIONS_PATH: Final = "/chat/completions"
SLOWEST_TOKENS_PER_S: Final = 5


class ChatOpenRouter(BaseChatOpenAI):
    """A chat model on OpenRouter.

    Everything of LangChain's chat models is here: `invoke`, `batch`, `stream` and their
    twins, tools, structured output, callbacks. On top of it an answer's `response_metadata`
    has `id` (the generation's), `model_name` (the model that answered), `provider_name`,
    `finish_reason`, `native_finish_reason` and `cost` in USD, streamed or not.

    Attributes:
        model_name: `model=`: a slug or an `OpenRouterModel`.
        openai_api_key: `api_key=`: a string, or a function (async too) that is asked before
            each request; else `OPENROUTER_API_KEY`.
        openai_api_base: `base_url=`: https, or http on loopback; else `OPENROUTER_API_BASE`,
            else OpenRouter's.
        request_timeout: `timeout=`: **seconds** for a whole answer, and in a stream for each
            wait for an event; 30 unless settings say otherwise; None for no limit.
        max_tokens: Most tokens to generate. OpenRouter reserves credit for that many, and
            for a model's maximum where it is None.
        max_retries: Retries by the SDK of 408, 409, 429, 5xx and lost connections.
        models: Further slugs that OpenRouter itself tries when the first fails.
        provider: Routing preferences, e.g. `{"data_collection": "deny"}`.
        plugins: OpenRouter's plugins.
        app_url: The application that OpenRouter's rankings credit.
        app_title: Its name there.

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

    model_name: str = Field(default=DEFAULT_MODEL.value, alias="model", min_length=1)
    max_tokens: int | None = 4096
    max_retries: int | None = 2
    models: Sequence[str] | None = None
    provider: dict[str, Any] | None = None
    plugins: list[dict[str, Any]] | None = None
    app_url: str | None = None
    app_title: str | None = None
    openai_proxy: str | None = None
    """A proxy for this model alone; never taken from OpenAI's environment."""

    model_config = ConfigDict(hide_input_in_errors=True)

    def __init__(self, **kwargs: Any) -> None:
        """Pydantic's complaints become one sentence, without the key among the inputs."""
        with checking("ChatOpenRouter"):
            super().__init__(**kwargs)

    @field_validator("model_name", mode="before")
    @classmethod
    def _slug_of(cls, model: Any) -> Any:
        return str(model) if isinstance(model, str) else model

    @model_validator(mode="after")
    def validate_environment(self) -> Self:
        """Fill in settings and build the clients; in place of the base's, which asks OpenAI's."""
        settings = get_settings().ai_service
        if "request_timeout" not in self.model_fields_set:
            self.request_timeout = settings.timeout_s
            self.model_fields_set.discard("request_timeout")  # a default is nobody's choice
        self.openai_api_key = self.openai_api_key or settings.api_key
        if not has_key(self.openai_api_key):
            msg = "No OpenRouter API key: set OPENROUTER_API_KEY or pass api_key (https://openrouter.ai/keys)."
            raise ConfigurationError(msg)
        self.openai_api_base = checked_base_url(self.openai_api_base or settings.base_url)
        app_url, app_title = self.app_url or settings.app_url, self.app_title or settings.app_title
        self._build_clients(transport.attribution_headers(app_url, app_title))
        return self

    def _build_clients(self, headers: dict[str, str]) -> None:
        key, async_key = key_sources(self.openai_api_key)
        shared: dict[str, Any] = {
            "base_url": self.openai_api_base,
            "timeout": self.request_timeout,
            "default_headers": {**headers, **(self.default_headers or {})},
            "default_query": self.default_query,
        }
        if key is not None:
            http = self.http_client or transport.shared_http_client(self.openai_proxy)
            self.root_client = transport.SyncSDK(api_key=key, http_client=http, **shared)
            self.client = self.root_client.chat.completions
        http = self.http_async_client or transport.shared_http_async_client(self.openai_proxy)
        self.root_async_client = transport.AsyncSDK(api_key=async_key, http_client=http, **shared)
        self.async_client = self.root_async_client.chat.completions

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
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = protocol.MODEL_PROVIDER
        return params

    @property
    def _default_params(self) -> dict[str, Any]:
        own = {"models": self.models, "provider": self.provider, "plugins": self.plugins}
        present = {name: value for name, value in own.items() if value is not None}
        return {**super()._default_params, **present}

    def _use_responses_api(self, payload: dict[str, Any]) -> bool:  # noqa: ARG002
        """Never: reasoning, tools and all else go to the chat-completions endpoint."""
        return False

    def _combine_llm_outputs(self, llm_outputs: list[dict[str, Any] | None]) -> dict[str, Any]:
        usages = [output.get("token_usage") for output in llm_outputs if output]
        return {"token_usage": protocol.summed_usage(usages), "model_name": self.model_name}

    # ── asking ──────────────────────────────────────────────────────────────

    def _call(
        self, messages: list[BaseMessage], stop: list[str] | None, *, stream: bool, **kwargs: Any
    ) -> transport.Call:
        payload = self._get_request_payload(messages, stop=stop, **kwargs)
        timeout = payload.pop("timeout", self.request_timeout)
        body = protocol.request_body(payload, stream=stream)
        return transport.Call(
            path=COMPLETIONS_PATH,
            model=str(body["model"]),
            body=body,
            timeout=timeout,
            max_retries=self.max_retries or 0,
        )

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 (langchain-core calls it)
        **kwargs: Any,
    ) -> ChatResult:
        self._ensure_sync_client_available()
        call = self._call(messages, stop, stream=False, **kwargs)
        body, source = transport.fetch(self.root_client, call)
        return protocol.read_reply(body, source, schema=kwargs.get("response_format"))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002 (as above)
        **kwargs: Any,
    ) -> ChatResult:
        call = self._call(messages, stop, stream=False, **kwargs)
        body, source = await transport.afetch(self.root_async_client, call)
        return protocol.read_reply(body, source, schema=kwargs.get("response_format"))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 (as above)
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        self._ensure_sync_client_available()
        call = self._call(messages, stop, stream=True, **kwargs)
        reader = protocol.StreamReader(Source(call.model), schema=kwargs.get("response_format"))
        with (
            _keeping_partial_text(reader),
            transport.events(self.root_client, call) as (events, reader.source),
        ):
            for event in events:
                if (chunk := reader.read(event)) is not None:
                    yield chunk
            yield reader.finish()

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002 (as above)
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        call = self._call(messages, stop, stream=True, **kwargs)
        reader = protocol.StreamReader(Source(call.model), schema=kwargs.get("response_format"))
        with _keeping_partial_text(reader):
            async with transport.aevents(self.root_async_client, call) as (events, reader.source):
                async for event in events:
                    if (chunk := reader.read(event)) is not None:
                        yield chunk
                yield reader.finish()

    # ── composing ───────────────────────────────────────────────────────────

    def for_model(self, model: str) -> ChatOpenRouter:
        """The same settings and connections, asking `model` instead."""
        return self.model_copy(update={"model_name": str(model)})

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
            **kwargs: Instead of a policy, langchain-core's `stop_after_attempt`,
                `wait_exponential_jitter` and `retry_if_exception_type`.

        Returns:
            A chat model; its attempts are in `response_metadata["attempts"]`.

        Raises:
            ConfigurationError: A policy and keywords at once, or an unknown keyword.
        """
        return resilient([self], retry=policy_from(retry, **kwargs))

    def with_fallbacks(  # type: ignore[override]  # takes slugs too
        self, fallbacks: Sequence[Runnable[LanguageModelInput, AIMessage] | str], **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """A chat model that asks others when this one fails.

        Args:
            fallbacks: Slugs, `OpenRouterModel`s, or chat models of any vendor, best first.
            **kwargs: langchain-core's `exceptions_to_handle`.

        Returns:
            A chat model. Where a fallback is another kind of runnable, or `exception_key` is
            asked for, it is langchain-core's own `RunnableWithFallbacks`.
        """
        models = chat_models_from(fallbacks, kin=self)
        if models is None or "exception_key" in kwargs:
            return super().with_fallbacks(fallbacks, **kwargs)  # type: ignore[arg-type]
        return resilient([self, *models], **kwargs)


allow_loading(tuple(ChatOpenRouter.lc_id()))


@contextmanager
def _keeping_partial_text(reader: protocol.StreamReader) -> Iterator[None]:
    """Errors on the way tell what had arrived before them."""
    try:
        yield
    except ExternalServiceError as error:
        error.partial_text = error.partial_text or reader.partial_text or None
        raise
