"""Bodies in, records out; the bodies are written by hand after the documented shapes."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_tale.errors import MalformedReplyError, ModelNotFoundError, UnavailableError
from langchain_tale.openrouter.failures import Source
from langchain_tale.openrouter.model_records import EndpointRecord, ModelEndpoints, ModelRecord
from langchain_tale.openrouter.records import GenerationRecord, KeyRecord

if TYPE_CHECKING:
    from langchain_tale.openrouter.record import Record

GENERATION: dict[str, Any] = {
    "id": "gen-1",
    "model": "tales/fox-1",
    "router": "openrouter/auto",
    "provider_name": "Burrow",
    "provider_responses": [
        {"provider_name": "Den", "status": 503, "latency": 90, "is_byok": False},
        {"provider_name": "Burrow", "status": 200, "latency": 310.5, "is_byok": False},
    ],
    "created_at": "2026-03-01T06:30:00.25+00:00",
    "finish_reason": "stop",
    "native_finish_reason": "end_turn",
    "streamed": True,
    "cancelled": False,
    "is_byok": False,
    "latency": 310.5,
    "generation_time": 4200,
    "moderation_latency": None,
    "tokens_prompt": 12,
    "tokens_completion": 34,
    "native_tokens_prompt": 56,
    "native_tokens_completion": 78,
    "native_tokens_reasoning": 0,
    "native_tokens_cached": 9,
    "usage": 0.0000171,
    "total_cost": 0.1,
    "upstream_inference_cost": 0,
    "cache_discount": None,
    "data_region": "atlantis",
}
MODEL: dict[str, Any] = {
    "id": "tales/fox-1",
    "canonical_slug": "tales/fox-1-20260101",
    "name": "Tales: Fox 1",
    "created": 1_767_225_600,
    "context_length": 32_000,
    "architecture": {
        "modality": "text+image->text",
        "input_modalities": ["text", "image"],
        "output_modalities": ["text"],
        "tokenizer": "Other",
    },
    "pricing": {
        "prompt": "0.00000015",
        "completion": "0.0000006",
        "input_cache_read": "0",
        "discount": 0.2,
        "overrides": [{"min_prompt_tokens": 16_000, "prompt": "0.0000003"}],
    },
    "top_provider": {"context_length": 32_000, "max_completion_tokens": 8000, "is_moderated": True},
    "supported_parameters": ["tools", "temperature"],
    "reasoning": {"mandatory": False, "supported_efforts": ["high", "low"]},
    "expiration_date": "2026-12-31",
    "knowledge_cutoff": None,
}
ENDPOINT: dict[str, Any] = {
    "name": "Burrow | tales/fox-1",
    "tag": "burrow/fp8",
    "provider_name": "Burrow",
    "model_id": "tales/fox-1",
    "status": 0,
    "uptime_last_5m": 99.5,
    "uptime_last_30m": 98,
    "uptime_last_1d": None,
    "latency_last_30m": {"p50": 250, "p75": 400, "p90": 900, "p99": 2500},
    "throughput_last_30m": {"p50": 80, "p75": 70, "p90": 50, "p99": 9},
    "context_length": 32_000,
    "max_prompt_tokens": None,
    "max_completion_tokens": 8000,
    "quantization": "fp8",
    "pricing": {"prompt": "0.00000015", "completion": "0.0000006"},
    "supported_parameters": ["tools"],
    "supports_implicit_caching": True,
}
KEY: dict[str, Any] = {
    "label": "sk-or-v1-abc...xyz",
    "limit": 100,
    "limit_remaining": 74.5,
    "limit_reset": "monthly",
    "include_byok_in_limit": False,
    "usage": 25.5,
    "usage_daily": 0.1,
    "usage_weekly": 3,
    "usage_monthly": 25.5,
    "byok_usage": 0,
    "is_free_tier": False,
    "is_management_key": False,
    "expires_at": "2027-12-31T23:59:59Z",
    "rate_limit": {"requests": -1},
}
SOURCE = Source("OpenRouter's list of models", 200, {"x-request-id": "req-1"})
each_kind = pytest.mark.parametrize(
    ("kind", "body"),
    [
        (GenerationRecord, GENERATION),
        (ModelRecord, MODEL),
        (EndpointRecord, ENDPOINT),
        (ModelEndpoints, {**MODEL, "endpoints": [ENDPOINT]}),
        (KeyRecord, KEY),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)


def served_by(*endpoints: dict[str, Any], **model: Any) -> ModelEndpoints:
    data = {"id": "tales/fox-1", "name": "Fox", **model}
    return ModelEndpoints.from_body(
        {"data": {**data, "endpoints": [{**ENDPOINT, **endpoint} for endpoint in endpoints]}}
    )


# ── what is read ────────────────────────────────────────────────────────────


def test_a_generation_has_seconds_tokens_and_decimal_dollars() -> None:
    record = GenerationRecord.from_body({"data": GENERATION})

    assert (record.id, record.model, record.router) == ("gen-1", "tales/fox-1", "openrouter/auto")
    assert (record.finish_reason, record.native_finish_reason) == ("stop", "end_turn")
    assert (record.latency_s, record.generation_time_s) == (0.3105, 4.2)
    assert record.moderation_latency_s is None
    assert (record.input_tokens, record.output_tokens) == (56, 78)
    assert (record.normalized_input_tokens, record.normalized_output_tokens) == (12, 34)
    assert (record.reasoning_tokens, record.cached_tokens) == (0, 9)
    assert (record.cost_usd, record.usage_usd) == (Decimal("0.1"), Decimal("0.0000171"))
    assert (record.upstream_cost_usd, record.cache_discount_usd) == (Decimal(0), None)
    assert record.created_at == datetime(2026, 3, 1, 6, 30, 0, 250_000, tzinfo=UTC)
    assert (record.was_streamed, record.was_cancelled, record.is_byok) == (True, False, False)


def test_a_generation_names_everyone_who_was_asked() -> None:
    asked = GenerationRecord.from_body({"data": GENERATION}).provider_responses

    assert asked is not None
    assert [(a.provider_name, a.status_code, a.latency_s) for a in asked] == [
        ("Den", 503, 0.09),
        ("Burrow", 200, 0.3105),
    ]


def test_a_model_has_exact_prices() -> None:
    pricing = ModelRecord.from_body({"data": MODEL}).pricing

    assert pricing is not None
    assert (pricing.input_usd, pricing.output_usd) == (Decimal("0.00000015"), Decimal("0.0000006"))
    assert (pricing.cache_read_usd, pricing.cache_write_usd) == (Decimal(0), None)
    assert pricing.discount == Decimal("0.2")
    assert pricing.overrides is not None
    assert [(o.min_input_tokens, o.input_usd, o.output_usd) for o in pricing.overrides] == [
        (16_000, Decimal("0.0000003"), None)
    ]


def test_a_model_has_limits_abilities_and_dates() -> None:
    record = ModelRecord.from_body({"data": MODEL})

    assert (record.context_length, record.max_output_tokens) == (32_000, 8000)
    assert record.is_moderated is True
    assert (record.input_modalities, record.output_modalities) == (("text", "image"), ("text",))
    assert record.supported_parameters == ("tools", "temperature")
    assert record.reasoning is not None
    assert record.reasoning.efforts == ("high", "low")
    assert record.created_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert (record.expires_on, record.knowledge_cutoff) == (date(2026, 12, 31), None)
    assert not record.is_router


def test_the_hour_of_an_expiration_is_its_day() -> None:
    record = ModelRecord.from_body({"data": {**MODEL, "expiration_date": "2026-12-31T15:00:00Z"}})

    assert record.expires_on == date(2026, 12, 31)


def test_a_price_of_minus_one_is_that_of_the_model_picked() -> None:
    router = {
        "id": "openrouter/auto",
        "architecture": {"tokenizer": "Router"},
        "pricing": {"prompt": "-1", "completion": "-1", "request": "0"},
    }
    record = ModelRecord.from_body({"data": router})

    assert record.is_router
    assert record.pricing is not None
    assert (record.pricing.input_usd, record.pricing.request_usd) == (None, Decimal(0))
    assert record.pricing.raw["prompt"] == "-1"


def test_an_alias_says_what_it_stands_for_and_is_no_router() -> None:
    alias = {
        "id": "~tales/fox-latest",
        "architecture": {"tokenizer": "Router"},
        "alias_target": {"slug": "tales/fox-1", "name": "Fox 1"},
    }
    record = ModelRecord.from_body({"data": alias})

    assert record.alias_of == "tales/fox-1"
    assert not record.is_router


def test_an_endpoint_says_who_where_and_how_well() -> None:
    record = EndpointRecord.from_body({"data": ENDPOINT})

    assert (record.provider_name, record.tag, record.model) == (
        "Burrow",
        "burrow/fp8",
        "tales/fox-1",
    )
    assert (record.status, record.uptime_5m_percent, record.uptime_1d_percent) == (0, 99.5, None)
    assert (record.max_input_tokens, record.max_output_tokens) == (None, 8000)
    assert record.throughput_tokens_per_s is not None
    assert record.throughput_tokens_per_s.p50 == 80
    assert record.pricing is not None
    assert record.pricing.input_usd == Decimal("0.00000015")


@pytest.mark.parametrize(
    ("shown", "seconds"),
    [
        ({"p50": 250, "p75": 400, "p90": 900, "p99": 2500}, (0.25, 0.4, 0.9, 2.5)),
        ({"p50": 10, "p75": 20, "p90": 40, "p99": 80}, (0.01, 0.02, 0.04, 0.08)),
        ({"p50": 0.25, "p75": 0.35, "p90": 0.5, "p99": 0.85}, (0.25, 0.35, 0.5, 0.85)),
        ({"p50": 2, "p75": 6, "p90": 25, "p99": 90}, (2, 6, 25, 90)),
        ({"p50": 250}, (0.25, None, None, None)),
        ({}, (None, None, None, None)),
    ],
    ids=["ms", "barely ms", "seconds", "slow seconds", "median only", "nothing"],
)
def test_latency_is_in_seconds_whatever_unit_it_came_in(
    shown: dict[str, float], seconds: tuple[float | None, ...]
) -> None:
    latency = EndpointRecord.from_body({"data": {**ENDPOINT, "latency_last_30m": shown}}).latency_s

    assert latency is not None
    assert (latency.p50, latency.p75, latency.p90, latency.p99) == seconds
    assert latency.raw == shown


def test_without_a_key_there_are_no_percentiles() -> None:
    unseen = {**ENDPOINT, "latency_last_30m": None, "throughput_last_30m": None}
    record = EndpointRecord.from_body({"data": unseen})

    assert (record.latency_s, record.throughput_tokens_per_s) == (None, None)


def test_a_key_has_its_limit_and_what_is_left_of_it() -> None:
    record = KeyRecord.from_body({"data": KEY})

    assert (record.limit_usd, record.remaining_usd) == (Decimal(100), Decimal("74.5"))
    assert record.limit_reset == "monthly"
    assert (record.usage_usd, record.usage_daily_usd) == (Decimal("25.5"), Decimal("0.1"))
    assert (record.usage_weekly_usd, record.usage_monthly_usd) == (Decimal(3), Decimal("25.5"))
    assert (record.byok_usage_usd, record.byok_usage_daily_usd) == (Decimal(0), None)
    assert record.expires_at == datetime(2027, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert (record.is_free_tier, record.is_management_key) == (False, False)


def test_a_key_without_a_limit_has_nothing_left_of_it() -> None:
    record = KeyRecord.from_body({"data": {**KEY, "limit": None, "limit_remaining": None}})

    assert (record.limit_usd, record.remaining_usd) == (None, None)


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("sk-or-v1-abc...xyz", "sk-or-v1-abc...xyz"),
        ("my notebook", "my notebook"),
        ("sk-or-v1-0123456789abcdef", "sk-…"),
    ],
    ids=["masked", "named", "naked"],
)
def test_a_label_never_shows_a_key(label: str, shown: str) -> None:
    record = KeyRecord.from_body({"data": {**KEY, "label": label}})

    assert record.label == shown
    assert "0123456789" not in repr(record)


def test_a_time_without_a_zone_is_utc() -> None:
    record = KeyRecord.from_body({"data": {**KEY, "expires_at": "2027-12-31T23:59:59"}})

    assert record.expires_at == datetime(2027, 12, 31, 23, 59, 59, tzinfo=UTC)


# ── tolerance ───────────────────────────────────────────────────────────────


@each_kind
def test_what_came_is_kept_and_not_shown(kind: type[Record], body: dict[str, Any]) -> None:
    came = {**body, "brand_new": {"field": "hedgehog"}}
    record = kind.from_body({"data": came})

    assert record.raw == came
    assert "hedgehog" not in repr(record)


@each_kind
def test_what_is_missing_or_null_is_none(kind: type[Record], body: dict[str, Any]) -> None:
    needed = {name for name, field in kind.model_fields.items() if field.is_required()}
    least = {name: body[name] for name in needed - {"raw"}}
    nulls = dict.fromkeys(body.keys() - needed)

    for record in (kind.from_body({"data": least}), kind.from_body({"data": {**nulls, **least}})):
        assert all(getattr(record, name) is None for name in kind.model_fields.keys() - needed)


def test_unknown_values_pass() -> None:
    assert GenerationRecord.from_body({"data": GENERATION}).data_region == "atlantis"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@each_kind
@given(data=st.data())
def test_nonsense_in_a_field_never_raises(
    kind: type[Record], body: dict[str, Any], data: st.DataObject
) -> None:
    needed = {name for name, field in kind.model_fields.items() if field.is_required()}
    odd = data.draw(st.sampled_from(sorted(body.keys() - needed)))

    record = kind.from_body({"data": {**body, odd: data.draw(json_values)}})

    assert record.raw.keys() == body.keys()


@pytest.mark.parametrize(
    "body",
    [None, [], "text", 7, {}, {"data": None}, {"data": []}, {"data": {}}, {"data": {"id": 7}}],
    ids=repr,
)
def test_another_envelope_raises_one_sentence(body: Any) -> None:
    with pytest.raises(MalformedReplyError) as caught:
        ModelRecord.from_body(body, SOURCE)

    message = str(caught.value)
    assert message.startswith("OpenRouter's list of models is not described as OpenRouter")
    assert message.endswith("; see .raw.")
    assert "\n" not in message
    assert caught.value.raw == body
    assert (caught.value.status_code, caught.value.request_id) == (200, "req-1")
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "body", [{"data": {}}, {"data": None}, {"data": [{"name": "nameless"}]}, {}], ids=repr
)
def test_another_list_raises(body: Any) -> None:
    with pytest.raises(MalformedReplyError):
        ModelRecord.list_from_body(body, SOURCE)


def test_endpoints_that_are_not_told_are_not_none_at_all() -> None:
    with pytest.raises(MalformedReplyError, match="endpoints"):
        ModelEndpoints.from_body({"data": {"id": "tales/fox-1"}})


@pytest.mark.parametrize(
    ("code", "expected"), [(404, ModelNotFoundError), (502, UnavailableError)], ids=str
)
def test_an_error_inside_a_200_is_that_error(code: int, expected: type[Exception]) -> None:
    body = {"error": {"code": code, "message": "no"}}

    with pytest.raises(expected):
        ModelRecord.from_body(body, SOURCE)
    with pytest.raises(expected):
        ModelRecord.list_from_body(body, SOURCE)


def test_a_record_does_not_change() -> None:
    record = KeyRecord.from_body({"data": KEY})

    with pytest.raises(ValueError, match="frozen"):
        record.label = "mine"  # type: ignore[misc]  # that is what is tested


def test_a_record_is_fit_for_json() -> None:
    record = ModelRecord.from_body({"data": MODEL})

    shown = record.model_dump(mode="json", exclude={"raw"})

    assert shown["pricing"]["input_usd"] == "1.5E-7"
    assert shown["expires_on"] == "2026-12-31"


# ── health ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("uptimes", "verdict"),
    [
        ([100], "healthy"),
        ([95], "healthy"),
        ([94.9], "degraded"),
        ([80], "degraded"),
        ([79.9], "down"),
        ([0], "down"),
        ([None], "unknown"),
        ([None, 20, 99, None], "healthy"),
    ],
    ids=str,
)
def test_the_best_endpoint_decides(uptimes: list[float | None], verdict: str) -> None:
    health = served_by(*({"uptime_last_5m": uptime} for uptime in uptimes)).health()

    assert health.model == "tales/fox-1"
    assert health.verdict == verdict
    assert health.uptime_percent == max((u for u in uptimes if u is not None), default=None)
    assert "tales/fox-1" in health.reason
    assert health.reason.endswith(".")


def test_an_endpoint_that_is_not_fit_does_not_count() -> None:
    unfit = {"status": -2, "uptime_last_5m": 100}

    assert served_by(unfit, {"uptime_last_5m": 85}).health().verdict == "degraded"
    assert served_by(unfit, unfit).health().verdict == "down"
    assert served_by(unfit).health().uptime_percent is None


def test_an_endpoint_without_a_status_counts() -> None:
    assert served_by({"status": None}).health().verdict == "healthy"


def test_what_nobody_serves_is_unroutable() -> None:
    health = served_by().health()

    assert (health.verdict, health.uptime_percent) == ("unroutable", None)
    assert health.reason == "Nobody serves tales/fox-1."


@pytest.mark.parametrize(
    "route",
    [
        {"id": "openrouter/auto", "architecture": {"tokenizer": "Router"}},
        {"id": "~tales/fox-latest"},
    ],
    ids=["router", "alias"],
)
def test_a_route_has_no_endpoints_and_no_health_of_its_own(route: dict[str, Any]) -> None:
    health = served_by(**route).health()

    assert health.verdict == "unknown"
    assert route["id"] in health.reason
