"""A story that was told as plain text, cut into scenes; pure."""

from __future__ import annotations

import re
from typing import Final

from langchain_tale.story.book.reading import Reading, ends_whole, without_thoughts
from langchain_tale.story.book.story import Scene, Story
from langchain_tale.story.titles import split_title

_LEAST_WORDS: Final = 30
"""Fewer are a remark, not a story."""
_MARKUP: Final = re.compile(r"""^\s*[\[{]|```|["']?(?:scenes|illustration|text)["']?\s*:""")
_SENTENCE_GAP: Final = re.compile(r"""(?<=[.!?…。！？])["'”’»)]*\s+""")
_RULE: Final = re.compile(
    r"^\s*(?:[-*_]\s*){3,}$|^\s*#*\s*(?:scene|сцена)\s+\d+[:.]?\s*$", re.IGNORECASE
)


def story_from_prose(text: str, *, n_scenes: int, language: str = "en") -> Reading:
    """A story in plain text as scenes of about the same length.

    It has no pictures, no characters, no moral and no questions: the model gave none.

    Args:
        text: The whole answer.
        n_scenes: How many scenes are wanted; a text with fewer sentences gives fewer.
        language: What `Story.language` becomes.

    Raises:
        ValueError: It is broken JSON, too short, or ends amid a sentence.
    """
    told = without_thoughts(text).strip()
    if _MARKUP.search(told):
        msg = "it is broken JSON"
        raise ValueError(msg)
    title, content = split_title(told)
    if len(content.split()) < _LEAST_WORDS or not ends_whole(content):
        msg = "it is no whole story"
        raise ValueError(msg)
    texts = _balanced(_parts(content, n_scenes), n_scenes)
    scenes = tuple(Scene(text=part) for part in texts)
    story = Story(title=title or "", scenes=scenes, language=language)
    return Reading(story=story, form="prose")


def _parts(content: str, n_scenes: int) -> list[tuple[str, str]]:
    """The smallest parts that make enough scenes, each with what stands before it."""
    paragraphs = [part for part in re.split(r"\n\s*\n", content) if not _RULE.match(part)]
    if len(paragraphs) >= n_scenes:
        return [("\n\n", part) for part in paragraphs]
    return [
        ("\n\n" if number == 0 else " ", sentence)
        for paragraph in paragraphs
        for number, sentence in enumerate(_sentences(paragraph))
    ]


def _sentences(paragraph: str) -> list[str]:
    ends = [match.end() for match in _SENTENCE_GAP.finditer(paragraph)]
    pieces = (paragraph[a:b].strip() for a, b in zip([0, *ends], [*ends, None], strict=True))
    return [piece for piece in pieces if piece]


def _balanced(parts: list[tuple[str, str]], n_scenes: int) -> list[str]:
    """The parts in so many groups of about as many words; no group is empty."""
    total = sum(len(part.split()) for _, part in parts)
    groups: list[str] = []
    before = 0
    for left, (gap, part) in zip(range(len(parts), 0, -1), parts, strict=True):
        is_due = before >= total * len(groups) / n_scenes or left <= n_scenes - len(groups)
        if not groups or (is_due and len(groups) < n_scenes):
            groups.append(part)
        else:
            groups[-1] += f"{gap}{part}"
        before += len(part.split())
    return groups
