"""An engine that keeps what it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_tale.sandbox.engines import ScriptedEngine

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from langchain_tale.sandbox.engines import End, Piece

# Long enough to be a story, so that every chain takes it.
STORY = (
    "# The Fox\n\nOnce upon a time there was a small red fox who had found a basket of berries.\n\n"
    "It met a hare, an owl and three mice, and gave each of them a handful of its best berries."
    "\n\nThat night nobody in the forest went to bed hungry, and the fox slept best of all."
)


class Recorder(ScriptedEngine):
    """Keeps the body of every request that it answers."""

    def __init__(self, reply: Callable[[Mapping[str, Any]], str] = lambda _request: STORY) -> None:
        super().__init__(reply)
        self.bodies: list[dict[str, Any]] = []

    def generate(self, request: Mapping[str, Any]) -> AsyncGenerator[Piece | End]:
        self.bodies.append(dict(request))
        return super().generate(request)

    @property
    def body(self) -> dict[str, Any]:
        """The body of the only request."""
        (only,) = self.bodies
        return only
