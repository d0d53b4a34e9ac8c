"""The card of a model, and the table of all that are known by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from langchain_tale.cards.blocks import Block, Facts, Note, Table
from langchain_tale.cards.card import Card

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date


class Known(Protocol):
    """What is shown of a model; `langchain_tale.ModelInfo` is one."""

    @property
    def provider(self) -> str:
        """Who made it."""

    @property
    def use_cases(self) -> Sequence[str]:
        """What it is good for."""

    @property
    def performance(self) -> str:
        """Speed and quality in a few words."""

    @property
    def context_length(self) -> int | None:
        """Tokens it can read, or None."""

    @property
    def status(self) -> str:
        """E.g. `"available"`."""

    @property
    def successor(self) -> Any:
        """The slug to ask instead, or None."""

    @property
    def expires_on(self) -> date | None:
        """The day after which it may be removed, or None."""


def model_card(slug: str | None, info: Known) -> Card:
    """The card of one model.

    Args:
        slug: As OpenRouter takes it; None where only the facts are at hand.
        info: What is known of it.
    """
    facts = [
        ("made by", info.provider),
        ("good for", ", ".join(info.use_cases)),
        ("speed and quality", info.performance),
        ("reads", _tokens(info) and f"{_tokens(info)} tokens"),
        ("status", info.status),
    ]
    blocks: list[Block] = [Facts([(name, value) for name, value in facts if value])]
    blocks += [Note(sentence) for sentence in _warnings(info)]
    return Card(kind="Model", title=slug or info.provider, blocks=blocks)


def _tokens(info: Known) -> str | None:
    return f"{info.context_length:,}" if info.context_length else None


def _warnings(info: Known) -> list[str]:
    """What keeps one from asking it."""
    instead = f" Ask {info.successor} instead." if info.successor else ""
    retired = [f"Retired: OpenRouter no longer lists it.{instead}"]
    expires = [f"OpenRouter may remove it after {info.expires_on}."] if info.expires_on else []
    return (retired if info.status == "retired" else []) + expires


def catalogue_card(known: Iterable[tuple[str, str, Known]]) -> Card:
    """All models that are known by name.

    Args:
        known: Name, slug and facts of each.
    """
    rows = [
        (
            name,
            slug,
            info.provider,
            _tokens(info),
            info.status + (f" → {info.successor}" if info.successor else ""),
            ", ".join(info.use_cases),
            info.performance,
        )
        for name, slug, info in known
    ]
    columns = ("name", "slug", "made by", "tokens", "status", "good for", "speed and quality")
    table = Table(columns, rows, numeric=frozenset({3}), wordy=frozenset({5, 6}))
    return Card(kind="Catalogue", title="Models by name", blocks=[table], is_wide=True)
