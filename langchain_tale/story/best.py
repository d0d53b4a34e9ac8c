"""`BestEffort`: a chain whose best story is kept when none is fit."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal, cast

from langchain_core.runnables import Runnable

from langchain_tale.errors import ExternalServiceError, UnfitStoryError
from langchain_tale.story.result import StoryGenerationResult
from langchain_tale.story.telling import tell_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator

    from langchain_core.runnables import RunnableConfig

    from langchain_tale.story.editing import Editor
    from langchain_tale.story.request import StoryRequest
    from langchain_tale.telemetry.scopes import Scope

OnUnfit = Literal["return", "raise"]


class BestEffort(Runnable["StoryRequest", StoryGenerationResult]):
    """The steps of a story chain; what they refused last is not lost.

    Args:
        steps: Prompt, models and parser.
        editor: Who refused, and knows which story was the best.
        on_unfit: Whether the best of the refused stories is returned or raised.
        scope: Who is told of whole stories, if anybody.
    """

    def __init__(
        self,
        steps: Runnable[StoryRequest, StoryGenerationResult],
        editor: Editor,
        on_unfit: OnUnfit,
        scope: Scope | None = None,
    ) -> None:
        self._steps = steps
        self._editor = editor
        self._on_unfit = on_unfit
        self._scope = scope

    def invoke(
        self,
        input: StoryRequest,  # noqa: A002 (langchain-core's name)
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> StoryGenerationResult:
        """The first fit story, else the best."""
        try:
            return self._steps.invoke(input, config, **kwargs)
        except ExternalServiceError as error:
            return self._told(self._kept(error))

    async def ainvoke(
        self,
        input: StoryRequest,  # noqa: A002 (as above)
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> StoryGenerationResult:
        """The twin of `invoke`."""
        try:
            return await self._steps.ainvoke(input, config, **kwargs)
        except ExternalServiceError as error:
            return await self._atold(self._kept(error))

    def stream(
        self,
        input: StoryRequest,  # noqa: A002 (as above)
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Iterator[StoryGenerationResult]:
        """The same in a stream, which begins once a story was accepted."""
        try:
            yield from self._steps.stream(input, config, **kwargs)
        except ExternalServiceError as error:
            yield self._told(self._kept(error))

    async def astream(
        self,
        input: StoryRequest,  # noqa: A002 (as above)
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[StoryGenerationResult]:
        """The twin of `stream`."""
        stream = self._steps.astream(input, config, **kwargs)
        results = cast("AsyncGenerator[StoryGenerationResult]", stream)
        try:
            async with aclosing(results):
                async for result in results:
                    yield result
        except ExternalServiceError as error:
            yield await self._atold(self._kept(error))

    def _told(self, story: StoryGenerationResult) -> StoryGenerationResult:
        if self._scope is not None:
            tell_of(story, self._scope)
            self._scope.flush()
        return story

    async def _atold(self, story: StoryGenerationResult) -> StoryGenerationResult:
        if self._scope is not None:
            tell_of(story, self._scope)
            await self._scope.aflush()
        return story

    def _kept(self, error: ExternalServiceError) -> StoryGenerationResult:
        best = self._editor.best(error)
        if best is None or best.report is None:
            raise error
        if self._on_unfit == "return":
            return best
        names = ", ".join(finding.name for finding in best.report.failures)
        tries = len(best.attempts)
        msg = f"No story passed the checks in {tries} tries; the best one fails {names}."
        unfit = UnfitStoryError(msg, attempts=error.attempts, partial_text=error.partial_text)  # type: ignore[attr-defined]  # where there is a best story, there are attempts
        unfit.result = best
        raise unfit from error
