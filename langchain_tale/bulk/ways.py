"""How the requests of a run reach the models: call by call, unless another way is chosen."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Protocol

from langchain_tale.bulk.judging import judged

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from langchain_tale.bulk.judging import Judged
    from langchain_tale.bulk.plan import Stop
    from langchain_tale.bulk.spending import Purse

    Halt = Callable[[Exception, str | None], None]


class Way(Protocol):
    """What a run asks of its way to the models."""

    def begin(self, halt: Halt, purse: Purse, stop: Stop) -> None:
        """Set to work, in the running loop.

        Args:
            halt: Stops the run for an error, with a few words on what it was about.
            purse: What may be spent.
            stop: Whether the run has stopped, so that nothing more may be sent.
        """

    async def end(self) -> None:
        """Stop working; what is on its way is not lost."""

    def telling(self, key: bytes) -> AbstractContextManager[None]:
        """Around the telling of a request."""

    def is_on_its_way(self, key: bytes) -> bool:
        """Whether a request was sent by an earlier run, and is paid for."""

    def ended(self, key: bytes, error: Exception | None) -> None:
        """What came of a request is written down."""

    def judged(self, error: Exception) -> Judged:
        """What the failure of a request means."""

    @property
    def note(self) -> str | None:
        """A few words for the line of progress."""

    @property
    def farewell(self) -> str | None:
        """What is to be said to who stops a run now."""


class CallByCall:
    """The plain way: a request is sent when its turn comes, and answered at once."""

    note = farewell = None

    def begin(self, halt: Halt, purse: Purse, stop: Stop) -> None:
        """There is nothing to be done beforehand."""

    async def end(self) -> None:
        """There is nothing to be done afterwards."""

    def telling(self, key: bytes) -> AbstractContextManager[None]:
        """Nobody needs to know which request it is."""
        del key
        return nullcontext()

    def is_on_its_way(self, key: bytes) -> bool:
        """Calls end with their process."""
        del key
        return False

    def ended(self, key: bytes, error: Exception | None) -> None:
        """It is forgotten."""

    def judged(self, error: Exception) -> Judged:
        """As the table says."""
        return judged(error)
