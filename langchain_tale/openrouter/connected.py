"""A chat model's key, address and connections: where they come from, and what copies get."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from langchain_openai.chat_models.base import BaseChatOpenAI
from pydantic import ConfigDict, Field, PrivateAttr, SecretStr, field_validator, model_validator

from langchain_tale.catalogue import DEFAULT_MODEL
from langchain_tale.errors import ConfigurationError, checking
from langchain_tale.openrouter import connections, proxies, transport
from langchain_tale.openrouter.fields import ReasoningOptions, RequestFields
from langchain_tale.openrouter.keys import NO_KEY, KeyRing, has_key, key_sources, ring_of
from langchain_tale.openrouter.sending import AsyncSDK, SyncSDK
from langchain_tale.settings import checked_base_url, get_settings

if TYPE_CHECKING:
    from typing import Self

    from langchain_tale.settings import AIServiceSettings

_OF_THIS_PROCESS: Final = frozenset(
    {
        "client",
        "async_client",
        "root_client",
        "root_async_client",
        "http_client",
        "http_async_client",
    }
)


class ConnectedChatModel(RequestFields, BaseChatOpenAI):
    """The part of `ChatOpenRouter` that is settled before anything is asked."""

    model_name: str = Field(default=DEFAULT_MODEL.value, alias="model", min_length=1)
    max_tokens: int | None = 4096
    max_retries: int | None = 2
    reasoning: ReasoningOptions | None = None  # type: ignore[assignment]  # typed more closely
    app_url: str | None = None
    app_title: str | None = None
    app_categories: list[str] | None = Field(default=None, max_length=2)
    sends_request_id: bool = False
    openai_proxy: str | None = None
    """A proxy for this model alone; never taken from OpenAI's environment."""

    _keys: KeyRing | None = PrivateAttr(default=None)

    model_config = ConfigDict(hide_input_in_errors=True)

    def __init__(self, **kwargs: Any) -> None:
        """Pydantic's complaints become one sentence, without the key among the inputs."""
        for name in ("api_key", "openai_api_key"):
            if isinstance(kwargs.get(name), list | tuple):
                kwargs[name] = KeyRing(kwargs[name]) if kwargs[name] else None
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
            raise ConfigurationError(NO_KEY)
        self.openai_api_base = checked_base_url(self.openai_api_base or settings.base_url)
        self._connect(settings)
        return self

    def _connect(self, settings: AIServiceSettings) -> None:
        if self.http_client is None or self.http_async_client is None:
            proxies.check(self.openai_proxy)
        self._keys = ring_of(self.openai_api_key)
        headers = transport.attribution_headers(
            self.app_url or settings.app_url,
            self.app_title or settings.app_title,
            self.app_categories,
        )
        key, async_key = key_sources(self._keys or self.openai_api_key)
        shared: dict[str, Any] = {
            "base_url": self.openai_api_base,
            "timeout": self.request_timeout,
            "default_headers": {**headers, **(self.default_headers or {})},
            "default_query": self.default_query,
        }
        if key is not None:
            http = self.http_client or connections.shared_http_client(self.openai_proxy)
            self.root_client = SyncSDK(api_key=key, http_client=http, **shared)
            self.client = self.root_client.chat.completions
        http = self.http_async_client or connections.shared_http_async_client(self.openai_proxy)
        self.root_async_client = AsyncSDK(api_key=async_key, http_client=http, **shared)
        self.async_client = self.root_async_client.chat.completions

    # ── copies ──────────────────────────────────────────────────────────────

    def __getstate__(self) -> dict[Any, Any]:
        """What a pickle holds: neither key nor connections."""
        state = super().__getstate__()
        left_out = _OF_THIS_PROCESS | (
            {"openai_api_key"} if _is_secret(self.openai_api_key) else set()
        )
        kept = {**state["__dict__"], **dict.fromkeys(left_out)}
        return {**state, "__dict__": kept, "__pydantic_private__": {"_keys": None}}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """Connect again, with the key of the process that loads the pickle."""
        super().__setstate__(state)
        settings = get_settings().ai_service
        self.openai_api_key = self.openai_api_key or settings.api_key
        self._connect(settings)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """A copy of its own that shares the connections."""
        memo = {} if memo is None else memo
        shared = [getattr(self, name) for name in _OF_THIS_PROCESS]
        memo.update({id(one): one for one in (*shared, self.openai_api_key, self._keys)})
        return super().__deepcopy__(memo)


def _is_secret(key: Any) -> bool:
    """Keys themselves; a function that knows one may travel."""
    return isinstance(key, SecretStr | KeyRing)
