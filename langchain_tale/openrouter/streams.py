"""Server-sent events in, LangChain's message chunks out, every fact once; pure, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

from langchain_tale.errors import BrokenStreamError, ExternalServiceError
from langchain_tale.openrouter import reasoning
from langchain_tale.openrouter.failures import Source, error_from_body
from langchain_tale.openrouter.fragments import CallSlots, Sound
from langchain_tale.openrouter.protocol import (
    UNDOCUMENTED,
    Facts,
    additional,
    empty_reply,
    harmless,
    malformed,
    present,
    read_usage,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_core.messages.ai import UsageMetadata

NO_OBJECT: Final = "sent a stream event that is no JSON object"
UNFINISHED: Final = "stopped sending before it had finished"
_GROWING: Final = ("reasoning_content", "refusal")
_COUNTS_AS_SAID: Final = frozenset({"refusal", "images", "audio"})


@dataclass(slots=True)
class StreamReader:
    """One streamed answer.

    Text, reasoning, tool calls, refusals and sound are handed on as they come. All else, and
    what the answer says about itself, is collected and handed on once, by `finish`: chunks
    are added up by joining strings and lists, and servers repeat themselves.

    Attributes:
        source: Which request is being answered.
    """

    source: Source
    facts: Facts = field(default_factory=Facts)
    texts: list[str] = field(default_factory=list)
    fragments: list[Mapping[str, Any]] = field(default_factory=list)
    collected: dict[str, Any] = field(default_factory=dict)
    calls: CallSlots = field(default_factory=CallSlots)
    sound: Sound = field(default_factory=Sound)
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
        try:
            return self._read(event)
        except (AttributeError, TypeError, ValueError) as error:
            raise malformed(UNDOCUMENTED, event, self.source) from harmless(error)

    def _read(self, event: Mapping[str, Any]) -> ChatGenerationChunk | None:
        self.facts.note(event)
        if event.get("error"):
            raise self._failed(event)
        if event.get("citations"):
            self.collected["citations"] = event["citations"]
        choice = next((c for c in event.get("choices") or () if not c.get("index")), None)
        if choice is None:
            return None
        if choice.get("error") or choice.get("finish_reason") == "error":
            raise self._failed({**event, "error": choice.get("error")})
        self.facts.note_choice(choice)
        return self._delta(choice.get("delta") or choice.get("message") or {})

    def finish(self) -> ChatGenerationChunk:
        """The last chunk, once the events are over: all that was collected.

        Raises:
            BrokenStreamError: The model had not finished; `partial_text` has what came.
            EmptyReplyError: It finished, but said nothing.
        """
        if self.facts.finish_reason is None:
            raise self._broken(UNFINISHED)
        usage = read_usage(self.facts.said.get("token_usage"))
        if not self.has_said_something:
            raise empty_reply(self.facts.finish_reason, usage, self.source, self._as_body())
        try:
            return ChatGenerationChunk(message=self._last(usage))
        except (AttributeError, TypeError, ValueError) as error:
            raise malformed(UNDOCUMENTED, self._as_body(), self.source) from harmless(error)

    def _last(self, usage: UsageMetadata | None) -> AIMessageChunk:
        late = {
            "reasoning_details": reasoning.merged(self.fragments) or None,
            "audio": self.sound.rest() or None,
        }
        return AIMessageChunk(
            content="",
            additional_kwargs=present({**self.collected, **late}),
            tool_call_chunks=self.calls.marks(),
            usage_metadata=usage,
            response_metadata=self.facts.metadata(self.source),
            chunk_position="last",
        )

    def _delta(self, delta: Mapping[str, Any]) -> ChatGenerationChunk | None:
        text = text_of(delta.get("content"))
        calls = [self.calls.chunk(call) for call in delta.get("tool_calls") or ()]
        extra = additional(delta)
        self.has_said_something |= bool(text or calls or extra.keys() & _COUNTS_AS_SAID)
        self.fragments += extra.pop("reasoning_details", ())
        growing: dict[str, Any] = {name: extra.pop(name) for name in _GROWING if name in extra}
        if sound := self.sound.more(extra.pop("audio", {})):
            growing["audio"] = sound
        self._collect(extra)
        if not (text or calls or growing):
            return None
        self.texts.append(text)
        message = AIMessageChunk(
            content=text,
            additional_kwargs=growing,
            tool_call_chunks=calls,
            response_metadata={"model_provider": reasoning.MODEL_PROVIDER},  # for content_blocks
        )
        return ChatGenerationChunk(message=message)

    def _collect(self, extra: Mapping[str, Any]) -> None:
        """Keep what does not grow: new items of lists, and the last of everything else."""
        for name, value in extra.items():
            if isinstance(value, list):
                known = self.collected.setdefault(name, [])
                known += [item for item in value if item not in known]
            else:
                self.collected[name] = value

    def _failed(self, body: Mapping[str, Any]) -> Exception:
        return error_from_body(
            {**self._as_body(), **present(body)}, self.source, partial_text=self.partial_text
        )

    def _as_body(self) -> dict[str, Any]:
        """What is known of the answer, under the names that a whole one has."""
        said = self.facts.said
        named = {"model": "model_name", "provider": "provider_name", "usage": "token_usage"}
        return present({"id": said.get("id"), **{k: said.get(v) for k, v in named.items()}})

    def _broken(self, what: str) -> BrokenStreamError:
        error = BrokenStreamError(
            f"{self.source.model} {what}; try again or another model.",
            model=self.source.model,
            partial_text=self.partial_text,
            **self.source.ids(self._as_body()),
        )
        error.has_usage = self.facts.said.get("token_usage") is not None
        return error


@contextmanager
def keeping_partial_text(reader: StreamReader) -> Iterator[None]:
    """Errors on the way tell what had arrived before them, and who had sent it."""
    try:
        yield
    except ExternalServiceError as error:
        said = reader.facts.said
        error.partial_text = error.partial_text or reader.partial_text or None
        error.generation_id = said.get("id") or error.generation_id
        error.provider_name = error.provider_name or said.get("provider_name")
        raise
