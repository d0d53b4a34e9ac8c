"""Models, their prices and endpoints, as `GET /models` lists them; pure (§21.2, §21.3)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal  # noqa: TC003 (pydantic reads it)
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, AliasPath, Field

from langchain_tale.openrouter.record import Day, Moment, Price, Record

Verdict = Literal["healthy", "degraded", "down", "unroutable", "unknown"]

_HEALTHY_PERCENT: Final = 95.0
_DEGRADED_PERCENT: Final = 80.0
_LONGEST_MEDIAN_S: Final = 10.0
_PERCENTILES: Final = ("p50", "p75", "p90", "p99")


class Prices(Record):
    """Prices in USD, exactly as listed; None where there is none, or where it varies.

    Attributes:
        input_usd: For each input token.
        output_usd: For each output token.
        reasoning_usd: For each token of reasoning, where priced apart.
        cache_read_usd: For each input token read from the cache.
        cache_write_usd: For each input token written to the cache.
        cache_write_1h_usd: The same for a cache that lasts an hour.
        audio_input_usd: For each token of audio read.
        audio_output_usd: For each token of audio written.
        request_usd: For each request.
        image_input_usd: For each image read.
        image_output_usd: For each image written.
        web_search_usd: For each web search.
    """

    input_usd: Price = Field(None, validation_alias="prompt")
    output_usd: Price = Field(None, validation_alias="completion")
    reasoning_usd: Price = Field(None, validation_alias="internal_reasoning")
    cache_read_usd: Price = Field(None, validation_alias="input_cache_read")
    cache_write_usd: Price = Field(None, validation_alias="input_cache_write")
    cache_write_1h_usd: Price = Field(None, validation_alias="input_cache_write_1h")
    audio_input_usd: Price = Field(None, validation_alias="audio")
    audio_output_usd: Price = Field(None, validation_alias="audio_output")
    request_usd: Price = Field(None, validation_alias="request")
    image_input_usd: Price = Field(None, validation_alias="image")
    image_output_usd: Price = Field(None, validation_alias="image_output")
    web_search_usd: Price = Field(None, validation_alias="web_search")


class PriceOverride(Prices):
    """Prices that hold under conditions, all of which must be met; None is the base price.

    Attributes:
        min_input_tokens: For prompts of strictly more tokens.
        utc_start: From this time of day on, as HHMM in UTC.
        utc_end: Until this time of day, exclusive; a window may wrap midnight.
    """

    min_input_tokens: float | None = Field(None, validation_alias="min_prompt_tokens")
    utc_start: int | None = None
    utc_end: int | None = None


class Pricing(Prices):
    """The prices of a model or endpoint (§21.2).

    Attributes:
        discount: The fraction that is taken off, 0 to 1.
        overrides: Conditional prices; of those that apply, later ones win.
    """

    discount: Decimal | None = None
    overrides: tuple[PriceOverride, ...] | None = None


class Reasoning(Record):
    """How a model may be asked to reason.

    Attributes:
        is_mandatory: Whether it cannot be switched off.
        is_default: Whether it reasons unless told otherwise.
        efforts: Efforts it takes, highest first; None where any goes.
        default_effort: The effort where none is named.
    """

    is_mandatory: bool | None = Field(None, validation_alias="mandatory")
    is_default: bool | None = Field(None, validation_alias="default_enabled")
    efforts: tuple[str, ...] | None = Field(None, validation_alias="supported_efforts")
    default_effort: str | None = None


class ModelRecord(Record):
    """One model of OpenRouter's catalogue (§21.2).

    Attributes:
        id: The slug to ask for.
        canonical_slug: The slug that never changes its meaning.
        alias_of: The slug that a `~author/family-latest` stands for now.
        name: For people to read.
        description: The same, at length.
        created_at: When OpenRouter listed it.
        expires_on: The day after which it may be removed, where known.
        knowledge_cutoff: The last day of its training data.
        context_length: Tokens it can read, prompt and answer together.
        max_output_tokens: Most tokens it writes.
        is_moderated: Whether prompts are moderated before it reads them.
        input_modalities: What it reads: `"text"`, `"image"`, `"file"`, `"audio"`, `"video"`.
        output_modalities: What it writes.
        tokenizer: Its family of tokenizers; `"Router"` where it is a route.
        supported_parameters: Request fields that it heeds.
        reasoning: How it reasons; None where it does not.
        pricing: What it costs.
        hugging_face_id: Where its weights are, if they are open.
    """

    id: str
    canonical_slug: str | None = None
    alias_of: str | None = Field(None, validation_alias=AliasPath("alias_target", "slug"))
    name: str | None = None
    description: str | None = Field(None, repr=False)
    created_at: Moment = Field(None, validation_alias="created")
    expires_on: Day = Field(None, validation_alias="expiration_date")
    knowledge_cutoff: Day = None
    context_length: int | None = None
    max_output_tokens: int | None = Field(
        None, validation_alias=AliasPath("top_provider", "max_completion_tokens")
    )
    is_moderated: bool | None = Field(
        None, validation_alias=AliasPath("top_provider", "is_moderated")
    )
    input_modalities: tuple[str, ...] | None = Field(
        None, validation_alias=AliasPath("architecture", "input_modalities")
    )
    output_modalities: tuple[str, ...] | None = Field(
        None, validation_alias=AliasPath("architecture", "output_modalities")
    )
    tokenizer: str | None = Field(None, validation_alias=AliasPath("architecture", "tokenizer"))
    supported_parameters: tuple[str, ...] | None = None
    reasoning: Reasoning | None = None
    pricing: Pricing | None = None
    hugging_face_id: str | None = None

    @property
    def is_router(self) -> bool:
        """Whether it picks a model for each request, whose limits and prices then hold."""
        return _is_route(self) and not self.id.startswith("~")


# ── GET /models/{author}/{slug}/endpoints ───────────────────────────────────


class Percentiles(Record):
    """The value that half, three quarters … of the measurements stay below.

    Attributes:
        p50: The median.
        p75: 75th percentile.
        p90: 90th percentile.
        p99: 99th percentile. Of a throughput the upper percentiles are the slow ones.
    """

    p50: float | None = None
    p75: float | None = None
    p90: float | None = None
    p99: float | None = None


def _latency_in_s(latency: Percentiles | None) -> Percentiles | None:
    """Seconds, whichever unit the server used (§24, C24: documented in ms, exemplified in both).

    No first token comes over a network within 10 ms, and half of them seldom take 10 s: a
    median from 10 on is in milliseconds, a smaller one in seconds. All percentiles follow it.
    """
    shown = {name: getattr(latency, name) for name in _PERCENTILES} if latency else {}
    known = {name: value for name, value in shown.items() if value is not None}
    if latency is None or min(known.values(), default=0.0) < _LONGEST_MEDIAN_S:
        return latency
    return latency.model_copy(update={name: value / 1000 for name, value in known.items()})


class EndpointRecord(Record):
    """One provider's offer of a model (§21.3).

    Attributes:
        name: For people to read.
        tag: What `provider={"order": […]}` calls it, e.g. `"openai/priority"`.
        provider_name: The provider, as answers name it.
        model: The model it serves.
        status: 0 is fit; the meaning of negative values is not documented.
        uptime_5m_percent: Successes among successes and errors of the last 5 minutes, 0 to
            100; rate-limited requests do not count. None where there is too little data.
        uptime_30m_percent: The same for 30 minutes.
        uptime_1d_percent: The same for a day.
        latency_s: Seconds to the first token, over 30 minutes. None unless asked with a key.
        throughput_tokens_per_s: Tokens a second, over 30 minutes; likewise.
        context_length: Tokens it can read, prompt and answer together.
        max_input_tokens: Most tokens it reads.
        max_output_tokens: Most tokens it writes.
        quantization: E.g. `"fp8"`.
        supported_parameters: Request fields that it heeds.
        has_implicit_caching: Whether it caches prompts unasked.
        pricing: What it costs.
    """

    name: str | None = None
    tag: str | None = None
    provider_name: str | None = None
    model: str | None = Field(None, validation_alias="model_id")
    status: int | None = None
    uptime_5m_percent: float | None = Field(None, validation_alias="uptime_last_5m")
    uptime_30m_percent: float | None = Field(None, validation_alias="uptime_last_30m")
    uptime_1d_percent: float | None = Field(None, validation_alias="uptime_last_1d")
    latency_s: Annotated[Percentiles | None, AfterValidator(_latency_in_s)] = Field(
        None, validation_alias="latency_last_30m"
    )
    throughput_tokens_per_s: Percentiles | None = Field(
        None, validation_alias="throughput_last_30m"
    )
    context_length: int | None = None
    max_input_tokens: int | None = Field(None, validation_alias="max_prompt_tokens")
    max_output_tokens: int | None = Field(None, validation_alias="max_completion_tokens")
    quantization: str | None = None
    supported_parameters: tuple[str, ...] | None = None
    has_implicit_caching: bool | None = Field(None, validation_alias="supports_implicit_caching")
    pricing: Pricing | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether a model can be expected to answer; see `ModelEndpoints.health`.

    Attributes:
        model: The model that was asked about.
        verdict: `"healthy"`, `"degraded"`, `"down"`, `"unroutable"` (nobody serves it) or
            `"unknown"`.
        uptime_percent: Of its best endpoint over the last 5 minutes, 0 to 100, where known.
        reason: A sentence.
    """

    model: str
    verdict: Verdict
    uptime_percent: float | None = None
    reason: str


