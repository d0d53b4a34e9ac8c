"""The models we know by name, and what is known of each; nothing here asks the network.

Facts come from OpenRouter's documentation as of 2026-08-22 and from a public catalogue
snapshot of 2026-09-18; languages are what the makers say of their models. Availability changes
without notice: any other slug is accepted as a plain string wherever a model is asked for, and
nothing is ever replaced silently.

`refresh` lays a newer listing over these facts, for this process
(`langchain_tale.openrouter.account.refresh_catalogue` fetches one); `forget_refresh` takes it
off again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, Protocol

from langchain_tale.cards.card import Card, Shown
from langchain_tale.cards.models import model_card

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date


class OpenRouterModel(Shown, StrEnum):
    """Models by name; each value is the slug that OpenRouter takes.

    The first eleven are the interface of existing callers and never change, retired or
    not. The others are stable routes that OpenRouter itself points at what is current.

    Example:
        >>> OpenRouterModel.GPT_4O_MINI == "openai/gpt-4o-mini"
        True
        >>> OpenRouterModel.CLAUDE_3_5_SONNET.info.status
        'retired'
        >>> OpenRouterModel.CLAUDE_3_5_SONNET.info.successor
        <OpenRouterModel.CLAUDE_SONNET_LATEST: '~anthropic/claude-sonnet-latest'>
    """

    GPT_4O = "openai/gpt-4o"
    GPT_4O_MINI = "openai/gpt-4o-mini"
    CLAUDE_3_5_SONNET = "anthropic/claude-3.5-sonnet"
    CLAUDE_3_HAIKU = "anthropic/claude-3-haiku"
    LLAMA_3_1_405B = "meta-llama/llama-3.1-405b-instruct"
    LLAMA_3_1_70B = "meta-llama/llama-3.1-70b-instruct"
    LLAMA_3_1_8B = "meta-llama/llama-3.1-8b-instruct"
    GEMMA_2_27B = "google/gemma-2-27b-it"
    MIXTRAL_8X22B = "mistralai/mixtral-8x22b-instruct"
    GEMINI_20_FREE = "google/gemini-2.0-flash-exp:free"
    GROK_41_FREE = "x-ai/grok-4.1-fast:free"

    AUTO = "openrouter/auto"
    FREE = "openrouter/free"
    CLAUDE_HAIKU_LATEST = "~anthropic/claude-haiku-latest"
    CLAUDE_SONNET_LATEST = "~anthropic/claude-sonnet-latest"
    GEMINI_FLASH_LATEST = "~google/gemini-flash-latest"
    GPT_MINI_LATEST = "~openai/gpt-mini-latest"

    @property
    def info(self) -> ModelInfo:
        """What is known of this model; newer facts once `refresh` has been called."""
        listing = _latest.listing  # read once, since another thread may replace it
        return _INFO[self] if listing is None else _refreshed(_INFO[self], listing.get(self.value))

    def card(self) -> Card:
        """What a notebook shows of it."""
        return model_card(self.value, self.info)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo(Shown):
    """What is known of a model without asking the network.

    Attributes:
        provider: Who made it.
        use_cases: What it is good for.
        performance: Speed and quality in a few words.
        context_length: Tokens it can read, prompt and answer together; None where a
            route decides.
        status: `"available"`, `"retired"` (gone from the catalogue), or `"route"` (a
            name that OpenRouter points at a current model).
        successor: What to ask instead of a retired model.
        expires_on: The day after which OpenRouter may remove it (UTC), where it has said so.
        max_output_tokens: Most tokens it writes; None where that is not known, or a route decides.
        heeds_schemas: Whether it keeps to JSON schemas; None where that is not known.
        languages: Codes of the languages that its maker names; `("*",)` where the maker speaks of
            most of the world's, or of dozens; None where nothing is known.
    """

    provider: str
    use_cases: tuple[str, ...]
    performance: str
    context_length: int | None
    status: Literal["available", "retired", "route"] = "available"
    successor: OpenRouterModel | None = None
    expires_on: date | None = None
    max_output_tokens: int | None = None
    heeds_schemas: bool | None = None
    languages: tuple[str, ...] | None = None

    def card(self) -> Card:
        """What a notebook shows of it."""
        return model_card(None, self)


class Listed(Protocol):
    """What a listing of OpenRouter's says of one model."""

    @property
    def context_length(self) -> int | None:
        """Tokens it can read, prompt and answer together."""

    @property
    def expires_on(self) -> date | None:
        """The day after which it may be removed."""


