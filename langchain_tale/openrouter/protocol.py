"""Replies and stream events in, LangChain's messages out; pure, no I/O.

Section numbers refer to OpenRouter's documentation as of 2026-08-22: unknown fields and enum
values are to be expected, and a field that is null is a field that is absent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from langchain_core.messages import AIMessage, AIMessageChunk, InvalidToolCall, ToolCall
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.output_parsers.openai_tools import make_invalid_tool_call, parse_tool_call
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.utils.function_calling import convert_to_openai_function
from pydantic import BaseModel, ValidationError

from langchain_tale.errors import BrokenStreamError, EmptyReplyError, MalformedReplyError
from langchain_tale.openrouter.failures import Source, error_from_body

if TYPE_CHECKING:
    from typing_extensions import TypeIs

MODEL_PROVIDER: Final = "openrouter"
NO_OBJECT: Final = "sent a stream event that is no JSON object"
UNFINISHED: Final = "stopped sending before it had finished"


def request_body(payload: Mapping[str, Any], *, stream: bool) -> dict[str, Any]:
    """langchain-openai's call arguments as the JSON body that OpenRouter takes.

    Args:
        payload: Arguments of `chat.completions.create`; `extra_body` is merged in last.
        stream: Whether to ask for server-sent events.

    Returns:
        A body without nulls. `False` and `0` are answers and stay.
    """
    body = {**payload, **(payload.get("extra_body") or {}), "stream": stream}
    for client_side in ("extra_body", "stream_options", "stream_usage"):
        body.pop(client_side, None)
    schema = body.get("response_format")
    if is_schema(schema):
        function = convert_to_openai_function(schema, strict=True)
        function["schema"] = function.pop("parameters")
        body["response_format"] = {"type": "json_schema", "json_schema": function}
    return {name: value for name, value in body.items() if value is not None}


def is_schema(response_format: Any) -> TypeIs[type[BaseModel]]:
    """Whether a `response_format` is a pydantic class, as `with_structured_output` gives it."""
    return isinstance(response_format, type) and issubclass(response_format, BaseModel)


def parsed_as(schema: Any, text: str) -> dict[str, Any]:
    """`{"parsed": …}` where `text` fits the pydantic class asked for, else nothing."""
    if not is_schema(schema):
        return {}
    try:
        return {"parsed": schema.model_validate_json(text)}
    except ValidationError:
        return {}


def read_reply(body: Any, source: Source, *, schema: Any = None) -> ChatResult:
    """A whole answer.

    Args:
        body: The decoded JSON of a 200.
        source: Which request it answers.
        schema: The `response_format` that was asked for; a pydantic class is parsed into.

    Returns:
        One generation per choice. `response_metadata` has `id` (of the generation),
        `model_name` (the model that answered), `provider_name`, `finish_reason`,
        `native_finish_reason` and `cost` (in USD), each where the server sent it.

    Raises:
        ExternalServiceError: The body holds an error, no choice, or nothing was said.
    """
    if not isinstance(body, Mapping):
        msg = f"{source.model} answered with JSON that is no object; try again or another model."
        raise MalformedReplyError(msg, model=source.model, status_code=source.status_code)
    if body.get("error"):
        raise error_from_body(body, source)
    choices = body.get("choices")
    if not choices:
        msg = f"{source.model} answered without a choice; try again or another model."
        raise MalformedReplyError(msg, model=source.model, raw=body, **source.ids(body))
    generations = [_generation(choice, body, source) for choice in choices]
    for generation in generations:
        generation.message.additional_kwargs |= parsed_as(schema, generation.text)
    usage = body.get("usage")
    llm_output = {"token_usage": usage, "model_name": body.get("model") or source.model}
    return ChatResult(generations=generations, llm_output=llm_output)


def _generation(
    choice: Mapping[str, Any], body: Mapping[str, Any], source: Source
) -> ChatGeneration:
    said = choice.get("message") or {}
    text = _text(said.get("content"))
    if choice.get("error") or choice.get("finish_reason") == "error":
        raise error_from_body({**body, "error": choice.get("error")}, source, partial_text=text)
    calls, broken_calls = _tool_calls(said.get("tool_calls") or ())
    facts = Facts()
    facts.note(body)
    facts.note_choice(choice)
    message = AIMessage(
        content=text,
        additional_kwargs=_additional(said),
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
    return EmptyReplyError(msg, model=source.model, raw=body, **source.ids(body))


def read_usage(usage: Mapping[str, Any] | None) -> UsageMetadata | None:
    """OpenRouter's `usage` in LangChain's words; None where it was not sent."""
    if not usage:
        return None
    sent, said = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    of_input = usage.get("prompt_tokens_details") or {}
    of_output = usage.get("completion_tokens_details") or {}
    input_details: dict[str, Any] = {
        "cache_read": of_input.get("cached_tokens"),
        "cache_creation": of_input.get("cache_write_tokens"),
        "audio": of_input.get("audio_tokens"),
    }
    output_details: dict[str, Any] = {
        "reasoning": of_output.get("reasoning_tokens"),
        "audio": of_output.get("audio_tokens"),
    }
    return UsageMetadata(
        input_tokens=sent,
        output_tokens=said,
        total_tokens=usage.get("total_tokens") or sent + said,
        input_token_details=cast("InputTokenDetails", _present(input_details)),
        output_token_details=cast("OutputTokenDetails", _present(output_details)),
    )


@dataclass(slots=True)
class Facts:
    """What a reply says about itself, in however many pieces it comes."""

    id: str | None = None
    model: str | None = None
    usage: Mapping[str, Any] | None = None
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    other: dict[str, Any] = field(default_factory=dict)

    def note(self, body: Mapping[str, Any]) -> None:
        """Take the facts of a whole body or of one chunk; the last that is no null counts."""
        self.id = body.get("id") or self.id
        self.model = body.get("model") or self.model
        self.usage = body.get("usage") or self.usage
        named = {"provider_name": body.get("provider")}
        same = {
            key: body.get(key)
            for key in ("system_fingerprint", "service_tier", "openrouter_metadata")
        }
        self.other |= _present({**named, **same})

    def note_choice(self, choice: Mapping[str, Any]) -> None:
        """Take the reasons why a choice ended; a repeated one counts once."""
        self.finish_reason = choice.get("finish_reason") or self.finish_reason
        self.native_finish_reason = choice.get("native_finish_reason") or self.native_finish_reason
        if choice.get("logprobs"):
            self.other["logprobs"] = choice["logprobs"]

    def metadata(self, source: Source) -> dict[str, Any]:
        """All of it, as LangChain's `response_metadata`."""
        usage = self.usage or {}
        named = {
            "id": self.id or source.generation_id,
            "model_name": self.model or source.model,
            "model_provider": MODEL_PROVIDER,
            "finish_reason": self.finish_reason,
            "native_finish_reason": self.native_finish_reason,
            "cost": usage.get("cost"),
            "token_usage": dict(usage) or None,
        }
        return _present({**named, **self.other})


