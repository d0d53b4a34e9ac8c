"""LangChain's messages as OpenRouter's; pure. Shapes: §4.6 of the documentation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_tale.errors import ConfigurationError
from langchain_tale.openrouter import reasoning
from langchain_tale.openrouter.content import parts
from langchain_tale.openrouter.fragments import unmarked
from langchain_tale.resilience.refusing import refusal_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def to_wire(messages: Sequence[BaseMessage], *models: str) -> list[dict[str, Any]]:
    """Messages as the `messages` of a request.

    Args:
        messages: A conversation of LangChain's messages.
        *models: The model that is asked, and those that may answer in its place: only their
            own reasoning goes back to them.

    Raises:
        ConfigurationError: A message or a block that OpenRouter has no shape for.
    """
    return [_message(message, models) for message in messages]


def _message(message: BaseMessage, models: tuple[str, ...]) -> dict[str, Any]:
    if isinstance(message, AIMessage):
        return _assistant(message, models)
    sent: dict[str, Any] = {"role": _role(message), "content": parts(message.content)}
    if isinstance(message, ToolMessage):
        return {**sent, "tool_call_id": message.tool_call_id}
    return {**sent, **_name(message)}


def _role(message: BaseMessage) -> str:
    if isinstance(message, ChatMessage):
        return message.role
    if isinstance(message, SystemMessage):
        return str(message.additional_kwargs.get("__openai_role__", "system"))
    kinds = {"human": "user", "tool": "tool", "function": "function"}
    role = kinds.get(message.type.removesuffix("MessageChunk").lower())
    if role is None:
        msg = f"A {type(message).__name__} cannot be sent to a model."
        raise ConfigurationError(msg)
    return role


def _name(message: BaseMessage) -> dict[str, Any]:
    name = message.name or message.additional_kwargs.get("name")
    return {} if name is None else {"name": name}


def _assistant(message: AIMessage, models: tuple[str, ...]) -> dict[str, Any]:
    kwargs = message.additional_kwargs
    calls = _tool_calls(message)
    files = [a for a in kwargs.get("annotations") or () if a.get("type") == "file"]
    audio = kwargs.get("audio")
    optional = {
        **_name(message),
        "tool_calls": calls,
        "refusal": refusal_in(message),
        "images": kwargs.get("images"),
        "annotations": files,  # spares OpenRouter from parsing, and billing, the file again
        "audio": {"id": audio["id"]} if audio and audio.get("id") else None,
        **reasoning.to_send(message, *models),
    }
    content = _said(message) or (None if calls else "")
    sent = {name: value for name, value in optional.items() if value}
    return {"role": "assistant", "content": content, **sent}


def _said(message: AIMessage) -> Any:
    """What the model said, as a string wherever nothing but text was said.

    Standard blocks repeat the images and the audio that have fields of their own.
    """
    if not isinstance(message.content, list):
        return message.content
    blocks = [b for b in message.content if isinstance(b, str) or b.get("type") != "audio"]
    content = parts(blocks)
    kept = (
        {"text", "file"}
        if message.additional_kwargs.get("images")
        else {"text", "file", "image_url"}
    )
    said = [part for part in content if part.get("type") in kept]
    if all(part.keys() == {"type", "text"} for part in said):
        return "".join(part["text"] for part in said)
    return said


def _tool_calls(message: AIMessage) -> list[dict[str, Any]]:
    calls = [
        _call(call["id"], call["name"], json.dumps(call["args"], ensure_ascii=False))
        for call in message.tool_calls
    ]
    broken = [
        _call(call["id"], call["name"], unmarked(call["args"] or ""))
        for call in message.invalid_tool_calls
    ]
    if calls or broken:
        return calls + broken
    raw: Sequence[Mapping[str, Any]] = message.additional_kwargs.get("tool_calls") or ()
    return [{k: v for k, v in call.items() if k in ("id", "type", "function")} for call in raw]


def _call(call_id: str | None, name: str | None, arguments: str | None) -> dict[str, Any]:
    function = {"name": name or "", "arguments": arguments or ""}
    return {"type": "function", "id": call_id, "function": function}
