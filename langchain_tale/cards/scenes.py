"""A story in scenes, as blocks of a card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from langchain_tale.cards.blocks import Block, Note, Prose

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Words(Protocol):
    """The words of ours between those of the story."""

    @property
    def moral(self) -> str:
        """Before what is learnt."""

    @property
    def questions(self) -> str:
        """Above what to talk about."""

    @property
    def picture(self) -> str:
        """Before what a picture shows."""


class ShownScene(Protocol):
    """What is shown of a scene."""

    @property
    def text(self) -> str:
        """What is read aloud."""

    @property
    def illustration(self) -> str:
        """What its picture shows, or nothing."""


def scene_blocks(
    scenes: Sequence[ShownScene], *, moral: str, questions: Sequence[str], words: Words
) -> list[Block]:
    """The scenes with what their pictures show, then the moral and the questions."""
    blocks = [block for scene in scenes for block in _scene(scene, words)]
    blocks += [Note(f"{words.moral}: {moral}", is_calm=True)] if moral else []
    asked = "\n".join(f"{number}. {question}" for number, question in enumerate(questions, 1))
    return blocks + ([Prose(asked, heading=words.questions)] if asked else [])


def _scene(scene: ShownScene, words: Words) -> Iterator[Block]:
    yield Prose(scene.text)
    if scene.illustration:
        yield Note(f"{words.picture}: {scene.illustration}", is_calm=True)
