"""Answers that fit a schema: read in one way, however they were asked for."""

from __future__ import annotations

import json
import re
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Self

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.output_parsers import BaseCumulativeTransformOutputParser
from langchain_core.outputs import ChatGeneration, Generation
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_core.utils.json import parse_json_markdown, parse_partial_json

from langchain_tale.errors import UnparsableReplyError
from langchain_tale.resilience.refusing import ids_of, raise_if_refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from langchain_core.language_models import LanguageModelInput


_FENCE: Final = re.compile(r"```\w*\s*(\{.*?\})\s*```", re.DOTALL)


def with_raw(
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

    @classmethod
    def of(cls, schema: Any) -> Self:
        """The parser for a schema, whether a tool or the text carries the answer."""
        function = {} if schema is None else convert_to_openai_tool(_plain(schema))["function"]
        tool = function.get("name")
        return cls(wanted=schema, tool=tool)

    def refusal(self, message: AIMessage) -> str | None:
        """Why an answer does not fit, or None where it does: an `accept=` of the loop."""
        try:
            self.parse_result([ChatGeneration(message=message)])
        except UnparsableReplyError as error:
            return str(error).partition("; ")[0]
        return None

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
        raise_if_refused(message, f"{_model(message)} refused to answer")
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
        broken = getattr(message, "invalid_tool_calls", ())
        if broken and not message.text:
            return str(broken[0]["args"])
        whole = [c for c in getattr(message, "tool_calls", ()) if c["name"] == self.tool]
        return json.dumps(whole[0]["args"], ensure_ascii=False) if whole else message.text

    def _whole(self, message: BaseMessage) -> Any:
        if not isinstance(message, AIMessageChunk):  # whose calls may have been repaired
            for call in getattr(message, "tool_calls", ()):
                if call["name"] == self.tool:
                    return call["args"]
        text = self._text(message)
        fenced = _FENCE.search(text)
        return parse_json_markdown(fenced.group(1) if fenced else text, parser=_strictly)

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
        function = convert_to_openai_tool(_plain(self.wanted))["function"]
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


def _plain(schema: Any) -> Any:
    """A JSON schema without the envelope of a `response_format`."""
    if isinstance(schema, dict) and schema.get("type") == "json_schema":
        envelope = schema.get("json_schema") or {}
        return {"title": envelope.get("name", "answer"), **(envelope.get("schema") or {})}
    return schema


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
    return UnparsableReplyError(msg, partial_text=text, **ids_of(message))


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
