"""`StoryGenerationResult`: the story, who really wrote it, what it cost and how it came to be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata  # noqa: TC002 (pydantic reads it for schemas)
from langchain_core.output_parsers import BaseCumulativeTransformOutputParser
from langchain_core.outputs import ChatGeneration
from pydantic import Field

from langchain_tale.cards.blocks import Prose
from langchain_tale.cards.card import Card, Readable
from langchain_tale.cards.stories import story_card
from langchain_tale.catalogue import OpenRouterModel, known_model
from langchain_tale.errors import Attempt
from langchain_tale.resilience.refusing import raise_if_refused
from langchain_tale.story.checks.report import (
    StoryReport,
)
from langchain_tale.story.telling import tell_of
from langchain_tale.story.titles import split_title

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from langchain_core.outputs import Generation

    from langchain_tale.cards.blocks import Block


@dataclass(frozen=True, repr=False)
class StoryGenerationResult(Readable):
    """A story and what is known of it; in a notebook it shows itself as a card.

    Attributes:
        content: The story, without its title where that was recognised.
        model: The model that answered: an `OpenRouterModel` where it is one, else its slug.
        full_response: The whole answer in the shape of OpenRouter's API.
        generation_info: What the answer says of itself, in the words of OpenRouter's
            `GET /generation`: `id`, `model`, `provider_name`, `finish_reason`,
            `native_finish_reason`, `native_tokens_prompt`, `native_tokens_completion`,
            `total_cost` in USD. None while a streamed story is still growing.
        title: The title, or None where the model gave none.
        cost_usd: What the answer cost, or None where the server did not say; 0 from a cache.
        usage: Tokens, or None where the server did not say.
        latency_s: Seconds from the first request to the end of the answer, waits included.
        attempts: Every request that was made, failed ones first.
        report: What the checks measured, or None where none were made.
        is_cached: It was told before: by LangChain's cache, or OpenRouter's own.
    """

    content: str
    model: OpenRouterModel | str
    full_response: dict[str, Any]
    generation_info: dict[str, Any] | None = None
    title: str | None = field(default=None, kw_only=True)
    cost_usd: float | None = field(default=None, kw_only=True)
    usage: UsageMetadata | None = field(default=None, kw_only=True)
    latency_s: float | None = field(default=None, kw_only=True)
    attempts: tuple[Attempt, ...] = field(default=(), kw_only=True)
    is_cached: bool = field(default=False, kw_only=True)
    report: StoryReport | None = field(default=None, kw_only=True)

    def __repr__(self) -> str:
        """What it is, and not a word of it: stories name the child, and reprs end in logs."""
        shown = {
            "model": str(self.model),
            "generation_id": self.generation_id,
            "cost_usd": self.cost_usd,
            "latency_s": self.latency_s,
        }
        words = f"<{len(self.content.split())} words>"
        facts = "".join(f", {name}={fact!r}" for name, fact in shown.items() if fact is not None)
        return f"{type(self).__name__}(content={words}{facts})"

    @property
    def generation_id(self) -> str | None:
        """OpenRouter's id of the generation, for `fetch_generation_info`."""
        return (self.generation_info or {}).get("id")

    @property
    def is_best_effort(self) -> bool:
        """Whether it was measured and is not fit by all checks; `report.failures` says why."""
        return self.report is not None and not self.report.passed

    @property
    def is_cut_off(self) -> bool:
        """Whether the model reached its token limit before it had finished."""
        return (self.generation_info or {}).get("finish_reason") == "length"

    def to_dict(self) -> dict[str, Any]:
        """The same, fit for JSON."""
        plain = {name: value for name, value in vars(self).items() if name != "attempts"}
        return {
            **plain,
            "model": str(self.model),
            "generation_id": self.generation_id,
            "attempts": [attempt.to_dict() for attempt in self.attempts],
            "report": None if self.report is None else self.report.to_dict(),
        }

    def card(self) -> Card:
        """What a notebook shows of it."""
        return story_card(
            title=self.title,
            body=self._body(),
            model=str(self.model),
            provider_name=(self.generation_info or {}).get("provider_name"),
            cost_usd=self.cost_usd,
            latency_s=self.latency_s,
            attempts=self.attempts,
            level=self.report.level if self.report else None,
            is_cut_off=self.is_cut_off,
            is_cached=self.is_cached,
            complaints=self.report.sentences if self.report else (),
        )

    def _body(self) -> Sequence[Block]:
        return [Prose(self.content)]


REFUSED: Final = "The model refused to tell this story"
Reporting = Callable[[StoryGenerationResult], StoryReport]


