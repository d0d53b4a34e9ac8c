"""Where requests come from, in chunks that do not hold up the event loop for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable, Sequence
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.bulk.asked import Asked, asked
from langchain_tale.bulk.reading import read_file, read_items, reader_of
from langchain_tale.errors import ConfigurationError
from langchain_tale.story.request import StoryRequest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

Requests = str | Path | Iterable[Any] | AsyncIterable[Any]
"""A file, or `StoryRequest`s, dicts and themes."""
CHUNK: Final = 256
_SINGLES: Final = (StoryRequest, dict, bytes)


class Source:
    """The requests of a run.

    Args:
        given: What the caller gave: a path is a string or a `Path`.

    Attributes:
        path: The file, where it is one.
        may_be_read_twice: Whether it can be looked through before the run.
        chunk_size: How many are read at a time; of what the caller makes up as it goes, one.

    Raises:
        ConfigurationError: It is nothing that holds requests.
    """

    def __init__(self, given: Requests) -> None:
        self.path = Path(given) if isinstance(given, str | Path) else None
        self._given = given
        if self.path is not None:
            reader_of(self.path)
        elif isinstance(given, _SINGLES) or not isinstance(given, Iterable | AsyncIterable):
            kind = type(given).__name__
            msg = f"Requests are a file's path or several requests, not {kind}."
            raise ConfigurationError(msg)
        is_file = self.path is not None and self.path.is_file()
        self.may_be_read_twice = is_file or isinstance(given, Sequence)
        self.chunk_size = CHUNK if self.path or self.may_be_read_twice else 1

    async def chunks(self) -> AsyncGenerator[list[Asked]]:
        """The requests, some at a time.

        A file is read in a thread. Any other iterable is read here, as there is room: one that
        blocks holds up the stories under way, so let it be asynchronous.
        """
        if self.path is not None:
            requests = read_file(self.path)
            while chunk := await asyncio.to_thread(lambda: list(islice(requests, self.chunk_size))):
                yield chunk
        elif isinstance(self._given, AsyncIterable):
            line = count(1)
            async for record in self._given:
                yield [asked(next(line), record)]
        elif isinstance(self._given, Iterable):
            requests = read_items(self._given)
            while chunk := list(islice(requests, self.chunk_size)):
                yield chunk
