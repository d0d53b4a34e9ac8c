"""Results and failures as the rows that a run writes; pure.

A row of a story never holds the request: its `id`, or else its `line`, says which one it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from langchain_tale.bulk.judging import last_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tale.bulk.asked import Asked
    from langchain_tale.errors import Attempt
    from langchain_tale.story.result import StoryGenerationResult

    Tries = Sequence[Attempt]

COLUMNS: Final[dict[str, type]] = {
    "id": str,
    "line": int,
    "title": str,
    "content": str,
    "model": str,
    "provider_name": str,
    "generation_id": str,
    "is_cut_off": bool,
    "is_best_effort": bool,
    "is_cached": bool,
    "cost_usd": float,
    "spent_usd": float,
    "input_tokens": int,
    "output_tokens": int,
    "latency_s": float,
    "tries": int,
}
"""The columns of a table of stories, and what is in them."""
_IDENTITY: Final = ("id", "line", "request")


def told_row(asked: Asked, result: StoryGenerationResult, spent_usd: float) -> dict[str, Any]:
    """A story as a row.

    Args:
        asked: What it was asked for by.
        result: The story.
        spent_usd: What it has cost in all, with every try that failed.
    """
    info, usage = result.generation_info or {}, result.usage
    return {
        **_identity(asked),
        "title": result.title,
        "content": result.content,
        "model": str(result.model),
        "provider_name": info.get("provider_name"),
        "generation_id": result.generation_id,
        "is_cut_off": result.is_cut_off,
        "is_best_effort": result.is_best_effort,
        "is_cached": result.is_cached,
        "cost_usd": result.cost_usd,
        "spent_usd": round(spent_usd, 9),
        "input_tokens": usage["input_tokens"] if usage else None,
        "output_tokens": usage["output_tokens"] if usage else None,
        "latency_s": result.latency_s,
        "tries": len(result.attempts),
        "attempts": [tried.to_dict() for tried in result.attempts],
        "report": None if result.report is None else result.report.to_dict(),
    }


def failed_row(asked: Asked, error: Exception, tries: Tries, spent_usd: float) -> dict[str, Any]:
    """A failure as a row: what went wrong, where, how often it was tried."""
    last = last_error(error)
    return {
        **_identity(asked),
        "error": type(last).__name__,
        "message": str(last),
        "status_code": getattr(last, "status_code", None),
        "spent_usd": round(spent_usd, 9),
        "tries": len(tries),
        "attempts": [tried.to_dict() for tried in tries],
    }


def _identity(asked: Asked) -> dict[str, Any]:
    return {"id": asked.id, "line": asked.line, "request": asked.digest}


def is_row(row: Any) -> bool:
    """Whether a line of a file is a row of ours."""
    return isinstance(row, dict) and all(name in row for name in _IDENTITY)


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """The columns of a row of a story."""
    return {name: row.get(name) for name in COLUMNS}
