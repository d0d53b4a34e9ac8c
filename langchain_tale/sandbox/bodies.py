"""The shapes of OpenRouter's answers, as documented and as recorded; pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.sandbox import reasoning
from langchain_tale.sandbox.listings import ENDPOINT_PROVIDER, prices
from langchain_tale.sandbox.pieces import End, Piece, ToolCall

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_tale.catalogue import OpenRouterModel

WEB_SEARCH_USD: Final = 0.007
"""What one web search costs beside the tokens, on free models too; as recorded in 2026-08."""
CACHE_READ_RATE: Final = 0.1
CACHE_WRITE_RATE: Final = 1.25
"""Parts of the prompt's price, as Anthropic's are."""
_UNAVAILABLE: Final = {
    400: "invalid_request",
    403: "permission_denied",
    404: "not_found",
    429: "rate_limit_exceeded",
    503: "provider_overloaded",
}
"""The statuses of an availability envelope, and the `error_type` of each."""
_TIERS: Final = {
    "auto": "default",
    "default": "default",
    "scale": "default",
    "fast": "priority",
    "priority": "priority",
    "flex": "flex",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What changes the price of the tokens, or comes on top of it.

    Attributes:
        prompt_cache: Tokens of the prompt read from and written to the cache of prompts; None
            where no message marks any.
        server_tools: OpenRouter's own tools that were used, by the names of
            `server_tool_use_details`; None where none was asked for.
        is_byok: The provider's key is the caller's own, so OpenRouter takes nothing.
        is_free: A whole answer from the response cache.
        is_half: Part of a batch, which costs half.
    """

    prompt_cache: tuple[int, int] | None = None
    server_tools: Mapping[str, int] | None = None
    is_byok: bool = False
    is_free: bool = False
    is_half: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One answer: who asked what, and who answers.

    Attributes:
        extras: What else its body says, and its last chunk: `service_tier`.
        fingerprint: Of the system, for those who asked with a `seed`.
        metadata: `openrouter_metadata`, where it was asked for.
        source_id: The generation that the response cache had this from.
    """

    id: str
    asked: str
    model: str
    provider_name: str
    created: int
    streamed: bool
    bill: Bill = field(default_factory=Bill)
    extras: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str | None = None
    metadata: Mapping[str, Any] | None = None
    source_id: str | None = None

    @property
    def base(self) -> dict[str, Any]:
        """What every body and every chunk says."""
        return {
            "id": self.id,
            "provider": self.provider_name,
            "model": self.model,
            "created": self.created,
        }

    @property
    def last(self) -> dict[str, Any]:
        """What a body says once, and a stream in its last chunk."""
        metadata = {} if self.metadata is None else {"openrouter_metadata": self.metadata}
        return {**self.extras, **metadata}


def tier(request: Mapping[str, Any]) -> dict[str, str]:
    """The `service_tier` that served, for those who asked for one."""
    asked = request.get("service_tier")
    return {"service_tier": _TIERS[asked]} if asked in _TIERS else {}


@dataclass(slots=True)
class Transcript:
    """What has been said so far."""

    text: str = ""
    tool_calls: dict[int, ToolCall] = field(default_factory=dict)
    extras: dict[str, Any] = field(default_factory=dict)
    logprobs: list[Mapping[str, Any]] = field(default_factory=list)

    def add(self, piece: Piece) -> None:
        """Take in the next piece."""
        self.text += piece.text
        self.logprobs += piece.logprobs or ()
        if call := piece.tool_call:
            self.tool_calls[call.index] = self.tool_calls.get(call.index, _blank(call)) + call
        for name, value in piece.extras.items():
            before = self.extras.get(name)
            if name == "reasoning_details":
                self.extras[name] = reasoning.merged(before or (), value)
            elif isinstance(value, (str, list)):
                self.extras[name] = value if before is None else before + value


def _blank(call: ToolCall) -> ToolCall:
    return ToolCall("", "", "", call.index)


def usage(of: Generation, end: End) -> dict[str, Any]:
    """The `usage` object; what the response cache gives is all zeros."""
    if of.bill.is_free:
        end = End(end.finish_reason, 0, 0)
    price = {name: float(usd) / (1 + of.bill.is_half) for name, usd in prices(of.model).items()}
    read, written = _cached(of.bill, end)
    fresh = end.prompt_tokens - read - written + CACHE_READ_RATE * read + CACHE_WRITE_RATE * written
    prompt_cost = fresh * price["prompt"]
    completion_cost = end.completion_tokens * price["completion"]
    inference = prompt_cost + completion_cost
    tools = of.bill.server_tools
    fees = WEB_SEARCH_USD * (tools or {}).get("web_search_requests", 0)
    return {
        "prompt_tokens": end.prompt_tokens,
        "completion_tokens": end.completion_tokens,
        "total_tokens": end.prompt_tokens + end.completion_tokens,
        "cost": fees + (0 if of.bill.is_byok else inference),
        "is_byok": of.bill.is_byok,
        "prompt_tokens_details": {
            "cached_tokens": read,
            **({} if of.bill.prompt_cache is None else {"cache_write_tokens": written}),
            "audio_tokens": 0,
        },
        "cost_details": {
            "upstream_inference_cost": inference,
            "upstream_inference_prompt_cost": prompt_cost,
            "upstream_inference_completions_cost": completion_cost,
        },
        "completion_tokens_details": {"reasoning_tokens": 0, **end.details},
        **({} if tools is None else {"server_tool_use_details": tools}),
    }


def _cached(bill: Bill, end: End) -> tuple[int, int]:
    """The tokens read and written, no more than the engine counts in all."""
    read, written = bill.prompt_cache or (0, 0)
    read = min(read, end.prompt_tokens)
    return read, min(written, end.prompt_tokens - read)


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
            {"index": call.index, **_tool_call(call)} for call in said.tool_calls.values()
        ]
    choice = {
        "index": 0,
        "logprobs": _logprobs(said.logprobs),
        "finish_reason": end.finish_reason,
        "native_finish_reason": end.finish_reason,
        "message": message | said.extras,
    }
    return {
        **of.base,
        "object": "chat.completion",
        "system_fingerprint": of.fingerprint,
        "choices": [choice],
        "usage": usage(of, end),
        **of.last,
    }


def chunk(
    of: Generation,
    piece: Piece,
    *,
    reason: str | None = None,
    native: str | None = None,
    **extra: Any,
) -> dict[str, Any]:
    """One event of a stream; `reason` in those that say why it ends."""
    delta: dict[str, Any] = {"role": "assistant", "content": piece.text, **piece.extras}
    if piece.tool_call is not None:
        delta["content"] = None
        delta["tool_calls"] = [_tool_call_delta(piece.tool_call)]
    choice = {
        "index": 0,
        "delta": delta,
        "finish_reason": reason,
        "native_finish_reason": native or reason,
        "logprobs": _logprobs(piece.logprobs),
    }
    fingerprint = {} if of.fingerprint is None else {"system_fingerprint": of.fingerprint}
    shared = {**of.base, "object": "chat.completion.chunk", **fingerprint}
    return {**shared, "choices": [choice], **extra}


def _logprobs(tokens: Any) -> dict[str, Any] | None:
    return {"content": list(tokens), "refusal": []} if tokens else None


def _tool_call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _tool_call_delta(call: ToolCall) -> dict[str, Any]:
    if call.id:
        return {"index": call.index, **_tool_call(call)}
    return {"index": call.index, "function": {"arguments": call.arguments}}


def error(
    code: int, message: str, *, error_type: str | None = None, **metadata: Any
) -> dict[str, Any]:
    """The classic envelope."""
    known = {"error_type": error_type} if error_type else {}
    inner: dict[str, Any] = {"code": code, "message": message}
    if known or metadata:
        inner["metadata"] = {**known, **metadata}
    return {"error": inner}


def unavailable(
    code: str, message: str, *, requested: str, status: int = 404, **more: Any
) -> dict[str, Any]:
    """The availability envelope of 2026-08; an error `code` is not part of it."""
    return {
        "error": {
            "message": message,
            "error_type": _UNAVAILABLE[status],
            "http_status": status,
            "availability": {
                "code": code,
                "retryable": _UNAVAILABLE[status] in ("rate_limit_exceeded", "provider_overloaded"),
                "requested_models": [requested],
                "docs_url": "https://openrouter.ai/docs/guides/routing/model-fallbacks",
                **more,
            },
        }
    }


def retired(model: OpenRouterModel) -> dict[str, Any]:
    """The envelope for a model that is no more."""
    successor = model.info.successor
    ended = "free_variant_ended" if model.endswith(":free") else "model_deprecated"
    message = f"No endpoints found for {model}."
    others = [successor.value] if successor else []
    return unavailable(ended, message, requested=model.value, fallback_models=others)


def stats(
    of: Generation, end: End, *, seconds: float, first_s: float, cancelled: bool
) -> dict[str, Any]:
    """The record of `GET /generation`; milliseconds and USD."""
    billed = usage(of, end)
    unknown = (
        "app_id", "cache_discount", "external_user", "http_referer", "moderation_latency",
        "native_tokens_completion_images", "num_fetches", "num_input_audio_prompt",
        "num_media_completion", "num_media_prompt", "num_search_results", "preset_id",
        "service_tier", "user_agent", "web_search_engine", "workspace_id",
    )  # fmt: skip
    return {
        **dict.fromkeys(unknown),
        **of.extras,
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
        "tokens_prompt": billed["prompt_tokens"],
        "tokens_completion": billed["completion_tokens"],
        "native_tokens_prompt": billed["prompt_tokens"],
        "native_tokens_completion": billed["completion_tokens"],
        "native_tokens_reasoning": billed["completion_tokens_details"]["reasoning_tokens"],
        "native_tokens_cached": billed["prompt_tokens_details"]["cached_tokens"],
        "usage": billed["cost"],
        "total_cost": billed["cost"],
        "upstream_inference_cost": _upstream(billed),
        "is_byok": of.bill.is_byok,
        **({} if of.source_id is None else {"response_cache_source_id": of.source_id}),
    }


def _upstream(billed: Mapping[str, Any]) -> float:
    """What the caller's own provider key was charged; nothing with OpenRouter's."""
    cost: float = billed["cost_details"]["upstream_inference_cost"]
    return cost if billed["is_byok"] else 0
