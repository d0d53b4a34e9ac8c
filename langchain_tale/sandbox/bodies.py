"""The shapes of OpenRouter's answers, as documented and as recorded; pure.

Prices are made up, except that the local model and `:free` models cost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from langchain_tale.catalogue import OpenRouterModel
from langchain_tale.sandbox.engines import CONTEXT_TOKENS, LOCAL_MODEL, End, Piece, ToolCall

PROMPT_USD: Final = "0.00000015"
COMPLETION_USD: Final = "0.0000006"
ENDPOINT_PROVIDER: Final = "FakeProvider"
"""OpenRouter's own name for a provider that is none; the specification lists names."""
_SINCE: Final = 1_735_689_600
_PARAMETERS: Final = [
    "max_tokens", "temperature", "top_p", "top_k", "min_p", "seed", "stop", "frequency_penalty",
    "presence_penalty", "repetition_penalty", "response_format", "structured_outputs", "tools",
    "tool_choice",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One answer: who asked what, and who answers."""

    id: str
    asked: str
    model: str
    provider_name: str
    created: int
    streamed: bool

    @property
    def base(self) -> dict[str, Any]:
        """What every body and every chunk says."""
        return {
            "id": self.id,
            "provider": self.provider_name,
            "model": self.model,
            "created": self.created,
        }


@dataclass(slots=True)
class Transcript:
    """What has been said so far."""

    text: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)

    def add(self, piece: Piece) -> None:
        """Take in the next piece."""
        self.text += piece.text
        if piece.tool_call is not None:
            self.tool_calls.append(piece.tool_call)


def prices(model: str) -> dict[str, str]:
    """USD per token, as decimal strings."""
    if model == LOCAL_MODEL or model.endswith(":free"):
        return {"prompt": "0", "completion": "0"}
    return {"prompt": PROMPT_USD, "completion": COMPLETION_USD}


def usage(model: str, end: End) -> dict[str, Any]:
    """The `usage` object."""
    price = prices(model)
    prompt_cost = end.prompt_tokens * float(price["prompt"])
    completion_cost = end.completion_tokens * float(price["completion"])
    return {
        "prompt_tokens": end.prompt_tokens,
        "completion_tokens": end.completion_tokens,
        "total_tokens": end.prompt_tokens + end.completion_tokens,
        "cost": prompt_cost + completion_cost,
        "is_byok": False,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "cost_details": {
            "upstream_inference_cost": None,
            "upstream_inference_prompt_cost": prompt_cost,
            "upstream_inference_completions_cost": completion_cost,
        },
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def completion(of: Generation, said: Transcript, end: End) -> dict[str, Any]:
    """A whole answer."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": said.text or None,
        "refusal": None,
        "reasoning": None,
    }
    if said.tool_calls:
        message["tool_calls"] = [
            {"index": i, **_tool_call(call)} for i, call in enumerate(said.tool_calls)
        ]
    choice = {
        "index": 0,
        "logprobs": None,
        "finish_reason": end.finish_reason,
        "native_finish_reason": end.finish_reason,
        "message": message,
    }
    return {
        **of.base,
        "object": "chat.completion",
        "system_fingerprint": None,
        "choices": [choice],
        "usage": usage(of.model, end),
    }


def chunk(
    of: Generation, piece: Piece, *, end: End | None = None, index: int = 0, **extra: Any
) -> dict[str, Any]:
    """One event of a stream; with `end`, one of the two that say why it ended."""
    delta: dict[str, Any] = {"role": "assistant", "content": piece.text}
    if piece.tool_call is not None:
        delta = {"role": "assistant", "content": None}
        delta["tool_calls"] = [{"index": index, **_tool_call(piece.tool_call)}]
    reason = end.finish_reason if end else None
    choice = {
        "index": 0,
        "delta": delta,
        "finish_reason": reason,
        "native_finish_reason": reason,
        "logprobs": None,
    }
    return {**of.base, "object": "chat.completion.chunk", "choices": [choice], **extra}


def _tool_call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def error(
    code: int, message: str, *, error_type: str | None = None, **metadata: Any
) -> dict[str, Any]:
    """The classic envelope."""
    known = {"error_type": error_type} if error_type else {}
    inner: dict[str, Any] = {"code": code, "message": message}
    if known or metadata:
        inner["metadata"] = {**known, **metadata}
    return {"error": inner}


def retired(model: OpenRouterModel) -> dict[str, Any]:
    """The availability envelope for a model that is no more; `code` is not part of it."""
    successor = model.info.successor
    ended = "free_variant_ended" if model.endswith(":free") else "model_deprecated"
    return {
        "error": {
            "message": f"No endpoints found for {model}.",
            "error_type": "not_found",
            "http_status": 404,
            "availability": {
                "code": ended,
                "retryable": False,
                "requested_models": [model.value],
                "docs_url": "https://openrouter.ai/docs/guides/routing/model-fallbacks",
                "fallback_models": [successor.value] if successor else [],
            },
        }
    }


