"""`StorybookResult`, and the parser that makes one of an answer, whole or growing."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.output_parsers import BaseTransformOutputParser
from langchain_core.outputs import ChatGeneration
from pydantic import Field

from langchain_tale.errors import UnparsableReplyError
from langchain_tale.resilience.refusing import ids_of, raise_if_refused
from langchain_tale.story.book.growing import GrowingStory
from langchain_tale.story.book.prose import story_from_prose
from langchain_tale.story.book.reading import Form, Reading, read_story
from langchain_tale.story.book.story import Story
from langchain_tale.story.result import (
    REFUSED,
    Reporting,
    StoryGenerationResult,
    Tellings,
    story_result,
)
from langchain_tale.story.telling import tell_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from langchain_core.outputs import Generation

    from langchain_tale.cards.blocks import Block

_NOTHING: Final = Story(title="", scenes=())


@dataclass(frozen=True, repr=False)
class StorybookResult(StoryGenerationResult):
    """A story in scenes, and what is known of it.

    Besides what `StoryGenerationResult` tells; `content` is the text of all scenes.

    Attributes:
        story: The story; while it is streamed, with the scenes that are whole.
        form: How the model wrote it: `"json"` as asked, `"repaired"` where its JSON was broken
            and could be mended without losing a word, or `"prose"` where it wrote plain text,
            which was cut into scenes and so has no pictures, moral and questions.
    """

    story: Story = field(default=_NOTHING, kw_only=True)
    form: Form = field(default="json", kw_only=True)

    def to_dict(self) -> dict[str, Any]:
        """The same, fit for JSON."""
        return {**super().to_dict(), "story": self.story.model_dump(mode="json")}

    def _body(self) -> Sequence[Block]:
        return self.story.blocks()


class StorybookParser(BaseTransformOutputParser[StorybookResult]):
    """An answer → `StorybookResult`; in a stream, one for each scene.

    Attributes:
        language: What `Story.language` becomes.
        n_scenes: How many scenes were asked for.
        takes_prose: Whether a story in plain text will do.
        reporting: What makes the report of a whole story, or None.
        scope: Who is told of whole stories, if anybody.
    """

    language: str = "en"
    n_scenes: int = 3
    takes_prose: bool = False
    reporting: Reporting | None = Field(default=None, exclude=True, repr=False)
    scope: Any = Field(default=None, exclude=True, repr=False)

    @property
    def _type(self) -> str:
        return "storybook"

    def refusal(self, message: AIMessage) -> str | None:
        """Why an answer is no whole story, or None where it is: an `accept=` of the loop.

        Raises:
            ModerationError: The model refused; asking again would not help.
        """
        raise_if_refused(message, REFUSED)
        try:
            self._reading(message)
        except ValueError as error:
            return str(error)
        return None

    def parse_result(
        self,
        result: list[Generation],
        *,
        partial: bool = False,  # noqa: ARG002 (langchain-core's name)
    ) -> StorybookResult:
        """The result of a whole answer.

        Raises:
            UnparsableReplyError: It holds no whole story; `partial_text` has what it holds.
            ModerationError: The model refused.
        """
        return self.told(self.result(_message_in(result)))

    async def aparse_result(
        self,
        result: list[Generation],
        *,
        partial: bool = False,  # noqa: ARG002 (as above)
    ) -> StorybookResult:
        """The twin of `parse_result`."""
        return await self.atold(self.result(_message_in(result)))

    def told(self, result: StorybookResult) -> StorybookResult:
        """The same, once those who listen have heard of it."""
        if self.scope is not None:
            tell_of(result, self.scope)
            self.scope.flush()
        return result

    async def atold(self, result: StorybookResult) -> StorybookResult:
        """The twin of `told`."""
        if self.scope is not None:
            tell_of(result, self.scope)
            await self.scope.aflush()
        return result

    def parse(self, text: str) -> StorybookResult:
        """The result for bare text."""
        return self.result(AIMessage(text))

    def result(self, message: BaseMessage, *, after: Story = _NOTHING) -> StorybookResult:
        """The result of a whole answer; scenes that were shown already stay as they were."""
        raise_if_refused(message, REFUSED)
        try:
            reading = self._reading(message)
            story = _going_on(after, reading.story)
        except ValueError as error:
            model = message.response_metadata.get("model_name") or "The model"
            msg = f"{model} gave no whole story ({error}); try again or another model."
            raise UnparsableReplyError(msg, partial_text=message.text, **ids_of(message)) from None
        result = _result(message, story, reading.form)
        return result if self.reporting is None else replace(result, report=self.reporting(result))

    def _reading(self, message: BaseMessage) -> Reading:
        if message.response_metadata.get("finish_reason") == "length":
            msg = "it reached its limit of tokens before it was whole"
            raise ValueError(msg)
        try:
            return self._in_scenes(read_story(message.text, language=self.language))
        except ValueError:
            if not self.takes_prose:
                raise
        return story_from_prose(message.text, n_scenes=self.n_scenes, language=self.language)

    def _in_scenes(self, reading: Reading) -> Reading:
        """A book in one or two scenes is none where a dozen were asked for.

        One that had to be mended may have lost its end, and must have them all.
        """
        told = len(reading.story.scenes)
        if told * 2 < self.n_scenes or (reading.form == "repaired" and told < self.n_scenes):
            msg = f"it has {told} of {self.n_scenes} scenes"
            raise ValueError(msg)
        return reading

    # ── streams ─────────────────────────────────────────────────────────────

    def _transform(self, input: Iterator[Any]) -> Iterator[StorybookResult]:  # noqa: A002 (langchain-core's name)
        """A result for each scene; a stream that is begun again is a story begun again."""
        tellings = Tellings()
        growing = _Growing()
        while not tellings.are_over:
            growing = _Growing(GrowingStory(self.language))
            for chunk in tellings.one_of(input):
                yield from growing.take(chunk)
        yield self.told(self.result(growing.message, after=growing.shown))

    async def _atransform(self, input: AsyncIterator[Any]) -> AsyncIterator[StorybookResult]:  # noqa: A002 (as above)
        tellings = Tellings()
        growing = _Growing()
        while not tellings.are_over:
            growing = _Growing(GrowingStory(self.language))
            async for chunk in tellings.aone_of(input):
                for result in growing.take(chunk):
                    yield result
        yield await self.atold(self.result(growing.message, after=growing.shown))


@dataclass(slots=True)
class _Growing:
    """An answer as it arrives: its scenes, and all of it added up."""

    reader: GrowingStory = field(default_factory=GrowingStory)
    shown: Story = _NOTHING
    chunks: list[BaseMessage] = field(default_factory=list)

    def take(self, chunk: Any) -> Iterator[StorybookResult]:
        message = chunk if isinstance(chunk, BaseMessage) else AIMessage(str(chunk))
        self.chunks.append(message)
        for story in self.reader.take(message.text):
            self.shown = story
            yield _so_far(self.chunks[0], story)

    @property
    def message(self) -> BaseMessage:
        if not self.chunks:
            return AIMessage("")
        first, *others = self.chunks
        for chunk in others:
            first = first + chunk  # type: ignore[assignment]  # chunks add up to a chunk
        return first


def _message_in(result: list[Generation]) -> BaseMessage:
    generation = result[0]
    if isinstance(generation, ChatGeneration):
        return generation.message
    return AIMessage(generation.text)


def _going_on(shown: Story, whole: Story) -> Story:
    if len(whole.scenes) < len(shown.scenes):
        msg = "its scenes do not go on as they began"
        raise ValueError(msg)
    scenes = (*shown.scenes, *whole.scenes[len(shown.scenes) :])
    return whole.model_copy(update={"scenes": scenes})


def _so_far(first: BaseMessage, story: Story) -> StorybookResult:
    base = story_result(AIMessage("", response_metadata=first.response_metadata), has_title=False)
    return StorybookResult(story.text, base.model, {}, title=story.title or None, story=story)


def _result(message: BaseMessage, story: Story, form: Form) -> StorybookResult:
    base = story_result(message, has_title=False)
    facts = {each.name: getattr(base, each.name) for each in fields(base)}
    facts |= {"content": story.text, "title": story.title or None}
    return StorybookResult(**facts, story=story, form=form)
