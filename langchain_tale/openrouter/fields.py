"""The fields of a request that OpenRouter knows beyond those of langchain-openai.

Typed where the documentation is firm (§4 of it, as of 2026-08-22) and open where it is not: what
a provider alone understands goes into `extra_body`. None is not sent; `False` and `0` are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, Required

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

MAX_MODELS: Final = 3
"""OpenRouter refuses a longer `models` (reported by users; the documentation names no limit)."""
MAX_SESSION_ID_CHARS: Final = 256


class Percentiles(TypedDict, total=False):
    """A bound for each percentile of the last five minutes."""

    p50: float
    p75: float
    p90: float
    p99: float


class ProviderSort(TypedDict, total=False):
    """How endpoints are ordered; `partition: "none"` orders those of all models together."""

    by: Required[str]
    partition: Literal["model", "none"] | None


class MaxPrice(TypedDict, total=False):
    """Most USD: per million tokens, and per request, image or audio; nothing dearer is asked."""

    prompt: float | str
    completion: float | str
    request: float | str
    image: float | str
    audio: float | str


class ProviderPreferences(TypedDict, total=False):
    """Which endpoints may serve a request, and in which order; no other key is allowed.

    Attributes:
        order: Provider slugs to try first; switches load balancing off.
        only: Provider slugs that may serve.
        ignore: Provider slugs that may not.
        allow_fallbacks: False returns the first provider's error.
        require_parameters: True asks only providers that know every parameter sent.
        data_collection: `"deny"` asks no provider that stores or trains.
        zdr: True asks only endpoints that retain nothing.
        enforce_distillable_text: True asks only models whose authors allow distillation.
        quantizations: E.g. `["fp8", "bf16"]`.
        sort: `"price"`, `"throughput"`, `"latency"`, or a `ProviderSort`.
        preferred_min_throughput: Tokens per second; others are asked last.
        preferred_max_latency: Seconds to the first token; others are asked last.
        max_price: What nothing may exceed.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]  # pydantic's own name

    order: list[str] | None
    only: list[str] | None
    ignore: list[str] | None
    allow_fallbacks: bool | None
    require_parameters: bool | None
    data_collection: Literal["allow", "deny"] | None
    zdr: bool | None
    enforce_distillable_text: bool | None
    quantizations: list[str] | None
    sort: str | ProviderSort | None
    preferred_min_throughput: float | Percentiles | None
    preferred_max_latency: float | Percentiles | None
    max_price: MaxPrice | None


class ReasoningOptions(TypedDict, total=False):
    """How much a model thinks; the guide and the spec differ, so more keys are allowed.

    Attributes:
        effort: `"max"`, `"xhigh"`, `"high"`, `"medium"`, `"low"`, `"minimal"` or `"none"`.
        max_tokens: Tokens to think with; not together with `effort`.
        exclude: True thinks, and bills it, but does not return the text.
        enabled: True alone is medium effort.
        summary: `"auto"`, `"concise"` or `"detailed"`.
    """

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]  # pydantic's own name

    effort: str | None
    max_tokens: int | None
    exclude: bool | None
    enabled: bool | None
    summary: str | None


