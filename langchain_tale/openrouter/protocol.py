"""Whole answers in, LangChain's messages out; pure, no I/O. Streams are read in `streams`.

Section numbers refer to OpenRouter's documentation as of 2026-08-22: unknown fields and enum
values are to be expected and pass, and a field that is null is a field that is absent.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from langchain_core.messages import AIMessage, InvalidToolCall, ToolCall
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call
from langchain_core.outputs import ChatGeneration, ChatResult

from langchain_tale.errors import EmptyReplyError, MalformedReplyError
from langchain_tale.openrouter import reasoning
from langchain_tale.openrouter.failures import Source, error_from_body
from langchain_tale.openrouter.reasoning import MODEL_PROVIDER

NO_OBJECT: Final = "with JSON that is no object"
NO_CHOICE: Final = "without a choice"
UNDOCUMENTED: Final = "in a shape that OpenRouter does not document"
NULL: Final = "null"
"""What some providers write for no arguments."""
NO_ARGUMENTS: Final = "The arguments are no JSON object."
_OF_MESSAGE: Final = frozenset({"role", "content", "tool_calls", "reasoning", "reasoning_content"})
_OF_CHOICE: Final = frozenset({"index", "message", "delta", "error", "logprobs"})
_OF_BODY: Final = frozenset({"object", "choices", "error", "user_id", "citations", "debug"})
_RENAMED: Final = {"model": "model_name", "provider": "provider_name", "usage": "token_usage"}
_CACHE_HEADERS: Final = {
    "x-openrouter-cache-status": "cache_status",
    "x-openrouter-cache-age": "cache_age_s",
    "x-openrouter-cache-ttl": "cache_ttl_s",
    "x-openrouter-cache-source-id": "cache_source_id",
}
"""§15: whether the answer was replayed from OpenRouter's response cache."""


def read_reply(body: Any, source: Source) -> ChatResult:
    """A whole answer.

    Args:
        body: The decoded JSON of a 200.
        source: Which request it answers.

    Returns:
        One generation per choice. `response_metadata` has `id` (of the generation),
        `model_name` (the model that answered), `provider_name`, `finish_reason`,
        `native_finish_reason`, `cost` (in USD), `cost_details`, `token_usage` and whatever
        else the server said; `additional_kwargs` has `reasoning_content`,
        `reasoning_details`, `annotations`, `citations`, `images`, `audio` and `refusal`.

    Raises:
        ExternalServiceError: The body holds an error, no choice, or nothing was said.
    """
    if not isinstance(body, Mapping):
        raise malformed(NO_OBJECT, body, source)
    if body.get("error"):
        raise error_from_body(body, source)
    choices = body.get("choices")
    if not choices:
        raise malformed(NO_CHOICE, body, source)
    try:
        generations = [_generation(choice, body, source) for choice in choices]
    except (AttributeError, TypeError, ValueError) as error:
        raise malformed(UNDOCUMENTED, body, source) from harmless(error)
    output = {"token_usage": body.get("usage"), "model_name": body.get("model") or source.model}
    llm_output = present(output)
    return ChatResult(generations=generations, llm_output=llm_output)


def malformed(how: str, body: Any, source: Source) -> MalformedReplyError:
    """The error for an answer that cannot be read."""
    ids = source.ids(body if isinstance(body, Mapping) else {})
    msg = f"{source.model} answered {how}; try again or another model."
    return MalformedReplyError(msg, model=source.model, raw=source.kept(body), **ids)


def harmless(error: Exception) -> Exception | None:
    """The error as a cause to show, unless it quotes the value that it complains of."""
    return None if isinstance(error, ValueError) else error


def _generation(
    choice: Mapping[str, Any], body: Mapping[str, Any], source: Source
) -> ChatGeneration:
    said = choice.get("message") or {}
    text = text_of(said.get("content"))
    if choice.get("error") or choice.get("finish_reason") == "error":
        raise error_from_body({**body, "error": choice.get("error")}, source, partial_text=text)
    calls, broken_calls = _tool_calls(said.get("tool_calls") or ())
    facts = Facts()
    facts.note(body)
    facts.note_choice(choice)
    message = AIMessage(
        content=text,
        additional_kwargs=present({**additional(said), "citations": body.get("citations") or None}),
        tool_calls=calls,
        invalid_tool_calls=broken_calls,
        usage_metadata=read_usage(body.get("usage")),
        response_metadata=facts.metadata(source),
    )
    if is_empty(message):
        raise empty_reply(choice.get("finish_reason"), message.usage_metadata, source, body)
    return ChatGeneration(
        message=message, generation_info={"finish_reason": choice.get("finish_reason")}
    )


def is_empty(message: AIMessage) -> bool:
    """Whether an answer holds nothing that a caller could use."""
    said = message.content or message.tool_calls or message.invalid_tool_calls
    kwargs = message.additional_kwargs
    return not said and not any(kwargs.get(key) for key in ("refusal", "images", "audio"))


def empty_reply(
    finish_reason: str | None, usage: UsageMetadata | None, source: Source, body: Mapping[str, Any]
) -> EmptyReplyError:
    """The error for an answer that says nothing, with the reason where it can be told."""
    details = usage["output_token_details"] if usage else OutputTokenDetails()
    reasoning = details.get("reasoning", 0)
    if finish_reason == "length":
        spent = f" after {reasoning} reasoning tokens" if reasoning else ""
        msg = f"{source.model} reached max_tokens{spent} before it said anything; raise max_tokens."
    else:
        msg = f"{source.model} finished without saying anything; try again or another model."
    kept = source.kept(body)
    error = EmptyReplyError(msg, model=source.model, raw=kept, **source.ids(body))
    error.finish_reason = finish_reason
    return error


