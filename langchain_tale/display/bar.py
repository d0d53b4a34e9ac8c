"""The progress bar of `tell_many`, drawn by tqdm."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from langchain_tale.cards.wording import dollars
from langchain_tale.display.cell import current_cell
from langchain_tale.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Bar:
    """How many stories are done and have failed, what they cost, how long the rest will take."""

    def __init__(self, drawn: Any) -> None:
        self._drawn = drawn
        self._failed = 0
        self._spent_usd = 0.0

    def add(self, *, is_told: bool, cost_usd: float) -> None:
        """One more is done."""
        self._failed += not is_told
        self._spent_usd += cost_usd
        said = f"{self._failed} failed, {dollars(self._spent_usd)}"
        self._drawn.set_postfix_str(said, refresh=False)
        self._drawn.update()


@contextmanager
def bar_for(total: int) -> Iterator[Bar]:
    """A bar of `total` stories while the body runs.

    A widget where somebody watches the cell, and text in its place once all is done: of widgets
    a saved notebook keeps nothing. Elsewhere text from the start, which logs can hold.

    Raises:
        ConfigurationError: tqdm is missing.
    """
    tqdm = _tqdm()
    options = {"total": total, "desc": "stories", "unit": "story", "smoothing": 0}
    if _is_widget(tqdm):
        with tqdm(**options, display=False) as drawn, _shown(drawn):
            yield Bar(drawn)
    else:
        with tqdm(**options) as drawn:
            yield Bar(drawn)


def _is_widget(tqdm: type) -> bool:
    """Whether it draws with ipywidgets, which tqdm does without where they are missing."""
    notebook = sys.modules.get("tqdm.notebook")
    return notebook is not None and issubclass(tqdm, notebook.tqdm_notebook)


@contextmanager
def _shown(drawn: Any) -> Iterator[None]:
    from IPython.display import display  # noqa: PLC0415 (an extra)

    handle = display(drawn.container, display_id=True)  # type: ignore[no-untyped-call]  # IPython's
    try:
        yield
    finally:
        handle.update({"text/plain": str(drawn)}, raw=True)


def _tqdm() -> Any:
    cell = current_cell()
    home = "tqdm.auto" if cell is not None and cell.is_watched else "tqdm"
    try:
        return import_module(home).tqdm
    except ImportError:
        msg = "The progress bar needs an extra: pip install 'langchain-tale[notebook]'."
        raise ConfigurationError(msg) from None
