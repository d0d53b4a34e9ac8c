"""A story that one model began and another takes over: what to ask it, and where to join; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGenerationChunk

from langchain_tale.resilience.members import has_calls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tale.errors import EmptyReplyError

OnBrokenStream = Literal["raise", "restart", "continue"]
GO_ON: Final = (
    "Your text was cut off. Continue it exactly where it stops, in mid-sentence if need be. "
    "Write only what follows, and repeat nothing."
)
_SENTENCE_ENDS: Final = (".", "!", "?", "…")
_CLOSING: Final = "\"'”’»)*_"
SHORTEST_OVERLAP_CHARS: Final = 20
"""Fewer characters may well be repeated on purpose ("a very, very long tail")."""

_LAST_WORD: Final = re.compile(r"(?<=\s)[^\s.!?…]{1,40}$")
_NO_SPACE_BEFORE: Final = frozenset(".,;:!?…»”)")
VOICES_FOR_THE_END: Final = 2
"""Signs in the same place that a story had been told: empty replies, and a bill before it broke."""


@dataclass(slots=True)
class Seam:
    """Where a continuation joins what was told before, less what it tells a second time.

    A model that does not continue from its own words begins the sentence, or everything, again.
    What may still turn out to be such a repetition is held back.

    Attributes:
        before: All that was told before.
    """

    before: str
    held: str = ""
    is_joined: bool = False

    def take(self, piece: str) -> str:
        """What of `piece`, and of what was held back, can be handed on now."""
        if self.is_joined:
            return piece
        self.held += piece
        return "" if self.held in self.before else self.rest()

    def rest(self) -> str:
        """Decide, and hand on what is new."""
        self.is_joined = True
        held, self.held = self.held, ""
        repeated = self._repeated_chars(held)
        white = self.before[len(self.before.rstrip()) :]  # the next model was not given it
        return held[repeated:] if repeated else held.removeprefix(white)

    def _repeated_chars(self, held: str) -> int:
        shortest = min(SHORTEST_OVERLAP_CHARS, len(self.before))
        longest = min(len(held), len(self.before))
        overlaps = range(longest, shortest - 1, -1)
        return next((n for n in overlaps if n and self.before.endswith(held[:n])), 0)


@dataclass(slots=True)
class Telling:
    """One answer to a consumer, by as many streams as it takes.

    Attributes:
        asked: The messages of the call.
        on_broken_stream: What happens when a stream breaks after its first content.
        is_of_words: Whether nothing but text was handed on: half a tool call has no sequel.
    """

    asked: Sequence[BaseMessage]
    on_broken_stream: OnBrokenStream = "raise"
    is_of_words: bool = True
    _told: list[str] = field(default_factory=list)
    _seam: Seam | None = field(default=None)
    _ends: int = field(default=0)

    @property
    def text(self) -> str:
        """All that was handed on."""
        return "".join(self._told)

    @property
    def may_go_on(self) -> bool:
        """Whether another stream may follow the one that broke."""
        if self.on_broken_stream == "continue":
            return self.is_of_words and bool(self.text.strip())
        return self.on_broken_stream == "restart"

    def is_ended_by(self, error: EmptyReplyError) -> bool:
        """Whether a model that adds nothing means that everything was told already.

        Only at the end of a sentence, and on a second sign: otherwise an empty reply, as models
        give it out of weakness too, would pass half a story off as a whole one.
        """
        is_at_an_end = self.text.rstrip().rstrip(_CLOSING).endswith(_SENTENCE_ENDS)
        is_going_on = self._seam is not None and is_at_an_end
        if not (is_going_on and error.finish_reason == "stop"):
            return False
        self._ends += 1
        return self._ends >= VOICES_FOR_THE_END

    def messages(self, *, continues_prefill: bool) -> list[BaseMessage]:
        """What to ask the next model.

        Args:
            continues_prefill: Whether it continues from a last message of its own, as models
                on OpenRouter do (§4.6 of its documentation); others are told to go on.
        """
        if self.on_broken_stream != "continue" or not self.text:
            return list(self.asked)
        return going_on(self.asked, self.text, continues_prefill=continues_prefill)

    def breaks(self, error: Exception) -> ChatGenerationChunk | None:
        """Get ready for the next stream; what to tell the consumer first, if anything."""
        if self.on_broken_stream == "continue":
            self._seam = Seam(self.text)
            self._ends = int(getattr(error, "has_usage", False))
            return None
        self._told, self.is_of_words = [], True
        message = AIMessageChunk(content="", response_metadata={"is_restarted": True})
        return ChatGenerationChunk(message=message)

    def joined(self, chunk: ChatGenerationChunk) -> ChatGenerationChunk:
        """The chunk, less what was told before."""
        if self.is_of_words and has_calls(chunk):
            self.is_of_words = False
        if self._seam is not None and isinstance(chunk.message.content, str):
            chunk = with_text(chunk, self._seam.take(chunk.text))
        self._told.append(chunk.text)
        return chunk

    def rest(self) -> ChatGenerationChunk | None:
        """What was held back to the end."""
        held = "" if self._seam is None or self._seam.is_joined else self._seam.rest()
        self._told.append(held)
        return ChatGenerationChunk(message=AIMessageChunk(content=held)) if held else None


def going_on(
    asked: Sequence[BaseMessage], text: str, *, continues_prefill: bool
) -> list[BaseMessage]:
    """What to ask so that a text is continued; see `Telling.messages`."""
    so_far = AIMessage(text.rstrip())  # some providers refuse white space at the end
    return [*asked, so_far, *([] if continues_prefill else [HumanMessage(GO_ON)])]


def without_last_word(text: str) -> str:
    r"""A text that ran out of tokens, less the word that may be but half of one.

    What is left ends in white space, so that any continuation can be joined to it.

    Example:
        >>> without_last_word("The fox met an elep")
        'The fox met an '
        >>> without_last_word("The end.")
        'The end.'
    """
    return _LAST_WORD.sub("", text)


def joined_text(beginning: str, rest: str) -> str:
    """A text and its continuation, less what is told a second time.

    Example:
        >>> joined_text("Mia looked at the ", "Mia looked at the moon.")
        'Mia looked at the moon.'
        >>> joined_text("Mia looked at the moon ", ", and smiled.")
        'Mia looked at the moon, and smiled.'
    """
    seam = Seam(beginning)
    told = seam.take(rest)
    told = told if seam.is_joined else seam.rest()
    return (beginning.rstrip() if told[:1] in _NO_SPACE_BEFORE else beginning) + told


def with_text(chunk: ChatGenerationChunk, text: str) -> ChatGenerationChunk:
    """The same chunk, saying something else."""
    if text == chunk.text:
        return chunk
    message = chunk.message.model_copy(update={"content": text})
    return ChatGenerationChunk(message=message, generation_info=chunk.generation_info)
