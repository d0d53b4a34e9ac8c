"""An engine for tests: instant answers that depend on nothing but the request."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from langchain_tale.sandbox import reasoning
from langchain_tale.sandbox.examples import WORD, example_of
from langchain_tale.sandbox.mentions import mentions_in
from langchain_tale.sandbox.pieces import End, EngineError, Piece, ToolCall, text_of, token_limit
from langchain_tale.sandbox.storybooks import storybook_of

IMAGE_TOKENS: Final = 64
"""What one image counts; made up."""
_SUBJECTS: Final = ("a small fox", "a shy hedgehog", "a brave duckling", "an old lighthouse")
_ENDINGS: Final = (
    "And that night everyone slept soundly.",
    "From that day on they shared everything.",
    "And the moon smiled over the quiet hill.",
)
_ALTERNATIVES: Final = ("fox", "moon", "berry", "hill", "friend")
_PIXEL: Final = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
"""A PNG of one pixel."""
_SILENCE: Final = base64.b64encode(bytes(240)).decode()
"""Five milliseconds of PCM at 24 kHz; 240 is a multiple of 3, so that no padding is in the way."""
_SOUND_UNTIL: Final = 4_102_444_800
"""The year 2100, since an answer depends on nothing but the request."""


class ScriptedEngine:
    """Instant answers that depend on nothing but the request.

    It calls the tool it is given unless the last message is a tool's result (all of them
    where `parallel_tool_calls` is true, their arguments in fragments), with the numbers and
    quoted texts of the user's last message where they fit. It fills JSON schemas with
    examples, one that wants scenes with a story, and an object without a schema under the
    names that this message quotes.
    Otherwise it tells a short story, whatever the model. What the assistant said last it
    continues, to the character, where the story begins so, and else by a fresh sentence.
    A word is a token. Before it answers it reasons, where that is asked for; it says how
    likely its words were (`logprobs`), paints one pixel and speaks silence (`modalities`)
    likewise.

    Args:
        reply: What it says instead of the story.
    """

    provider_name = "Sandbox (scripted)"

    def __init__(self, reply: Callable[[Mapping[str, Any]], str] | None = None) -> None:
        self._reply = reply or _story

    async def generate(self, request: Mapping[str, Any]) -> AsyncGenerator[Piece | End]:
        """Answer word by word."""
        try:
            calls, reply = _calls(request), _json_reply(request)
        except ValueError as error:
            raise EngineError(400, str(error), "invalid_request") from error
        for item in self._told(request, calls, reply):
            yield item

    def _told(
        self, request: Mapping[str, Any], calls: list[ToolCall], reply: str | None
    ) -> Iterator[Piece | End]:
        """First the reasoning, then the answer, both out of one budget of tokens."""
        limit = token_limit(request)
        thoughts = reasoning.thoughts(request)
        thinking = thoughts[:limit]
        yield from reasoning.told(request, thinking, is_whole=thinking == thoughts)
        left = None if limit is None else limit - len(thinking)
        if left == 0:
            outcome = _Outcome("length", 0)
        elif calls:
            outcome = yield from _called(request, calls)
        else:
            asked, said = _prefill(request)
            texts = _tokens(_rest(reply or self._reply(asked), said))
            fitting = texts[:left]
            outcome = yield from _answered(request, fitting, is_whole=fitting == texts)
        prompt_tokens = sum(len(text_of(message).split()) for message in request["messages"])
        details = {"reasoning_tokens": len(thinking)} if thoughts else {}
        yield End(
            outcome.finish_reason,
            prompt_tokens,
            len(thinking) + outcome.tokens,
            {**details, **outcome.details},
        )

    def close(self) -> None:
        """Nothing to free."""


def _prefill(request: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """The request without what the assistant has said of the answer already, and that."""
    *asked, last = request["messages"]
    if not asked or last.get("role") != "assistant" or last.get("tool_calls"):
        return request, ""
    return {**request, "messages": asked}, text_of(last)


def _rest(reply: str, said: str) -> str:
    """What of a reply is left to say; where it begins otherwise, it without its title."""
    if reply.startswith(said):
        return reply.removeprefix(said)
    title, _, text = reply.partition("\n\n")
    return text or title


def _tokens(text: str) -> list[str]:
    """Its words, each with the blank before it."""
    first, *others = text.split(" ")
    return [*([first] if first else []), *(f" {word}" for word in others)]


def _story(request: Mapping[str, Any]) -> str:
    asked = json.dumps(request["messages"], sort_keys=True, ensure_ascii=False)
    seed = int.from_bytes(hashlib.sha256(asked.encode()).digest()[:4])
    subject, ending = _SUBJECTS[seed % len(_SUBJECTS)], _ENDINGS[seed % len(_ENDINGS)]
    return (
        f"# The Tale of {subject.title()}\n\n"
        f"Once upon a time there lived {subject} who found a basket of berries. "
        f"Its friends were hungry, so it gave them half, and there was enough for all.\n\n{ending}"
    )


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How an answer ended, and what it counts."""

    finish_reason: str
    tokens: int
    details: dict[str, int] = field(default_factory=dict)


