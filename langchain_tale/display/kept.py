"""What a notebook has told is kept: a cell that is run again pays nothing for it.

LangChain's cache belongs to the whole process, and a notebook may well ask other models, for
other things. So this one, which is set where none is, knows of `tell` and `tell_many` alone: a
context variable says to whose calls it belongs. A cache that you set yourself is used as it is.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.caches import BaseCache, InMemoryCache
from langchain_core.globals import get_llm_cache, set_llm_cache

from langchain_tale.caching.sqlite import StoryCache
from langchain_tale.display.cell import current_cell
from langchain_tale.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_core.outputs import Generation

CacheChoice = BaseCache | bool | None
"""A cache; False for none; True for the file of this user; None for that in a notebook alone."""
_CACHE: ContextVar[BaseCache | None] = ContextVar("langchain_tale_kept", default=None)


def kept_file() -> Path:
    """Where the stories of notebooks are kept: readable by their owner alone, in no repository."""
    return Path.home() / ".cache" / "langchain_tale" / "stories.sqlite"


class KeptCache(BaseCache):
    """LangChain's cache for calls inside `keeping`; for all others it is none."""

    def lookup(self, prompt: str, llm_string: str) -> Sequence[Generation] | None:
        """The answer that was kept, or None."""
        cache = _CACHE.get()
        return None if cache is None else cache.lookup(prompt, llm_string)

    async def alookup(self, prompt: str, llm_string: str) -> Sequence[Generation] | None:
        """The twin of `lookup`."""
        cache = _CACHE.get()
        return None if cache is None else await cache.alookup(prompt, llm_string)

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """Keep an answer."""
        if (cache := _CACHE.get()) is not None:
            cache.update(prompt, llm_string, return_val)

    async def aupdate(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """The twin of `update`."""
        if (cache := _CACHE.get()) is not None:
            await cache.aupdate(prompt, llm_string, return_val)

    def clear(self, **kwargs: Any) -> None:
        """Forget what notebooks have told."""
        default_cache().clear(**kwargs)


@lru_cache
def default_cache() -> BaseCache:
    """The file of this user; where none can be written, memory."""
    path = kept_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return StoryCache(path)
    except (OSError, ConfigurationError):
        return InMemoryCache()


@contextmanager
def keeping(cache: CacheChoice) -> Iterator[None]:
    """Within the body, calls look into `cache` and are kept there.

    Args:
        cache: Which cache. One that `set_llm_cache` has set for the whole process wins.
    """
    if cache is None:
        cache = current_cell() is not None
    if cache is True:
        cache = default_cache()
    chosen = cache if isinstance(cache, BaseCache) else None  # an empty cache is falsy
    if chosen is not None and get_llm_cache() is None:
        set_llm_cache(KeptCache())
    token = _CACHE.set(chosen)
    try:
        yield
    finally:
        _CACHE.reset(token)
