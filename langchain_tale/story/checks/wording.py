"""Does it say what was asked for, and not say what was ruled out?

By rule: the child's name in any form, what the request avoids, and whether the theme is there at
all. Whether a moral is really shown no rule can tell; a judge can (see `judge`).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Final

from langchain_tale.story.checks.report import GRAVE, Finding
from langchain_tale.story.checks.scripts import main_script
from langchain_tale.story.checks.told import words_of
from langchain_tale.story.checks.wordlists import words_in

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_tale.story.checks.told import Told

_NAME_ENDINGS_RU: Final = (
    "а|я|ы|и|е|у|ю|ой|ей|ою|ею|ом|ем|ье|ьи|ью|ья|й|ь|"  # Маша, Маши, Маше; Пётр, Петра
    "ка|ки|ке|ку|кой|енька|еньки|еньке|еньку|енькой|ечка|ечки|ечке|ечку|ечкой|"  # Машенька
    "ин|ина|ину|ином|ине|иной|ины|иных|ов|ова|овой|ову|овы"  # Машин, Петров
)
_SHORTEST_STEM: Final = 2
_BEGINNING: Final = 4
"""Words that begin with the same four letters count as kin when it comes to the theme."""


@dataclass(frozen=True, slots=True)
class ChildNamed:
    """Whether the child who asked is in it, by name, in any case and any fond form.

    A name in another script than the story cannot be looked for, and is not.
    """

    name: ClassVar[str] = "child_name"

    def __call__(self, told: Told) -> Finding | None:
        """How often the name occurs."""
        wanted = told.request.child_name
        if wanted is None:
            return None
        is_findable = main_script(wanted) == main_script(told.text)
        return Finding(
            name=self.name,
            value=mentions(wanted, told.text, told.language) if is_findable else None,
            at_least=1,
            sentence=told.say(
                en="The child whom the story is for must be in it, by name.",
                ru="Ребёнок, для которого сказка, должен быть в ней назван по имени.",
            ),
        )


def mentions(name: str, text: str, language: str) -> int:
    """How often a name occurs, whole or its first part, with accents or without.

    Example:
        >>> mentions("Маша", "Машу позвали. Машина приехала.", "ru")
        1
        >>> mentions("José", "Jose's cat ran to Joseph.", "en")
        1
    """
    first = re.split(r"[ \-]", _unaccented(name))[0]
    return len(re.findall(_name_pattern(first, language), _unaccented(text)))


def _name_pattern(name: str, language: str) -> str:
    """A capital letter is asked for: `will` and `роза` are not always names."""
    name = name[:1].upper() + name[1:]
    stem = name[:-1] if name[-1:] in "aeoаяйьео" and len(name) > _SHORTEST_STEM else name
    if language == "en":
        return rf"\b(?:{re.escape(name)}|{re.escape(name.upper())})(?:s|es)?\b"
    if language != "ru":
        return rf"\b(?:{re.escape(stem)}\w{{0,4}}|{re.escape(name.upper())})\b"
    stems = {stem, stem.upper()} | ({_without_fleeting_vowel(stem)} if stem == name else set())
    begun = "|".join(re.escape(one) for one in sorted(stems))
    return rf"\b(?!Машина\b)(?:{begun})(?:{_NAME_ENDINGS_RU})?\b"


def _without_fleeting_vowel(name: str) -> str:
    """`Павел` → `Павл`, `Лев` → `Льв`."""
    if re.search(r"л[её]в$|^лев$", name.lower()):
        return name[:-2] + "ь" + name[-1]
    return re.sub(r"[ео](?=[^аеиоуыэюя]$)", "", name)


@dataclass(frozen=True, slots=True)
class Avoided:
    """Whether anything occurs that the request rules out, in any form of the word."""

    name: ClassVar[str] = "avoid"

    def __call__(self, told: Told) -> Finding | None:
        """How many of the things ruled out occur."""
        if not told.request.avoid:
            return None
        found = [what for what in told.request.avoid if _occurs(what, told)]
        return Finding(
            name=self.name,
            value=len(found),
            at_most=0,
            weight=GRAVE,
            sentence=told.say(
                en="It contains what the request rules out; leave that out altogether.",
                ru="В ней есть то, чего быть не должно; совсем убери это.",
            ),
        )


def _occurs(what: str, told: Told) -> bool:
    """Whether the words of `what` follow one another, each in some form of it."""
    wanted = stems_of(words_of(what.lower()), told.language)
    said = stems_of(told.words + tuple(words_of((told.title or "").lower())), told.language)
    starts = range(len(said) - len(wanted) + 1) if wanted else ()
    return any(said[start : start + len(wanted)] == wanted for start in starts)


@dataclass(frozen=True, slots=True)
class OnTheme:
    """Whether anything of the theme or the hero occurs at all.

    A story may be on its theme without many of its words, so one is enough, and where a request
    says little, the words are counted without a bound.

    Attributes:
        least_words: How many words of theme, hero and interests it takes to ask for one.
    """

    name: ClassVar[str] = "theme"
    least_words: int = 4

    def __call__(self, told: Told) -> Finding:
        """How many of the words that carry the theme occur, or kin of theirs."""
        wanted = _content_words(told)
        text = f"{told.title or ''} {told.text}"
        is_findable = main_script(" ".join(wanted)) == main_script(text)
        return Finding(
            name=self.name,
            value=_kin(wanted, words_of(text.lower())) if is_findable else None,
            at_least=1 if len(wanted) >= self.least_words else None,
            sentence=told.say(
                en="It is not about what was asked for; keep to the theme of the request.",
                ru="Она не о том, о чём просили; держись темы.",
            ),
        )


def _content_words(told: Told) -> set[str]:
    request = told.request
    text = " ".join((request.theme, request.hero or "", *request.interests)).lower()
    small = words_in("function_words", told.language)
    return {word for word in words_of(text) if word not in small and len(word) >= _BEGINNING - 1}


def _kin(wanted: Iterable[str], said: Iterable[str]) -> int:
    beginnings = {_unaccented(word)[:_BEGINNING] for word in said}
    beginnings |= {beginning[: _BEGINNING - 1] for beginning in beginnings}
    shortened = {_unaccented(word)[:_BEGINNING] for word in wanted}
    return len(shortened & beginnings)


def stems_of(words: Iterable[str], language: str) -> list[str]:
    """The stems of words in English and Russian, by the rules of Snowball; others as they are."""
    names = {"en": "english", "ru": "russian"}
    plain = [_unaccented(word).replace("’", "'") for word in words]
    if language not in names:
        return plain
    return [_irregular(stem) for stem in _stemmer(names[language]).stemWords(plain)]


def _irregular(stem: str) -> str:
    return {"wolv": "wolf", "mice": "mous", "feet": "foot", "teeth": "tooth"}.get(stem, stem)


@cache
def _stemmer(name: str) -> Any:
    from snowballstemmer import stemmer  # noqa: PLC0415 (takes a quarter of a second)

    return stemmer(name)


def _unaccented(text: str) -> str:
    """Without accents, and without the dots of ё: models write either."""
    decomposed = unicodedata.normalize("NFKD", text.replace("й", "\0").replace("Й", "\1"))
    bare = "".join(char for char in decomposed if not unicodedata.combining(char))
    return bare.replace("\0", "й").replace("\1", "Й")
