"""Is there anything in it that is not the story? Chatter, titles, Markdown, the prompt."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from langchain_tale.story.checks.report import GRAVE, Finding
from langchain_tale.story.checks.told import words_of
from langchain_tale.story.checks.wordlists import lines_of
from langchain_tale.story.prompt import instructions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_tale.story.checks.told import Told

_HEADLINE: Final = re.compile(
    r"^\s*(?:#{1,6}\s.*|\**(?:title|story title|название|заголовок)\**\s*:.*)$", re.IGNORECASE
)
_SPEAKING: Final = frozenset("—–-\"“„«'‘")
"""What a line begins with that somebody says."""
_LONGEST_TITLE_WORDS: Final = 10
_MARKS: Final = re.compile(
    r"""
      ^[ \t]*(?:```|~~~|>[ ]|\|.*\||-{3,}[ \t]*$|={3,}[ \t]*$)    # blocks, tables, rules
    | ^[ \t]*(?:\*|\+|\d{1,2}[.)])[ \t]+(?![*\s])                 # lists
    | \*\*[^\s*][^*\n]*\*\* | __[^\s_][^_\n]*__                   # bold
    | (?<![\w*])\*[^\s*][^*\n]*\*(?![\w*]) | (?<!\w)_[^\s_][^_\n]*_(?!\w)
    | `[^`\n]+` | \[[^\]\n]+\]\([^)\n]+\) | </?[a-z][a-z0-9]*[ \t/>]
    """,
    re.VERBOSE | re.MULTILINE | re.IGNORECASE,
)
_DASHED_LINE: Final = re.compile(r"^[ \t]*-[ \t]+", re.MULTILINE)
_PHRASE_WORDS: Final = 6
"""So many words in a row that the prompt has too are no accident."""


@dataclass(frozen=True, slots=True)
class Chatter:
    """Sentences to the one who asked: "Sure! Here is your story", "I hope you enjoyed it"."""

    name: ClassVar[str] = "chatter"

    def __call__(self, told: Told) -> Finding:
        """How many there are."""
        return Finding(
            name=self.name,
            value=sum(1 for _ in _chatter(told)),
            at_most=0,
            weight=GRAVE,
            sentence=told.say(
                en="Write only the title and the story: nothing to me before it or after it.",
                ru="Пиши только название и сказку: ни слова мне ни до неё, ни после.",
            ),
        )


def _chatter(told: Told) -> Iterator[str]:
    """The first and the last lines that speak to the one who asked, and a refusal anywhere."""
    lines = [line.strip() for line in told.text.splitlines() if line.strip()]
    told_plainly = [line for line in lines if line[0] not in _SPEAKING]
    places = {"opening": told_plainly[:2], "closing": told_plainly[-2:], "anywhere": lines}
    for rule in lines_of("chatter", "en") + lines_of("chatter", "ru"):
        place, _, pattern = rule.partition(" ")
        yield from (line for line in places[place] if re.search(pattern, line, re.IGNORECASE))


@dataclass(frozen=True, slots=True)
class TitleInside:
    """Headlines inside the story: a second title, or one that is not marked as such."""

    name: ClassVar[str] = "title"

    def __call__(self, told: Told) -> Finding:
        """How many there are."""
        return Finding(
            name=self.name,
            value=len(_headlines(told)),
            at_most=0,
            sentence=told.say(
                en='Write the title once, alone on the first line after "# ".',
                ru="Название напиши один раз, отдельно на первой строке после «# ».",
            ),
        )


def _headlines(told: Told) -> list[str]:
    lines = [line.strip() for line in told.text.splitlines() if line.strip()]
    found = [line for line in lines if _HEADLINE.match(line)]
    first = lines[0] if lines else ""
    is_alone = len(told.paragraphs) > 1 and told.paragraphs[0] == first
    if first not in found and is_alone and _is_like_a_title(first, told.title):
        found.append(first)
    return found


def _is_like_a_title(line: str, title: str | None) -> bool:
    words = words_of(line)
    if [word.lower() for word in words] == [word.lower() for word in words_of(title or "")]:
        return True
    ends_as_a_sentence = line.rstrip("\"'”’»)*_ ")[-1:] in set(".!?…,;:—-")
    speaks = line[:1] in _SPEAKING
    return 0 < len(words) <= _LONGEST_TITLE_WORDS and not ends_as_a_sentence and not speaks


@dataclass(frozen=True, slots=True)
class Markdown:
    """Signs of Markdown or HTML, which are read aloud as nothing."""

    name: ClassVar[str] = "markdown"

    def __call__(self, told: Told) -> Finding:
        """How many there are."""
        found = _MARKS.findall(told.text)
        dashes = _DASHED_LINE.findall(told.text)
        is_list = bool(dashes) and told.language != "ru"  # where a dash begins what is said
        return Finding(
            name=self.name,
            value=len(found) + len(dashes) * is_list,
            at_most=0,
            sentence=told.say(
                en="Write plain text below the title: no lists, no bold type, no other marks.",
                ru="Под названием пиши простой текст: без списков, жирного шрифта и других знаков.",
            ),
        )


@dataclass(frozen=True, slots=True)
class PromptLeak:
    """Phrases of our own instructions, told to a child."""

    name: ClassVar[str] = "prompt_leak"

    def __call__(self, told: Told) -> Finding:
        """How many phrases of six words the story shares with the instructions."""
        ours = _phrases(instructions(told.language).lower())
        return Finding(
            name=self.name,
            value=len(ours & _phrases(told.text.lower())),
            at_most=0,
            weight=GRAVE,
            sentence=told.say(
                en="Tell a story; do not speak of your instructions.",
                ru="Расскажи сказку и не говори о своих указаниях.",
            ),
        )


def _phrases(text: str) -> set[tuple[str, ...]]:
    words = words_of(text)
    starts = range(len(words) - _PHRASE_WORDS + 1)
    return {tuple(words[start : start + _PHRASE_WORDS]) for start in starts}
