"""Models that tell given stories in order, and remember what they were asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_tale.sandbox.engines import End, Piece, ScriptedEngine

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

GOOD = (
    "# Mia and the Boat\n\nMia had a small red boat. She put it on the pond, and it sailed away. "
    'A frog sat down in it. "This is mine," said the frog. Mia laughed. "Then bring it back when '
    'you are done," she said.'
)
NAMELESS = GOOD.replace("Mia", "Ann")
HARSH = GOOD.replace("Mia laughed.", "The frog killed a fly, and blood ran over the boat.")
HARSH_AND_NAMELESS = HARSH.replace("Mia", "Ann")
ASKED = {"theme": "a boat", "child_name": "Mia", "age": 5, "words": 40}


class Storyteller(ScriptedEngine):
    """An engine that tells given texts, the last of them again and again.

    Attributes:
        bodies: The requests that it answered.
    """

    def __init__(self, *texts: str) -> None:
        super().__init__(self._next)
        self.texts = list(texts)
        self.bodies: list[dict[str, Any]] = []

    def generate(self, request: Mapping[str, Any]) -> AsyncGenerator[Piece | End]:
        self.bodies.append(dict(request))
        return super().generate(request)

    def _next(self, _request: Mapping[str, Any]) -> str:
        return self.texts.pop(0) if len(self.texts) > 1 else self.texts[0]

    def messages(self, number: int) -> list[tuple[str, str]]:
        """Roles and texts of request `number`, from 0."""
        return [(each["role"], each["content"]) for each in self.bodies[number]["messages"]]
