"""`choose_models`: gathers what is known of the candidates, and has them ranked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from langchain_tale import catalogue
from langchain_tale.catalogue import OpenRouterModel, known_model, served_slug
from langchain_tale.errors import ConfigurationError
from langchain_tale.openrouter import account
from langchain_tale.openrouter.model_records import Health, ModelEndpoints, ModelRecord
from langchain_tale.resilience.breaker import circuits
from langchain_tale.story.choice import ModelChoice, ModelWeights
from langchain_tale.story.personal import is_personal
from langchain_tale.story.ranking import Facts, Need, rank
from langchain_tale.story.request import StoryInput, StoryRequest, as_story_request
from langchain_tale.telemetry.records import MetricsSnapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from decimal import Decimal

    from langchain_tale.openrouter.chat_models import ChatOpenRouter

TOKENS_PER_WORD: Final = {"en": 1.5}
TOKENS_PER_FOREIGN_WORD: Final = 3.0
"""Cyrillic and other scripts take about twice the tokens of English; a rough figure."""
MOST_TOKENS_PER_WORD: Final = 4
PROMPT_TOKENS: Final = 500
"""The prompts of `story.prompt` have 200 to 600 tokens."""
_SCENE_TOKENS, _BOOK_TOKENS = 200, 700
_CHEAP: Final = {"very cheap": 0.95, "cheap": 0.85}
"""The catalogue's words for prices, as marks."""
_CODES: Final = {
    "german": "de",
    "deutsch": "de",
    "french": "fr",
    "français": "fr",
    "italian": "it",
    "italiano": "it",
    "portuguese": "pt",
    "português": "pt",
    "hindi": "hi",
    "spanish": "es",
    "español": "es",
    "thai": "th",
}
"""Names of the languages that makers name, besides English and Russian."""


class Measured(Protocol):
    """What was measured of a model, e.g. by one's own metrics."""

    @property
    def success_rate(self) -> float | None:
        """Answers among attempts, 0 to 1; None where nothing was measured."""


def choose_models(
    request: StoryInput,
    candidates: Iterable[str] | None = None,
    *,
    llm: ChatOpenRouter | None = None,
    records: Iterable[ModelRecord] | None = None,
    health: Mapping[Any, Health | ModelEndpoints] | None = None,
    measured: Mapping[Any, Measured] | MetricsSnapshot | None = None,
    weights: ModelWeights | None = None,
) -> ModelChoice:
    """Models for a story, best first: by language, length, price and health.

    Without `llm` nothing is asked of the network: facts are those of the catalogue, of the last
    `refresh_catalogue`, of the circuits of this process, and those given here. How well a model
    writes is not judged: that is what the candidates are chosen for.

    Args:
        request: What the story should be: a request, its fields, or a theme.
        candidates: Slugs or `OpenRouterModel`s; else all that the catalogue knows.
        llm: Whom to ask OpenRouter's listing, and the health of each candidate, with.
        records: OpenRouter's listing, from `account.models`; all of it, since what is missing
            counts as retired.
        health: By slug, from `account.health` or `account.endpoints`.
        measured: What one measured: a `StoryMetrics.snapshot()`, or by slug anything with a
            `success_rate` from 0 to 1.
        weights: What counts how much; see `ranking`.

    Returns:
        A sequence of models, which `create_story_chain` takes; its `reason` is one line, that
        of each of its `ranked` too. Retired ones are in `left_out`, with their successors.

    Raises:
        ConfigurationError: A wrong request, no candidates, or none that can tell the story.
        ExternalServiceError: `llm` could not ask.

    Example:
        >>> choice = choose_models("a fox", ["anthropic/claude-3.5-sonnet", "openai/gpt-4o-mini"])
        >>> choice[0]
        <OpenRouterModel.GPT_4O_MINI: 'openai/gpt-4o-mini'>
        >>> choice.left_out[0].reason
        'retired, ask ~anthropic/claude-sonnet-latest instead'
    """
    wanted, models = _checked(request, candidates)
    if llm is not None:
        records = account.models(llm) if records is None else records
        asked = _to_ask(models, health)
        health = {**{slug: account.health(llm, slug) for slug in asked}, **(health or {})}
    return _chosen(wanted, _facts(models, records, health, measured), weights)


async def achoose_models(
    request: StoryInput,
    candidates: Iterable[str] | None = None,
    *,
    llm: ChatOpenRouter | None = None,
    records: Iterable[ModelRecord] | None = None,
    health: Mapping[Any, Health | ModelEndpoints] | None = None,
    measured: Mapping[Any, Measured] | MetricsSnapshot | None = None,
    weights: ModelWeights | None = None,
) -> ModelChoice:
    """The twin of `choose_models`; the candidates' health is asked all at once."""
    wanted, models = _checked(request, candidates)
    if llm is not None:
        records = await account.amodels(llm) if records is None else records
        asked = _to_ask(models, health)
        found = await asyncio.gather(*(account.ahealth(llm, slug) for slug in asked))
        health = {**dict(zip(asked, found, strict=True)), **(health or {})}
    return _chosen(wanted, _facts(models, records, health, measured), weights)


