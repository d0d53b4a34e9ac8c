"""The catalogue as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_tale.cards.models import catalogue_card
from langchain_tale.catalogue import OpenRouterModel

if TYPE_CHECKING:
    from langchain_tale.cards.card import Card


def catalogue() -> Card:
    """The models that are known by name, with what is known of each.

    Returns:
        A card: a table in a notebook, plain text when printed.

    Example:
        >>> print(catalogue())  # doctest: +ELLIPSIS
        Models by name
        ...
        GPT_4O ... openai/gpt-4o ... OpenAI ...
    """
    return catalogue_card((model.name, model.value, model.info) for model in OpenRouterModel)
