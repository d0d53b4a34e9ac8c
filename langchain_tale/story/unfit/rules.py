"""Does a text ask for what is unfit for a child? By lists of words; pure.

Lists find what is said plainly, and common disguises of it: letters of another alphabet, digits
for letters, letters set apart. They neither understand a sentence nor know every word: what
they let pass is for the model's own care, and on wish for a judge.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import TYPE_CHECKING, Final

from langchain_tale.story.unfit.words import ENGLISH, RUSSIAN

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from langchain_tale.story.request import StoryRequest

THEMES: Final = tuple(ENGLISH)
LOOKED_AT: Final = ("theme", "hero", "moral", "setting", "tone", "interests")
"""The fields of a request that ask for something; `avoid` asks for the opposite."""
_LATIN_OF: Final = str.maketrans("авекмнорстухіѕјԁԛԝ", "abekmhopctyxisjdqw")
"""Cyrillic letters in the order of the Latin ones that look like them."""
_CYRILLIC_OF: Final = str.maketrans("aekmopctyxbh", "аекморстухвн")
_SHORT_I: Final = ("и\u0306", "й")
"""A letter of its own, which NFKD takes for one with an accent."""
_LETTER_OF_DIGIT: Final = str.maketrans("013457@$", "oieastas")
_WITH_DIGITS: Final = re.compile(r"(?<!\w)(?=\w*[^\W\d_])[\w@$]*[013457@$][\w@$]*")
_SPACED_OUT: Final = re.compile(r"(?<!\w)\w(?:[\s.\-_*]{1,2}\w){2,}(?!\w)")
_MIXED: Final = re.compile(r"(?=\w*[a-z])(?=\w*[а-яіѕјԁԛԝ])\w+")


def unfit_theme(request: StoryRequest, themes: Collection[str] = THEMES) -> tuple[str, str] | None:
    """The first field of a request that asks for something unfit, and the theme of it.

    Args:
        request: What the story should be.
        themes: Those to look for.

    Returns:
        The name of the field and one of `THEMES`; None where nothing was found.
    """
    for name in LOOKED_AT:
        value = getattr(request, name)
        texts = value if isinstance(value, tuple) else (value or "",)
        for text in texts:
            if theme := theme_in(text, themes):
                return name, theme
    return None


def theme_in(text: str, themes: Collection[str] = THEMES) -> str | None:
    """The unfit theme of a text, or None.

    Example:
        >>> theme_in("a p0rn star"), theme_in("a killer whale and a murder of crows")
        ('sexual', None)
    """
    readings = tuple(_readings(text))
    for theme, pattern in _patterns():
        if theme in themes and any(pattern.search(reading) for reading in readings):
            return theme
    return None


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """One pattern a theme, over both languages: requests mix them."""
    return tuple(
        (theme, re.compile(rf"(?<!\w)(?:{'|'.join((*ENGLISH[theme], *RUSSIAN[theme]))})(?!\w)"))
        for theme in THEMES
    )


def _readings(text: str) -> Iterator[str]:
    """What a text may be meant to say: as it is, and without its disguises."""
    plain = _plain(text)
    yield plain
    joined = _SPACED_OUT.sub(lambda found: re.sub(r"[\W_]", "", found.group()), plain)
    lettered = _WITH_DIGITS.sub(lambda found: found.group().translate(_LETTER_OF_DIGIT), joined)
    yield lettered
    if _MIXED.search(lettered):
        yield lettered.translate(_LATIN_OF)
        yield lettered.translate(_CYRILLIC_OF)


def _plain(text: str) -> str:
    """Lower case without accents; letters of other widths and styles as the common ones."""
    parts = unicodedata.normalize("NFKD", text.casefold()).replace(*_SHORT_I)
    bare = "".join(char for char in parts if unicodedata.category(char) not in {"Mn", "Cf", "Me"})
    return " ".join(bare.split())
