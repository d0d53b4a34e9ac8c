"""The models that are compared, each alone under its policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from langchain_core.language_models import BaseChatModel
from pydantic import BaseModel

from langchain_tale.bulk.asked import digest_of
from langchain_tale.errors import ConfigurationError
from langchain_tale.resilience.chat_models import ResilientChatModel
from langchain_tale.story.chain import create_story_chain
from langchain_tale.story.storytellers import settled_policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.runnables import Runnable

    from langchain_tale.resilience.policy import RetryPolicy
    from langchain_tale.story.request import StoryInput
    from langchain_tale.story.result import StoryGenerationResult
    from langchain_tale.telemetry.budget import Budget

    Models = Sequence[str | BaseChatModel] | str | BaseChatModel

_OF_THE_WAY: Final = frozenset(
    {"api_key", "base_url", "cache", "callbacks", "rate_limiter", "timing"}
)
"""Options that change how a story comes, and nothing of what it says."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One of the models that are compared.

    Attributes:
        name: Its slug.
        chain: Tells a story by it, and by no other.
    """

    name: str
    chain: Runnable[StoryInput, StoryGenerationResult]


def contenders_of(
    models: Models,
    options: dict[str, Any],
    *,
    retry: RetryPolicy | None,
    budget: Budget | None,
) -> tuple[Contender, ...]:
    """The contenders.

    Args:
        models: Slugs, `OpenRouterModel`s or chat models of any vendor.
        options: For `create_story_chain`.
        retry: How hard to try each; else as the settings say. Successors are never followed.
        budget: What may be spent.

    Raises:
        ConfigurationError: There is none, two have one name, or one is made of several.
    """
    several = [models] if isinstance(models, str | BaseChatModel) else list(models)
    if not several:
        msg = "compare needs at least one model."
        raise ConfigurationError(msg)
    names = [_name(model) for model in several]
    for name in names:
        if names.count(name) > 1:
            msg = f"{name} is given twice; each model is compared once."
            raise ConfigurationError(msg)
    policy = (retry or settled_policy(1)).model_copy(update={"follow_successors": False})
    options = {"cache": False, **options, "retry": policy, "budget": budget}
    return tuple(
        Contender(name, create_story_chain([_uncached(model)], **options))
        for name, model in zip(names, several, strict=True)
    )


def setup_of(options: dict[str, Any]) -> str:
    """A short hash of the options that decide what a story says.

    Of a key, an address or a clock nothing is in it, and of an object its class alone.
    """
    telling = {name: value for name, value in options.items() if name not in _OF_THE_WAY}
    return digest_of(_plain(telling)) if telling else ""


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, BaseChatModel):
        return _name(value)
    if isinstance(value, BaseModel):
        return _plain(value.model_dump(mode="json"))
    return type(value).__name__


def _name(model: str | BaseChatModel) -> str:
    if isinstance(model, str):
        return str(model)
    if isinstance(model, ResilientChatModel):
        if len(model.models) > 1:
            msg = "compare takes models one by one, not one that is made of several."
            raise ConfigurationError(msg)
        return _name(model.models[0])
    named = (getattr(model, each, None) for each in ("model_name", "model", "model_id"))
    return next((name for name in named if isinstance(name, str)), type(model).__name__)


def _uncached(model: str | BaseChatModel) -> str | BaseChatModel:
    """A cache would hand on the same story each time, in no time."""
    return model if isinstance(model, str) else model.model_copy(update={"cache": False})
