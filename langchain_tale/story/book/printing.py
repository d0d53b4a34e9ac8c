"""A story as plain text and as Markdown; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_tale.story.book.story import Story


@dataclass(frozen=True, slots=True, kw_only=True)
class Headings:
    """The words of ours between those of the story."""

    moral: str
    questions: str
    characters: str
    picture: str


_ENGLISH: Final = Headings(
    moral="What we learnt",
    questions="To talk about",
    characters="Who is who",
    picture="In the picture",
)
_RUSSIAN: Final = Headings(
    moral="Чему учит сказка",
    questions="О чём поговорить",
    characters="Кто есть кто",
    picture="На картинке",
)
_MARKS: Final = re.compile(r"[\\`*_\[\]<>&|~$]")
"""Punctuation that means something anywhere in a line, in common extensions too."""
_AT_THE_START: Final = re.compile(r"(?:#|[-+=]|\d+(?=[.)]))")
"""What makes a heading, a list, a rule or an underline of the line that it begins."""
_AUTOLINK: Final = re.compile(r"(?<=[A-Za-z]):(?=//)|(?<=\bwww)\.", re.IGNORECASE)


def headings_of(story: Story) -> Headings:
    """Russian for a Russian story, else English."""
    return _RUSSIAN if story.language == "ru" else _ENGLISH


def text_of(story: Story) -> str:
    """The story as plain text, ending in a line break."""
    return "\n\n".join(_parts(story)) + "\n"


def _parts(story: Story) -> Iterator[str]:
    heads = headings_of(story)
    yield from filter(None, (story.title, story.text))
    if story.moral:
        yield f"{heads.moral}: {story.moral}"
    if story.questions:
        numbered = (f"{n}. {question}" for n, question in enumerate(story.questions, 1))
        yield "\n".join([f"{heads.questions}:", *numbered])


def markdown_of(story: Story) -> str:
    """The story as Markdown (CommonMark), ending in a line break."""
    return "\n\n".join(_blocks(story)) + "\n"


def _blocks(story: Story) -> Iterator[str]:
    heads = headings_of(story)
    if story.title:
        yield f"# {_escaped(story.title)}"
    for number, scene in enumerate(story.scenes):
        if number:
            yield "---"
        yield _escaped(scene.text)
        if scene.illustration:
            yield f"> *{heads.picture}:* {_escaped(scene.illustration)}"
    if story.moral:
        yield f"## {heads.moral}\n\n{_escaped(story.moral)}"
    if story.questions:
        listed = "\n".join(f"- {_escaped(question)}" for question in story.questions)
        yield f"## {heads.questions}\n\n{listed}"
    if story.characters:
        listed = "\n".join(f"- {_introduced(c.name, c.look)}" for c in story.characters)
        yield f"## {heads.characters}\n\n{listed}"


def _introduced(name: str, look: str) -> str:
    return f"**{_escaped(name)}**: {_escaped(look)}" if look else f"**{_escaped(name)}**"


def _escaped(text: str) -> str:
    """Text that means itself; its lines have no indentation, which would make code of them."""
    return "\n".join(_escaped_line(line.strip()) for line in text.split("\n"))


def _escaped_line(line: str) -> str:
    safe = _AUTOLINK.sub(r"\\\g<0>", _MARKS.sub(r"\\\g<0>", line))
    start = _AT_THE_START.match(safe)
    if start is None:
        return safe
    if start.group().isdigit():
        return f"{start.group()}\\{safe[start.end() :]}"
    return f"\\{safe}"
