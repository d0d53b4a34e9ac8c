"""One request of a run: which one it is, and what it asks for; pure.

A request is known by its `id` where it has one, whatever else of it changes. One without is known
by its line, and its words are remembered, so that a file that has changed is noticed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.errors import ConfigurationError
from langchain_tale.story.request import StoryRequest, as_story_request

if TYPE_CHECKING:
    from collections.abc import Mapping

ID: Final = "id"
LONGEST_ID: Final = 200
_DIGEST_BYTES: Final = 8
_KEY_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request of a run.

    Attributes:
        line: Its line in the file, or its place among what was given; counts from 1.
        id: The caller's name for it, where there is one.
        wish: A `StoryRequest`, its fields or a theme.
        digest: A short hash of what it says.
        problem: Why it is no request, for one that cannot be read.
    """

    line: int
    id: str | None = None
    wish: StoryRequest | dict[str, Any] | str = ""
    digest: str = ""
    problem: str | None = None

    @property
    def key(self) -> bytes:
        """What it is known by."""
        return key_of(self.id, self.line)

    def request(self) -> StoryRequest:
        """The request itself.

        Raises:
            ConfigurationError: It is none; one sentence names the line and the field.
        """
        if self.problem is not None:
            raise ConfigurationError(self.problem)
        try:
            return as_story_request(self.wish)
        except ConfigurationError as error:
            msg = f"Line {self.line}: {error}"
            raise ConfigurationError(msg) from None


def key_of(id_: str | None, line: int) -> bytes:
    """What a request is known by, as 16 bytes: its id, else its line."""
    named = f"line {line}" if id_ is None else f"id {id_}"
    return blake2b(named.encode(errors="surrogatepass"), digest_size=_KEY_BYTES).digest()


def asked(line: int, record: Any) -> Asked:
    """A request from what stands in a line.

    Args:
        line: Counts from 1.
        record: A `StoryRequest`, a dict of its fields and perhaps an `id`, or a theme.

    Returns:
        The request; where it is none, one with a `problem`.

    Example:
        >>> asked(1, {"id": "a", "theme": "a fox"}).wish
        {'theme': 'a fox'}
    """
    if isinstance(record, StoryRequest):
        return Asked(line=line, wish=record, digest=digest_of(record.model_dump(mode="json")))
    if isinstance(record, str):
        return Asked(line=line, wish=record, digest=digest_of(record))
    if not isinstance(record, dict):
        kind = type(record).__name__
        return unreadable(line, f"a request is an object or a theme, not {kind}", record)
    wish = {name: value for name, value in record.items() if name != ID}
    try:
        return Asked(line=line, id=_id_of(record), wish=wish, digest=digest_of(wish))
    except ConfigurationError as error:
        return unreadable(line, str(error), record)


def unreadable(line: int, why: str, record: Any = None) -> Asked:
    """A line that is no request, and why."""
    return Asked(line=line, digest=digest_of(record), problem=f"Line {line}: {why}.")


def digest_of(value: Any) -> str:
    """A short hash of a JSON value; the order of its keys does not matter."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return blake2b(text.encode(errors="surrogatepass"), digest_size=_DIGEST_BYTES).hexdigest()


def _id_of(record: Mapping[str, Any]) -> str | None:
    given = record.get(ID)
    if given is None or given == "":
        return None
    if isinstance(given, bool) or not isinstance(given, str | int):
        msg = "its id must be a string or a whole number"
        raise ConfigurationError(msg)
    if len(str(given)) > LONGEST_ID:
        msg = f"its id is longer than {LONGEST_ID} characters"
        raise ConfigurationError(msg)
    return str(given)
