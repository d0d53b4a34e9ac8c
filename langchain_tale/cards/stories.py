"""The card of a story, told or being told, and of one that did not come to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from langchain_tale.cards.blocks import Block, Facts, Note, Prose
from langchain_tale.cards.card import Card
from langchain_tale.cards.strip import Strip, Tried
from langchain_tale.cards.wording import counted, dollars, seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

EMPTY: Final = "The model said nothing: there is no story."
CUT_OFF: Final = "Cut off at its limit of tokens: the story is not finished."


def story_card(
    *,
    title: str | None,
    body: Sequence[Block],
    model: str,
    provider_name: str | None = None,
    cost_usd: float | None = None,
    latency_s: float | None = None,
    attempts: Sequence[Tried] = (),
    level: str | None = None,
    is_cut_off: bool = False,
    is_cached: bool = False,
    complaints: Sequence[str] = (),
) -> Card:
    """The card of a story.

    Args:
        title: Its title, or None.
        body: The story itself.
        model: Who answered; empty where nobody has said so.
        provider_name: The host that served it.
        cost_usd: What it cost, where that is known.
        latency_s: Seconds from the first request to the end, waits included.
        attempts: Every request that was made.
        level: The reading level in words.
        is_cut_off: Whether it ends at a limit of tokens.
        is_cached: Whether it was told before, and kept.
        complaints: What checks have found wrong with it.
    """
    facts = [
        ("told by", model),
        ("asked first", _asked_first(model, attempts)),
        ("served by", provider_name),
        ("cost", None if cost_usd is None else dollars(cost_usd)),
        ("told before", "kept, and not paid for again" if is_cached else None),
        ("time", None if latency_s is None else seconds(latency_s)),
        ("reading level", level),
    ]
    known = [(name, value) for name, value in facts if value]
    blocks: list[Block] = (
        list(body) if any(block.text().strip() for block in body) else [Note(EMPTY)]
    )
    blocks += [Note(CUT_OFF)] if is_cut_off else []
    blocks += [Note(f"The checks say: {sentence}") for sentence in complaints]
    blocks += [Facts(known)] if known else []
    blocks += [Strip(attempts)] if attempts else []
    return Card(kind="Story", title=title, blocks=blocks)


def _asked_first(model: str, attempts: Sequence[Tried]) -> str | None:
    """The model that was asked first, where another answered."""
    first = attempts[0].model if attempts else model
    return None if first == model else first


def telling_card(*, title: str | None, content: str, status: str) -> Card:
    """The card of a story that is still being told."""
    return Card(kind="Story", title=title, blocks=[Prose(content), Note(status, is_calm=True)])


def stopped_card(*, title: str | None, content: str, sentence: str) -> Card:
    """The card of a story that was not told to its end."""
    blocks: list[Block] = [Prose(content)] if content else []
    return Card(kind="Story, unfinished", title=title, blocks=[*blocks, Note(sentence)])


def failure_card(
    kind: str, message: str, *, attempts: Sequence[Tried] = (), partial_text: str | None = None
) -> Card:
    """The card of a story that did not come to be.

    Args:
        kind: The class of the error.
        message: What the error says; of several lines, the first is about the attempts.
        attempts: Each with its error; they stand in place of the first line.
        partial_text: What had been told before it failed.
    """
    first, *others = message.splitlines() or [""]
    blocks: list[Block] = [Strip(attempts, is_open=True)] if attempts else [Note(first)]
    blocks += [Note(line, is_calm=line is not others[-1]) for line in others]
    blocks += [Prose(partial_text, heading="Told until then")] if partial_text else []
    tries = counted(len(attempts), "try", "tries")
    title = f"No model answered in {tries}" if attempts else None
    return Card(kind=kind, title=title, blocks=blocks)
