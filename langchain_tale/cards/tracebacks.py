"""What an IPython user sees of one of our errors: the sentence, and where in their own code.

A failed call runs through some sixty frames of libraries. IPython asks an exception for
`_render_traceback_` before it prints them; `%tb` asks again, and then gets all of them.
"""

from __future__ import annotations

import linecache
import sysconfig
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final

from langchain_tale.cards.strip import MOST_MARKS, line_of
from langchain_tale.cards.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_tale.cards.strip import Tried

MOST_PLACES: Final = 5
_RED: Final = "\x1b[31m"
_PLAIN: Final = "\x1b[0m"
_OURS: Final = str(Path(__file__).parents[1])
_STDLIB: Final = sysconfig.get_paths()["stdlib"]
_INSTALLED: Final = ("site-packages", "dist-packages")
_CELL: Final = ("ipykernel_", "<ipython-input")


def printed_in_short(error: BaseException, sentence: str) -> None:
    """Have IPython print an error that is not ours in a few lines, the first time that it asks.

    Args:
        error: An interrupt, say; it stays what it is for whoever catches it.
        sentence: What it says, unless it says something itself.
    """

    def printed() -> list[str]:
        del error._render_traceback_  # type: ignore[attr-defined]  # IPython's
        return in_short(error)

    error.args = error.args or (sentence,)
    error._render_traceback_ = printed  # type: ignore[attr-defined]  # IPython's


def in_short(error: BaseException, attempts: Sequence[Tried] = ()) -> list[str]:
    """An error in a few lines: what it says, its attempts, where it was raised.

    Args:
        error: As it was raised.
        attempts: What was tried; these stand in place of the first line of what it says.
    """
    first, *others = str(error).splitlines() or [""]
    if attempts:
        first = f"No model answered in {counted(len(attempts), 'try', 'tries')}."
    return [
        f"{_RED}{type(error).__name__}{_PLAIN}: {first}",
        *(f"  ({each.number}) {line_of(each)}" for each in attempts[:MOST_MARKS]),
        *others,
        *_places(error),
        "(%tb shows the whole traceback.)",
    ]


def _places(error: BaseException) -> Iterator[str]:
    """Where the caller's own code was, outermost first."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not _is_library(frame.filename)]
    for frame in own[-MOST_PLACES:]:
        line = (frame.line or linecache.getline(frame.filename, frame.lineno or 0)).strip()
        yield f"{_place(frame)}: {line}"


def _place(frame: traceback.FrameSummary) -> str:
    name = Path(frame.filename).name
    where = "In this notebook" if any(mark in frame.filename for mark in _CELL) else f"In {name}"
    return f"{where}, line {frame.lineno}"


def _is_library(filename: str) -> bool:
    is_installed = any(part in _INSTALLED for part in Path(filename).parts)
    return is_installed or filename.startswith((_OURS, _STDLIB))