@dataclass(slots=True)
class StreamReader:
    """Server-sent events in, message chunks out, every fact once.

    Text, reasoning and tool calls are handed on as they come; what the reply says about
    itself is collected and handed on with the last chunk, by `finish`.

    Attributes:
        source: Which request is being answered.
        schema: As in `read_reply`.
    """

    source: Source
    schema: Any = None
    facts: Facts = field(default_factory=Facts)
    texts: list[str] = field(default_factory=list)
    reasoning: list[Mapping[str, Any]] = field(default_factory=list)
    has_said_something: bool = False

    @property
    def partial_text(self) -> str:
        """The text so far."""
        return "".join(self.texts)

    def read(self, event: Any) -> ChatGenerationChunk | None:
        """One event.

        Args:
            event: The decoded JSON of one `data:` line.

        Returns:
            What it adds to the answer, or None where it only adds facts.

        Raises:
            ExternalServiceError: The event carries an error.
        """
        if not isinstance(event, Mapping):
            raise self._broken(NO_OBJECT)
        if event.get("error"):
            raise error_from_body(event, self.source, partial_text=self.partial_text)
        self.facts.note(event)
        choice = next(iter(event.get("choices") or ()), None)
        if choice is None:
            return None
        if choice.get("error") or choice.get("finish_reason") == "error":
            body = {**event, "error": choice.get("error")}
            raise error_from_body(body, self.source, partial_text=self.partial_text)
        self.facts.note_choice(choice)
        return self._delta(choice.get("delta") or choice.get("message") or {})

    def finish(self) -> ChatGenerationChunk:
        """The last chunk, once the events are over: usage and metadata.

        Raises:
            BrokenStreamError: The model had not finished; `partial_text` has what came.
            EmptyReplyError: It finished, but said nothing.
        """
        if self.facts.finish_reason is None:
            raise self._broken(UNFINISHED)
        usage = read_usage(self.facts.usage)
        if not self.has_said_something:
            body = {"id": self.facts.id, "provider": self.facts.other.get("provider_name")}
            raise empty_reply(self.facts.finish_reason, usage, self.source, body)
        message = AIMessageChunk(
            content="",
            additional_kwargs={
                **_present({"reasoning_details": merged_reasoning(self.reasoning) or None}),
                **parsed_as(self.schema, self.partial_text),
            },
            usage_metadata=usage,
            response_metadata=self.facts.metadata(self.source),
        )
        return ChatGenerationChunk(message=message)

    def _delta(self, delta: Mapping[str, Any]) -> ChatGenerationChunk | None:
        text = _text(delta.get("content"))
        calls = [_call_chunk(call) for call in delta.get("tool_calls") or ()]
        extra = _additional(delta)
        self.reasoning += extra.pop("reasoning_details", ())
        if not (text or calls or extra):
            return None
        self.texts.append(text)
        self.has_said_something |= bool(text or calls or extra.keys() - {"reasoning_content"})
        message = AIMessageChunk(content=text, additional_kwargs=extra, tool_call_chunks=calls)
        return ChatGenerationChunk(message=message)

    def _broken(self, what: str) -> BrokenStreamError:
        return BrokenStreamError(
            f"{self.source.model} {what}; try again or another model.",
            model=self.source.model,
            partial_text=self.partial_text,
            status_code=self.source.status_code,
            generation_id=self.facts.id or self.source.generation_id,
            provider_name=self.facts.other.get("provider_name"),
        )