def stats(
    of: Generation, end: End, *, seconds: float, first_s: float, cancelled: bool
) -> dict[str, Any]:
    """The record of `GET /generation`; milliseconds and USD."""
    cost = usage(of.model, end)["cost"]
    unknown = (
        "app_id", "cache_discount", "external_user", "http_referer", "moderation_latency",
        "native_tokens_completion_images", "num_fetches", "num_input_audio_prompt",
        "num_media_completion", "num_media_prompt", "num_search_results", "preset_id",
        "service_tier", "user_agent", "web_search_engine", "workspace_id",
    )  # fmt: skip
    return {
        **dict.fromkeys(unknown),
        "id": of.id,
        "upstream_id": f"sandbox-{of.id}",
        "created_at": datetime.fromtimestamp(of.created, UTC).isoformat(),
        "model": of.model,
        "router": of.asked if of.asked.startswith("openrouter/") else None,
        "provider_name": of.provider_name,
        "provider_responses": [{"provider_name": ENDPOINT_PROVIDER, "status": 200}],
        "api_type": "completions",
        "origin": "",
        "data_region": "global",
        "streamed": of.streamed,
        "cancelled": cancelled,
        "latency": round(first_s * 1000),
        "generation_time": round(seconds * 1000),
        "finish_reason": end.finish_reason or None,
        "native_finish_reason": end.finish_reason or None,
        "tokens_prompt": end.prompt_tokens,
        "tokens_completion": end.completion_tokens,
        "native_tokens_prompt": end.prompt_tokens,
        "native_tokens_completion": end.completion_tokens,
        "native_tokens_reasoning": 0,
        "native_tokens_cached": 0,
        "usage": cost,
        "total_cost": cost,
        "upstream_inference_cost": 0,
        "is_byok": False,
    }


_ARCHITECTURE: Final = {
    "modality": "text->text",
    "input_modalities": ["text"],
    "output_modalities": ["text"],
    "tokenizer": "Other",
    "instruct_type": None,
}


def models() -> dict[str, Any]:
    """`GET /models`: the local model, and the catalogue less what is retired."""
    slugs = [LOCAL_MODEL, *(m.value for m in OpenRouterModel if m.info.status != "retired")]
    return {
        "data": [_model(slug) for slug in slugs],
        "total_count": len(slugs),
        "links": {"next": None},
    }


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
        "supported_parameters": _PARAMETERS,
        "default_parameters": None,
        "supported_voices": None,
        "expiration_date": None,
        "links": {"details": f"/api/v1/models/{slug}/endpoints"},
    }


def endpoints(slug: str) -> dict[str, Any]:
    """`GET /models/{author}/{slug}/endpoints`: one healthy endpoint."""
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
        "supported_parameters": _PARAMETERS,
        "supports_implicit_caching": False,
        "status": 0,
        "uptime_last_5m": 100.0,
        "uptime_last_30m": 100.0,
        "uptime_last_1d": 100.0,
        "latency_last_30m": percentiles,
        "throughput_last_30m": {"p50": 130, "p75": 120, "p90": 100, "p99": 60},
    }
    model = _model(slug)
    shared = {key: model[key] for key in ("id", "name", "created", "description", "architecture")}
    return {"data": {**shared, "endpoints": [endpoint]}}


def key(spent_usd: float) -> dict[str, Any]:
    """`GET /key`: an unlimited key that has spent what was asked for so far."""
    periods = ("", "_daily", "_weekly", "_monthly")
    record: dict[str, Any] = {f"usage{period}": spent_usd for period in periods}
    record |= {f"byok_usage{period}": 0 for period in periods}
    record |= {
        "label": "sk-or-v1-san...box",
        "limit": None,
        "limit_remaining": None,
        "limit_reset": None,
        "include_byok_in_limit": False,
        "is_free_tier": False,
        "is_management_key": False,
        "is_provisioning_key": False,
        "creator_user_id": None,
        "expires_at": None,
        "rate_limit": {"requests": -1, "interval": "10s", "note": "This field is deprecated."},
    }
    return {"data": record}


def concrete(model: str) -> str:
    """The model that a route or alias stands for."""
    if model in (OpenRouterModel.AUTO, OpenRouterModel.FREE):
        return LOCAL_MODEL
    return model.removeprefix("~").removesuffix("-latest")


def problem_with(request: Any) -> str | None:
    """What is wrong with the body of a completion request, or None."""
    if not isinstance(request, Mapping):
        return "The body must be a JSON object."
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages:
        return "messages must be a non-empty array."
    if not all(isinstance(message, Mapping) and "role" in message for message in messages):
        return "Every message must be an object with a role."
    if not all(_is_content(message.get("content")) for message in messages):
        return "The content of a message must be a string or an array of objects."
    return _problem_with_names(request) or _problem_with_options(request)


def _is_content(content: Any) -> bool:
    if isinstance(content, list):
        return all(isinstance(part, Mapping) for part in content)
    return content is None or isinstance(content, str)


def _problem_with_names(request: Mapping[str, Any]) -> str | None:
    models = request.get("models") or []
    if not isinstance(models, list) or not all(isinstance(name, str) for name in models):
        return "models must be an array of strings."
    model = request.get("model")
    if not isinstance(model or "", str) or not (model or any(models)):
        return "model must be a string."
    return None


def _problem_with_options(request: Mapping[str, Any]) -> str | None:
    for name in ("max_tokens", "max_completion_tokens"):
        limit = request.get(name)
        if limit is not None and (type(limit) is not int or limit < 1):
            return f"{name} must be an integer of at least 1."
    tools = request.get("tools") or []
    if not isinstance(tools, list) or not all(isinstance(tool, Mapping) for tool in tools):
        return "tools must be an array of objects."
    if not isinstance(request.get("response_format") or {}, Mapping):
        return "response_format must be an object."
    return None
