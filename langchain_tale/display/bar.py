"""The progress bar of `tell_many`, drawn by tqdm."""

from __future__ import annotations

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

    A widget where somebody watches the cell; else text, which can be read in a saved notebook
    and in a log too.

    Raises:
        ConfigurationError: tqdm is missing.
    """
    with _tqdm()(total=total, desc="stories", unit="story", smoothing=0) as drawn:
        yield Bar(drawn)


def _tqdm() -> Any:
    cell = current_cell()
    home = "tqdm.auto" if cell is not None and cell.is_watched else "tqdm"
    try:
        return import_module(home).tqdm
    except ImportError:
        msg = "The progress bar needs an extra: pip install 'langchain-tale[notebook]'."
        raise ConfigurationError(msg) from None