def read_usage(usage: Any) -> UsageMetadata | None:
    """OpenRouter's `usage` in LangChain's words; None where it was not sent.

    What is no count counts as not said: a bad figure shall not cost the answer.
    """
    counts = _mapping(usage)
    if not counts:
        return None
    sent, said = _count(counts, "prompt_tokens") or 0, _count(counts, "completion_tokens") or 0
    of_input = _mapping(counts.get("prompt_tokens_details"))
    of_output = _mapping(counts.get("completion_tokens_details"))
    input_details = {
        "cache_read": _count(of_input, "cached_tokens"),
        "cache_creation": _count(of_input, "cache_write_tokens"),
        "audio": _count(of_input, "audio_tokens"),
    }
    output_details = {
        "reasoning": _count(of_output, "reasoning_tokens"),
        "audio": _count(of_output, "audio_tokens"),
    }
    return UsageMetadata(
        input_tokens=sent,
        output_tokens=said,
        total_tokens=_count(counts, "total_tokens") or sent + said,
        input_token_details=cast("InputTokenDetails", present(input_details)),
        output_token_details=cast("OutputTokenDetails", present(output_details)),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _count(counts: Mapping[str, Any], name: str) -> int | None:
    value = counts.get(name)
    return int(value) if isinstance(value, int | float) and math.isfinite(value) else None


@dataclass(slots=True)
class Facts:
    """What an answer says about itself, in however many pieces it comes."""

    said: dict[str, Any] = field(default_factory=dict)

    def note(self, body: Mapping[str, Any]) -> None:
        """Take the facts of a whole body or of one chunk; the last that is no null counts."""
        self.said |= {
            _RENAMED.get(name, name): value
            for name, value in body.items()
            if name not in _OF_BODY and value not in (None, "")
        }

    def note_choice(self, choice: Mapping[str, Any]) -> None:
        """Take the reasons why a choice ended; one that is repeated counts once."""
        self.said |= {
            name: value
            for name, value in choice.items()
            if name not in _OF_CHOICE and value not in (None, "")
        }
        for name, tokens in present(choice.get("logprobs") or {}).items():
            logprobs = self.said.setdefault("logprobs", {})
            logprobs[name] = [*logprobs.get(name, ()), *tokens]

    @property
    def finish_reason(self) -> str | None:
        """Why the answer ended, or None while it goes on."""
        return self.said.get("finish_reason")

    def metadata(self, source: Source) -> dict[str, Any]:
        """All of it, as LangChain's `response_metadata`."""
        usage = _mapping(self.said.get("token_usage"))
        cached = {ours: _number(source.headers.get(name)) for name, ours in _CACHE_HEADERS.items()}
        model = self.said.get("model_name") or source.model
        is_alias = model != source.model and not source.has_fallbacks
        return present(
            {
                "id": source.generation_id,
                "request_id": source.request_id,
                "model_provider": MODEL_PROVIDER,
                "requested_model": source.model if is_alias else None,
                **cached,
                **{name: usage.get(name) for name in ("cost", "cost_details", "is_byok")},
                **self.said,
                "model_name": model,
            }
        )


def summed_usage(usages: Iterable[Mapping[str, Any] | None]) -> dict[str, Any]:
    """Usage of several answers together: numbers are added up, flags are true if any is."""
    total: dict[str, Any] = {}
    for usage in usages:
        for name, value in _mapping(usage).items():
            before = total.get(name)
            if isinstance(value, Mapping):
                total[name] = summed_usage([before, value])
            elif isinstance(value, bool):
                total[name] = bool(before) or value
            elif isinstance(value, int | float):
                total[name] = (before or 0) + value
    return total


def text_of(content: Any) -> str:
    """Content as text; some providers send a list of parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    return "".join(part.get("text") or "" for part in parts if isinstance(part, Mapping))


def additional(said: Mapping[str, Any]) -> dict[str, Any]:
    """What has no field of its own in LangChain's message, unknown fields included."""
    own = {name: value for name, value in said.items() if name not in _OF_MESSAGE and value}
    if details := own.pop("reasoning_details", None):
        own["reasoning_details"] = [item for item in details if item is not None]
    text = reasoning.text_of({**said, **own})
    return {**own, "reasoning_content": text} if text else own


def arguments_of(function: Mapping[str, Any]) -> str | None:
    """The arguments of a call as the JSON they should be; some providers send an object."""
    arguments = function.get("arguments")
    if arguments is None or isinstance(arguments, str):
        return arguments
    return json.dumps(arguments, ensure_ascii=False)


def _tool_calls(raw_calls: Any) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    """Calls that parse, and those that do not, with the text they came as."""
    good: list[ToolCall] = []
    broken: list[InvalidToolCall] = []
    for raw in raw_calls:
        function = raw.get("function") or {}
        text = arguments_of(function) or "{}"
        text = "{}" if text == NULL else text
        named: dict[str, Any] = {"name": function.get("name") or "", "id": raw.get("id")}
        try:
            arguments = json.loads(text, strict=False)
        except ValueError:
            arguments = None
        if isinstance(arguments, dict):
            good.append(tool_call(**named, args=arguments))
        else:
            broken.append(invalid_tool_call(**named, args=text, error=NO_ARGUMENTS))
    return good, broken


def _number(value: str | None) -> int | str | None:
    return int(value) if value is not None and value.isdecimal() else value


def present(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` without those that are None."""
    return {key: value for key, value in values.items() if value is not None}
