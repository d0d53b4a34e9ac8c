"""What OpenRouter knows besides completions: so far the stats of a finished generation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_tale.errors import ModelNotFoundError
from langchain_tale.openrouter import transport

if TYPE_CHECKING:
    from langchain_tale.openrouter.chat_models import ChatOpenRouter


def generation(llm: ChatOpenRouter, generation_id: str) -> dict[str, Any] | None:
    """The stats of one generation, or None where OpenRouter has none (yet)."""
    try:
        body, _ = transport.fetch(llm.root_client, _call(llm, generation_id))
    except ModelNotFoundError:  # the 404 of this path is about the generation
        return None
    return _data(body)


async def ageneration(llm: ChatOpenRouter, generation_id: str) -> dict[str, Any] | None:
    """The twin of `generation`."""
    try:
        body, _ = await transport.afetch(llm.root_async_client, _call(llm, generation_id))
    except ModelNotFoundError:  # as above
        return None
    return _data(body)


def _call(llm: ChatOpenRouter, generation_id: str) -> transport.Call:
    return transport.Call(
        path="/generation",
        model=f"The generation {generation_id}",
        query={"id": generation_id},
        timeout=llm.request_timeout,
        max_retries=llm.max_retries or 0,
    )


def _data(body: Any) -> dict[str, Any] | None:
    data = body.get("data") if isinstance(body, dict) else None
    return data if isinstance(data, dict) else None