class Plugin(TypedDict, total=False):
    """One of OpenRouter's plugins, e.g. `{"id": "response-healing"}`, with its options."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]  # pydantic's own name

    id: Required[str]
    enabled: bool


class CacheControl(TypedDict, total=False):
    """A cache point: `ttl` is `"5m"` or `"1h"`."""

    type: Required[Literal["ephemeral"]]
    ttl: str


class Prediction(TypedDict):
    """What most of the answer will be, for speed."""

    type: Literal["content"]
    content: str | list[dict[str, Any]]


class RequestFields(BaseModel):
    """What a request may say besides what every langchain-openai model can.

    Each may be given to the constructor, to `bind`, or to a single call.

    Attributes:
        models: Up to three slugs that OpenRouter itself tries when the first fails.
        provider: Routing preferences, e.g. `{"data_collection": "deny"}`.
        plugins: E.g. `[{"id": "response-healing"}]`.
        max_completion_tokens: The newer name of `max_tokens`, which is then not sent.
        top_k: Most candidates for a token; 0 for all.
        min_p: Least probability of a candidate, relative to the best; 0 to 1.
        top_a: As `min_p`, but squared; 0 to 1.
        repetition_penalty: Above 0, up to 2; 1 changes nothing.
        parallel_tool_calls: Whether a model may ask for several tools at once.
        response_format: A JSON mode or schema; rather use `with_structured_output`.
        modalities: Of `"text"`, `"image"`, `"audio"`: what the answer may hold.
        audio: `{"voice": …, "format": …}` of a spoken answer; streams only.
        image_config: For models that draw.
        prediction: What most of the answer will be.
        request_metadata: OpenRouter's `metadata`: up to 16 pairs of strings.
        user: A stable pseudonym of the end user: a policy block then hits only them.
        session_id: Groups requests and keeps them with one provider; up to 256 characters.
        trace: Names for observability: `trace_id`, `trace_name`, `span_name` and others.
        cache_control: Automatic prompt caching, for the models of Anthropic and Alibaba.
        prompt_cache_key: Keeps requests with one provider where there is no `session_id`.
        preset: The slug of a preset; rather ask the model `"@preset/slug"`.
        web_search_options: E.g. `{"search_context_size": "low"}`; legacy.
        include_reasoning: False leaves the text of the reasoning out; legacy.
        stop_server_tools_when: Conditions such as `{"type": "max_cost", …}`.
        max_tool_calls: Most steps of server tools.
        debug: `{"echo_upstream_body": True}`; streams only, not for production.
        router_metadata: True asks for `openrouter_metadata`: who was tried, and why.
        response_cache: True replays a whole earlier answer to the same request, for free.
        response_cache_ttl_s: Seconds to keep it: 1 to 86,400; OpenRouter's default is 300.
        response_cache_clear: True asks anew and replaces what is kept.
        anthropic_beta: Beta features of Anthropic, e.g. `["structured-outputs-2025-11-13"]`.
    """

    models: Sequence[str] | None = Field(default=None, max_length=MAX_MODELS)
    provider: ProviderPreferences | None = None
    plugins: list[Plugin] | None = None
    max_completion_tokens: int | None = Field(default=None, ge=1)
    top_k: int | None = Field(default=None, ge=0)
    min_p: float | None = Field(default=None, ge=0, le=1)
    top_a: float | None = Field(default=None, ge=0, le=1)
    repetition_penalty: float | None = Field(default=None, gt=0, le=2)
    parallel_tool_calls: bool | None = None
    response_format: Any = None
    modalities: list[str] | None = None
    audio: dict[str, Any] | None = None
    image_config: dict[str, Any] | None = None
    prediction: Prediction | None = None
    request_metadata: dict[str, str] | None = None
    user: str | None = None
    session_id: str | None = Field(default=None, max_length=MAX_SESSION_ID_CHARS)
    trace: dict[str, Any] | None = None
    cache_control: CacheControl | None = None
    prompt_cache_key: str | None = None
    preset: str | None = None
    web_search_options: dict[str, Any] | None = None
    x_search_filter: dict[str, Any] | None = None
    include_reasoning: bool | None = None
    structured_outputs: bool | None = None
    stop_server_tools_when: list[dict[str, Any]] | None = None
    max_tool_calls: int | None = Field(default=None, ge=0)
    debug: dict[str, Any] | None = None
    router_metadata: bool | None = None
    response_cache: bool | None = None
    response_cache_ttl_s: int | None = Field(default=None, ge=1, le=86_400)
    response_cache_clear: bool | None = None
    anthropic_beta: list[str] | None = None

    def chosen(self) -> dict[str, Any]:
        """The fields that say something."""
        own = vars(self)
        return {name: own[name] for name in _NAMES if own[name] is not None}


_NAMES: Final = tuple(RequestFields.model_fields)
