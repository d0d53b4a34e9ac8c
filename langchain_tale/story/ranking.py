"""Which model for which story: facts → an order that explains itself; pure.

Each model gets four marks from 0 to 1, and their weighted mean is its score:

- language: 1 where its maker names the language of the story, 0.1 where it names only others;
- length: 1 where the story fits with room to spare, 0.5 where it may just fit; one that it
  cannot fit rules the model out;
- price: `1 / (1 + cost / 1 cent)` of what the story will about cost;
- health: 1 where it answers, 0.5 where it is degraded, 0.1 where it is down; a measured rate of
  success counts where it is lower.

What is not known gets a mark of its own, between good and bad, and the reason says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from langchain_tale.story.choice import LeftOut, ModelChoice, ModelWeights, RankedModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tale.openrouter.model_records import Verdict

HALF_PRICE_USD: Final = 0.01
"""What a story costs that gets half the mark for its price."""
_UNKNOWN: Final = 0.6
_HEALTH: Final[dict[str, float]] = {"healthy": 1.0, "degraded": 0.5, "down": 0.1}
_PRIVATE_ODDS: Final = 0.3
"""Free models seldom promise not to train (§19 of the facts on OpenRouter), and so may refuse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a story needs of a model.

    Attributes:
        language: Its code, or its name where there is no code for it here.
        words: Its length.
        input_tokens: About what the prompt has.
        output_tokens: About what the story will have.
        most_output_tokens: What it may have at most.
        is_private: Whether only providers may see it that neither store nor train.
    """

    language: str
    words: int
    input_tokens: int
    output_tokens: int
    most_output_tokens: int
    is_private: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a candidate; None where it is not.

    Attributes:
        model: Its slug, or an `OpenRouterModel`.
        languages: Codes of the languages its maker names; `("*",)` for most of them.
        context_length: Tokens it reads and writes together.
        max_output_tokens: Most tokens it writes.
        input_usd: Price of an input token.
        output_usd: Price of an output token.
        price_mark: The mark for its price where no price is known, from 0 to 1.
        verdict: Whether it can be expected to answer.
        uptime_percent: Of its best endpoint, 0 to 100.
        success_rate: Of the answers that were measured, 0 to 1.
        is_left_alone: Whether its circuit is open.
        is_free: Whether it costs nothing by its name.
        is_retired: Whether it is gone, or was never there.
        successor: What to ask instead of a retired one.
    """

    model: str
    languages: tuple[str, ...] | None = None
    context_length: int | None = None
    max_output_tokens: int | None = None
    input_usd: float | None = None
    output_usd: float | None = None
    price_mark: float | None = None
    verdict: Verdict | None = None
    uptime_percent: float | None = None
    success_rate: float | None = None
    is_left_alone: bool = False
    is_free: bool = False
    is_retired: bool = False
    successor: str | None = None


def rank(candidates: Sequence[Facts], need: Need, weights: ModelWeights) -> ModelChoice:
    """The candidates in the order in which to ask them; equals stay as they are given."""
    left_out = [out for facts in candidates if (out := _ruled_out(facts, need))]
    gone = {out.model for out in left_out}
    fit = [_ranked(facts, need, weights) for facts in candidates if facts.model not in gone]
    return ModelChoice(tuple(sorted(fit, key=lambda one: -one.score)), tuple(left_out))


def _ruled_out(facts: Facts, need: Need) -> LeftOut | None:
    if facts.is_retired:
        now = f"retired, ask {facts.successor} instead" if facts.successor else "not listed"
        return LeftOut(model=facts.model, reason=now, successor=facts.successor)
    if facts.verdict == "unroutable":
        return LeftOut(model=facts.model, reason="nobody serves it")
    if _length(facts, need)[0] == 0:
        return LeftOut(model=facts.model, reason=f"too short for {need.words} words")
    return None


def _ranked(facts: Facts, need: Need, weights: ModelWeights) -> RankedModel:
    cost_usd = _cost_usd(facts, need)
    judged = {
        "language": _language(facts, need),
        "length": _length(facts, need),
        "price": _price(facts, cost_usd),
        "health": _health(facts, need),
    }
    marks = {name: mark for name, (mark, _) in judged.items()}
    heavy = weights.model_dump()
    score = sum(heavy[name] * marks[name] for name in marks) / sum(heavy.values())
    said = ", ".join(words for _, words in judged.values())
    return RankedModel(
        model=facts.model,
        score=round(score, 4),
        marks=marks,
        cost_usd=cost_usd,
        reason=f"{facts.model} ({score:.2f}): {said}",
    )


# ── marks, each with its words ──────────────────────────────────────────────

Mark = tuple[float, str]


def _language(facts: Facts, need: Need) -> Mark:
    if facts.languages is None:
        return _UNKNOWN, f"{need.language} unknown"
    if {"*", need.language} & set(facts.languages):
        return 1.0, f"writes {need.language}"
    return 0.1, f"{need.language} is none of its languages"


def _length(facts: Facts, need: Need) -> Mark:
    """0 where the story cannot fit."""
    limits = [limit for limit in (_room_in_context(facts, need), facts.max_output_tokens) if limit]
    if not limits:
        return _UNKNOWN, "length unknown"
    room = min(limits)
    if room >= need.most_output_tokens:
        return 1.0, f"room for {need.words} words"
    return (0.5, f"{need.words} words may just fit") if room >= need.output_tokens else (0.0, "")


def _room_in_context(facts: Facts, need: Need) -> int | None:
    if facts.context_length is None:
        return None
    return max(1, facts.context_length - need.input_tokens)


def _cost_usd(facts: Facts, need: Need) -> float | None:
    if facts.is_free:
        return 0.0
    if facts.input_usd is None or facts.output_usd is None:
        return None
    return facts.input_usd * need.input_tokens + facts.output_usd * need.output_tokens


def _price(facts: Facts, cost_usd: float | None) -> Mark:
    if cost_usd is not None:
        words = f"about ${cost_usd:.5f}" if cost_usd else "free"
        return 1 / (1 + cost_usd / HALF_PRICE_USD), words
    if facts.price_mark is not None:
        return facts.price_mark, "cheap"
    return _UNKNOWN, "price unknown"


def _health(facts: Facts, need: Need) -> Mark:
    mark, words = _condition(facts)
    if facts.success_rate is not None and facts.success_rate < mark:
        mark, words = facts.success_rate, f"answered {facts.success_rate:.0%} of the time"
    if need.is_private and facts.is_free:
        return mark * _PRIVATE_ODDS, f"{words}, but may not be private enough"
    return mark, words


def _condition(facts: Facts) -> Mark:
    if facts.is_left_alone:
        return 0.1, "failed too often of late"
    mark = _HEALTH.get(facts.verdict or "")
    if mark is None:
        rate = facts.success_rate
        return (_UNKNOWN, "health unknown") if rate is None else (rate, f"answered {rate:.0%}")
    uptime = "" if facts.uptime_percent is None else f" ({facts.uptime_percent:.4g} %)"
    return mark, f"{facts.verdict}{uptime}"
