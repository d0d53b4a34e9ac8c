"""The chat models of a story chain: by name, with room for the story, and private where it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from langchain_core.language_models import BaseChatModel

from langchain_tale.catalogue import OpenRouterModel, known_model, served_slug
from langchain_tale.errors import ConfigurationError
from langchain_tale.openrouter.chat_models import ChatOpenRouter
from langchain_tale.resilience.chat_models import ResilientChatModel
from langchain_tale.resilience.policy import RetryPolicy
from langchain_tale.settings import get_settings
from langchain_tale.story.personal import is_personal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tale.resilience.attempts import Timing
    from langchain_tale.resilience.continuing import OnBrokenStream
    from langchain_tale.story.request import StoryRequest

    Models = Sequence[str | BaseChatModel] | str | BaseChatModel | None

ModelT = TypeVar("ModelT", bound=BaseChatModel)


def chat_models(models: Models, options: dict[str, Any], *, of: str) -> list[BaseChatModel]:
    """The models of a chain.

    Args:
        models: As the caller gave them; None for the `default_model` of the settings.
        options: For those given by name.
        of: The function that was called, for its error.

    Raises:
        ConfigurationError: There is none.
    """
    if models is None:
        models = get_settings().ai_service.default_model
    if isinstance(models, str | BaseChatModel):
        models = [models]
    if not models:
        msg = f"{of} needs at least one model."
        raise ConfigurationError(msg)
    return [single for model in models for single in _singles(model, options)]


def _singles(model: str | BaseChatModel, options: dict[str, Any]) -> list[BaseChatModel]:
    """A model by name as a chat model; one made of several as these, under the chain's policy."""
    if isinstance(model, ResilientChatModel):
        return [single for member in model.models for single in _singles(member, options)]
    if isinstance(model, BaseChatModel):
        return [model]
    return [ChatOpenRouter(model=model, **options)]


def given_options(*, timing: Timing | None, on_broken_stream: OnBrokenStream) -> dict[str, Any]:
    """The options that a caller has chosen, besides those of the models."""
    chosen = {} if on_broken_stream == "raise" else {"on_broken_stream": on_broken_stream}
    return chosen if timing is None else {**chosen, "timing": timing}


def settled_policy(n_models: int) -> RetryPolicy:
    """The policy of the settings; each model gets at least one try."""
    settings = get_settings().ai_service
    tries = max(settings.max_retries, n_models - 1)
    return RetryPolicy(max_retries=tries, retry_delay=settings.retry_delay)


def fit(
    model: BaseChatModel, request: StoryRequest, max_tokens: int, *, zdr: bool = False
) -> BaseChatModel:
    """The model with the room and the privacy that a request needs; another vendor's as it is.

    No model is asked for more than it is known to write.
    """
    if not isinstance(model, ChatOpenRouter):
        return model
    room = min(max_tokens, max_output_tokens(model) or max_tokens)
    return private(model.with_room(room), deny=is_personal(request), zdr=zdr)


def max_output_tokens(model: ChatOpenRouter) -> int | None:
    """Most tokens that a model writes, by its profile or by our catalogue; None if unknown."""
    listed = (model.profile or {}).get("max_output_tokens")
    known = known_model(served_slug(model.model_name))
    return listed or (known.info.max_output_tokens if isinstance(known, OpenRouterModel) else None)


def private(model: ModelT, *, deny: bool, zdr: bool = False) -> ModelT:
    """The model, asking only providers that are private enough.

    So do the models that may follow a retired one, since they are copies of it. Another vendor's
    model is left as it is.

    Args:
        model: A chat model, or several under a policy.
        deny: Whether no provider may store or train.
        zdr: Whether none may retain anything.
    """
    wish: dict[str, Any] = {"data_collection": "deny"} if deny else {}
    wish |= {"zdr": True} if zdr else {}
    if not wish:
        return model
    if isinstance(model, ResilientChatModel):
        members = [private(member, deny=deny, zdr=zdr) for member in model.models]
        return model.model_copy(update={"models": members})
    return _routed(model, wish) if isinstance(model, ChatOpenRouter) else model


def _routed(model: ModelT, wish: dict[str, Any]) -> ModelT:
    """The model with a routing wish that no other place for routing preferences can undo."""
    extra = dict(getattr(model, "extra_body", None) or {})
    kwargs: dict[str, Any] = getattr(model, "model_kwargs", {})
    places = (kwargs.get("provider"), getattr(model, "provider", None), extra.pop("provider", None))
    provider = {name: value for place in places for name, value in (place or {}).items()} | wish
    return model.model_copy(update={"provider": provider, "extra_body": extra or None})
