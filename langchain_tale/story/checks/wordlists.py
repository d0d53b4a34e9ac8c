"""The word lists of the checks: one text file for each list and language."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

_HOME: Final = "langchain_tale.story.checks"


@cache
def lines_of(name: str, language: str = "") -> tuple[str, ...]:
    """The lines of a list, without comments and blank ones; none where there is no such list.

    Args:
        name: E.g. `"function_words"`.
        language: `"en"` or `"ru"`, or nothing for a list that has no language.
    """
    file = files(_HOME) / "lists" / f"{name}.{language}.txt".replace("..", ".")
    if not file.is_file():
        return ()
    lines = (line.partition("#")[0].strip() for line in file.read_text("utf-8").splitlines())
    return tuple(line for line in lines if line)


@cache
def words_in(name: str, language: str) -> frozenset[str]:
    """The words of a list that has several on a line."""
    return frozenset(word for line in lines_of(name, language) for word in line.split())
