"""What cards are made of; each block knows itself as HTML and as Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from langchain_tale.cards.markup import markdown, paragraphs, tag, text

if TYPE_CHECKING:
    from collections.abc import Sequence


FAILED: Final = "✗"
"""A row with a cell that begins with it is set off from the others."""


class Block(Protocol):
    """A part of a card."""

    def html(self) -> str:
        """As HTML, escaped."""
        ...

    def markdown(self) -> str:
        """As Markdown, escaped."""
        ...

    def text(self) -> str:
        """As plain text, word for word."""
        ...


@dataclass(frozen=True, slots=True, repr=False)
class Prose:
    """Text in paragraphs, in whichever direction it is written.

    Attributes:
        content: The text; an empty line ends a paragraph.
        heading: A line above it, or None.
    """

    content: str
    heading: str | None = None

    def html(self) -> str:
        """A heading and paragraphs."""
        heading = tag("h4", text(self.heading), dir="auto") if self.heading else ""
        lines = (tag("p", text(each), dir="auto") for each in paragraphs(self.content))
        return tag("div", heading, *lines, class_="prose")

    def markdown(self) -> str:
        """The same."""
        heading = [f"#### {markdown(self.heading)}"] if self.heading else []
        return "\n\n".join([*heading, *map(_broken_lines, paragraphs(self.content))])

    def text(self) -> str:
        """The same."""
        return f"{self.heading}\n\n{self.content}" if self.heading else self.content


def _broken_lines(paragraph: str) -> str:
    return "  \n".join(markdown(line) for line in paragraph.split("\n"))


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values, side by side."""

    pairs: Sequence[tuple[str, str]]

    def html(self) -> str:
        """A description list."""
        each = (
            tag("div", tag("dt", text(name)), tag("dd", text(value))) for name, value in self.pairs
        )
        return tag("dl", *each)

    def markdown(self) -> str:
        """One line."""
        return " · ".join(f"{markdown(name)}: {markdown(value)}" for name, value in self.pairs)

    def text(self) -> str:
        """One line."""
        return " · ".join(f"{name}: {value}" for name, value in self.pairs)


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence about the rest.

    Attributes:
        sentence: What it says.
        is_calm: Whether nothing is wrong.
    """

    sentence: str
    is_calm: bool = False

    def html(self) -> str:
        """A paragraph with a line at its side."""
        return tag("p", text(self.sentence), class_="note calm" if self.is_calm else "note")

    def markdown(self) -> str:
        """A quotation."""
        return f"> {markdown(self.sentence)}"

    def text(self) -> str:
        """The sentence."""
        return self.sentence


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings; what is a number is aligned as one.

    Attributes:
        columns: The headings.
        rows: Each as long as `columns`; None is an empty cell.
        numeric: Which columns hold numbers, counted from 0.
        wordy: Which hold sentences, and get room for them.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    numeric: frozenset[int] = frozenset()
    wordy: frozenset[int] = frozenset()

    def html(self) -> str:
        """A table that scrolls by itself where the page is too narrow."""
        head = tag("thead", self._row(self.columns, "th"))
        body = tag("tbody", *(self._row(row, "td") for row in self.rows))
        return tag("div", tag("table", head, body), class_="sheet")

    def _row(self, cells: Sequence[object], name: str) -> str:
        scope = "col" if name == "th" else None
        return tag(
            "tr",
            *(
                tag(name, text(_blank(cell)), class_=self._kind(column), scope=scope)
                for column, cell in enumerate(cells)
            ),
            class_="bad" if any(str(cell).startswith(FAILED) for cell in cells) else None,
        )

    def _kind(self, column: int) -> str | None:
        return "n" if column in self.numeric else "wordy" if column in self.wordy else None

    def markdown(self) -> str:
        """A table of GitHub's dialect."""
        rules = ("--:" if i in self.numeric else "---" for i in range(len(self.columns)))
        rows = [[markdown(_blank(cell)) for cell in row] for row in (self.columns, *self.rows)]
        rows.insert(1, list(rules))
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)

    def text(self) -> str:
        """Columns as wide as they need to be."""
        rows = [[str(_blank(cell)) for cell in row] for row in (self.columns, *self.rows)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ("  ".join(map(self._aligned, row, widths, range(len(row)))) for row in rows)
        return "\n".join(line.rstrip() for line in lines)

    def _aligned(self, cell: str, width: int, column: int) -> str:
        return cell.rjust(width) if column in self.numeric else cell.ljust(width)


def _blank(cell: object) -> object:
    return "" if cell is None else cell
