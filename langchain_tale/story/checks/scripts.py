"""Which script a letter belongs to; pure."""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import lru_cache
from typing import Final

_KIN: Final = {
    "HIRAGANA": "CJK",
    "KATAKANA": "CJK",
    "KATAKANA-HIRAGANA": "CJK",
    "IDEOGRAPHIC": "CJK",
    "BOPOMOFO": "CJK",
    "HALFWIDTH": "CJK",
    "FULLWIDTH": "CJK",
}
UNSPACED: Final = frozenset({"CJK", "THAI", "LAO", "KHMER", "MYANMAR"})
"""Scripts that set no spaces between words, so that words cannot be counted by rule."""


@lru_cache(maxsize=4096)
def script_of(char: str) -> str:
    """The script of a letter in Unicode's words, with Chinese and Japanese as one; else `""`.

    Example:
        >>> [script_of(char) for char in "aя好1"]
        ['LATIN', 'CYRILLIC', 'CJK', '']
    """
    if not char.isalpha():
        return ""
    first = unicodedata.name(char, "").split(" ")[0]
    return _KIN.get(first, first)


def main_script(text: str) -> str:
    """The script of most letters, or `""` where there are none."""
    scripts = Counter(script for char in text if (script := script_of(char)))
    return scripts.most_common(1)[0][0] if scripts else ""
