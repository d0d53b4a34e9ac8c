"""Which bodies OpenRouter refuses, each with one sentence; pure.

The rules are those of the specification's `ChatRequest` and of the guides; that `models` takes
three entries at most is reported from the field. Fields that nobody documents are let pass,
since OpenRouter hands them to the provider.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from langchain_tale.sandbox.messages import (
    Problem,
    problem_with_cache_control,
    problem_with_messages,
)
from langchain_tale.sandbox.plugins import PLUGINS
from langchain_tale.sandbox.reasoning import EFFORTS

MOST_MODELS: Final = 3
LONGEST_SESSION_ID: Final = 256
_MOST_PAIRS, _LONGEST_KEY, _LONGEST_VALUE = 16, 64, 512
_MOST_LOGPROBS: Final = 20
_LONGEST_FUNCTION: Final = 64
_MODALITIES: Final = ("text", "image", "audio")
_TIERS: Final = ("auto", "default", "fast", "flex", "priority", "scale")
_SORTS: Final = ("price", "throughput", "latency", "exacto")
_QUANTIZATIONS: Final = (
    "int4", "int8", "fp4", "mxfp4", "nvfp4", "fp6", "fp8", "mxfp8", "fp16", "bf16", "fp32",
    "unknown",
)  # fmt: skip
_PRICES: Final = ("prompt", "completion", "request", "image", "audio")


def problem_with(request: Any, headers: Mapping[str, str] | None = None) -> Problem:
    """What is wrong with the body of a completion request and its headers, or None.

    Args:
        request: The parsed body.
        headers: Of the request, with names in lower case; only `x-session-id` is looked at.
    """
    if not isinstance(request, Mapping):
        return "The body must be a JSON object."
    session = request.get("session_id") or (headers or {}).get("x-session-id") or ""
    if not isinstance(session, str) or len(session) > LONGEST_SESSION_ID:
        return f"session_id must be a string of {LONGEST_SESSION_ID} characters or fewer."
    if problem := problem_with_messages(request.get("messages")):
        return problem
    return next(filter(None, (check(request) for check in _CHECKS)), None)


def _names(request: Mapping[str, Any]) -> Problem:
    models = request.get("models") or []
    if not _is_list_of_strings(models):
        return "models must be an array of strings."
    if len(models) > MOST_MODELS:
        return f"'models' array must have {MOST_MODELS} items or fewer"
    model = request.get("model")
    if not isinstance(model or "", str) or not (model or any(models)):
        return "model must be a string."
    return None


def _limits(request: Mapping[str, Any]) -> Problem:
    for name in ("max_tokens", "max_completion_tokens"):
        limit = request.get(name)
        if limit is not None and (type(limit) is not int or limit < 1):
            return f"{name} must be an integer of at least 1."
    return None


def _tools(request: Mapping[str, Any]) -> Problem:
    tools = request.get("tools") or []
    if not isinstance(tools, list) or not all(isinstance(tool, Mapping) for tool in tools):
        return "tools must be an array of objects."
    for number, tool in enumerate(tools):
        kind, function = tool.get("type"), tool.get("function")
        if str(kind).startswith(("openrouter:", "web_search")):
            if not isinstance(tool.get("parameters") or {}, Mapping):
                return f"tools[{number}]: parameters must be an object."
            continue
        if kind != "function" or not isinstance(function, Mapping):
            return f"tools[{number}]: a tool needs the type function and a function."
        if not isinstance(function.get("name"), str):
            return f"tools[{number}]: a function needs a name."
        if len(function["name"]) > _LONGEST_FUNCTION:
            return f"tools[{number}]: a name has {_LONGEST_FUNCTION} characters at most."
    return None


def _response_format(request: Mapping[str, Any]) -> Problem:
    if not isinstance(request.get("response_format") or {}, Mapping):
        return "response_format must be an object."
    return None


def _reasoning(request: Mapping[str, Any]) -> Problem:
    asked = request.get("reasoning")
    if not isinstance(asked or {}, Mapping):
        return "reasoning must be an object."
    effort = (asked or {}).get("effort")
    short = request.get("reasoning_effort")
    for name, value in (("reasoning.effort", effort), ("reasoning_effort", short)):
        if value not in (None, *EFFORTS):
            return f"{name} must be one of {', '.join(EFFORTS)}."
    if None not in (effort, short) and effort != short:
        return "reasoning_effort and reasoning.effort must not differ."
    budget = (asked or {}).get("max_tokens")
    if budget is not None and (type(budget) is not int or budget < 1):
        return "reasoning.max_tokens must be an integer of at least 1."
    if budget is not None and effort is not None:
        return "reasoning takes effort or max_tokens, not both."
    return None


def _logprobs(request: Mapping[str, Any]) -> Problem:
    if not isinstance(request.get("logprobs") or False, bool):
        return "logprobs must be a boolean."
    top = request.get("top_logprobs")
    if top is not None and (type(top) is not int or not 0 <= top <= _MOST_LOGPROBS):
        return f"top_logprobs must be an integer of 0 to {_MOST_LOGPROBS}."
    if top and not request.get("logprobs"):
        return "top_logprobs needs logprobs to be true."
    return None


def _modalities(request: Mapping[str, Any]) -> Problem:
    wanted = request.get("modalities") or ["text"]
    if not _is_list_of_strings(wanted) or not set(wanted) <= set(_MODALITIES):
        return f"modalities must be an array of {', '.join(_MODALITIES)}."
    if "audio" not in wanted:
        return None
    if not request.get("stream"):
        return "Audio output requires stream: true."
    audio = request.get("audio")
    if not isinstance(audio, Mapping) or not all(audio.get(name) for name in ("voice", "format")):
        return "Audio output requires audio.voice and audio.format."
    return None


def _service_tier(request: Mapping[str, Any]) -> Problem:
    if request.get("service_tier") not in (None, *_TIERS):
        return f"service_tier must be one of {', '.join(_TIERS)}."
    return None


def _metadata(request: Mapping[str, Any]) -> Problem:
    pairs = request.get("metadata") or {}
    if not isinstance(pairs, Mapping) or len(pairs) > _MOST_PAIRS:
        return f"metadata must be an object of {_MOST_PAIRS} pairs or fewer."
    if any(len(name) > _LONGEST_KEY for name in pairs):
        return f"A key of metadata has {_LONGEST_KEY} characters at most."
    if not all(isinstance(value, str) and len(value) <= _LONGEST_VALUE for value in pairs.values()):
        return f"A value of metadata is a string of {_LONGEST_VALUE} characters or fewer."
    return None


def _plugins(request: Mapping[str, Any]) -> Problem:
    plugins = request.get("plugins") or []
    if not isinstance(plugins, list) or not all(isinstance(one, Mapping) for one in plugins):
        return "plugins must be an array of objects."
    for plugin in plugins:
        if plugin.get("id") not in PLUGINS:
            return f"A plugin's id must be one of {', '.join(PLUGINS)}."
    return None


def _debug(request: Mapping[str, Any]) -> Problem:
    return None if isinstance(request.get("debug") or {}, Mapping) else "debug must be an object."


def _cache_control(request: Mapping[str, Any]) -> Problem:
    return problem_with_cache_control(request.get("cache_control"))


# ── provider ────────────────────────────────────────────────────────────────


def _provider(request: Mapping[str, Any]) -> Problem:
    wanted = request.get("provider") or {}
    if not isinstance(wanted, Mapping):
        return "provider must be an object."
    for name, value in wanted.items():
        if name not in _PREFERENCES:
            return f"provider has no key {name!r}."
        if value is not None and not _PREFERENCES[name](value):
            return f"provider.{name} is not of the documented shape."
    return None


def _is_list_of_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_boolean(value: Any) -> bool:
    return isinstance(value, bool)


def _is_sort(value: Any) -> bool:
    if isinstance(value, Mapping):
        return value.get("by") in (None, *_SORTS) and value.get("partition") in (
            None, "model", "none",
        )  # fmt: skip
    return value in _SORTS


def _is_threshold(value: Any) -> bool:
    """A number, which is the median's, or numbers by percentile."""
    if isinstance(value, Mapping):
        return set(value) <= {"p50", "p75", "p90", "p99"}
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_prices(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) <= set(_PRICES)


_PREFERENCES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "allow_fallbacks": _is_boolean,
    "data_collection": lambda value: value in ("allow", "deny"),
    "enforce_distillable_text": _is_boolean,
    "ignore": _is_list_of_strings,
    "max_price": _is_prices,
    "only": _is_list_of_strings,
    "order": _is_list_of_strings,
    "preferred_max_latency": _is_threshold,
    "preferred_min_throughput": _is_threshold,
    "quantizations": lambda value: _is_list_of_strings(value) and set(value) <= set(_QUANTIZATIONS),
    "require_parameters": _is_boolean,
    "sort": _is_sort,
    "zdr": _is_boolean,
}
"""The specification's `ProviderPreferences`, which has no other keys."""
_CHECKS: Final[tuple[Callable[[Mapping[str, Any]], Problem], ...]] = (
    _names, _limits, _tools, _response_format, _reasoning, _logprobs, _modalities, _service_tier,
    _metadata, _plugins, _provider, _debug, _cache_control,
)  # fmt: skip
