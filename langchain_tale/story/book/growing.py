"""The scenes of an answer while it is still being written; pure.

A scene counts once the next one has begun: so nothing that is shown has to be taken back, and
the last scene comes with the end of the answer.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.story.book.reading import characters_of, field_named, scene_of
from langchain_tale.story.book.story import Scene, Story

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_DECODER: Final = json.JSONDecoder(strict=False)
_BLANK: Final = re.compile(r"[\s,]*")
_THOUGHTS: Final = re.compile(r"\s*<think(?:ing)?>", re.IGNORECASE)
_AFTER_THOUGHTS: Final = re.compile(r"</think(?:ing)?>", re.IGNORECASE)


@dataclass(slots=True)
class GrowingStory:
    """Reads JSON as it arrives, a value at a time; what it cannot read is left to the end.

    Attributes:
        language: What `Story.language` becomes.
        scenes: Those that are whole.
    """

    language: str = "en"
    scenes: list[Scene] = field(default_factory=list)
    _fields: dict[str, Any] = field(default_factory=dict)
    _unread: str = ""
    _last: Any = None
    _read: Callable[[], bool] | None = None

    def take(self, piece: str) -> Iterator[Story]:
        """The story after each scene that `piece` has made whole."""
        known = len(self.scenes)
        self._unread += piece
        while (self._read or self._start)():
            pass
        for number in range(known + 1, len(self.scenes) + 1):
            yield self._story(number)

    def _story(self, n_scenes: int) -> Story:
        title = self._fields.get("title")
        return Story(
            title=title if isinstance(title, str) else "",
            characters=characters_of(self._fields.get("characters")),
            scenes=tuple(self.scenes[:n_scenes]),
            language=self.language,
        )

    # ── steps; each says whether another may follow ─────────────────────────

    def _start(self) -> bool:
        """Skip what stands before the object, reasoning too."""
        if _THOUGHTS.match(self._unread):
            end = _AFTER_THOUGHTS.search(self._unread)
            if end is None:
                return False
            self._unread = self._unread[end.end() :]
        _, brace, rest = self._unread.partition("{")
        if not brace:
            return False
        self._unread, self._read = rest, self._member
        return True

    def _member(self) -> bool:
        """`"name": value`; of the scenes only the bracket."""
        self._skip()
        if not self._unread.startswith('"'):
            return False
        name, end = self._decoded(0)
        opening = _BLANK.match(self._unread, end)
        colon = opening.end() if opening else end
        if end == 0 or self._unread[colon : colon + 1] != ":":
            return False
        start = colon + 1 + len(self._unread[colon + 1 :]) - len(self._unread[colon + 1 :].lstrip())
        ours = field_named(str(name))
        if ours == "scenes" and self._unread[start : start + 1] == "[":
            self._unread, self._read = self._unread[start + 1 :], self._element
            return True
        value, end = self._decoded(start)
        if end == 0:
            return False
        self._fields[ours] = value
        self._unread = self._unread[end:]
        return True

    def _element(self) -> bool:
        """One scene, which makes the one before it whole."""
        self._skip()
        if self._unread.startswith("]"):
            self._unread, self._read = self._unread[1:], self._member
            return True
        if self._unread and self._last is not None:
            if not self._keep(self._last):
                return False
            self._last = None
        value, end = self._decoded(0)
        if end == 0:
            return False
        self._last, self._unread = value, self._unread[end:]
        return True

    def _keep(self, found: Any) -> bool:
        try:
            self.scenes.append(scene_of(found))
        except ValueError:
            return False  # the end will tell what to make of it
        return True

    def _skip(self) -> None:
        blank = _BLANK.match(self._unread)
        self._unread = self._unread[blank.end() if blank else 0 :]

    def _decoded(self, start: int) -> tuple[Any, int]:
        """A value and where it ends; 0 where it is not whole yet, or is no JSON."""
        try:
            value, end = _DECODER.raw_decode(self._unread, start)
        except ValueError:
            return None, 0
        return value, end if end < len(self._unread) else 0  # a number may go on
