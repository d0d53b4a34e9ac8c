"""One answer in LangChain's cache: where it is, whether it may be taken, what it then says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from langchain_core.caches import BaseCache
from langchain_core.globals import get_llm_cache
from langchain_core.load import dumps
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration

from langchain_tale.errors import RefusedReplyError
from langchain_tale.resilience.accepting import acheck, check

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage

    from langchain_tale.resilience.accepting import Accept

_COSTS: Final = frozenset({"cost", "cost_details"})


def cache_of(model: BaseChatModel) -> BaseCache | None:
    """The cache that a model looks into: its own, else that of the process, or none."""
    if isinstance(model.cache, BaseCache):
        return model.cache
    return None if model.cache is False else get_llm_cache()


def accept_of(model: BaseChatModel) -> Accept | None:
    """The caller's check of an answer, where the model has one."""
    found: Accept | None = getattr(model, "accept", None)
    return found


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where the answer to one prompt is kept.

    Attributes:
        cache: LangChain's cache.
        model: Who answers.
        prompt: The messages, as langchain-core writes them.
        llm_string: The settings of the model, likewise.
    """

    cache: BaseCache
    model: BaseChatModel
    prompt: str
    llm_string: str

    @classmethod
    def of(
        cls,
        model: BaseChatModel,
        messages: list[BaseMessage],
        stop: list[str] | None,
        kwargs: dict[str, Any],
    ) -> Self | None:
        """The shelf that langchain-core uses for `invoke`; None without a cache."""
        cache = cache_of(model)
        if cache is None:
            return None
        nameless = [message.model_copy(update={"id": None}) for message in messages]
        return cls(cache, model, dumps(nameless), model._get_llm_string(stop=stop, **kwargs))

    def without_cache(self) -> BaseChatModel:
        """The model, which will not look for itself."""
        return self.model.model_copy(update={"cache": False})

    def find(self) -> list[ChatGeneration]:
        """What is kept and passes the check; else nothing."""
        found = self.cache.lookup(self.prompt, self.llm_string)
        hits = self._hits(found)
        try:
            for hit in hits:
                check(accept_of(self.model), hit.message, "the cache")
        except RefusedReplyError:
            return []
        return hits

    async def afind(self) -> list[ChatGeneration]:
        """The twin of `find`."""
        found = await self.cache.alookup(self.prompt, self.llm_string)
        hits = self._hits(found)
        try:
            for hit in hits:
                await acheck(accept_of(self.model), hit.message, "the cache")
        except RefusedReplyError:
            return []
        return hits

    def keep(self, generations: list[ChatGeneration]) -> None:
        """Keep an answer."""
        self.cache.update(self.prompt, self.llm_string, generations)

    async def akeep(self, generations: list[ChatGeneration]) -> None:
        """The twin of `keep`."""
        await self.cache.aupdate(self.prompt, self.llm_string, generations)

    def _hits(self, found: Any) -> list[ChatGeneration]:
        return self.model._convert_cached_generations(found) if isinstance(found, list) else []


def as_hit(generation: ChatGeneration) -> ChatGeneration:
    """An answer that was told before: nothing was asked for it, and it costs nothing."""
    message = generation.message
    said = {name: fact for name, fact in message.response_metadata.items() if name not in _COSTS}
    usage = dict(said.get("token_usage") or {})
    said |= {"token_usage": {k: v for k, v in usage.items() if k not in _COSTS}} if usage else {}
    said |= {"attempts": []} if "attempts" in said else {}
    said |= {"cost": 0.0, "is_cached": True}
    update: dict[str, Any] = {"response_metadata": said, "id": None}  # another message, not that
    if isinstance(message, AIMessage) and "input_tokens" not in (message.usage_metadata or {}):
        update["usage_metadata"] = None  # langchain-core makes one of nothing
    return ChatGeneration(
        message=message.model_copy(update=update), generation_info=generation.generation_info
    )
