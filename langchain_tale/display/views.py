"""What a person sees of a story that is being told: a card that grows, or plain text."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Final, Protocol

from langchain_tale.cards.blocks import Facts, Note, Prose
from langchain_tale.cards.card import Card
from langchain_tale.cards.stories import failure_card, stopped_card, telling_card
from langchain_tale.cards.wording import counted
from langchain_tale.display.cell import current_shell
from langchain_tale.errors import AllModelsFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_tale.cards.blocks import Block
    from langchain_tale.cards.card import Shown
    from langchain_tale.story.result import StoryGenerationResult

REFRESH_S: Final = 0.1
"""Seconds between two drawings of a card that grows; faster is not seen, and costs."""


class View(Protocol):
    """Shows one telling."""

    def grow(self, result: StoryGenerationResult) -> None:
        """The story has grown."""
        ...

    def end(self, shown: Shown | Card) -> None:
        """It is over: a result, an error, or a card that says so."""
        ...

    def show_again(self) -> None:
        """It was asked for by name."""
        ...


def stopped(latest: StoryGenerationResult | None) -> Card:
    """The card of a story that was stopped."""
    content = latest.content if latest else ""
    told = counted(len(content.split()), "word")
    sentence = f"Stopped after {told}; the request was cancelled."
    return stopped_card(title=latest.title if latest else None, content=content, sentence=sentence)


def failed(error: BaseException, latest: StoryGenerationResult | None) -> Card:
    """The card of a story that broke: what was told of it, and why no more was."""
    if isinstance(error, AllModelsFailedError):
        why: Sequence[Block] = failure_card("", str(error), attempts=error.attempts).blocks
    else:
        why = [Note(str(error) or type(error).__name__)]
    told = [Prose(latest.content)] if latest and latest.content else []
    title = latest.title if latest else None
    return Card(kind=type(error).__name__, title=title, blocks=[*told, *why])


# ── in a cell ───────────────────────────────────────────────────────────────


class CellView:
    """A card in the output of a cell, and below it a button while there is something to stop.

    Both are redrawn in place, by their display ids: in Lab, in VS Code and in the classic
    notebook, also after the cell itself has ended.

    Args:
        stop: What the button does; None for no button.
    """

    def __init__(self, stop: Callable[[], None] | None) -> None:
        from IPython.display import display  # noqa: PLC0415 (an extra)

        self._run = _run()
        self._card: Shown | Card = telling_card(title=None, content="", status="Asking …")
        self._next_drawing: asyncio.TimerHandle | None = None
        self._handle = display(self._card, display_id=True)  # type: ignore[no-untyped-call]  # IPython's
        self._button = _Button(stop) if stop else None

    def grow(self, result: StoryGenerationResult) -> None:
        """Redraw the card, soon; what comes until then is in the same drawing."""
        status = f"Being told … {counted(len(result.content.split()), 'word')} so far."
        self._card = telling_card(title=result.title, content=result.content, status=status)
        if self._next_drawing is None:
            self._next_drawing = asyncio.get_running_loop().call_later(REFRESH_S, self._draw)

    def end(self, shown: Shown | Card) -> None:
        """Draw what it came to, and take the button away."""
        self._card = shown
        if self._next_drawing:
            self._next_drawing.cancel()
        self._draw()
        if self._button:
            self._button.vanish()

    def show_again(self) -> None:
        """Draw it here too, unless this very cell shows it; it grows on in both places."""
        if _run() != self._run:
            self._handle.display(self._card)

    def _draw(self) -> None:
        self._next_drawing = None
        self._handle.update(self._card)


class _Button:
    """A button of ipywidgets: nothing else reaches a kernel from all front ends."""

    def __init__(self, press: Callable[[], None]) -> None:
        from IPython.display import display  # noqa: PLC0415 (an extra)

        try:
            import ipywidgets  # noqa: PLC0415 (an extra)
        except ImportError:
            self._widget = self._handle = None
            return
        self._widget = ipywidgets.Button(description="Stop", icon="stop")
        self._widget.on_click(lambda _button: press())
        self._handle = display(self._widget, display_id=True)  # type: ignore[no-untyped-call]  # IPython's

    def vanish(self) -> None:
        if self._widget is None or self._handle is None:
            return
        self._handle.update({"text/plain": ""}, raw=True)
        self._widget.close()


# ── elsewhere ───────────────────────────────────────────────────────────────


class TextView:
    """Plain text on stdout, word by word."""

    def __init__(self) -> None:
        self._shown = ""
        self._run = _run()
        self._end: Shown | Card | None = None

    def grow(self, result: StoryGenerationResult) -> None:
        """Print what has been added; a story that begins again begins on a new line."""
        if not result.content.startswith(self._shown):
            self._write("\n\n(It begins again.)\n\n")
            self._shown = ""
        if not self._shown and result.content and result.title:
            self._write(f"{result.title}\n\n")
        self._write(result.content[len(self._shown) :])
        self._shown = result.content

    def end(self, shown: Shown | Card) -> None:
        """Print the facts below the story, or why there is no more of it."""
        self._end = shown
        self._write("\n" if self._shown else "")
        facts = _facts_of(shown)
        self._write(f"\n{facts}\n" if facts else "")

    def show_again(self) -> None:
        """Print all of it, unless this very line has just printed it."""
        if _run() != self._run:
            self._write(f"{self._shown if self._end is None else self._end}\n")

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def _facts_of(shown: Shown | Card) -> str:
    """What a card says besides the story itself."""
    card = shown if isinstance(shown, Card) else shown.card()
    return "\n".join(block.text() for block in card.blocks if isinstance(block, Facts | Note))


def _run() -> int | None:
    return getattr(current_shell(), "execution_count", None)
