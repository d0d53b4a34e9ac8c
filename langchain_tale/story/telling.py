"""`StoryTold`: how long a story is and what it took; never a word of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_tale.telemetry.events import StoryTold
from langchain_tale.telemetry.facts import totals

if TYPE_CHECKING:
    from langchain_tale.story.result import StoryGenerationResult
    from langchain_tale.telemetry.scopes import Scope


def tell_of(story: StoryGenerationResult, scope: Scope) -> None:
    """Tell a scope that a story is whole."""
    if not scope.is_heard(StoryTold):
        return
    info = story.generation_info or {}
    _, total_usd = totals(story.attempts)
    usage: dict[str, Any] = dict(story.usage or {})
    scope.emit(
        StoryTold(
            request_id=scope.request_id,
            run_id=scope.run_word,
            model=str(story.model),
            provider_name=info.get("provider_name"),
            generation_id=story.generation_id,
            attempts=len(story.attempts) or 1,
            latency_s=story.latency_s,
            input_tokens=usage.get("input_tokens"),
            output_tokens=usage.get("output_tokens"),
            cost_usd=story.cost_usd if total_usd is None else total_usd,
            content_chars=len(story.content),
            content_words=len(story.content.split()),
            is_cut_off=story.is_cut_off,
        )
    )
