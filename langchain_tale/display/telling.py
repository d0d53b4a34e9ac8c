"""`tell`: a story that streams into the cell, and can be stopped."""

from __future__ import annotations

import asyncio
import weakref
from concurrent.futures import Future, wait
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, cast

from langchain_tale.cards.tracebacks import printed_in_short
from langchain_tale.display import background
from langchain_tale.display.cell import current_cell
from langchain_tale.display.kept import keeping
from langchain_tale.display.views import CellView, TextView, View, failed, stopped
from langchain_tale.errors import ConfigurationError, TaleError
from langchain_tale.story.book.result import StorybookResult
from langchain_tale.story.result import StoryGenerationResult

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from langchain_core.runnables import Runnable, RunnableConfig

    from langchain_tale.display.cell import Cell
    from langchain_tale.display.kept import CacheChoice
    from langchain_tale.story.request import StoryInput

LOOK_S: Final = 0.2
"""Seconds between two looks for Ctrl-C, which not every system lets interrupt a wait."""
LEAVING_S: Final = 10.0
"""A request that is stopped has so long to be cancelled."""
_INTERRUPTED: Final = "the story was stopped, and its request was cancelled."
_ASKED_OF_RESULTS: Final = frozenset(
    name
    for kind in (StoryGenerationResult, StorybookResult)
    for name in (*kind.__dataclass_fields__, *vars(kind))
    if not name.startswith("_")
)


class StoryStoppedError(TaleError):
    """The story was stopped before it had been told.

    Attributes:
        partial_text: What had been told until then.
    """

    def __init__(self, message: str, *, partial_text: str = "") -> None:
        super().__init__(message)
        self.partial_text = partial_text


class Telling:
    """A story that is being told; made by `tell`.

    Whatever a `StoryGenerationResult` has can be asked of it: `telling.title`,
    `telling.cost_usd` and the others wait for the end of the story. `await telling` and
    `telling.result()` give the result itself.

    Where a person can press its button, the cell ends at once and the story goes on: a kernel
    hears of buttons between cells only. Whoever waits for it can interrupt the wait (Jupyter's
    stop button, Ctrl-C), and that stops the story too.
    """

    def __init__(self, cell: Cell | None) -> None:
        self._outcome: Future[StoryGenerationResult] = Future()
        self._latest: StoryGenerationResult | None = None
        self._work: Future[None] | None = None
        self.has_button = cell is not None and cell.is_watched
        self._view: View = CellView(self.stop if self.has_button else None) if cell else TextView()

    # ── what a caller does with it ──────────────────────────────────────────

    def result(self) -> StoryGenerationResult:
        """Wait for the end of the story; Ctrl-C and Jupyter's stop button stop it.

        Raises:
            StoryStoppedError: It was stopped; `.partial_text` has what was told.
            ExternalServiceError: No model told it to its end.
        """
        try:
            while not self._outcome.done():
                wait([self._outcome], timeout=LOOK_S)
        except KeyboardInterrupt as interrupt:
            self.stop()
            printed_in_short(interrupt, _INTERRUPTED)
            raise
        return self._outcome.result()

    def __await__(self) -> Generator[Any, None, StoryGenerationResult]:
        return self._aresult().__await__()

    async def _aresult(self) -> StoryGenerationResult:
        outcome = asyncio.wrap_future(self._outcome)
        try:
            while not outcome.done():  # a kernel's loop hears of Ctrl-C when it wakes
                await asyncio.wait([outcome], timeout=LOOK_S)
        except asyncio.CancelledError as interrupt:
            self.stop()
            printed_in_short(interrupt, _INTERRUPTED)
            raise
        return outcome.result()

    def stop(self) -> None:
        """Cancel the request, unless the story has ended; returns when it is cancelled."""
        if self._work is not None and not self._outcome.done():
            self._work.cancel()
            wait([self._outcome], timeout=LEAVING_S)

    @property
    def is_over(self) -> bool:
        """Whether it has been told, has failed or was stopped."""
        return self._outcome.done()

    @property
    def text_so_far(self) -> str:
        """What has been told until now; never waits."""
        return self._latest.content if self._latest else ""

    def __getattr__(self, name: str) -> Any:
        if name not in _ASKED_OF_RESULTS:
            msg = f"{type(self).__name__!r} object has no attribute {name!r}"
            raise AttributeError(msg)
        return getattr(self.result(), name)

    def __repr__(self) -> str:
        state = "over" if self.is_over else "being told"
        return f"<Telling: {state}, {len(self.text_so_far.split())} words>"

    def _ipython_display_(self) -> None:
        self._view.show_again()

    # ── how it is told ──────────────────────────────────────────────────────

    def begin(
        self,
        chain: Runnable[Any, StoryGenerationResult],
        request: StoryInput,
        config: RunnableConfig | None,
        cache: CacheChoice,
    ) -> None:
        """Start to tell it, in the background, where context variables are as they are here."""
        with keeping(cache):
            self._work = background.begin(self._tell(chain, request, config))

    async def _tell(
        self,
        chain: Runnable[Any, StoryGenerationResult],
        request: StoryInput,
        config: RunnableConfig | None,
    ) -> None:
        stream = cast("AsyncGenerator[Any]", chain.astream(request, config))
        try:
            async with aclosing(stream) as results:
                async for result in results:
                    self._latest = _checked(result)
                    self._view.grow(self._latest)
            self._told()
        except asyncio.CancelledError:
            self._view.end(stopped(self._latest))
            msg = "The story was stopped before it had been told."
            self._outcome.set_exception(StoryStoppedError(msg, partial_text=self.text_so_far))
        except BaseException as error:  # noqa: BLE001 (whoever waits gets it, whatever it is)
            self._view.end(failed(error, self._latest))
            self._outcome.set_exception(error)

    def _told(self) -> None:
        if self._latest is None:
            msg = "The model said nothing; try again."
            raise TaleError(msg)
        self._view.end(self._latest)
        self._outcome.set_result(self._latest)