class ModelEndpoints(Record):
    """A model and everyone who serves it (§21.3).

    Attributes:
        id: The model's slug.
        name: For people to read.
        created_at: When OpenRouter listed it.
        tokenizer: Its family of tokenizers; `"Router"` where it is a route.
        endpoints: Who serves it.
    """

    id: str
    name: str | None = None
    created_at: Moment = Field(None, validation_alias="created")
    tokenizer: str | None = Field(None, validation_alias=AliasPath("architecture", "tokenizer"))
    endpoints: tuple[EndpointRecord, ...]

    def health(self) -> Health:
        """Whether the model can be expected to answer.

        Nobody serving it is `"unroutable"` (§21.3). Otherwise its best endpoint decides, by
        the uptime of the last 5 minutes and by the borders at which OpenRouter itself routes
        (its guide for providers, "Uptime Monitoring & Traffic Routing"): from 95 % on
        `"healthy"`, from 80 % on `"degraded"` (asked later), below that `"down"` (asked last).
        Endpoints with a status other than 0 do not count; a model that has only such is
        `"down"`. Too little data is `"unknown"`, and so is a route, which has no endpoints of
        its own.

        A model that everyone rate-limits is healthy by these figures, since OpenRouter does
        not count such requests.
        """
        if not self.endpoints:
            return _of_a_route(self.id) if _is_route(self) else unroutable(self.id)
        fit = [endpoint for endpoint in self.endpoints if endpoint.status in (0, None)]
        if not fit:
            reason = f"None of the endpoints of {self.id} is fit."
            return Health(model=self.id, verdict="down", reason=reason)
        known = [e.uptime_5m_percent for e in fit if e.uptime_5m_percent is not None]
        return _by_uptime(self.id, max(known, default=None))


def unroutable(model: str) -> Health:
    """The health of a model that nobody serves."""
    return Health(model=model, verdict="unroutable", reason=f"Nobody serves {model}.")


def _of_a_route(model: str) -> Health:
    reason = f"{model} points at other models; theirs is the health that counts."
    return Health(model=model, verdict="unknown", reason=reason)


def _by_uptime(model: str, percent: float | None) -> Health:
    if percent is None:
        reason = f"{model} had too few requests in the last 5 minutes to tell."
        return Health(model=model, verdict="unknown", reason=reason)
    verdict: Verdict = "down"
    if percent >= _DEGRADED_PERCENT:
        verdict = "healthy" if percent >= _HEALTHY_PERCENT else "degraded"
    reason = f"The best endpoint of {model} answered {percent:.4g} % of its requests in 5 minutes."
    return Health(model=model, verdict=verdict, uptime_percent=percent, reason=reason)


def _is_route(record: ModelRecord | ModelEndpoints) -> bool:
    return record.tokenizer == "Router" or record.id.startswith("~")
