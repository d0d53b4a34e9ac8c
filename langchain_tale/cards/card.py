"""A card of blocks, and `Shown`, for classes that show themselves as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_tale.cards.markup import markdown, tag, text
from langchain_tale.cards.theme import IGNORED_BY_TEX, STYLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tale.cards.blocks import Block


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Card:
    """Something that shows itself in a notebook, without any outside resource or script.

    Attributes:
        kind: What it is, in a word or two.
        title: Its heading, or None.
        blocks: What is in it, from top to bottom.
        is_wide: Whether it is a sheet of columns rather than a page to read.
    """

    kind: str
    title: str | None = None
    blocks: Sequence[Block] = ()
    is_wide: bool = False

    def html(self) -> str:
        """As HTML that brings its own style."""
        style = tag("style", STYLE)  # ours, and the only thing that is not escaped
        kind = tag("p", text(self.kind), class_="kind")
        title = tag("h3", text(self.title), dir="auto") if self.title else ""
        size = " wide" if self.is_wide else ""
        inside = (block.html() for block in self.blocks)
        name = f"tale{size} {IGNORED_BY_TEX}"
        return style + tag("section", kind, title, *inside, class_=name)

    def markdown(self) -> str:
        """As Markdown, for whoever shows no HTML."""
        title = [f"### {markdown(self.title)}"] if self.title else [f"*{markdown(self.kind)}*"]
        return "\n\n".join([*title, *(block.markdown() for block in self.blocks)])

    def text(self) -> str:
        """As plain text."""
        parts = [self.title or self.kind, *(block.text() for block in self.blocks)]
        return "\n\n".join(part for part in parts if part)

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        """Not a word of what is in it: reprs end in logs."""
        return f"<Card: {self.kind}>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: FBT001 (IPython's order)
        printer.text("…" if cycle else self.text())

    def _repr_html_(self) -> str:
        return self.html()

    def _repr_markdown_(self) -> str:
        return self.markdown()


class Shown:
    """Base of classes that show themselves as a card in a notebook."""

    __slots__ = ()

    def card(self) -> Card:
        """The card, e.g. for `card().html()` in a file."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        return self.card().html()

    def _repr_markdown_(self) -> str:
        return self.card().markdown()


class Readable(Shown):
    """Base of those that a terminal's IPython shows as text, word for word.

    `repr` and `str` stay as they are: they end in logs, and stories name children.
    """

    __slots__ = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._repr_pretty_ = Readable._repr_pretty_  # type: ignore[method-assign]  # or IPython takes a class's own __repr__

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: FBT001 (IPython's order)
        printer.text("…" if cycle else self.card().text())
