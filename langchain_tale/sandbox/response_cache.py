"""The cache of whole answers, as the guide "Response caching" has it."""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from langchain_tale.sandbox.bodies import Generation
    from langchain_tale.sandbox.pieces import End, Piece

DEFAULT_TTL_S: Final = 300
LONGEST_TTL_S: Final = 86_400
MOST_ANSWERS: Final = 1000
_HEADER: Final = "x-openrouter-cache"


@dataclass(frozen=True, slots=True)
class CacheWish:
    """What the headers of a request want of the cache.

    Attributes:
        ttl_s: For how long the answer may be kept.
        clear: Whether what was kept is thrown away.
    """

    ttl_s: int = DEFAULT_TTL_S
    clear: bool = False

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Self | None:
        """The wish in these headers; None where caching is off, as it is unless asked for.

        A time to live is read up to its first non-digit and kept within a day; one without
        a digit is not looked at.
        """
        if headers.get(_HEADER, "").lower() != "true":
            return None
        digits = re.match(r"\d+", headers.get(f"{_HEADER}-ttl", "").strip())
        ttl_s = min(max(int(digits[0]), 1), LONGEST_TTL_S) if digits else DEFAULT_TTL_S
        return cls(ttl_s, headers.get(f"{_HEADER}-clear", "").lower() == "true")


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """A whole answer, as it was told.

    Attributes:
        of: The generation it was.
        items: Its pieces and its end.
        kept_at: Time of the cache's clock.
        ttl_s: For how long it may be replayed.
    """

    of: Generation
    items: tuple[Piece | End, ...]
    kept_at: float
    ttl_s: int

    async def replayed(self) -> AsyncGenerator[Piece | End]:
        """The same pieces again."""
        for item in self.items:
            yield item


class ResponseCache:
    """Answers by the request that had them.

    Args:
        clock: Seconds that only grow, e.g. `time.monotonic`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._answers: dict[str, CachedAnswer] = {}

    def find(self, key: str, wish: CacheWish) -> CachedAnswer | None:
        """The answer that is kept, unless it is too old or shall be thrown away."""
        kept = self._answers.get(key)
        if kept is not None and (wish.clear or self.age_s(kept) >= kept.ttl_s):
            kept = None
            del self._answers[key]
        return kept

    def age_s(self, kept: CachedAnswer) -> int:
        """For how many whole seconds it has been kept."""
        return int(self.clock() - kept.kept_at)

    def put(
        self, key: str, wish: CacheWish, of: Generation, items: tuple[Piece | End, ...]
    ) -> None:
        """Keep an answer; the oldest makes room where there are too many."""
        self._answers[key] = CachedAnswer(of, items, self.clock(), wish.ttl_s)
        while len(self._answers) > MOST_ANSWERS:
            del self._answers[next(iter(self._answers))]

    def headers_of_hit(self, kept: CachedAnswer) -> dict[str, str]:
        """How old the answer is, whose it was, and how long it will last."""
        age_s = self.age_s(kept)
        return {
            f"{_HEADER}-status": "HIT",
            f"{_HEADER}-age": str(age_s),
            f"{_HEADER}-ttl": str(kept.ttl_s - age_s),
            f"{_HEADER}-source-id": kept.of.id,
        }


def headers_of_miss(wish: CacheWish) -> dict[str, str]:
    """That the answer is fresh, and how long it will last."""
    return {f"{_HEADER}-status": "MISS", f"{_HEADER}-ttl": str(wish.ttl_s)}


def key_of(api_key: str, body: Mapping[str, Any]) -> str:
    """The key of a request: white space in its body is the same, another order is not."""
    text = json.dumps(body, separators=(",", ":"))
    told = [api_key, body.get("model"), bool(body.get("stream")), text]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()
