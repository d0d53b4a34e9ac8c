"""What the read-only endpoints list: models and their endpoints; pure.

Prices are made up, except that the local model and `:free` models cost nothing.
"""

from __future__ import annotations

from typing import Any, Final

from langchain_tale.catalogue import OpenRouterModel
from langchain_tale.sandbox.pieces import CONTEXT_TOKENS, LOCAL_MODEL

PROMPT_USD: Final = "0.00000015"
COMPLETION_USD: Final = "0.0000006"
ENDPOINT_PROVIDER: Final = "FakeProvider"
"""OpenRouter's own name for a provider that is none; the specification lists names."""
PARAMETERS: Final = [
    "max_tokens", "temperature", "top_p", "top_k", "min_p", "seed", "stop", "frequency_penalty",
    "presence_penalty", "repetition_penalty", "response_format", "structured_outputs", "tools",
    "tool_choice", "parallel_tool_calls", "max_completion_tokens", "include_reasoning",
    "reasoning", "reasoning_effort", "logprobs", "top_logprobs", "web_search_options",
]  # fmt: skip
"""What the sandbox's endpoint does something with."""
UNSUPPORTED: Final = ("logit_bias", "prediction", "top_a", "verbosity")
"""The rest of the specification's parameters: ignored, or refused by `require_parameters`."""
_SINCE: Final = 1_735_689_600
_ARCHITECTURE: Final = {
    "modality": "text->text",
    "input_modalities": ["text"],
    "output_modalities": ["text"],
    "tokenizer": "Other",
    "instruct_type": None,
}


def prices(model: str) -> dict[str, str]:
    """USD per token, as decimal strings."""
    if model == LOCAL_MODEL or model.endswith(":free"):
        return {"prompt": "0", "completion": "0"}
    return {"prompt": PROMPT_USD, "completion": COMPLETION_USD}


def concrete(model: str) -> str:
    """The model that a route or alias stands for."""
    if model in (OpenRouterModel.AUTO, OpenRouterModel.FREE):
        return LOCAL_MODEL
    return model.removeprefix("~").removesuffix("-latest")


def _slugs() -> list[str]:
    return [LOCAL_MODEL, *(m.value for m in OpenRouterModel if m.info.status != "retired")]


def models() -> dict[str, Any]:
    """`GET /models`: the local model, and the catalogue less what is retired."""
    slugs = _slugs()
    return {
        "data": [_model(slug) for slug in slugs],
        "total_count": len(slugs),
        "links": {"next": None},
    }


def model(slug: str) -> dict[str, Any] | None:
    """`GET /model/{author}/{slug}`: one model, with any variant; None where it is unknown."""
    base, _, _variant = slug.partition(":")
    return {"data": _model(slug)} if {slug, base} & set(_slugs()) else None


def _model(slug: str) -> dict[str, Any]:
    return {
        "id": slug,
        "canonical_slug": slug.lstrip("~"),
        "name": slug,
        "created": _SINCE,
        "description": "Served by the sandbox on this machine.",
        "context_length": CONTEXT_TOKENS,
        "architecture": _ARCHITECTURE,
        "pricing": prices(slug),
        "top_provider": {
            "context_length": CONTEXT_TOKENS,
            "max_completion_tokens": CONTEXT_TOKENS,
            "is_moderated": False,
        },
        "per_request_limits": None,
        "supported_parameters": PARAMETERS,
        "default_parameters": None,
        "supported_voices": None,
        "expiration_date": None,
        "links": {"details": f"/api/v1/models/{slug}/endpoints"},
    }


def endpoints(slug: str, uptime_percent: float | None = 100.0) -> dict[str, Any] | None:
    """`GET /models/{author}/{slug}/endpoints`: one endpoint; None for an unknown model."""
    if slug not in _slugs():
        return None
    percentiles = {"p50": 60, "p75": 80, "p90": 120, "p99": 300}
    endpoint = {
        "name": f"{ENDPOINT_PROVIDER} | {slug}",
        "model_id": slug,
        "model_name": slug,
        "provider_name": ENDPOINT_PROVIDER,
        "tag": "sandbox",
        "context_length": CONTEXT_TOKENS,
        "max_completion_tokens": CONTEXT_TOKENS,
        "max_prompt_tokens": None,
        "quantization": "int4",
        "pricing": prices(slug),
        "supported_parameters": PARAMETERS,
        "supports_implicit_caching": False,
        "status": 0,
        "uptime_last_5m": uptime_percent,
        "uptime_last_30m": uptime_percent,
        "uptime_last_1d": uptime_percent,
        "latency_last_30m": percentiles,
        "throughput_last_30m": {"p50": 130, "p75": 120, "p90": 100, "p99": 60},
    }
    known = _model(slug)
    shared = {
        name: known[name] for name in ("id", "name", "created", "description", "architecture")
    }
    return {"data": {**shared, "endpoints": [endpoint]}}
