"""What the tests of batches share: a run by batch, and what is right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from langchain_tale import RetryPolicy, tell_all
from langchain_tale.bulk.batching.letters import Batching
from tests.bulk.stories import MODEL, fast_timing, rows, story_of, themes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from langchain_tale.bulk.summary import BulkSummary

OTHER: Final = "c/d"
SOON: Final = Batching(first_look_s=2)


def tell(requests: Any, out: Path, **options: Any) -> BulkSummary:
    """A run by batch whose policy tries nothing again, unless the test says otherwise."""
    usual: dict[str, Any] = {
        "models": MODEL,
        "via": SOON,
        "retry": RetryPolicy(max_retries=0),
        "timing": fast_timing(),
    }
    return tell_all(requests, out=out, **{**usual, **options})


def told(out: Path) -> dict[int, str]:
    """The stories by their lines."""
    return {row["line"]: row["content"] for row in rows(out)}


def right(number: int) -> dict[int, str]:
    """What should be told."""
    return {n: story_of(theme) for n, theme in enumerate(themes(number), 1)}


def interrupted_when(is_so: Callable[[], bool]) -> Callable[[], int]:
    """Ctrl-C at a certain moment."""
    return lambda: int(is_so())
