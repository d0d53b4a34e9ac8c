"""The title of a story, on its first line."""

from __future__ import annotations

import re
from typing import Final

_TITLE: Final = re.compile(
    r"\s*(?:#{1,6}[^\S\n]+(?P<heading>[^\n]+)"
    r"|\*\*(?P<bold>[^\n*]+)\*\*:?"
    r"|(?:title|название)[^\S\n]*:[^\S\n]*(?P<label>[^\n]+))[^\S\n]*(?:\n|$)",
    re.IGNORECASE,
)
_MAY_BE_TITLE: Final = re.compile(r"\s*(?:[#*]|t(?:i|$)|н(?:а|$)|$)[^\n]*", re.IGNORECASE)
_TITLE_MARKS: Final = " \t\r*_#\"'“”«»:"


def split_title(text: str, *, is_growing: bool = False) -> tuple[str | None, str]:
    r"""The title on the first line, and the story below it.

    Args:
        text: What the model wrote: `"# The Fox\n\nOnce …"`, `"**The Fox**"` or `"Title: …"`.
        is_growing: Whether more may come: a first line that may become a title is held back.

    Returns:
        The title, or None where the first line is none; and the rest.

    Example:
        >>> split_title("# The Fox\n\nOnce upon a time")
        ('The Fox', 'Once upon a time')
        >>> split_title("Once upon a time")
        (None, 'Once upon a time')
    """
    if is_growing and "\n" not in text.lstrip() and _MAY_BE_TITLE.fullmatch(text):
        return None, ""
    found = _TITLE.match(text)
    if found is None:
        return None, text.lstrip()
    title = next(part for part in found.groups() if part is not None).strip(_TITLE_MARKS)
    return title or None, text[found.end() :].lstrip()
