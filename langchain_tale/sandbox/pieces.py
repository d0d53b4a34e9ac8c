"""What an answer is made of on its way from an engine to the wire."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

LOCAL_MODEL: Final = "huggingfacetb/smollm2-135m-instruct"
CONTEXT_TOKENS: Final = 4096


class SandboxError(RuntimeError):
    """The sandbox cannot start; the message says what to install or to change."""


class EngineError(Exception):
    """The engine refuses a request.

    Attributes:
        code: HTTP status.
        error_type: OpenRouter's word for it.
    """

    def __init__(self, code: int, message: str, error_type: str) -> None:
        super().__init__(message)
        self.code = code
        self.error_type = error_type


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a function with JSON arguments, or the next fragment of one.

    A fragment after the first has only `arguments`; fragments of one call share its `index`.
    """

    id: str
    name: str
    arguments: str
    index: int = 0

    def __add__(self, more: ToolCall) -> ToolCall:
        arguments = self.arguments + more.arguments
        return ToolCall(self.id or more.id, self.name or more.name, arguments, self.index)


@dataclass(frozen=True, slots=True)
class Piece:
    """The next bit of an answer.

    Attributes:
        text: Words.
        tool_call: A tool call, or a fragment of one.
        extras: What else its event carries, by OpenRouter's names: `reasoning`,
            `reasoning_details`, `annotations`, `images`, `audio`.
        logprobs: How likely each token of `text` was, in OpenAI's shape.
    """

    text: str = ""
    tool_call: ToolCall | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)
    logprobs: tuple[Mapping[str, Any], ...] | None = None


@dataclass(frozen=True, slots=True)
class End:
    """The end of an answer.

    Attributes:
        finish_reason: `stop`, `length`, `tool_calls` or `error`; None where nothing is said.
        prompt_tokens: Counted by the engine.
        completion_tokens: Likewise, reasoning and other output included.
        details: Parts of `completion_tokens`, by OpenRouter's names: `reasoning_tokens`,
            `image_tokens`, `audio_tokens`.
    """

    finish_reason: str | None
    prompt_tokens: int
    completion_tokens: int
    details: Mapping[str, int] = field(default_factory=dict)


class Engine(Protocol):
    """Writes answers."""

    provider_name: str

    def generate(self, request: Mapping[str, Any]) -> AsyncGenerator[Piece | End]:
        """Answer the body of a completion request; the last item is an `End`.

        Closing the iterator stops the generation.
        """
        ...

    def close(self) -> None:
        """Free what the engine holds."""
        ...


def token_limit(request: Mapping[str, Any]) -> int | None:
    """The most tokens the caller wants, by either name."""
    limit = request.get("max_completion_tokens")
    return limit if limit is not None else request.get("max_tokens")


def text_of(message: Mapping[str, Any]) -> str:
    """The words of a message, those of its text parts joined by blanks."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    return " ".join(str(part.get("text", "")) for part in parts)
