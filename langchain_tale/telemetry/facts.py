"""What events say of answers and failures, read from what LangChain and our errors hold; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_tale.errors import ExternalServiceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_tale.errors import Attempt


def answer_facts(
    metadata: Mapping[str, Any],
    usage: Mapping[str, Any] | None,
    *,
    content_chars: int,
    is_streamed: bool,
) -> dict[str, Any]:
    """What an answer says of itself, less what the attempt log has of it.

    Args:
        metadata: Its `response_metadata`.
        usage: Its `usage_metadata`.
        content_chars: Length of its text.
        is_streamed: Whether it came in chunks.
    """
    return {
        "generation_id": metadata.get("id"),
        **usage_facts(usage),
        "content_chars": content_chars,
        "is_streamed": is_streamed,
    }


def usage_facts(usage: Mapping[str, Any] | None) -> dict[str, Any]:
    """Tokens, in LangChain's words."""
    if not usage:
        return {"input_tokens": None, "output_tokens": None}
    return {
        "input_tokens": usage.get("input_tokens"),
        "output_tokens": usage.get("output_tokens"),
    }


def failure_facts(error: BaseException) -> dict[str, Any]:
    """What an error says of itself; of anybody's error, its class."""
    known = error if isinstance(error, ExternalServiceError) else None
    return {
        "error": type(error).__name__,
        "error_type": known and known.error_type,
        "status_code": getattr(error, "status_code", None),
        "server_request_id": known and known.request_id,
        "generation_id": known and known.generation_id,
    }


def totals(log: Sequence[Attempt]) -> tuple[float, float | None]:
    """Seconds and dollars of several attempts, waits included; None where nobody named a price."""
    seconds, dollars = 0.0, None
    for attempt in log:
        seconds += attempt.waited_s + attempt.latency_s
        if attempt.cost_usd is not None:
            dollars = (dollars or 0.0) + attempt.cost_usd
    return seconds, dollars
