"""The chain of one worker, wired to what all of them share."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.errors import ConfigurationError
from langchain_tale.openrouter.chat_models import ChatOpenRouter
from langchain_tale.resilience.chat_models import ResilientChatModel
from langchain_tale.resilience.policy import BreakerPolicy, RetryPolicy
from langchain_tale.resilience.rate_redis import Hearing, RedisRateLimiter
from langchain_tale.story.chain import create_story_chain
from langchain_tale.story.storytellers import chat_models, settled_policy
from langchain_tale.telemetry.budget import Budget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.language_models import BaseChatModel
    from langchain_core.runnables import Runnable

    from langchain_tale.bulk.cluster.shared import SharedRun
    from langchain_tale.story.request import StoryInput
    from langchain_tale.story.result import StoryGenerationResult

NO_LIMIT_USD: Final = 1_000_000.0
"""Without a limit the budget only counts."""
_OF_CHAIN: Final = frozenset(inspect.signature(create_story_chain).parameters) - {"model_options"}
_OURS: Final = {
    "api_key": "set OPENROUTER_API_KEY in the workers' environment",
    "budget": "say budget_usd",
    "rate_limiter": "say requests_per_minute",
}


class Wiring:
    """What a worker asks with.

    Args:
        run: What the workers share.
        redis_url: Where.
        models: Slugs or chat models, best first.
        budget_usd: What the run may cost, or None.
        requests_per_minute: How many requests may start in a minute, or None.
        options: For `create_story_chain`, and for the models given by name.

    Attributes:
        chain: Tells a story.
        hearing: Hears of every `Retry-After`; among the callbacks of each call.

    Raises:
        ConfigurationError: No key, no models, or an option that is none.
    """

    def __init__(
        self,
        run: SharedRun,
        redis_url: str,
        models: Sequence[str | BaseChatModel] | str | BaseChatModel | None,
        *,
        budget_usd: float | None,
        requests_per_minute: float | None,
        options: dict[str, Any],
    ) -> None:
        for name in _OURS.keys() & options.keys():
            msg = f"StoryWriter takes no {name}: {_OURS[name]}."
            raise ConfigurationError(msg)
        self._run, self._url, self._per_minute = run, redis_url, requests_per_minute
        self._limiters: dict[str, RedisRateLimiter] = {}
        chain_options = {name: value for name, value in options.items() if name in _OF_CHAIN}
        model_options = {name: value for name, value in options.items() if name not in _OF_CHAIN}
        retry = chain_options.pop("retry", None)
        breaker = model_options.pop("breaker", None) or BreakerPolicy()
        if chain_options.get("judge") is not None:
            [chain_options["judge"]] = self._limited(chain_options["judge"], model_options)
        members = self._limited(models, model_options)
        storyteller = ResilientChatModel(
            models=members,
            retry=retry or _policy_of(models, len(members)),
            breaker=breaker.model_copy(update={"redis_url": redis_url}),
        )
        budget = Budget(usd=NO_LIMIT_USD if budget_usd is None else budget_usd, ledger=run.ledger)
        self.chain: Runnable[StoryInput, StoryGenerationResult] = create_story_chain(
            storyteller, budget=budget, **chain_options
        )
        self.hearing = Hearing(self._limiters)

    def _limited(self, models: Any, options: dict[str, Any]) -> list[BaseChatModel]:
        """Models that take their turns with those of all workers."""
        members = chat_models(models, options, of="StoryWriter")
        return [self._with_turns(member, has_others=len(members) > 1) for member in members]

    def _with_turns(self, model: BaseChatModel, *, has_others: bool) -> BaseChatModel:
        name = model.model_name if isinstance(model, ChatOpenRouter) else type(model).__name__
        limiter = RedisRateLimiter(
            self._url,
            f"run|{self._run.name}",
            requests_per_minute=self._per_minute,
            model=name,
            has_others=has_others,
        )
        self._limiters.setdefault(name, limiter)
        return model.model_copy(update={"rate_limiter": limiter})


def _policy_of(models: Any, number: int) -> RetryPolicy:
    return models.retry if isinstance(models, ResilientChatModel) else settled_policy(number)
