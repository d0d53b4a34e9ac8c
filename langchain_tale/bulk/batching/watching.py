"""Looking at batches until they are over, and handing out their answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.bulk.batching.patience import Patience
from langchain_tale.errors import (
    ConfigurationError,
    ConnectionFailedError,
    ExternalServiceError,
    MalformedReplyError,
    ModelNotFoundError,
    RateLimitError,
    RequestTimeoutError,
    UnavailableError,
)
from langchain_tale.openrouter.answers import Answer
from langchain_tale.openrouter.batch_records import body_of
from langchain_tale.openrouter.batches import afetch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_tale.bulk.batching.letters import Batching, Letter
    from langchain_tale.openrouter.batch_records import Batch
    from langchain_tale.resilience.attempts import Timing

PASSING: Final = (
    ConnectionFailedError,
    MalformedReplyError,
    RateLimitError,
    RequestTimeoutError,
    UnavailableError,
)
_OK: Final = 200


@dataclass(slots=True)
class _Watched:
    """A batch, and who waits for it."""

    letters: list[Letter] = field(default_factory=list)
    answered: int = 0
    requests: int = 0


class Watching:
    """Looks at batches.

    Args:
        batching: How often.
        patience_s: Seconds to wait for a service that is gone.
        timing: Clock and sleep.

    Attributes:
        trouble: Why nothing can be seen, in a few words; None where nothing is wrong.
    """

    def __init__(self, batching: Batching, patience_s: float, timing: Timing) -> None:
        self._batching, self._patience_s, self._timing = batching, patience_s, timing
        self._watched: dict[str, _Watched] = {}
        self.trouble: str | None = None

    @property
    def under_way(self) -> int:
        """Batches that are not over, as far as is known."""
        return len(self._watched)

    @property
    def note(self) -> str | None:
        """How far they are."""
        if not self._watched:
            return None
        answered = sum(watched.answered for watched in self._watched.values())
        requests = sum(watched.requests for watched in self._watched.values())
        batches = f"{len(self._watched):,} batch{'' if len(self._watched) == 1 else 'es'}"
        return f"{batches}: {answered:,} of {requests:,} answered"

    def add(self, batch_id: str, letters: Sequence[Letter]) -> bool:
        """Have letters wait for a batch; True where nobody did before."""
        is_new = batch_id not in self._watched
        watched = self._watched.setdefault(batch_id, _Watched())
        watched.letters += letters
        watched.requests = max(watched.requests, len(watched.letters))
        return is_new

    async def until_over(self, batch_id: str, *, is_new: bool) -> None:
        """Look at a batch until it is over, and answer those who wait for it.

        Args:
            batch_id: Which one.
            is_new: It was submitted just now. One of an earlier run may be over already, and is
                looked at once those who wait for it have come.

        Raises:
            ConfigurationError: The service does not know it.
            ExternalServiceError: It is gone for longer than anybody waits.
        """
        watched = self._watched[batch_id]
        if not is_new:
            await self._timing.asleep(self._batching.gather_s)
            if self._is_answered(await self._seen(batch_id, watched)):
                return
        for wait_s in self._batching.looks():
            await self._timing.asleep(wait_s)
            if self._is_answered(await self._seen(batch_id, watched)):
                return

    async def _seen(self, batch_id: str, watched: _Watched) -> Batch:
        patience = Patience(self._patience_s, self._timing)
        while True:
            try:
                batch = await afetch(watched.letters[0].llm, batch_id)
            except ModelNotFoundError:  # the 404 of this path is about the batch
                raise ConfigurationError(_unknown(batch_id)) from None
            except PASSING as error:
                if not patience.bears(error):
                    raise
                self.trouble = patience.trouble
                await patience.wait()
            else:
                self.trouble = None
                return batch

    def _is_answered(self, batch: Batch) -> bool:
        if not batch.is_over:
            if batch.counts is not None:
                watched = self._watched[batch.id]
                watched.answered = batch.counts.completed + batch.counts.failed
                watched.requests = max(watched.requests, batch.counts.total)
            return False
        letters = self._watched.pop(batch.id).letters
        results = {result.get("custom_id"): result for result in batch.results or ()}
        for letter in letters:
            if not letter.answer.done():
                _deliver(letter, results.get(letter.id), batch)
        return True


def _deliver(letter: Letter, result: Mapping[str, Any] | None, batch: Batch) -> None:
    source = letter.call.source(Answer(_OK, {}, ""))
    letter.is_delivered = True
    try:
        if result is None:
            raise _unanswered(letter.call.model, batch)
        body = body_of(result, source)
    except ExternalServiceError as error:
        letter.answer.set_exception(error)
    else:
        letter.answer.set_result((body, source))


def _unanswered(model: str, batch: Batch) -> UnavailableError:
    msg = f"{model} was not asked: the batch {batch.id} has ended as {batch.status}."
    return UnavailableError(msg, model=model, raw={"error": batch.error})


def _unknown(batch_id: str) -> str:
    return (
        f"OpenRouter does not know the batch {batch_id}: resume with the key that submitted it. If "
        "it is gone for good, remove the file of batches beside the output; its stories are then "
        "asked and paid for again."
    )
