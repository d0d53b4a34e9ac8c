"""`Story`: a title, its characters, its scenes, and what to talk about afterwards; values."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict

from langchain_tale.cards.card import Card, Readable
from langchain_tale.cards.scenes import scene_blocks
from langchain_tale.story.book import page, printing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from langchain_tale.cards.blocks import Block

_BIDI: Final = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that turn the direction of what follows; a page sets it by its own means."""
_GAPS: Final = re.compile(r"[^\S\n]*\n\s*\n\s*")


def _kept(char: str) -> bool:
    return char == "\n" or (unicodedata.category(char) not in {"Cc", "Cs"} and char not in _BIDI)


def _cleaned(text: str) -> str:
    """Text without control characters; paragraphs stay paragraphs."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ").expandtabs(1)
    shown = "".join(char for char in lines if _kept(char))
    return _GAPS.sub("\n\n", shown).strip()


def _on_one_line(text: str) -> str:
    return " ".join(_cleaned(text).split())


Prose = Annotated[str, AfterValidator(_cleaned)]
Line = Annotated[str, AfterValidator(_on_one_line)]


class _Frozen(BaseModel):
    """What the parts of a story share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """What it is, and not a word of it: stories name the child, and reprs end in logs."""
        for name, value in super().__repr_args__():
            yield name, value if name == "language" else _hidden(value)


class Character(_Frozen):
    """Someone in the story, who looks the same in every picture.

    Attributes:
        name: As the scenes call them.
        look: What never changes: kind, age, colours, clothes.
    """

    name: Line
    look: Line = ""


class Scene(_Frozen):
    """One page of the story.

    Attributes:
        text: What is read aloud; paragraphs are separated by an empty line.
        illustration: What its picture shows; `Story.illustration_prompts` adds the looks.
        characters: Who is in the picture, by the names of `Story.characters`.
    """

    text: Prose
    illustration: Line = ""
    characters: tuple[Line, ...] = ()


class Story(Readable, _Frozen):
    """A story for children, in scenes; in a notebook it shows itself as a card.

    Attributes:
        title: Its name; empty where the model has given none, or not yet.
        characters: Who occurs, each with a look that every picture keeps.
        scenes: Its pages, in order.
        moral: What is learnt, in a sentence; empty where the model gave none.
        questions: What to talk about afterwards.
        language: A code or a name; the caller's, never asked of a model.

    Example:
        >>> fox = Character(name="Rusty", look="a small red fox with a green scarf")
        >>> scene = Scene(text="Rusty found a berry.", illustration="a sunny clearing")
        >>> story = Story(title="Rusty", characters=(fox,), scenes=(scene,))
        >>> story.illustration_prompts()
        ('a sunny clearing. Rusty: a small red fox with a green scarf.',)
    """

    title: Line
    characters: tuple[Character, ...] = ()
    scenes: tuple[Scene, ...]
    moral: Line = ""
    questions: tuple[Line, ...] = ()
    language: Line = "en"

    @property
    def text(self) -> str:
        """The story itself: its scenes, without title, moral and questions."""
        return "\n\n".join(scene.text for scene in self.scenes)

    def illustration_prompts(self, style: str = "") -> tuple[str, ...]:
        """One prompt a scene for a model that draws; characters keep their looks.

        Args:
            style: How all pictures are drawn, e.g. `"soft watercolour, warm light"`.

        Returns:
            As many prompts as there are scenes: what the scene shows, then the look of everyone
            who is in it, word for word the same in each prompt, then the style. Empty where
            the model described no picture.
        """
        return tuple(self._illustration(scene, style) for scene in self.scenes)

    def _illustration(self, scene: Scene, style: str) -> str:
        if not scene.illustration:
            return ""
        looks = (f"{c.name}: {c.look}" for c in self._cast(scene) if c.look)
        return " ".join(_ended(part) for part in (scene.illustration, *looks, style) if part)

    def _cast(self, scene: Scene) -> Iterable[Character]:
        """Who is in the picture: as the scene says, else whom its picture or text names."""
        listed = {name.casefold() for name in scene.characters}
        found = [c for c in self.characters if c.name.casefold() in listed]
        return found or [c for c in self.characters if _names(scene, c.name)]

    def card(self) -> Card:
        """What a notebook shows of it."""
        return Card(kind="Story", title=self.title or None, blocks=self.blocks())

    def blocks(self) -> list[Block]:
        """All but its title, as parts of a card."""
        words = printing.headings_of(self)
        return scene_blocks(self.scenes, moral=self.moral, questions=self.questions, words=words)

    def to_text(self) -> str:
        """The story as plain text, with its moral and its questions."""
        return printing.text_of(self)

    def to_markdown(self) -> str:
        """The story as Markdown; what a model wrote stays text and marks nothing up."""
        return printing.markdown_of(self)

    def to_html(self, pictures: Sequence[str | None] = ()) -> str:
        """The story as a page of its own: light or dark as the reader's system is, fit to print.

        Nothing is loaded from anywhere, and everything a model wrote is escaped.

        Args:
            pictures: One a scene, as `data:image/…;base64,…` URLs such as models that draw
                return; None for a scene without one. There may be fewer than scenes.

        Raises:
            ConfigurationError: A picture is no such URL, or there are more than scenes.
        """
        return page.html_of(self, pictures)


def _hidden(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_hidden(item) for item in value)
    return f"<{len(value.split())} words>" if isinstance(value, str) else value


def _ended(part: str) -> str:
    return part if part.endswith((".", "!", "?", "…")) else f"{part}."


def _names(scene: Scene, name: str) -> bool:
    named = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.IGNORECASE)
    return bool(named.search(scene.illustration) or named.search(scene.text))
