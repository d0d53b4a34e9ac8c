"""Tools of ours and of OpenRouter's as a call's arguments; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

SERVER_TOOLS: Final = "openrouter:"
"""What the type of a tool begins with that OpenRouter runs itself (§17 of the documentation)."""


def is_server_tool(tool: Any) -> bool:
    """Whether OpenRouter runs the tool: `{"type": "openrouter:web_search", …}`."""
    return isinstance(tool, Mapping) and str(tool.get("type", "")).startswith(SERVER_TOOLS)


def choice_of(tool_choice: Any) -> Any:
    """A `tool_choice` on the wire, where it names one of OpenRouter's own tools."""
    is_named = isinstance(tool_choice, str) and tool_choice.startswith(SERVER_TOOLS)
    return {"type": tool_choice} if is_named else tool_choice


def with_cache_points(tools: Sequence[Any], formatted: Sequence[Any]) -> list[dict[str, Any]]:
    """Formatted tools with the `cache_control` of those they were made from."""
    return [
        {**done, "cache_control": mark} if (mark := _mark(tool)) else dict(done)
        for tool, done in zip(tools, formatted, strict=True)
    ]


def _mark(tool: Any) -> Any:
    extras = tool if isinstance(tool, Mapping) else getattr(tool, "extras", None)
    return extras.get("cache_control") if isinstance(extras, Mapping) else None