DEFAULT_MODEL: Final = OpenRouterModel.GPT_4O_MINI


def known_model(slug: str) -> OpenRouterModel | str:
    """The enum member for `slug` where there is one, else `slug` itself.

    Example:
        >>> known_model("openrouter/auto")
        <OpenRouterModel.AUTO: 'openrouter/auto'>
        >>> known_model("qwen/qwen-max")
        'qwen/qwen-max'
    """
    try:
        return OpenRouterModel(slug)
    except ValueError:
        return str(slug)


def served_slug(slug: str) -> str:
    """`slug` less what only steers its routing: a preset, and variants that any model has.

    `:nitro`, `:floor`, `:exacto` and `:online` work on every model and stand in no listing;
    `:free` and the like are models of their own (§10 of OpenRouter's facts: static and
    dynamic variants).

    Example:
        >>> served_slug("openai/gpt-4o-mini:nitro")
        'openai/gpt-4o-mini'
        >>> served_slug("meta-llama/llama-3.1-8b-instruct:free:online")
        'meta-llama/llama-3.1-8b-instruct:free'
    """
    name, *variants = slug.partition("@")[0].split(":")
    return ":".join([name, *(v for v in variants if v not in _DYNAMIC_VARIANTS)])


_DYNAMIC_VARIANTS: Final = frozenset({"nitro", "floor", "exacto", "online"})


# ── refreshing ──────────────────────────────────────────────────────────────


@dataclass(slots=True)
class _Latest:
    """The newest listing; replaced whole, so that no thread sees half of one."""

    listing: Mapping[str, Listed] | None = None


_latest: Final = _Latest()


def refresh(listing: Mapping[str, Listed]) -> None:
    """Let `OpenRouterModel.….info` say what a newer listing says, in this whole process.

    A member that is listed becomes `"available"`, with the listed context length and
    expiration; one that is not becomes `"retired"`. Routes stay routes, and where a route
    has no context length of its own it gets none. What a listing does not know stays: use
    cases, performance, successor.

    Args:
        listing: What OpenRouter lists, by slug; all of it, since what is missing counts as
            retired.
    """
    _latest.listing = MappingProxyType(dict(listing))


def forget_refresh() -> None:
    """Go back to the facts of this module."""
    _latest.listing = None


def listed(slug: str) -> Listed | None:
    """What the newest listing says of `slug`; None where there is no listing, or not of it."""
    listing = _latest.listing
    return None if listing is None else listing.get(slug)


def _refreshed(info: ModelInfo, found: Listed | None) -> ModelInfo:
    if found is None:
        return info if info.status == "route" else replace(info, status="retired")
    return replace(
        info,
        # A router lists the length of the longest model it may pick: no promise.
        context_length=info.context_length and (found.context_length or info.context_length),
        status="route" if info.status == "route" else "available",
        expires_on=found.expires_on,
    )


_MANY: Final = ("*",)
_OF_LLAMA: Final = ("en", "de", "fr", "it", "pt", "hi", "es", "th")
"""As Meta's model card has them; Russian is not among them."""

