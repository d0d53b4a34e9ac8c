"""A call's arguments as the body and headers of a request; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from langchain_core.utils.function_calling import convert_to_openai_function
from pydantic import BaseModel

from langchain_tale.errors import ConfigurationError
from langchain_tale.openrouter.fields import MAX_MODELS, MAX_SESSION_ID_CHARS

STRICT_TOOLS_BETA: Final = "structured-outputs-2025-11-13"
_CLIENT_SIDE: Final = ("extra_body", "extra_headers", "extra_query", "stream_options")
MAX_PAIRS: Final = 16
MAX_NAME_CHARS: Final = 64
MAX_VALUE_CHARS: Final = 512


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent.

    Attributes:
        body: JSON without nulls.
        headers: Beyond those of every request.
        query: Query parameters.
    """

    body: dict[str, Any]
    headers: dict[str, str]
    query: dict[str, Any]


def request(payload: Mapping[str, Any], *, stream: bool) -> Request:
    """A call's arguments as OpenRouter takes them.

    Args:
        payload: The fields of a request, and `extra_body`, `extra_headers` and `extra_query`,
            which count last.
        stream: Whether to ask for server-sent events.

    Returns:
        A request whose body has no nulls. `False` and `0` are answers and stay.

    Raises:
        ConfigurationError: A field that OpenRouter is known to refuse.
    """
    body = {**payload, **(payload.get("extra_body") or {}), "stream": stream}
    headers = _headers(body) | dict(payload.get("extra_headers") or {})
    query = dict(payload.get("extra_query") or {})
    for name in _CLIENT_SIDE:
        body.pop(name, None)
    _settle(body)
    _check(body)
    return Request({k: v for k, v in body.items() if v is not None}, headers, query)


def _settle(body: dict[str, Any]) -> None:
    """Arguments that have another name or another shape on the wire."""
    if body.get("max_completion_tokens") is not None:
        body.pop("max_tokens", None)
    if metadata := body.pop("request_metadata", None):
        body["metadata"] = metadata
    require = body.pop("require_parameters", None)
    if require is not None:
        body["provider"] = {"require_parameters": require, **(body.get("provider") or {})}
    if body.pop("response_healing", None):
        body["plugins"] = [*(body.get("plugins") or ()), {"id": "response-healing"}]
    schema = body.get("response_format")
    if isinstance(schema, type):
        body["response_format"] = response_format(schema, strict=issubclass(schema, BaseModel))


def response_format(schema: Any, *, strict: bool | None) -> dict[str, Any]:
    """A pydantic class, typed dict or JSON schema as a `response_format`."""
    if isinstance(schema, Mapping) and schema.get("type") in ("json_schema", "json_object"):
        return dict(schema)
    function = convert_to_openai_function(schema, strict=strict)
    function["schema"] = function.pop("parameters")
    return {"type": "json_schema", "json_schema": function}


def _headers(body: dict[str, Any]) -> dict[str, str]:
    """Take the arguments that travel as headers out of the body (§3, §15 of the documentation)."""
    metadata, cache = body.pop("router_metadata", None), body.pop("response_cache", None)
    ttl_s, clear = body.pop("response_cache_ttl_s", None), body.pop("response_cache_clear", None)
    betas = list(body.pop("anthropic_beta", None) or ())
    if _has_strict_tools(body) and STRICT_TOOLS_BETA not in betas:
        betas.append(STRICT_TOOLS_BETA)
    named = {
        "X-OpenRouter-Metadata": _word(metadata, "enabled", "disabled"),
        "X-OpenRouter-Cache": _word(cache, "true", "false"),
        "X-OpenRouter-Cache-TTL": None if ttl_s is None else str(ttl_s),
        "X-OpenRouter-Cache-Clear": _word(clear, "true", "false"),
        "x-anthropic-beta": ",".join(betas) or None,
    }
    return {name: value for name, value in named.items() if value is not None}


def _word(flag: bool | None, yes: str, no: str) -> str | None:  # noqa: FBT001 (the flag itself)
    return None if flag is None else yes if flag else no


def _has_strict_tools(body: Mapping[str, Any]) -> bool:
    """Whether `strict` would be stripped from tools without Anthropic's beta (§16)."""
    tools = body.get("tools") or ()
    is_strict = any(tool.get("function", {}).get("strict") for tool in tools)
    return is_strict and str(body.get("model")).lstrip("~").startswith("anthropic/")


def _check(body: Mapping[str, Any]) -> None:
    if len(body.get("models") or ()) > MAX_MODELS:
        msg = f"models: OpenRouter takes at most {MAX_MODELS}; use with_fallbacks for more."
        raise ConfigurationError(msg)
    if len(body.get("session_id") or "") > MAX_SESSION_ID_CHARS:
        msg = f"session_id: OpenRouter takes at most {MAX_SESSION_ID_CHARS} characters."
        raise ConfigurationError(msg)
    check_metadata(body.get("metadata"))


def check_metadata(metadata: Any) -> None:
    """Raise `ConfigurationError` unless OpenRouter takes this `metadata` (§4.1)."""
    given = {} if metadata is None else metadata
    if not (
        isinstance(given, Mapping) and len(given) <= MAX_PAIRS and all(map(_fits, given.items()))
    ):
        msg = (
            f"metadata: OpenRouter takes at most {MAX_PAIRS} pairs of strings, names up to "
            f"{MAX_NAME_CHARS} and values up to {MAX_VALUE_CHARS} characters."
        )
        raise ConfigurationError(msg)


def fitting(metadata: Mapping[str, Any] | None, *, beside: Mapping[str, str]) -> dict[str, str]:
    """What OpenRouter takes of LangChain's run metadata, which may hold anything.

    Args:
        metadata: The run's metadata.
        beside: What is sent in any case, and has the first claim to the room there is.
    """
    fits = {name: value for name, value in (metadata or {}).items() if _fits((name, value))}
    room = max(0, MAX_PAIRS - len(beside))
    others = [pair for pair in fits.items() if pair[0] not in beside][:room]
    return {**dict(others), **beside}


def _fits(pair: tuple[Any, Any]) -> bool:
    name, value = pair
    are_strings = isinstance(name, str) and isinstance(value, str)
    return are_strings and len(name) <= MAX_NAME_CHARS and len(value) <= MAX_VALUE_CHARS
