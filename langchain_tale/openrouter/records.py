"""A finished generation and an API key, as OpenRouter describes them; pure (§21.1, §21.4)."""

from __future__ import annotations

from decimal import Decimal  # noqa: TC003 (pydantic reads it)
from typing import Annotated

from pydantic import AfterValidator, Field

from langchain_tale.openrouter.quoting import without_keys
from langchain_tale.openrouter.record import FromMs, Moment, Record

# ── GET /generation ─────────────────────────────────────────────────────────


class ProviderResponse(Record):
    """One provider that was asked for a generation.

    Attributes:
        provider_name: Who.
        status_code: The HTTP status it answered with.
        latency_s: Seconds it took.
        is_byok: Whether a provider key of the account's own was used.
    """

    provider_name: str | None = None
    status_code: int | None = Field(None, validation_alias="status")
    latency_s: FromMs = Field(None, validation_alias="latency")
    is_byok: bool | None = None


class GenerationRecord(Record):
    """The stats of one finished generation (§21.1).

    Attributes:
        id: The generation's id.
        model: The model that answered.
        router: The router that was asked, e.g. `"openrouter/auto"`.
        provider_name: The host that served it.
        provider_responses: Every provider that was asked, in order.
        created_at: When it began.
        finish_reason: Why it ended, normalised.
        native_finish_reason: The same as the provider said it.
        was_streamed: Whether it was streamed.
        was_cancelled: Whether the client left before the end.
        is_byok: Whether a provider key of the account's own was used.
        latency_s: Seconds; OpenRouter calls it total, recordings show the wait for the
            first token.
        generation_time_s: Seconds of generating.
        moderation_latency_s: Seconds of moderation.
        input_tokens: Tokens read, by the model's own tokenizer: those that are billed.
        output_tokens: Tokens written, counted likewise.
        reasoning_tokens: Tokens of reasoning.
        cached_tokens: Tokens read from the prompt cache.
        normalized_input_tokens: Tokens read, by one tokenizer for all models.
        normalized_output_tokens: Tokens written, counted likewise.
        cost_usd: What was charged.
        usage_usd: What it used up of the account's credits.
        upstream_cost_usd: What the provider charged to the account's own key.
        cache_discount_usd: What caching saved.
        upstream_id: The provider's id for it.
        request_id: The id of the request.
        session_id: The session that the request named.
        api_type: `"completions"` for chat.
        data_region: `"global"`, `"europe"` or `"us"`.
        service_tier: The tier that served it.
    """

    id: str
    model: str | None = None
    router: str | None = None
    provider_name: str | None = None
    provider_responses: tuple[ProviderResponse, ...] | None = None
    created_at: Moment = None
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    was_streamed: bool | None = Field(None, validation_alias="streamed")
    was_cancelled: bool | None = Field(None, validation_alias="cancelled")
    is_byok: bool | None = None
    latency_s: FromMs = Field(None, validation_alias="latency")
    generation_time_s: FromMs = Field(None, validation_alias="generation_time")
    moderation_latency_s: FromMs = Field(None, validation_alias="moderation_latency")
    input_tokens: int | None = Field(None, validation_alias="native_tokens_prompt")
    output_tokens: int | None = Field(None, validation_alias="native_tokens_completion")
    reasoning_tokens: int | None = Field(None, validation_alias="native_tokens_reasoning")
    cached_tokens: int | None = Field(None, validation_alias="native_tokens_cached")
    normalized_input_tokens: int | None = Field(None, validation_alias="tokens_prompt")
    normalized_output_tokens: int | None = Field(None, validation_alias="tokens_completion")
    cost_usd: Decimal | None = Field(None, validation_alias="total_cost")
    usage_usd: Decimal | None = Field(None, validation_alias="usage")
    upstream_cost_usd: Decimal | None = Field(None, validation_alias="upstream_inference_cost")
    cache_discount_usd: Decimal | None = Field(None, validation_alias="cache_discount")
    upstream_id: str | None = None
    request_id: str | None = None
    session_id: str | None = None
    api_type: str | None = None
    data_region: str | None = None
    service_tier: str | None = None


# ── GET /key ────────────────────────────────────────────────────────────────


def _masked(label: str | None) -> str | None:
    """OpenRouter masks labels itself; should it ever not, we do."""
    return label if label is None or "..." in label else without_keys(label)


class KeyRecord(Record):
    """What the API key may spend and has spent (§21.4).

    Days, weeks (from Monday) and months are those of UTC.

    Attributes:
        label: The key's name, or the key itself with its middle masked.
        limit_usd: What it may spend; None for no limit.
        remaining_usd: What is left of it; None for no limit.
        limit_reset: When the limit starts anew: `"daily"`, `"weekly"`, `"monthly"`; None for
            never.
        is_byok_in_limit: Whether what the account's own provider keys spend counts as well.
        usage_usd: Spent so far.
        usage_daily_usd: Spent today.
        usage_weekly_usd: Spent this week.
        usage_monthly_usd: Spent this month.
        byok_usage_usd: Spent so far by way of the account's own provider keys.
        byok_usage_daily_usd: The same today.
        byok_usage_weekly_usd: The same this week.
        byok_usage_monthly_usd: The same this month.
        expires_at: When the key ends; None for never.
        is_free_tier: OpenRouter's word; its documentation contradicts itself on the meaning
            (§24, C25), so decide nothing by it.
        is_management_key: Whether it administers keys; such a key asks no model.
    """

    label: Annotated[str | None, AfterValidator(_masked)] = None
    limit_usd: Decimal | None = Field(None, validation_alias="limit")
    remaining_usd: Decimal | None = Field(None, validation_alias="limit_remaining")
    limit_reset: str | None = None
    is_byok_in_limit: bool | None = Field(None, validation_alias="include_byok_in_limit")
    usage_usd: Decimal | None = Field(None, validation_alias="usage")
    usage_daily_usd: Decimal | None = Field(None, validation_alias="usage_daily")
    usage_weekly_usd: Decimal | None = Field(None, validation_alias="usage_weekly")
    usage_monthly_usd: Decimal | None = Field(None, validation_alias="usage_monthly")
    byok_usage_usd: Decimal | None = Field(None, validation_alias="byok_usage")
    byok_usage_daily_usd: Decimal | None = Field(None, validation_alias="byok_usage_daily")
    byok_usage_weekly_usd: Decimal | None = Field(None, validation_alias="byok_usage_weekly")
    byok_usage_monthly_usd: Decimal | None = Field(None, validation_alias="byok_usage_monthly")
    expires_at: Moment = None
    is_free_tier: bool | None = None
    is_management_key: bool | None = None
