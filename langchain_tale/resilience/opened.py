"""A stream that has begun, and can still be left for another one."""

from __future__ import annotations

from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    message_chunk_to_message,
)
from langchain_core.messages.ai import UsageMetadata, add_usage
from langchain_core.outputs.chat_generation import merge_chat_generation_chunks

from langchain_tale.resilience.members import has_content

if TYPE_CHECKING:
    from langchain_core.outputs import ChatGenerationChunk

    from langchain_tale.resilience.runs import Answer

ChunksT = TypeVar("ChunksT")
StackT = TypeVar("StackT", ExitStack, AsyncExitStack)


@dataclass(slots=True)
class Opened(Generic[ChunksT, StackT]):
    """A stream that has begun: its first chunks are here, the rest is on the way.

    Attributes:
        rest: The chunks to come.
        answer: Where the run of the attempt finds its message.
        until: What closes the stream and ends the run.
        head: The chunks up to the first content.
        metadata: What all chunks said about the answer.
        texts: What was said so far.
        usage: Tokens, as far as they were counted.
        is_handed_on: Whether the consumer has its beginning, or will have it now.
    """

    rest: ChunksT
    answer: Answer
    until: StackT
    head: list[ChatGenerationChunk] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    usage: UsageMetadata | None = None
    is_handed_on: bool = False

    def starts_with(self, chunk: ChatGenerationChunk) -> bool:
        """Keep a chunk of the head; True once there is content, and so no way back."""
        self.head.append(chunk)
        self.note(chunk)
        return has_content(chunk)

    def note(self, chunk: ChatGenerationChunk) -> None:
        """Remember what a chunk says, and what it says of the answer."""
        message = chunk.message
        self.texts.append(chunk.text)
        if chunk.generation_info:
            self.metadata |= chunk.generation_info
        if message.response_metadata:
            self.metadata |= message.response_metadata
        if isinstance(message, AIMessageChunk) and message.usage_metadata:
            self.usage = add_usage(self.usage, message.usage_metadata)

    @property
    def text(self) -> str:
        """What was said so far, as one."""
        return "".join(self.texts)

    @property
    def message(self) -> BaseMessage:
        """The answer so far."""
        whole = merge_chat_generation_chunks(list(self.head))
        return message_chunk_to_message(whole.message) if whole else AIMessage("")

    def finish(self) -> None:
        """Give the run of the attempt the whole message."""
        self.answer.message = AIMessage(self.text, response_metadata=self.metadata)