_INFO: Final[dict[OpenRouterModel, ModelInfo]] = {
    OpenRouterModel.GPT_4O: ModelInfo(
        provider="OpenAI",
        use_cases=("polished stories", "many languages", "images in the prompt"),
        performance="fast, high quality",
        context_length=128_000,
        max_output_tokens=16_384,
        heeds_schemas=True,
        languages=_MANY,
    ),
    OpenRouterModel.GPT_4O_MINI: ModelInfo(
        provider="OpenAI",
        use_cases=("everyday stories", "large runs", "many languages"),
        performance="very fast, good quality, cheap",
        context_length=128_000,
        max_output_tokens=16_384,
        heeds_schemas=True,
        languages=_MANY,
    ),
    OpenRouterModel.CLAUDE_3_5_SONNET: ModelInfo(
        provider="Anthropic",
        use_cases=("long stories", "nuanced characters"),
        performance="medium speed, high quality",
        context_length=200_000,
        status="retired",
        successor=OpenRouterModel.CLAUDE_SONNET_LATEST,
        languages=_MANY,
    ),
    OpenRouterModel.CLAUDE_3_HAIKU: ModelInfo(
        provider="Anthropic",
        use_cases=("short stories", "large runs"),
        performance="very fast, good quality, cheap",
        context_length=200_000,
        max_output_tokens=4_096,
        heeds_schemas=False,
        languages=_MANY,
    ),
    OpenRouterModel.LLAMA_3_1_405B: ModelInfo(
        provider="Meta",
        use_cases=("long stories", "open weights"),
        performance="slow, high quality",
        context_length=131_072,
        status="retired",
        successor=OpenRouterModel.LLAMA_3_1_70B,
        languages=_OF_LLAMA,
    ),
    OpenRouterModel.LLAMA_3_1_70B: ModelInfo(
        provider="Meta",
        use_cases=("everyday stories", "open weights"),
        performance="medium speed, good quality",
        context_length=131_072,
        max_output_tokens=8_192,
        heeds_schemas=True,
        languages=_OF_LLAMA,
    ),
    OpenRouterModel.LLAMA_3_1_8B: ModelInfo(
        provider="Meta",
        use_cases=("drafts", "large runs", "open weights"),
        performance="very fast, simple, very cheap",
        context_length=131_072,
        max_output_tokens=117_964,
        heeds_schemas=True,
        languages=_OF_LLAMA,
    ),
    OpenRouterModel.GEMMA_2_27B: ModelInfo(
        provider="Google",
        use_cases=("short stories", "open weights"),
        performance="medium speed, good quality, short context",
        context_length=8_192,
        max_output_tokens=2_048,
        heeds_schemas=True,
        languages=("en",),
    ),
    OpenRouterModel.MIXTRAL_8X22B: ModelInfo(
        provider="Mistral AI",
        use_cases=("everyday stories", "European languages", "open weights"),
        performance="medium speed, good quality",
        context_length=65_536,
        max_output_tokens=52_428,
        heeds_schemas=True,
        languages=("en", "fr", "it", "de", "es"),
    ),
    OpenRouterModel.GEMINI_20_FREE: ModelInfo(
        provider="Google",
        use_cases=("trying out",),
        performance="fast, strict limits",
        context_length=1_048_576,
        status="retired",
        successor=OpenRouterModel.FREE,
        languages=_MANY,
    ),
    OpenRouterModel.GROK_41_FREE: ModelInfo(
        provider="xAI",
        use_cases=("trying out",),
        performance="fast, strict limits",
        context_length=2_000_000,
        status="retired",
        successor=OpenRouterModel.FREE,
    ),
    OpenRouterModel.AUTO: ModelInfo(
        provider="OpenRouter",
        use_cases=("when no model is preferred", "last fallback"),
        performance="as the model it picks for the prompt",
        context_length=None,
        status="route",
    ),
    OpenRouterModel.FREE: ModelInfo(
        provider="OpenRouter",
        use_cases=("trying out",),
        performance="as the free model it picks; strict limits",
        context_length=None,
        status="route",
    ),
    OpenRouterModel.CLAUDE_HAIKU_LATEST: ModelInfo(
        provider="Anthropic",
        use_cases=("everyday stories", "large runs"),
        performance="fast, good quality; the newest of its family",
        context_length=200_000,
        status="route",
        max_output_tokens=64_000,
        heeds_schemas=True,
        languages=_MANY,
    ),
    OpenRouterModel.CLAUDE_SONNET_LATEST: ModelInfo(
        provider="Anthropic",
        use_cases=("polished stories", "long stories", "nuanced characters"),
        performance="medium speed, high quality; the newest of its family",
        context_length=1_000_000,
        status="route",
        max_output_tokens=128_000,
        heeds_schemas=True,
        languages=_MANY,
    ),
    OpenRouterModel.GEMINI_FLASH_LATEST: ModelInfo(
        provider="Google",
        use_cases=("everyday stories", "many languages", "large runs"),
        performance="very fast, good quality; the newest of its family",
        context_length=1_048_576,
        status="route",
        max_output_tokens=65_536,
        heeds_schemas=True,
        languages=_MANY,
    ),
    OpenRouterModel.GPT_MINI_LATEST: ModelInfo(
        provider="OpenAI",
        use_cases=("everyday stories", "many languages", "large runs"),
        performance="fast, good quality; the newest of its family",
        context_length=400_000,
        status="route",
        max_output_tokens=128_000,
        heeds_schemas=True,
        languages=_MANY,
    ),
}
