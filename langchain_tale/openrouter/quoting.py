"""What a server said, fit to be quoted in a message: without keys, and without the prompt.

Servers and providers echo what they complain of. A message of ours is logged, shown and sent
on, so that of the server's words it quotes those that are the server's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEY: Final = re.compile(r"sk-[\w*.-]{6,}")
_WORD: Final = re.compile(r"\w+")
_GAPS: Final = re.compile(r"…(?:\W{0,3}…)+")
_MAX_CHARS: Final = 200

_PLAIN: Final = frozenset(
    _WORD.findall(
        """
        a an and are as at be been but by can cannot could did do does for from had has have if
        in is it its may more must no not of on or per please than that the their then there
        this to too up was were when will with you your access account api available bad blocked
        completion completions content context credit credits data endpoint endpoints error
        exceeded exceeds failed free input insufficient internal invalid key length limit limits
        max maximum message messages minute model models output overloaded parameter parameters
        policy prompt provider providers quota rate request requested requests response retry
        returned second seconds server service support supported supports temporarily timeout
        token tokens unavailable unknown upstream used value
        """
    )
)
"""Words that tell nothing of a prompt, though it may hold them: grammar, and the talk of APIs."""


def without_keys(text: str) -> str:
    """`text` with everything that looks like an API key blotted out."""
    return _KEY.sub("sk-…", text)


def without(key: str, body: Any) -> Any:
    """A decoded or raw body with every occurrence of `key` blotted out."""
    if not key:
        return body
    if isinstance(body, str):
        return body.replace(key, "sk-…")
    if isinstance(body, bytes):
        return body.replace(key.encode(), b"sk-...")
    if isinstance(body, Mapping):
        return {name: without(key, value) for name, value in body.items()}
    return [without(key, item) for item in body] if isinstance(body, list) else body


def quoted(said: str, private: Any) -> str:
    """A server's words, cut to 200 characters.

    Args:
        said: Its words.
        private: What it was sent: any JSON. No word of it is quoted, but for those of
            grammar and of APIs.

    Example:
        >>> quoted("Invalid prompt: a fox for Mia", ["Tell Mia of a fox."])
        'Invalid prompt: a … for …'
    """
    blotted = {word for text in _texts(private) for word in _words(text)} - _PLAIN
    shown = _WORD.sub(lambda found: "…" if found[0].casefold() in blotted else found[0], said)
    return without_keys(_GAPS.sub("…", shown))[:_MAX_CHARS]


def _words(text: str) -> Iterator[str]:
    return (word.casefold() for word in _WORD.findall(text))


def _texts(value: Any) -> Iterator[str]:
    """Every text of a JSON value; of objects the values, since their keys are the API's."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
