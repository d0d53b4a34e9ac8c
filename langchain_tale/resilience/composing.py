"""What `with_retry` and `with_fallbacks` are given, as a policy and as chat models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from langchain_core.language_models import BaseChatModel

from langchain_tale.errors import ConfigurationError
from langchain_tale.resilience.policy import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_core.language_models import LanguageModelInput
    from langchain_core.messages import AIMessage
    from langchain_core.runnables import Runnable


LOOP_OPTIONS: Final = ("accept", "accept_beginning", "breaker", "on_broken_stream", "timing")
"""The fields of `ResilientChatModel` besides its models and its policy."""


@runtime_checkable
class HasSiblings(Protocol):
    """A chat model that can make another of its kind for the name of a model."""

    def for_model(self, model: str) -> BaseChatModel:
        """The same chat model, asking `model` instead."""
        ...


def split_options(kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of the loop among `kwargs`, and the rest."""
    options = {name: value for name, value in kwargs.items() if name in LOOP_OPTIONS}
    return options, {name: value for name, value in kwargs.items() if name not in options}


def policy_from(retry: RetryPolicy | None, **kwargs: Any) -> RetryPolicy:
    """A policy from what `with_retry` was called with, in our words or in langchain-core's.

    Args:
        retry: The policy; nothing else may be given with it.
        **kwargs: langchain-core's `stop_after_attempt` (3 where not given),
            `wait_exponential_jitter` and `retry_if_exception_type`.

    Raises:
        ConfigurationError: Both at once, or a keyword that does not exist.
    """
    known = {"stop_after_attempt", "wait_exponential_jitter", "retry_if_exception_type"}
    if (retry is not None and kwargs) or not known.issuperset(kwargs):
        names = ", ".join(sorted(known))
        options = ", ".join(LOOP_OPTIONS)
        msg = f"with_retry takes a RetryPolicy, or instead {names}; and besides {options}."
        raise ConfigurationError(msg)
    if retry is not None or not kwargs:
        return retry or RetryPolicy()
    return RetryPolicy(
        max_retries=kwargs.get("stop_after_attempt", 3) - 1,
        jitter=0.25 if kwargs.get("wait_exponential_jitter", True) else 0.0,
        retry_if_exception_type=kwargs.get("retry_if_exception_type", (Exception,)),
    )


def chat_models_from(
    fallbacks: Sequence[Runnable[LanguageModelInput, AIMessage] | str], *, kin: BaseChatModel
) -> list[BaseChatModel] | None:
    """Fallbacks as chat models, or None where one is another kind of runnable.

    Raises:
        ConfigurationError: A slug, where `kin` cannot make a model from a name.
    """
    models: list[BaseChatModel] = []
    for fallback in fallbacks:
        if isinstance(fallback, str):
            if not isinstance(kin, HasSiblings):
                msg = f"{type(kin).__name__} cannot ask a model by name; pass a chat model instead."
                raise ConfigurationError(msg)
            models.append(kin.for_model(fallback))
        elif isinstance(fallback, BaseChatModel):
            models.append(fallback)
        else:
            return None
    return models
