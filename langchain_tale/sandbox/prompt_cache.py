"""The cache of prompts: what `cache_control` marks is written once, and read from then on.

Providers cache only prompts of a thousand tokens and more, and forget them in minutes; here
every marked prefix counts, for as long as the sandbox runs.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from langchain_tale.sandbox.pieces import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class PromptCache:
    """Prefixes of prompts that were marked before, by model."""

    def __init__(self) -> None:
        self._known: set[tuple[str, str]] = set()

    def look(self, model: str, request: Mapping[str, Any]) -> tuple[int, int] | None:
        """The tokens (here: words) read from the cache and those newly written.

        None where a request marks nothing.
        """
        prefixes = list(_prefixes(request))
        if not prefixes:
            return None
        read = max((words for key, words in prefixes if (model, key) in self._known), default=0)
        self._known |= {(model, key) for key, _words in prefixes}
        return read, max(words for _key, words in prefixes) - read


def _prefixes(request: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """For each mark the digest and the length of all that comes before its end."""
    said: list[Any] = []
    words = 0
    for message in request["messages"]:
        content = message.get("content")
        said.append(message.get("role"))
        for part in content if isinstance(content, list) else [{"text": content}]:
            said.append({name: value for name, value in part.items() if name != "cache_control"})
            words += len(text_of({"content": [part]}).split()) if part.get("text") else 0
            if part.get("cache_control"):
                yield _digest(said), words
    if request.get("cache_control"):
        yield _digest(said), words


def _digest(said: list[Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
