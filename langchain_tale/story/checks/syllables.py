"""How many syllables a word has: in Russian by its vowels, in English by rule; pure.

Every Russian syllable has one vowel letter, so counting them is exact. English spelling is not
that kind. The rules below count groups of vowels, leave out the silent e and part the vowels
that are spoken apart; by the CMU pronouncing dictionary they are right for
99 % of the words of children's stories (`tests/benchmarks/syllables.py` measures it).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_RUSSIAN_VOWELS: Final = frozenset("аеёиоуыэюя")
_GROUP: Final = re.compile(r"[aeiouy]+")
_IRREGULAR: Final = {
    "people": 2, "business": 2, "chocolate": 2, "evening": 2, "something": 2, "mr": 2, "mrs": 2,
    "real": 1, "theatre": 3, "museum": 3, "idea": 3, "wicked": 2, "naked": 2, "crooked": 2,
    "hundred": 2, "eye": 1, "eyes": 1, "friend": 1, "friends": 1, "tongue": 1, "tongues": 1,
    "every": 2, "beautiful": 3, "giant": 2, "giants": 2, "lion": 2, "dying": 2, "lying": 2,
    "queue": 1, "vegetable": 3, "vegetables": 3, "sacred": 2, "science": 2, "quiet": 2,
    "tired": 2, "o": 1, "meow": 2, "maybe": 2,
}  # fmt: skip
_SUFFIX: Final = re.compile(
    r"(?<=[^aeiouy]e)(?:ful|less|ness|ment|ly|some|body|thing|things|one|where|times?|teen|ty|"
    r"ways?|man|men|ball|berry|berries|bird|work|maker|hog|hogs|back|yard|brow|head|guard)"
    r"(?:ly|ness|s)?$|(?<=^every)(?:body|day|one|thing|where)$"
)
_SILENT: Final = re.compile(
    r"""
      (?<=[aeiouy][^aeiouy]) e $                      # made
    | (?<=[^aeiouy][^aeiouyl]) e $                    # dance, but not apple
    | (?<=[aeiouyrlw]l) e $ | (?<=[aeiouy]) e $        # mile, blue
    | (?<![aeioutd]) (?<![^aeiouyrlw]l) (?<![^aeiouyr]r) e (?=d$)    # asked, but not wanted
    | (?<![aeiouysxzcg]) (?<![sc]h) (?<![^aeiouyrlw]l) e (?=s$)       # makes, but not boxes
    """,
    re.VERBOSE,
)
_APART: Final = re.compile(
    r"""
      (?<=[aeiouy]) (?=ing)                           # do-ing, cry-ing
    | (?<![tcgsx]i) (?<=i) (?!(?:(?<=[aeiou]li)|(?<=[aeiou]lli))a[nr])             # not Italian
      (?=a(?!ge)|o(?!n$|us$|r$|ns$)|um|us$|et|est$|er$|en[ct])                     # pi-ano
    | (?<=cr) (?<=r) (?=eat[ei]) | (?<=[lnd]e) (?=o[nu]?) | (?<=the) (?=[ao])     # vide-o
    | (?<![qg]u) (?<=u) (?=a(?!r[dt])|el$|et$|ous)     # jan-uary, du-el
    | (?<=o) (?=e[mt])                                # po-em
    | (?<=[aeo]) (?=y[aeiou])                         # lay-er
    | (?<=[eo]w) (?=er)                               # flow-er
    | (?<=mi) (?=a) | (?<=^re) (?=a[cl][tli])         # re-act
    """,
    re.VERBOSE,
)
_UNHEARD_NOT: Final = frozenset({"do", "wo", "ca", "are", "were", "ai", "sha"})


def russian_syllables(word: str) -> int:
    """The syllables of a Russian word: its vowel letters; a word like `в` has none.

    Example:
        >>> [russian_syllables(word) for word in ("ёжик", "в", "поползень")]
        [2, 0, 3]
    """
    return sum(letter in _RUSSIAN_VOWELS for letter in word.lower())


@lru_cache(maxsize=8192)
def english_syllables(word: str) -> int:
    """The syllables of an English word, by rule; at least 1.

    Example:
        >>> [english_syllables(word) for word in ("cat", "wanted", "jumped", "little", "piano")]
        [1, 2, 1, 2, 3]
    """
    return sum(_plain_syllables(part) for part in re.split(r"[-‑]", word.lower()) if part) or 1


def _without_ending(word: str) -> str:
    """`he'll`, `fox's` and `they're` without what the apostrophe adds, which is seldom heard."""
    return re.sub(r"'(?:s|ll|d|ve|re|m)?$", "", word).replace("'", "-")


def _plain_syllables(word: str) -> int:
    word = word.replace("’", "'")
    heard_not = word.endswith("n't") and word[:-3] not in _UNHEARD_NOT
    word = word.removesuffix("n't") if word.endswith("n't") else _without_ending(word)
    if word in _IRREGULAR:
        return _IRREGULAR[word] + heard_not
    suffix = _SUFFIX.search(word)
    if suffix is not None:
        return _plain_syllables(word[: suffix.start()]) + _plain_syllables(suffix.group())
    spoken = _APART.sub("-", _SILENT.sub("", word))
    return max(1, len(_GROUP.findall(spoken))) + heard_not
