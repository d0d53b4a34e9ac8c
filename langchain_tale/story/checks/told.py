"""`Told`: a story as the checks read it, in words and sentences; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, Protocol

from langchain_tale.story.titles import split_title

if TYPE_CHECKING:
    from langchain_tale.story.checks.report import Finding
    from langchain_tale.story.request import StoryRequest
    from langchain_tale.story.result import StoryGenerationResult

_WORD: Final = re.compile(r"[^\W\d_](?:[^\W\d_]|[\u0300-\u036f\u0900-\u0dff])*(?:['’‑-][^\W\d_]+)*")
_CLOSING: Final = "\"'”’»)\\]*_"
_SENTENCE_END: Final = re.compile(
    rf"(?<!\bMr)(?<!\bMrs)(?<!\bDr)(?<!\bMs)(?<!\bSt)[.!?…。！？]+[{_CLOSING}]*"
    r"(?:\s+(?=[\"“«'‘(—–\s-]*[^\W_a-zа-яё])|\s*$)"
    r"|\n\s*\n"
)


class Check(Protocol):
    """One thing to measure of a story.

    Attributes:
        name: What the report calls it.
    """

    @property
    def name(self) -> str:
        """What the report calls it."""

    def __call__(self, told: Told) -> Finding | None:
        """What was measured; None where the request asks for nothing of the kind."""


@dataclass(frozen=True)
class Told:
    """A story, and what was asked for.

    Attributes:
        text: The story without its title.
        request: What was asked for.
        title: The title, or None.
        is_cut_off: Whether the model reached its token limit before it had finished.
    """

    text: str
    request: StoryRequest
    title: str | None = None
    is_cut_off: bool = False

    @classmethod
    def of(cls, story: str | StoryGenerationResult, request: StoryRequest) -> Told:
        """The story as a model wrote it, title and all, or as a chain returned it."""
        if not isinstance(story, str):
            return cls(story.content, request, story.title, story.is_cut_off)
        title, text = split_title(story)
        return cls(text.strip(), request, title)

    @property
    def language(self) -> str:
        """`"en"`, `"ru"`, or what the request says."""
        return self.request.language_code

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The words in order, in lower case; `don't` and `blue-eyed` are one each."""
        return tuple(words_of(self.text.lower()))

    @cached_property
    def sentences(self) -> tuple[str, ...]:
        """The sentences in order; `"Help!" cried Penny.` is one."""
        return tuple(sentences_of(self.text))

    @cached_property
    def paragraphs(self) -> tuple[str, ...]:
        """The paragraphs in order."""
        return tuple(part.strip() for part in re.split(r"\n\s*\n", self.text) if part.strip())

    def say(self, *, en: str, ru: str) -> str:
        """The sentence in the language of the prompt: Russian for Russian, else English."""
        return ru if self.language == "ru" else en


def words_of(text: str) -> list[str]:
    """The words of a text: letters, with inner apostrophes and hyphens.

    Example:
        >>> words_of("Don't! said the blue-eyed cat, 7 times.")
        ["Don't", 'said', 'the', 'blue-eyed', 'cat', 'times']
    """
    return _WORD.findall(text)


def sentences_of(text: str) -> list[str]:
    """The sentences of a text; one goes on when a small letter follows its mark.

    Example:
        >>> sentences_of('"Help!" cried Penny. Nobody came.')
        ['"Help!" cried Penny.', 'Nobody came.']
    """
    sentences, start = [], 0
    for mark in _SENTENCE_END.finditer(text):
        sentences.append(text[start : mark.end()].strip())
        start = mark.end()
    sentences.append(text[start:].strip())
    return [sentence for sentence in sentences if words_of(sentence)]