def _answered(
    request: Mapping[str, Any], texts: list[str], *, is_whole: bool
) -> Generator[Piece, None, _Outcome]:
    """The words that fit, spoken or written, and an image, as the modalities want it."""
    modalities = request.get("modalities") or ["text"]
    tokens, details = len(texts), {}
    if "audio" in modalities:
        yield from _spoken(texts)
        details["audio_tokens"] = len(texts)
    elif "text" in modalities:
        for text in texts:
            yield Piece(text=text, logprobs=_logprobs(request, text))
    else:
        tokens = 0
    if "image" in modalities:
        yield Piece(extras={"images": [{"type": "image_url", "image_url": {"url": _PIXEL}}]})
        tokens += IMAGE_TOKENS
        details["image_tokens"] = IMAGE_TOKENS
    return _Outcome("stop" if is_whole else "length", tokens, details)


def _spoken(texts: list[str]) -> Iterator[Piece]:
    """OpenAI's fragments: an id and the words, then the sound, then how long it is kept."""
    digest = hashlib.sha256("".join(texts).encode()).hexdigest()
    fragments: list[dict[str, Any]] = [{"transcript": text} for text in texts]
    fragments += [{"data": _SILENCE}, {"data": _SILENCE}, {"expires_at": _SOUND_UNTIL}]
    fragments[0] = {"id": f"audio_{digest[:24]}", **fragments[0]}
    for fragment in fragments:
        yield Piece(extras={"content": None, "audio": fragment})


def _logprobs(request: Mapping[str, Any], token: str) -> tuple[Mapping[str, Any], ...] | None:
    if not request.get("logprobs"):
        return None
    chosen = _likely(token, hashlib.sha256(token.encode()).digest()[0] / -256)
    others = [_likely(f" {word}", -2.0 - rank) for rank, word in enumerate(_ALTERNATIVES)]
    top = [chosen, *others][: request.get("top_logprobs") or 0]
    return ({**chosen, "top_logprobs": top},)


def _likely(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "bytes": list(token.encode()), "logprob": logprob}


def _calls(request: Mapping[str, Any]) -> list[ToolCall]:
    tools = [tool["function"] for tool in request.get("tools") or () if "function" in tool]
    choice = request.get("tool_choice")
    if not tools or choice == "none" or request["messages"][-1].get("role") == "tool":
        return []
    wanted = choice.get("function", {}).get("name") if isinstance(choice, Mapping) else None
    named = [tool for tool in tools if tool["name"] == wanted]
    asked = _asked(request)
    if not named and request.get("parallel_tool_calls"):
        return [_call(tool, index, asked) for index, tool in enumerate(tools)]
    return [_call((named or tools)[0], 0, asked)]


def _asked(request: Mapping[str, Any]) -> str:
    """What the user said last."""
    said = (text_of(each) for each in reversed(request["messages"]) if each.get("role") == "user")
    return next(said, "")


def _call(tool: Mapping[str, Any], index: int, asked: str) -> ToolCall:
    arguments = json.dumps(example_of(tool.get("parameters") or {}, asked), ensure_ascii=False)
    digest = hashlib.sha256(f"{tool['name']}{arguments}".encode()).hexdigest()
    return ToolCall(f"call_{digest[:12]}", tool["name"], arguments, index)


def _called(request: Mapping[str, Any], calls: list[ToolCall]) -> Generator[Piece, None, _Outcome]:
    for call in calls:
        if not request.get("parallel_tool_calls"):
            yield Piece(tool_call=call)
            continue
        yield Piece(tool_call=replace(call, arguments=""))
        half = len(call.arguments) // 2
        for part in (call.arguments[:half], call.arguments[half:]):
            yield Piece(tool_call=ToolCall("", "", part, call.index))
    return _Outcome("tool_calls", sum(len(call.arguments) // 4 + 1 for call in calls))


def _json_reply(request: Mapping[str, Any]) -> str | None:
    wanted = request.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        schema = wanted.get("json_schema", {}).get("schema", {})
        example = storybook_of(schema, _asked(request)) or example_of(schema)
        return json.dumps(example, ensure_ascii=False)
    if wanted.get("type") != "json_object":
        return None
    names = [text for text in mentions_in(_asked(request)).texts if text.isidentifier()]
    return json.dumps(dict.fromkeys(names, WORD) or {"answer": "yes"}, ensure_ascii=False)