def _checked(result: object) -> StoryGenerationResult:
    if isinstance(result, StoryGenerationResult):
        return result
    kind = type(result).__name__
    msg = f"tell shows what a chain of create_story_chain tells; this chain gave a {kind}."
    raise ConfigurationError(msg)


_of_cell: Final[dict[str, tuple[int, weakref.WeakSet[Telling]]]] = {}
"""What each cell tells, by its id, with the number of its latest run."""


def tell(
    chain: Runnable[Any, StoryGenerationResult],
    request: StoryInput,
    *,
    config: RunnableConfig | None = None,
    wait: bool | None = None,
    cache: CacheChoice = None,
) -> Telling:
    """Tell a story into the cell, word by word, with a button that stops it.

    The button cancels the request itself: the server sees the connection close. A cell that is
    run again stops what it told before, and what it told to its end is told again for nothing
    (see `cache`). In a terminal the story is printed as plain text.

    Args:
        chain: What `create_story_chain` returns.
        request: What the story should be.
        config: LangChain's, for callbacks, tags and tracing.
        wait: Whether to return at the end of the story only, and to raise its error. Unless you
            say so, where a person may press the button it returns at once and an error is shown;
            elsewhere (a terminal, a script, a notebook run by a program) it waits.
        cache: Where it is kept, and looked for first: a cache of LangChain's, e.g. `StoryCache`;
            False for nowhere; None for a file of yours in a notebook, and for nowhere elsewhere.
            What `set_llm_cache` has set is used instead.

    Returns:
        The telling: it has all that its result has, and waits for the end where that is asked.

    Raises:
        ConfigurationError: The request is not allowed, or this is no chain of stories.
        ExternalServiceError: No model told the story.
        StoryStoppedError: It was stopped.

    Example:
        ```python
        story = tell(create_story_chain(), "a fox who learns to share")
        story.title
        ```
    """
    cell = current_cell()
    telling = Telling(cell)
    if cell and cell.identity:
        _take_over(cell.identity, cell.run, telling)
    telling.begin(chain, request, config, cache)
    if wait or (wait is None and not telling.has_button):
        telling.result()
    return telling


def _take_over(identity: str, run: int, telling: Telling) -> None:
    """Stop what earlier runs of the same cell still tell: nobody sees it any more."""
    latest, tellings = _of_cell.get(identity, (run, weakref.WeakSet[Telling]()))
    if latest != run:
        for earlier in tellings:
            earlier.stop()
        tellings = weakref.WeakSet()
    tellings.add(telling)
    _of_cell[identity] = run, tellings
