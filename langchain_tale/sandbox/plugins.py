"""What OpenRouter itself adds to an answer, whichever model writes it: web search and files.

A search by the tool `openrouter:web_search` is cited before the first word, with what was
found and no place in the text; one by the plugin `web`, by `web_search_options` or by a model
with `:online` is cited after the last word, with the place it supports. Both were recorded.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.sandbox.pieces import End, Piece

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

PLUGINS: Final = (
    "auto-beta-router", "auto-router", "context-compression", "file-parser", "fusion",
    "moderation", "pareto-router", "response-healing", "web", "web-fetch",
)  # fmt: skip
"""The ids of the specification."""
WEB_SEARCH_TOOL: Final = "openrouter:web_search"
_FOUND: Final = (
    {"url": "https://example.com/foxes", "title": "Foxes", "content": "Foxes are small canids."},
    {"url": "https://example.com/berries", "title": "", "content": "Berries ripen in summer."},
)


def server_tools(request: Mapping[str, Any]) -> dict[str, int] | None:
    """`server_tool_use_details` of one web search; None where nobody asked for any."""
    if _tool(request) is not None:
        return {"web_search_requests": 1, "tool_calls_requested": 1, "tool_calls_executed": 1}
    return {"web_search_requests": 1} if _searches_natively(request) else None


def _tool(request: Mapping[str, Any]) -> Mapping[str, Any] | None:
    tools = (tool for tool in request.get("tools") or () if tool.get("type") == WEB_SEARCH_TOOL)
    return next(tools, None)


def _plugin(request: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    plugins = (plugin for plugin in request.get("plugins") or () if plugin["id"] == name)
    return next((plugin for plugin in plugins if plugin.get("enabled") is not False), None)


def _searches_natively(request: Mapping[str, Any]) -> bool:
    return (
        _plugin(request, "web") is not None
        or request.get("web_search_options") is not None
        or ":online" in str(request.get("model"))
    )


def stages(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The `pipeline` of `openrouter_metadata`: the plugins that did something."""
    found: list[dict[str, Any]] = []
    if _tool(request) is not None:
        data = {"mode": "sdk", "tools": [WEB_SEARCH_TOOL]}
        found.append({"type": "server_tools", "name": "server-tools", "data": data})
    elif _searches_natively(request):
        found.append({"type": "plugin", "name": "web-search", "data": {"results": 1}})
    if files := _file_annotations(request):
        found.append({"type": "plugin", "name": "file-parser", "data": {"files": len(files)}})
    return found


async def annotated(
    request: Mapping[str, Any], pieces: AsyncGenerator[Piece | End]
) -> AsyncGenerator[Piece | End]:
    """The pieces of an answer, and among them what was searched and parsed for it.

    Nothing is said before the engine's first item, so that its refusal keeps its status.
    """
    before = [*_file_annotations(request), *_citations(request)]
    length = 0
    try:
        async for item in pieces:
            while before:
                yield Piece(extras={"annotations": [before.pop(0)]})
            if isinstance(item, Piece):
                length += len(item.text)
            elif _tool(request) is None and _searches_natively(request):
                yield Piece(extras={"annotations": [_citation(_FOUND[0], end_index=length)]})
            yield item
    finally:
        await pieces.aclose()


def _citations(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    tool = _tool(request)
    if tool is None:
        return []
    wanted = (tool.get("parameters") or {}).get("max_results")
    return [_citation(page) for page in _FOUND[: wanted if isinstance(wanted, int) else None]]


def _citation(page: Mapping[str, str], *, end_index: int = 0) -> dict[str, Any]:
    cited: dict[str, Any] = {**page, "start_index": 0, "end_index": end_index}
    if end_index:
        del cited["content"]  # whoever knows the place sends no excerpt
    return {"type": "url_citation", "url_citation": cited}


def _file_annotations(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One for each file that is parsed; what an earlier answer annotated is not parsed again."""
    parses_all = _plugin(request, "file-parser") is not None
    known: set[str] = set()
    found: dict[str, dict[str, Any]] = {}
    for message in request["messages"]:
        known |= {note["file"]["hash"] for note in _annotations(message) if note["type"] == "file"}
        for file in _files(message):
            if parses_all or _is_pdf(file):
                note = _file_annotation(file)
                found[note["file"]["hash"]] = note
    return [note for digest, note in found.items() if digest not in known]


def _annotations(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return message.get("annotations") or [] if message.get("role") == "assistant" else []


def _files(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    return [part["file"] for part in parts if part.get("type") == "file"]


def _is_pdf(file: Mapping[str, Any]) -> bool:
    data, name = str(file.get("file_data") or ""), str(file.get("filename") or "")
    return data.startswith("data:application/pdf") or any(
        said.lower().endswith(".pdf") for said in (data, name)
    )


def _file_annotation(file: Mapping[str, Any]) -> dict[str, Any]:
    name = file.get("filename") or "file"
    data = str(file.get("file_data") or file.get("file_id"))
    texts = (f'<file name="{name}">', "# A page", "</file>")
    content = [{"type": "text", "text": text} for text in texts]
    digest = hashlib.sha256(data.encode()).hexdigest()
    return {"type": "file", "file": {"hash": digest, "name": name, "content": content}}
