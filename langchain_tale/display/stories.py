"""`tell_many`: many stories under one progress bar."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.cards.blocks import FAILED, Block, Facts, Note, Table
from langchain_tale.cards.card import Card, Readable
from langchain_tale.cards.wording import counted, dollars, seconds
from langchain_tale.display import background
from langchain_tale.display.bar import bar_for
from langchain_tale.display.kept import keeping
from langchain_tale.errors import (
    AuthenticationError,
    ConfigurationError,
    InsufficientCreditsError,
)
from langchain_tale.story.request import as_story_request
from langchain_tale.story.result import StoryGenerationResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from langchain_core.runnables import Runnable, RunnableConfig

    from langchain_tale.display.bar import Bar
    from langchain_tale.display.kept import CacheChoice
    from langchain_tale.story.request import StoryInput, StoryRequest

LOOK_S: Final = 0.2
"""Seconds between two looks for Ctrl-C, which not every system lets interrupt a wait."""
MOST_ROWS: Final = 25
_HOPELESS: Final = (AuthenticationError, InsufficientCreditsError)
"""After one of these every further request would fail alike."""

Outcome = StoryGenerationResult | Exception | None


class Stories(list[Outcome], Readable):
    """What `tell_many` came to: for each request, in order, a result, an error, or None.

    None is a story that was not told, because the run was stopped before it.

    Attributes:
        why_stopped: Why some were not told, or None.
    """

    why_stopped: str | None = None

    @property
    def told(self) -> list[StoryGenerationResult]:
        """The stories that were told."""
        return [one for one in self if isinstance(one, StoryGenerationResult)]

    @property
    def failed(self) -> list[Exception]:
        """The errors of those that no model told."""
        return [one for one in self if isinstance(one, Exception)]

    @property
    def missing(self) -> int:
        """How many were not told because the run was stopped."""
        return self.count(None)

    @property
    def cost_usd(self) -> float:
        """What this run cost, failed attempts included; what came from a cache cost nothing."""
        return sum(map(cost_usd, self))

    def card(self) -> Card:
        """What a notebook shows of it."""
        facts = [
            ("failed", f"{len(self.failed):,}"),
            ("cost", dollars(self.cost_usd)),
        ]
        rows = [_row(number, outcome) for number, outcome in enumerate(self[:MOST_ROWS], 1)]
        columns = ("", "story", "told by", "cost", "time")
        blocks: list[Block] = [Table(columns, rows, numeric=frozenset({0, 3, 4})), Facts(facts)]
        if (more := len(self) - len(rows)) > 0:
            blocks.insert(1, Note(f"and {more:,} more", is_calm=True))
        if self.why_stopped:
            blocks.append(Note(self.why_stopped))
        title = f"{len(self.told):,} of {counted(len(self), 'story', 'stories')} told"
        return Card(kind="Stories", title=title, blocks=blocks, is_wide=True)

    def __repr__(self) -> str:
        return (
            f"<Stories: {len(self.told)} told, {len(self.failed)} failed, {self.missing} not told>"
        )


def _row(number: int, outcome: Outcome) -> tuple[object, ...]:
    if isinstance(outcome, StoryGenerationResult):
        title = outcome.title or f"{outcome.content[:60]} …"
        cost = None if outcome.cost_usd is None else dollars(outcome.cost_usd)
        time = None if outcome.latency_s is None else seconds(outcome.latency_s)
        return number, title, str(outcome.model), cost, time
    said = "not told" if outcome is None else f"{FAILED} {str(outcome).partition(chr(10))[0]}"
    return number, said, None, None, None


def cost_usd(outcome: Outcome) -> float:
    """What a story cost: its answer, and the attempts that failed before it."""
    attempts = getattr(outcome, "attempts", ())
    wasted = sum(attempt.cost_usd or 0.0 for attempt in attempts if attempt.error is not None)
    return (getattr(outcome, "cost_usd", None) or 0.0) + wasted


@dataclass(slots=True)
class _Run:
    """One run: workers in the background, and what they have told so far."""

    chain: Runnable[Any, StoryGenerationResult]
    requests: Sequence[StoryRequest]
    config: RunnableConfig | None
    ready: SimpleQueue[tuple[int, Outcome] | None] = field(default_factory=SimpleQueue)
    is_hopeless: bool = False

    async def work(self, max_concurrency: int) -> None:
        """Tell all of them, so many at once; None in the queue is the end."""
        todo = iter(enumerate(self.requests))
        workers = [asyncio.create_task(self._tell(todo)) for _ in range(max_concurrency)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            self.ready.put(None)

    async def _tell(self, todo: Iterator[tuple[int, StoryRequest]]) -> None:
        for index, request in todo:
            if self.is_hopeless:
                return
            try:
                outcome: Outcome = await self.chain.ainvoke(request, self.config)
            except Exception as error:  # noqa: BLE001 (it is the outcome of this one)
                outcome = error
                self.is_hopeless |= isinstance(error, _HOPELESS)
            self.ready.put((index, outcome))

    def outcomes(self) -> Iterator[tuple[int, Outcome]]:
        """What is ready, as it comes; Ctrl-C gets through."""
        while True:
            try:
                one = self.ready.get(timeout=LOOK_S)
            except Empty:
                continue
            if one is None:
                return
            yield one


def tell_many(
    chain: Runnable[Any, StoryGenerationResult],
    requests: Iterable[StoryInput],
    *,
    config: RunnableConfig | None = None,
    max_concurrency: int = 8,
    cache: CacheChoice = None,
) -> Stories:
    """Tell many stories under one progress bar: done, failed, cost so far, time left.

    Jupyter's stop button and Ctrl-C stop it, and what has been told is returned. It is kept too
    (see `cache`): a cell that is run again asks only for what is missing.
    One that fails does not stop the others, unless all would fail alike (a wrong key, no
    credit).

    Args:
        chain: What `create_story_chain` returns.
        requests: What the stories should be.
        config: LangChain's, for callbacks, tags and tracing.
        max_concurrency: How many are asked for at once, at least 1.
        cache: Where they are kept, and looked for first; see `tell`.

    Returns:
        For each request, in order, its result, its error, or None where it was not told.

    Raises:
        ConfigurationError: A request is not allowed (the message says which), or a number is
            out of range; nothing was sent.

    Example:
        ```python
        stories = tell_many(create_story_chain(), ["a fox", "an owl", "a boat that sings"])
        stories.cost_usd, [story.title for story in stories.told]
        ```
    """
    if max_concurrency < 1:
        msg = "max_concurrency must be at least 1."
        raise ConfigurationError(msg)
    asked = [_checked(number, request) for number, request in enumerate(requests)]
    run = _Run(chain, asked, config)
    stories = Stories([None] * len(asked))
    with bar_for(len(asked)) as bar:
        with keeping(cache):
            working = background.begin(run.work(min(max_concurrency, len(asked))))
        try:
            _gather(run, stories, bar)
        except KeyboardInterrupt:
            working.cancel()
            _gather(run, stories, bar)  # those that were told while Ctrl-C was on its way
            stories.why_stopped = _stopped(stories)
    if run.is_hopeless:
        stories.why_stopped = f"Given up, as all would fail alike: {stories.failed[-1]}"
    return stories


def _gather(run: _Run, stories: Stories, bar: Bar) -> None:
    for index, outcome in run.outcomes():
        stories[index] = outcome
        is_told = isinstance(outcome, StoryGenerationResult)
        bar.add(is_told=is_told, cost_usd=cost_usd(outcome))


def _checked(number: int, request: StoryInput) -> StoryRequest:
    try:
        return as_story_request(request)
    except ConfigurationError as error:
        msg = f"requests[{number}]: {error}"
        raise ConfigurationError(msg) from None


def _stopped(stories: Stories) -> str:
    missing = counted(stories.missing, "story is", "stories are")
    return f"Stopped: {missing} missing. Run it again for them; what was kept costs nothing."
