"""Answers that fit a schema: asked for in three ways, read in one, refused when they do not fit."""

from __future__ import annotations

import json
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Literal

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.output_parsers import BaseCumulativeTransformOutputParser
from langchain_core.outputs import ChatGeneration, Generation
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_core.utils.json import parse_json_markdown, parse_partial_json

from langchain_tale.errors import ConfigurationError, ModerationError, UnparsableReplyError
from langchain_tale.openrouter.requests import response_format

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from langchain_core.language_models import LanguageModelInput

    from langchain_tale.openrouter.chat_models import ChatOpenRouter

Method = Literal["function_calling", "json_schema", "json_mode"]
METHODS: Final = ("function_calling", "json_schema", "json_mode")


def asking_for(
    llm: ChatOpenRouter,
    schema: Any,
    *,
    method: Method,
    include_raw: bool,
    strict: bool | None,
    **options: Any,
) -> Runnable[LanguageModelInput, Any]:
    """`ChatOpenRouter.with_structured_output`, which documents the arguments.

    OpenRouter drops parameters that a provider does not know, a schema among them, unless
    `require_parameters` is set (§16 of the documentation, C22).
    """
    if method not in METHODS:
        msg = f"method must be one of {', '.join(METHODS)}, not {method!r}."
        raise ConfigurationError(msg)
    if schema is None and method != "json_mode":
        msg = f"with_structured_output needs a schema where the method is {method!r}."
        raise ConfigurationError(msg)
    if (
        method == "json_schema"
        and not hasattr(schema, "model_json_schema")
        and hasattr(schema, "parse_obj")
    ):
        method = "function_calling"  # langchain-core makes no strict schema of pydantic's version 1
    traced = {"kwargs": {"method": method, "strict": strict}, "schema": schema}
    shared = {"require_parameters": True, "ls_structured_output_format": traced, **options}
    tool = None
    if method == "function_calling":
        tool = convert_to_openai_tool(schema)["function"]["name"]
        bound = llm.bind_tools([schema], tool_choice=tool, strict=strict, **shared)
    elif method == "json_schema":
        wanted = response_format(schema, strict=strict)
        bound = llm.bind(response_format=wanted, **shared)
    else:
        bound = llm.bind(response_format={"type": "json_object"}, **shared)
    parser = StructuredReply(wanted=schema, tool=tool)
    return _with_raw(bound, parser) if include_raw else bound | parser


def _with_raw(
    llm: Runnable[LanguageModelInput, AIMessage], parser: StructuredReply
) -> Runnable[LanguageModelInput, Any]:
    """`{"raw": …, "parsed": …, "parsing_error": …}`, as LangChain has it."""
    parsed = RunnablePassthrough.assign(
        parsed=itemgetter("raw") | parser, parsing_error=lambda _: None
    )
    unparsed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=llm) | parsed.with_fallbacks([unparsed], exception_key="parsing_error")


