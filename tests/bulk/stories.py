"""What the tests of bulk share: a storyteller that repeats its theme, requests, a fast clock."""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import TYPE_CHECKING, Any, Final

from langchain_tale import RetryPolicy
from langchain_tale.resilience.attempts import Timing
from langchain_tale.sandbox.engines import ScriptedEngine
from langchain_tale.sandbox.pieces import text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

MODEL: Final = "a/b"
FASTER: Final = 100
"""How often a fast clock's second fits into a real one."""


def fast_timing() -> Timing:
    """A clock and a sleep by which a minute takes less than a second."""
    return Timing(
        clock=lambda: time.monotonic() * FASTER,
        sleep=lambda seconds: time.sleep(seconds / FASTER),
        asleep=lambda seconds: asyncio.sleep(seconds / FASTER),
        uniform=lambda low, _high: low,
    )


OPTIONS: Final[dict[str, Any]] = {
    "models": MODEL,
    "retry": RetryPolicy(max_retries=0),
    "timing": fast_timing(),
    "concurrency": 8,
}
"""How a test usually calls `tell_all`."""


def theme_in(body: Mapping[str, Any]) -> str:
    """The theme that a request to the sandbox asks for."""
    found = re.search(r'about "([^"]*)"', text_of(body["messages"][-1]))
    assert found
    return found[1]


class Storyteller(ScriptedEngine):
    """Tells a story that has its theme in it, and remembers whom it told."""

    def __init__(self) -> None:
        super().__init__(self._tell)
        self.themes: list[str] = []

    def _tell(self, body: Mapping[str, Any]) -> str:
        theme = theme_in(body)
        self.themes.append(theme)
        return f"# A story\n\n{story_of(theme)}"


def story_of(theme: str) -> str:
    """The one right story."""
    return f"Once upon a time there was {theme}."


def themes(number: int) -> list[str]:
    """So many different themes."""
    return [f"fox {n}" for n in range(1, number + 1)]


def written(path: Path, records: Iterable[Any]) -> Path:
    """A file of JSON lines."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