class StoryParser(BaseCumulativeTransformOutputParser[StoryGenerationResult]):
    """An answer → `StoryGenerationResult`; in a stream, one that grows.

    Attributes:
        has_title: Whether the first line may be the title.
        reporting: What makes the report of a whole story, or None.
        scope: Who is told of whole stories, if anybody.
    """

    has_title: bool = True
    reporting: Reporting | None = Field(default=None, exclude=True, repr=False)
    scope: Any = Field(default=None, exclude=True, repr=False)

    @property
    def _type(self) -> str:
        return "story"

    def parse_result(
        self, result: list[Generation], *, partial: bool = False
    ) -> StoryGenerationResult:
        """The result so far; with `partial`, of an answer that may still grow."""
        story = self._story(result, partial=partial)
        if not partial:
            self._tell(story)
        return story

    async def aparse_result(
        self, result: list[Generation], *, partial: bool = False
    ) -> StoryGenerationResult:
        """The twin of `parse_result`."""
        story = self._story(result, partial=partial)
        if not partial:
            await self._atell(story)
        return story

    def _story(self, result: list[Generation], *, partial: bool) -> StoryGenerationResult:
        generation = result[0]
        message = (
            generation.message
            if isinstance(generation, ChatGeneration)
            else AIMessage(generation.text)
        )
        told = story_result(message, has_title=self.has_title, partial=partial)
        if self.reporting is None or told.generation_info is None:
            return told
        return replace(told, report=self.reporting(told))

    def parse(self, text: str) -> StoryGenerationResult:
        """The result for bare text."""
        return story_result(AIMessage(text), has_title=self.has_title)

    def _transform(self, input: Iterator[Any]) -> Iterator[StoryGenerationResult]:  # noqa: A002 (langchain-core's name)
        """A stream that is begun again is a story that is begun again."""
        tellings, story = Tellings(), None
        while not tellings.are_over:
            for story in super()._transform(tellings.one_of(input)):
                yield story
        self._tell(story)

    async def _atransform(self, input: AsyncIterator[Any]) -> AsyncIterator[StoryGenerationResult]:  # noqa: A002 (as above)
        tellings, story = Tellings(), None
        while not tellings.are_over:
            async for story in super()._atransform(tellings.aone_of(input)):
                yield story
        await self._atell(story)

    def _tell(self, story: StoryGenerationResult | None) -> None:
        if self.scope is not None and story is not None:
            tell_of(story, self.scope)
            self.scope.flush()

    async def _atell(self, story: StoryGenerationResult | None) -> None:
        if self.scope is not None and story is not None:
            tell_of(story, self.scope)
            await self.scope.aflush()


class Tellings:
    """A stream of chunks as the tellings it holds: only the last of them counts."""

    def __init__(self) -> None:
        self.are_over = False

    def one_of(self, chunks: Iterator[Any]) -> Iterator[Any]:
        """The chunks of the next telling."""
        for chunk in chunks:
            if _begins_again(chunk):
                return
            yield chunk
        self.are_over = True

    async def aone_of(self, chunks: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """The twin of `one_of`."""
        async for chunk in chunks:
            if _begins_again(chunk):
                return
            yield chunk
        self.are_over = True


def _begins_again(chunk: Any) -> bool:
    """Whether a policy with `on_broken_stream="restart"` says so."""
    return bool(getattr(chunk, "response_metadata", {}).get("is_restarted"))


def story_result(
    message: BaseMessage, *, has_title: bool = True, partial: bool = False
) -> StoryGenerationResult:
    """What an answer came to.

    Args:
        message: The answer, of any vendor's model.
        has_title: Whether the first line may be the title.
        partial: Whether it may still grow.

    Returns:
        The result. While it grows, `content` never takes back what it has shown.

    Raises:
        ModerationError: The model declined to tell it.
    """
    metadata = message.response_metadata
    is_growing = partial and not _has_ended(message)
    if not is_growing:
        raise_if_refused(message, REFUSED)
    title, content = (
        split_title(message.text, is_growing=is_growing) if has_title else (None, message.text)
    )
    if not (is_growing or content.strip()):
        title, content = None, message.text  # a line alone is what the model said, and no title
    model = known_model(metadata.get("model_name") or metadata.get("model") or "")
    if is_growing:
        return StoryGenerationResult(content, model, {}, title=title)
    attempts = tuple(Attempt.from_dict(facts) for facts in metadata.get("attempts") or ())
    return StoryGenerationResult(
        content.strip() if has_title else content,
        model,
        full_response(message),
        _generation_info(message),
        title=title,
        cost_usd=metadata.get("cost"),
        usage=getattr(message, "usage_metadata", None),
        latency_s=round(sum(a.waited_s + a.latency_s for a in attempts), 3) if attempts else None,
        attempts=attempts,
        is_cached=bool(metadata.get("is_cached")) or metadata.get("cache_status") == "HIT",
    )


def _has_ended(message: BaseMessage) -> bool:
    """Whether a streamed answer is whole: it says why, or it is marked, or its log is there."""
    is_last = getattr(message, "chunk_position", None) == "last"
    return is_last or not message.response_metadata.keys().isdisjoint({"finish_reason", "attempts"})


def full_response(message: BaseMessage) -> dict[str, Any]:
    """An answer in the shape of OpenRouter's API, whichever vendor it came from."""
    metadata = message.response_metadata
    said: dict[str, Any] = {"role": "assistant", "content": message.text}
    for name, ours in (("reasoning", "reasoning_content"), ("reasoning_details",) * 2):
        if ours in message.additional_kwargs:
            said[name] = message.additional_kwargs[ours]
    choice = {
        "index": 0,
        "finish_reason": metadata.get("finish_reason"),
        "native_finish_reason": metadata.get("native_finish_reason"),
        "message": said,
    }
    return {
        "id": metadata.get("id"),
        "object": "chat.completion",
        "model": metadata.get("model_name"),
        "provider": metadata.get("provider_name"),
        "choices": [choice],
        "usage": metadata.get("token_usage"),
    }


def _generation_info(message: BaseMessage) -> dict[str, Any]:
    metadata = message.response_metadata
    usage: dict[str, Any] = dict(getattr(message, "usage_metadata", None) or {})
    return {
        "id": metadata.get("id"),
        "model": metadata.get("model_name"),
        "provider_name": metadata.get("provider_name"),
        "finish_reason": metadata.get("finish_reason"),
        "native_finish_reason": metadata.get("native_finish_reason"),
        "native_tokens_prompt": usage.get("input_tokens"),
        "native_tokens_completion": usage.get("output_tokens"),
        "total_cost": metadata.get("cost"),
    }
