"""Submitting: on disk first, once and no more, and what a refusal means.

| the service says | it means |
| --- | --- |
| 429, 503, 529, or there was no way to it | it was not taken: again, after ever longer waits |
| 400, 413, 422 | one request of it may be wrong, or it is too large: by halves |
| nothing, or another 5xx | it may have been taken: nobody can tell, and a person has to decide |
| anything else | so it is for each of its requests |
"""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import httpx2

from langchain_tale.bulk.batching.patience import Patience
from langchain_tale.bulk.spending import HeldBackError
from langchain_tale.errors import (
    ConfigurationError,
    ConnectionFailedError,
    ExternalServiceError,
    InvalidRequestError,
    MalformedReplyError,
    RateLimitError,
    RequestTimeoutError,
    UnavailableError,
)
from langchain_tale.openrouter.batches import address_of, asubmit_bodies

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from langchain_tale.bulk.batching.letters import Letter
    from langchain_tale.bulk.batching.register import Register
    from langchain_tale.resilience.attempts import Timing

MOST_REFUSALS: Final = 40
"""So many refusals in a row, with no batch taken between them, are meant for all requests: halving
50,000 down to a wrong one takes sixteen, and one more for each half without it."""
_NOT_TAKEN: Final = frozenset({429, 503, 529})
_NEVER_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
IN_DOUBT: Final = (
    "Whether OpenRouter has taken a batch of {number:,} requests is not known: its answer was "
    "lost. Nothing more is submitted; resuming asks for them again, and they may be paid for twice."
)


class Submitting:
    """Hands in batches, one after the other.

    Args:
        register: What is written before and after.
        patience_s: Seconds to wait for a service that is gone.
        timing: Clock and sleep.

    Attributes:
        trouble: Why nothing is taken, in a few words; None where nothing is wrong.
        doubt: Why nothing more may be submitted; None as long as it may.
    """

    def __init__(self, register: Register, patience_s: float, timing: Timing) -> None:
        self._register, self._patience_s, self._timing = register, patience_s, timing
        self._under_way: asyncio.Task[str] | None = None
        self._refusals = 0
        self.trouble: str | None = None
        self.doubt: str | None = None

    async def submit(self, parcel: Sequence[Letter]) -> AsyncIterator[tuple[str, Sequence[Letter]]]:
        """Hand in letters that make a batch, or several where it has to be halved.

        Yields:
            The id of each batch, and the letters that are in it.

        Raises:
            ExternalServiceError: The service is gone for longer than anybody waits.
        """
        left = deque([parcel])
        while left:
            letters = left.popleft()
            try:
                batch = await self._patiently(letters)
            except InvalidRequestError as error:
                self._refusals += 1
                if len(letters) > 1 and self._refusals <= MOST_REFUSALS:
                    middle = len(letters) // 2
                    left.extendleft([letters[middle:], letters[:middle]])
                else:
                    _fail(letters, error)
            except (ExternalServiceError, ConfigurationError) as error:
                if _is_gone(error):
                    raise
                if _may_be_taken(error):
                    self.doubt = IN_DOUBT.format(number=len(letters))
                    self.hold_back(letters, self.doubt)
                else:
                    _fail(letters, error)
            else:
                self._refusals = 0
                yield batch, letters

    @staticmethod
    def hold_back(letters: Sequence[Letter], why: str) -> None:
        """Leave letters unsent, and their requests untold."""
        _fail(letters, HeldBackError(why))

    async def end(self) -> str | None:
        """Wait until what is being handed in is written down; the id of its batch."""
        if self._under_way is None:
            return None
        await asyncio.wait([self._under_way])
        return None if self._under_way.exception() else self._under_way.result()

    async def _patiently(self, letters: Sequence[Letter]) -> str:
        patience = Patience(self._patience_s, self._timing)
        while True:
            self._under_way = asyncio.create_task(self._once(letters))
            try:
                batch = await asyncio.shield(self._under_way)
            except ExternalServiceError as error:
                if not _is_gone(error) or not patience.bears(error):
                    raise
                self.trouble = patience.trouble
                await patience.wait()
            else:
                self.trouble = self._under_way = None
                return batch

    async def _once(self, letters: Sequence[Letter]) -> str:
        first = letters[0]
        bodies = {letter.id: letter.body for letter in letters}
        number = self._register.posting(address_of(first.llm), first.call.model, list(bodies))
        try:
            batch = await asubmit_bodies(first.llm, first.call.model, bodies)
        except (ExternalServiceError, ConfigurationError) as error:
            if not _may_be_taken(error):
                self._register.refused(number, type(error).__name__)
            raise
        self._register.posted(number, batch.id)
        return batch.id


def _is_gone(error: Exception) -> bool:
    """Whether a batch was not taken, and may be later."""
    if isinstance(error, ConnectionFailedError | RequestTimeoutError):
        return _was_never_sent(error)
    weather = isinstance(error, RateLimitError | UnavailableError)
    return weather and getattr(error, "status_code", None) in _NOT_TAKEN


def _may_be_taken(error: Exception) -> bool:
    """Whether nobody can tell what became of a batch."""
    if _is_gone(error):
        return False
    lost = (ConnectionFailedError, RequestTimeoutError, UnavailableError, MalformedReplyError)
    return isinstance(error, lost)


def _was_never_sent(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, _NEVER_SENT):
        error = error.__cause__
    return error is not None


def _fail(letters: Sequence[Letter], error: Exception) -> None:
    for letter in letters:
        if not letter.answer.done():
            letter.answer.set_exception(_own(error))


def _own(error: Any) -> Any:
    """An error of a letter's own: each request adds to it what it knows."""
    own = copy.copy(error)
    own.__cause__, own.__traceback__ = None, None
    return own