class StructuredReply(BaseCumulativeTransformOutputParser[Any]):
    """An answer as an instance of a schema; in a stream of dicts, one that grows.

    Attributes:
        wanted: A pydantic class, whose instances come out, or any other schema, for a dict.
        tool: The tool whose arguments are the answer, or None where its text is.
    """

    wanted: Any = None
    tool: str | None = None

    @property
    def _type(self) -> str:
        return "structured_reply"

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """The instance.

        Raises:
            UnparsableReplyError: The answer is cut off or does not fit; it holds the text.
            ModerationError: The model refused.
        """
        generation = result[0]
        message = generation.message if isinstance(generation, ChatGeneration) else None
        message = message or AIMessage(generation.text)
        if partial:
            return None if self._is_class else self._so_far(message)
        if refusal := message.additional_kwargs.get("refusal"):
            msg = f"{_model(message)} refused to answer; change what is asked for."
            raise ModerationError(msg, partial_text=refusal, **_ids(message))
        try:
            return self._fitted(self._whole(message))
        except (ValueError, TypeError) as error:
            raise _unfit(message, self._text(message), error) from None

    def parse(self, text: str) -> Any:
        """The instance that bare text holds."""
        return self.parse_result([Generation(text=text)])

    @property
    def _is_class(self) -> bool:
        return hasattr(self.wanted, "model_validate") or hasattr(self.wanted, "parse_obj")

    def _text(self, message: BaseMessage) -> str:
        """What the answer was written as, whole or not."""
        for call in getattr(message, "tool_call_chunks", ()):
            if call["name"] == self.tool:
                return call["args"] or "{}"
        calls = getattr(message, "invalid_tool_calls", ())
        return str(calls[0]["args"]) if calls and not message.text else message.text

    def _whole(self, message: BaseMessage) -> Any:
        if not isinstance(message, AIMessageChunk):  # whose calls may have been repaired
            for call in getattr(message, "tool_calls", ()):
                if call["name"] == self.tool:
                    return call["args"]
        return parse_json_markdown(self._text(message), parser=_strictly)

    def _so_far(self, message: BaseMessage) -> Any:
        for call in getattr(message, "tool_calls", ()):
            if call["name"] == self.tool:
                return call["args"]
        try:
            found = parse_json_markdown(message.text, parser=parse_partial_json)
        except ValueError:
            return None
        return found if isinstance(found, dict) else None

    def _fitted(self, value: Any) -> Any:
        if hasattr(self.wanted, "model_validate"):
            return self.wanted.model_validate(value)
        if hasattr(self.wanted, "parse_obj"):
            return self.wanted.parse_obj(value)
        missing = self._required() - value.keys()
        if missing:
            msg = f"it lacks {', '.join(sorted(missing))}"
            raise ValueError(msg)
        return value

    def _required(self) -> set[str]:
        if self.wanted is None:
            return set()
        function = convert_to_openai_tool(self.wanted)["function"]
        return set((function.get("parameters") or {}).get("required") or ())

    # A growing dict is handed on as it comes; only its end can tell whether it fits.

    def _transform(self, input: Iterator[Any]) -> Iterator[Any]:  # noqa: A002 (langchain-core's name)
        seen = _Seen()
        last = None
        for last in super()._transform(seen.noting(input)):
            yield last
        final = self.parse_result([seen.generation()])
        if final != last:
            yield final

    async def _atransform(self, input: AsyncIterator[Any]) -> AsyncIterator[Any]:  # noqa: A002 (as above)
        seen = _Seen()
        last = None
        async for last in super()._atransform(seen.anoting(input)):
            yield last
        final = self.parse_result([seen.generation()])
        if final != last:
            yield final


class _Seen:
    """What came of a stream so far, added up."""

    def __init__(self) -> None:
        self.message: Any = None

    def noting(self, chunks: Iterator[Any]) -> Iterator[Any]:
        for chunk in chunks:
            self._add(chunk)
            yield chunk

    async def anoting(self, chunks: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for chunk in chunks:
            self._add(chunk)
            yield chunk

    def _add(self, chunk: Any) -> None:
        self.message = chunk if self.message is None else self.message + chunk

    def generation(self) -> Generation:
        if isinstance(self.message, BaseMessage):
            return ChatGeneration(message=self.message)
        return Generation(text=self.message or "")


def _strictly(text: str) -> Any:
    """JSON that is whole; raw line breaks in its strings are common and harmless."""
    value = json.loads(text, strict=False)
    if not isinstance(value, dict):
        msg = "it is no JSON object"
        raise TypeError(msg)
    return value


def _unfit(message: BaseMessage, text: str, error: Exception) -> UnparsableReplyError:
    model = _model(message)
    if _is_cut_off(message):
        msg = (
            f"{model} reached max_tokens before its structured answer was whole; raise max_tokens."
        )
    else:
        what = f"gave an answer that does not fit the schema ({_reason(error)})"
        msg = f"{model} {what}; try again or another model."
    return UnparsableReplyError(msg, partial_text=text, **_ids(message))


def _reason(error: Exception) -> str:
    """What does not fit, without a word of the answer itself."""
    if hasattr(error, "errors"):  # pydantic's, of either version
        places = {".".join(map(str, item["loc"])) or "the whole" for item in error.errors()}
        return ", ".join(sorted(places))
    return "it is no whole JSON object" if isinstance(error, json.JSONDecodeError) else str(error)


def _is_cut_off(message: BaseMessage) -> bool:
    return bool(message.response_metadata.get("finish_reason") == "length")


def _model(message: BaseMessage) -> str:
    return str(message.response_metadata.get("model_name") or "The model")


def _ids(message: BaseMessage) -> dict[str, Any]:
    metadata: Mapping[str, Any] = message.response_metadata
    return {
        "model": metadata.get("model_name"),
        "provider_name": metadata.get("provider_name"),
        "generation_id": metadata.get("id"),
    }
