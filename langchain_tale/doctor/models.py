"""What is to be said of a model; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from langchain_tale.catalogue import OpenRouterModel, known_model
from langchain_tale.doctor.finding import Finding, dollars
from langchain_tale.errors import ModelNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

    from langchain_tale.errors import TaleError
    from langchain_tale.openrouter.model_records import EndpointRecord, Health, ModelEndpoints

_MILLION: Final = 1_000_000
_BAD: Final = frozenset({"down", "unroutable"})


def is_preset(model: str) -> bool:
    """Whether it names a preset of the account's, and no model."""
    return model.startswith("@")


def model_found(model: str, found: ModelEndpoints) -> Finding:
    """The health and the price of a model's endpoints.

    Args:
        model: As it was asked about.
        found: Who serves it.
    """
    health = found.health()
    is_bad = health.verdict in _BAD
    parts = [f"{model}: {_state(health, found)}"]
    price = _price(found.endpoints)
    if price:
        parts.append(price)
    return Finding(
        check="model",
        status="failed" if is_bad else "ok",
        text=", ".join(parts),
        advice="ask another model, or name it as a fallback" if is_bad else "",
        facts={
            "model": model,
            "verdict": health.verdict,
            "uptime_percent": health.uptime_percent,
            "endpoints": len(found.endpoints),
            **_prices(found.endpoints),
        },
    )


def model_unasked(model: str, why: str) -> Finding:
    """A model that nobody was asked about."""
    return Finding(check="model", status="skipped", text=f"{model}: {why}", facts={"model": model})


def model_failed(model: str, error: TaleError) -> Finding:
    """A model that OpenRouter does not list, or did not tell of."""
    facts = {"model": model, "verdict": "unroutable"}
    if not isinstance(error, ModelNotFoundError):
        text = f"{model}: {str(error).rstrip('.')}"
        facts["verdict"] = "unknown"
        return Finding(check="model", status="failed", text=text, facts=facts)
    known = known_model(model)
    successor = known.info.successor if isinstance(known, OpenRouterModel) else None
    advice = f"ask {successor}" if successor else "langchain-tale models lists some that it serves"
    text = f"{model}: OpenRouter does not serve it"
    return Finding(check="model", status="failed", text=text, advice=advice, facts=facts)


def _state(health: Health, found: ModelEndpoints) -> str:
    count = len(found.endpoints)
    several = f"the best of {count} endpoints" if count > 1 else "its endpoint"
    if health.uptime_percent is not None:
        answered = f"{several} answered {health.uptime_percent:.4g} % of requests in 5 minutes"
        return f"{health.verdict}, {answered}"
    if health.verdict == "unknown":
        return "too few requests of late to tell its health" if count else "a route to other models"
    return "nobody serves it" if not count else "none of its endpoints is fit"


def _price(endpoints: Iterable[EndpointRecord]) -> str:
    prices = _prices(endpoints)
    known = {name: usd for name, usd in prices.items() if usd is not None}
    if not known:
        return ""
    if not any(known.values()):
        return "free"
    words = {"input_usd": "in", "output_usd": "out"}
    each = [f"{dollars(round(usd * _MILLION, 6))} {words[name]}" for name, usd in known.items()]
    return f"from {', '.join(each)} per million tokens"


def _prices(endpoints: Iterable[EndpointRecord]) -> dict[str, Any]:
    """The lowest prices per token, each by itself."""
    listed = [endpoint.pricing for endpoint in endpoints if endpoint.pricing is not None]
    return {
        "input_usd": _least(pricing.input_usd for pricing in listed),
        "output_usd": _least(pricing.output_usd for pricing in listed),
    }


def _least(prices: Iterable[Decimal | None]) -> float | None:
    known = [float(price) for price in prices if price is not None]
    return min(known, default=None)