def _checked(
    request: StoryInput, candidates: Iterable[str] | None
) -> tuple[StoryRequest, list[str]]:
    given = list(OpenRouterModel) if candidates is None else candidates
    given = [given] if isinstance(given, str) else list(given)
    if not given or not all(isinstance(model, str) for model in given):
        msg = "choose_models needs candidates: slugs or OpenRouterModels."
        raise ConfigurationError(msg)
    return as_story_request(request), list(dict.fromkeys(known_model(model) for model in given))


def _to_ask(
    models: Sequence[str], health: Mapping[Any, Health | ModelEndpoints] | None
) -> list[str]:
    """The candidates whose health is neither known nor without meaning."""
    return [str(model) for model in models if model not in (health or {}) and _may_answer(model)]


def _may_answer(model: str) -> bool:
    return not (isinstance(model, OpenRouterModel) and model.info.status == "retired")


def _chosen(
    request: StoryRequest, facts: Sequence[Facts], weights: ModelWeights | None
) -> ModelChoice:
    choice = rank(facts, need_of(request), weights or ModelWeights())
    if not choice:
        msg = f"{choice.reason} Name other candidates, or ask for a shorter story."
        raise ConfigurationError(msg)
    return choice


def need_of(request: StoryRequest) -> Need:
    """What a request needs of a model; a storybook's scenes count where it names them."""
    book = request.scenes * _SCENE_TOKENS + _BOOK_TOKENS if request.scenes else 0
    per_word = TOKENS_PER_WORD.get(request.language_code, TOKENS_PER_FOREIGN_WORD)
    language = request.language_code
    return Need(
        language=_CODES.get(language.casefold(), language),
        words=request.word_count,
        input_tokens=PROMPT_TOKENS,
        output_tokens=round(request.word_count * per_word) + book,
        most_output_tokens=request.word_count * MOST_TOKENS_PER_WORD + book,
        is_private=is_personal(request),
    )


# ── facts ───────────────────────────────────────────────────────────────────


def _facts(
    models: Sequence[str],
    records: Iterable[ModelRecord] | None,
    health: Mapping[Any, Health | ModelEndpoints] | None,
    measured: Mapping[Any, Measured] | MetricsSnapshot | None,
) -> list[Facts]:
    counted = measured.models if isinstance(measured, MetricsSnapshot) else measured or {}
    listing = None if records is None else {record.id: record for record in records}
    left_alone = {slug for (_, slug), state in circuits().items() if state == "open"}
    return [
        _facts_of(
            model,
            listing,
            (health or {}).get(model),
            counted.get(model),
            is_left_alone=str(model) in left_alone,
        )
        for model in models
    ]


def _facts_of(
    model: str,
    listing: Mapping[str, ModelRecord] | None,
    health: Health | ModelEndpoints | None,
    measured: Measured | None,
    *,
    is_left_alone: bool,
) -> Facts:
    slug = served_slug(model)
    known = known_model(slug)
    info = known.info if isinstance(known, OpenRouterModel) else None
    record = _record_of(slug, listing)
    condition = health.health() if isinstance(health, ModelEndpoints) else health
    is_gone = info is not None and info.status == "retired" and record is None
    return Facts(
        model=model,
        languages=None if info is None else info.languages,
        context_length=_context_length(record) or (info.context_length if info else None),
        max_output_tokens=(record.max_output_tokens if record else None)
        or (info.max_output_tokens if info else None),
        input_usd=_price(record.pricing.input_usd if record and record.pricing else None),
        output_usd=_price(record.pricing.output_usd if record and record.pricing else None),
        price_mark=_price_mark(info.performance if info else ""),
        verdict=condition.verdict if condition else None,
        uptime_percent=condition.uptime_percent if condition else None,
        success_rate=measured.success_rate if measured else None,
        is_left_alone=is_left_alone,
        is_free=slug.endswith(":free") or slug == OpenRouterModel.FREE,
        is_retired=is_gone or (listing is not None and record is None),
        successor=info.successor if info else None,
    )


def _record_of(slug: str, listing: Mapping[str, ModelRecord] | None) -> ModelRecord | None:
    found = catalogue.listed(slug) if listing is None else listing.get(slug)
    return found if isinstance(found, ModelRecord) else None


def _context_length(record: ModelRecord | None) -> int | None:
    """A router's is that of the longest model it may pick: no promise."""
    return None if record is None or record.is_router else record.context_length


def _price(usd: Decimal | None) -> float | None:
    return None if usd is None else float(usd)


def _price_mark(performance: str) -> float | None:
    return next((mark for words, mark in _CHEAP.items() if words in performance), None)
