"""A request to a model on its way through a batch, and how many of them make one; pure.

A letter is known by an id that the next process finds again: the request of the run, how often
that had failed before, what is asked, and how often it was asked. No word of the request is in it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.errors import ConfigurationError
from langchain_tale.openrouter.batches import address_of, in_batch

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Iterable, Iterator, Sequence

    from langchain_tale.openrouter.chat_models import ChatOpenRouter
    from langchain_tale.openrouter.transport import Call

MOST_REQUESTS: Final = 50_000
_DIGEST_BYTES: Final = 8
_OF_THE_TRY: Final = frozenset({"trace"})
"""Fields that are new with each try, and say nothing of what is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """How a run uses the batch API.

    OpenRouter documents no limits of a batch; these are careful ones of ours. A batch that is too
    large all the same (413) is halved.

    Attributes:
        size: Most requests in a batch, 1 to 50,000.
        at_once: Batches under way at once; `size * at_once` stories wait in memory, with about 60
            KB each.
        most_bytes: Bytes of the requests of a batch.
        gather_s: Seconds without a new request after which a batch is sent that is not full.
        first_look_s: Seconds until a batch is looked at for the first time; then ever longer.
        longest_wait_s: The longest wait between two looks.

    Raises:
        ConfigurationError: A number is out of its range.
    """

    size: int = 1_000
    at_once: int = 5
    most_bytes: int = 8_000_000
    gather_s: float = 5.0
    first_look_s: float = 15.0
    longest_wait_s: float = 300.0

    def __post_init__(self) -> None:
        if not 1 <= self.size <= MOST_REQUESTS:
            msg = f"The size of a batch must be from 1 to {MOST_REQUESTS:,}."
            raise ConfigurationError(msg)
        if self.at_once < 1 or self.most_bytes < 1:
            msg = "at_once and most_bytes of Batching must be at least 1."
            raise ConfigurationError(msg)
        if min(self.gather_s, self.first_look_s, self.longest_wait_s) < 0:
            msg = "The seconds of Batching must not be negative."
            raise ConfigurationError(msg)

    @property
    def window(self) -> int:
        """Stories that may be under way."""
        return self.size * self.at_once

    def looks(self) -> Iterator[float]:
        """Seconds before each look at a batch: half as long again each time."""
        wait_s = min(self.first_look_s, self.longest_wait_s)
        while True:
            yield wait_s
            wait_s = min(wait_s * 1.5, self.longest_wait_s)


@dataclass(eq=False)
class Letter:
    """One request to one model.

    Attributes:
        id: Its `custom_id`.
        key: The request of the run that it belongs to.
        llm: Who asks.
        call: What would be sent to ask alone.
        answer: The answer, once there is one.
        is_delivered: Whether a batch has brought it.
    """

    id: str
    key: bytes
    llm: ChatOpenRouter
    call: Call
    answer: Future[Any] = field(repr=False)
    is_delivered: bool = False

    @cached_property
    def body(self) -> dict[str, Any]:
        """What is sent in a batch."""
        return in_batch(self.call.body or {})

    @cached_property
    def size_bytes(self) -> int:
        """Its share of a batch."""
        return len(json.dumps(self.body, ensure_ascii=False).encode(errors="surrogatepass"))

    @property
    def kind(self) -> tuple[str, str, str]:
        """What all requests of a batch share: address, model, and for Google the form (§23b)."""
        form = json.dumps(self.body.get("response_format"), sort_keys=True)
        return address_of(self.llm), self.call.model, form


def digest_of(call: Call) -> str:
    """A short hash of what is asked, and of whom."""
    body = {name: value for name, value in (call.body or {}).items() if name not in _OF_THE_TRY}
    text = json.dumps([call.model, body], sort_keys=True, ensure_ascii=False, default=str)
    return blake2b(text.encode(errors="surrogatepass"), digest_size=_DIGEST_BYTES).hexdigest()


def parcels(
    letters: Iterable[Letter], batching: Batching, *, only_full: bool
) -> Iterator[list[Letter]]:
    """Letters in groups that make a batch each.

    Args:
        letters: Those that wait, in the order in which they came.
        batching: How large a batch may be.
        only_full: Leave out groups that have room for more.
    """
    by_kind = sorted(letters, key=lambda letter: letter.kind)
    for _, alike in groupby(by_kind, key=lambda letter: letter.kind):
        yield from _parted(list(alike), batching, only_full=only_full)


def _parted(
    letters: Sequence[Letter], batching: Batching, *, only_full: bool
) -> Iterator[list[Letter]]:
    parcel: list[Letter] = []
    size_bytes = 0
    for letter in letters:
        is_full = len(parcel) == batching.size or (
            size_bytes + letter.size_bytes > batching.most_bytes
        )
        if parcel and is_full:
            yield parcel
            parcel, size_bytes = [], 0
        parcel.append(letter)
        size_bytes += letter.size_bytes
    if parcel and (len(parcel) == batching.size or not only_full):
        yield parcel
