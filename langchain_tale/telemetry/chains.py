"""Exceptions as text for logs: the whole chain, and nothing private in it.

Our own messages hold no key, no prompt and nothing that a model said. Of others only those are
quoted that tell of the network: what a parser or a validator complains of, it quotes.
"""

from __future__ import annotations

import re
import traceback
from typing import TYPE_CHECKING, Final

from langchain_tale.errors import TaleError

if TYPE_CHECKING:
    from collections.abc import Iterator

_CAUSED: Final = "\nThe above exception was the direct cause of the following exception:\n\n"
_DURING: Final = "\nDuring handling of the above exception, another exception occurred:\n\n"
_OF_THE_WAY: Final = frozenset({"TransportError", "APIConnectionError", "ClientConnectionError"})
"""Bases of httpx's, openai's and aiohttp's errors of connection, by name: nothing is imported."""

_SECRET: Final = re.compile(r"\bsk-[\w*.-]{6,}|(?<=\b[Bb]earer )\S+")


def without_secrets(text: str) -> str:
    """`text` with everything blotted out that looks like an API key or a bearer token."""
    is_suspect = "sk-" in text or "earer " in text  # cheaper than to look closely at each line
    return _SECRET.sub("…", text) if is_suspect else text


def told(error: BaseException) -> str:
    """What of an exception's message may be logged; empty where it might quote something."""
    is_ours = isinstance(error, TaleError | OSError)
    is_of_the_way = any(base.__name__ in _OF_THE_WAY for base in type(error).__mro__)
    return without_secrets(str(error)) if is_ours or is_of_the_way else ""


def chain_text(error: BaseException) -> str:
    """A traceback with all causes, oldest first, as Python prints it."""
    return "".join(_links(error, set())).rstrip("\n")


def _links(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    before, joint = cause_of(error)
    if before is not None and id(before) not in seen:
        yield from _links(before, seen)
        yield joint
    if error.__traceback__ is not None:
        yield "Traceback (most recent call last):\n"
        yield from traceback.format_tb(error.__traceback__)
    home = type(error).__module__
    yield f"{'' if home == 'builtins' else home + '.'}{summary(error)}\n"


def cause_of(error: BaseException) -> tuple[BaseException | None, str]:
    """The link before it, and how Python says that they belong together."""
    if error.__cause__ is not None or error.__suppress_context__:
        return error.__cause__, _CAUSED
    return error.__context__, _DURING


def summary(error: BaseException) -> str:
    """Its class, and of its message what may be logged."""
    name, message = type(error).__qualname__, told(error)
    return f"{name}: {message}" if message else name