def merged_reasoning(fragments: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """`reasoning_details` of a stream as the items they are fragments of.

    Fragments of one (type, index) are one item: its text and summary are joined, the last of
    any other field counts. Encrypted items come whole and are never joined (recorded traffic;
    the documentation does not say).
    """
    items: list[dict[str, Any]] = []
    open_items: dict[Any, dict[str, Any]] = {}
    for fragment in fragments:
        key = (fragment.get("type"), fragment.get("index"))
        item = open_items.get(key)
        if item is None or fragment.get("index") is None or "data" in fragment:
            item = open_items[key] = dict(fragment)
            items.append(item)
            continue
        joined = {
            k: (item.get(k) or "") + fragment[k] for k in ("text", "summary") if fragment.get(k)
        }
        item |= _present({**fragment, **joined})
    return items


def summed_usage(usages: Iterable[Mapping[str, Any] | None]) -> dict[str, Any]:
    """Usage of several answers together: numbers are added up, flags are true if any is."""
    total: dict[str, Any] = {}
    for usage in usages:
        for name, value in (usage or {}).items():
            before = total.get(name)
            if isinstance(value, Mapping):
                total[name] = summed_usage([before, value])
            elif isinstance(value, bool):
                total[name] = bool(before) or value
            elif isinstance(value, int | float):
                total[name] = (before or 0) + value
    return total


def _text(content: Any) -> str:
    """Content as text; some providers send a list of parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    return "".join(part.get("text") or "" for part in parts if isinstance(part, Mapping))


def _additional(said: Mapping[str, Any]) -> dict[str, Any]:
    """What has no field of its own in LangChain's message."""
    reasoning = said.get("reasoning") or said.get("reasoning_content")
    return _present(
        {
            "reasoning_content": reasoning or None,
            "reasoning_details": said.get("reasoning_details") or None,
            "refusal": said.get("refusal") or None,
            "images": said.get("images") or None,
            "audio": said.get("audio") or None,
            "annotations": said.get("annotations") or None,
        }
    )


def _tool_calls(raw_calls: Any) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    """Calls that parse, and those that do not, with the text they came as."""
    good: list[ToolCall] = []
    broken: list[InvalidToolCall] = []
    for raw in raw_calls:
        call = {**raw, "function": {**raw.get("function", {})}}
        call["function"]["arguments"] = call["function"].get("arguments") or "{}"
        try:
            parsed = parse_tool_call(call, return_id=True)
        except ValueError as error:  # OutputParserException is one
            broken.append(make_invalid_tool_call(call, str(error)))
        else:
            if parsed is not None:
                good.append(cast("ToolCall", parsed))
    return good, broken


def _call_chunk(call: Mapping[str, Any]) -> Any:
    function = call.get("function") or {}
    return tool_call_chunk(
        name=function.get("name"),
        args=function.get("arguments"),
        id=call.get("id"),
        index=call.get("index"),
    )


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
