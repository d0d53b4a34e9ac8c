"""No answer for another input and no word lost or told twice, whatever fails on the way."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field

from langchain_tale import errors
from langchain_tale.resilience.chat_models import ResilientChatModel, resilient
from langchain_tale.resilience.policy import RetryPolicy
from tests.conftest import FakeTime

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

Break = int
"""After how many pieces a stream breaks; a whole answer fails altogether."""


def story_of(number: int) -> str:
    return f"# Story {number}\n\nOnce {number} foxes met {number + 1} hens,  and\nall were glad. "


def pieces_of(text: str) -> list[str]:
    """Five characters each, so that white space begins and ends them."""
    return [text[at : at + 5] for at in range(0, len(text), 5)]


class Teller(BaseChatModel):
    """Tells the story of the number that it is asked for, and fails as planned for it.

    Attributes:
        breaks: For each number, how its tellings fail, in order; after the last all are healthy.
    """

    model_name: str
    breaks: dict[int, list[Break]]
    asked: Counter[int] = Field(default_factory=Counter)
    continues_prefill: ClassVar[bool] = True

    @property
    def _llm_type(self) -> str:
        return "teller"

    def _begin(self, messages: list[BaseMessage]) -> tuple[list[str], Break | None]:
        number = int(messages[0].text)
        story = story_of(number)
        if isinstance(messages[-1], AIMessage):
            assert story.startswith(messages[-1].text)
            story = story.removeprefix(messages[-1].text)
        turn = self.asked[number]
        self.asked[number] += 1
        planned = self.breaks.get(number, [])
        return pieces_of(story), planned[turn] if turn < len(planned) else None

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        pieces, fails = self._begin(messages)
        if fails is not None:
            msg = "down"
            raise errors.UnavailableError(msg)
        return ChatResult(generations=[ChatGeneration(message=AIMessage("".join(pieces)))])

    def _stream(
        self, messages: list[BaseMessage], *_: Any, **__: Any
    ) -> Iterator[ChatGenerationChunk]:
        pieces, fails = self._begin(messages)
        for piece in pieces[:fails]:
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
        if fails is not None:
            msg = "cut"
            raise errors.BrokenStreamError(msg, partial_text="".join(pieces[:fails]))
        end = AIMessageChunk(content="", response_metadata={"finish_reason": "stop"})
        yield ChatGenerationChunk(message=end)


BREAKS = st.lists(st.integers(0, 30), max_size=4)
PLANS = st.dictionaries(st.integers(0, 5), BREAKS)
RETRIES = st.integers(0, 6)
MODES = st.sampled_from(["raise", "restart", "continue"])
often = settings(max_examples=100, deadline=None)


def tellers(plans: list[dict[int, list[Break]]]) -> list[Teller]:
    return [Teller(model_name=f"teller/{number}", breaks=plan) for number, plan in enumerate(plans)]


def safe(models: list[Teller], retries: int, **options: Any) -> ResilientChatModel:
    policy = RetryPolicy(max_retries=retries)
    timing = FakeTime().timing()
    return resilient(models, retry=policy, timing=timing, breaker=None, **options)


def check(
    answers: list[Any], numbers: list[int], models: list[Teller], plans: Any, retries: int
) -> None:
    """Each input has its own answer, or an error where all its tries were planned to fail."""
    assert len(answers) == len(numbers)
    for number, answer in zip(numbers, answers, strict=True):
        fails = [len(plan.get(number, [])) for plan in plans]
        if isinstance(answer, AIMessage):
            assert answer.text == story_of(number)
            assert len(answer.response_metadata["attempts"]) <= retries + 1
        else:
            assert isinstance(answer, errors.ExternalServiceError)
            assert sum(fails) > retries
        asked = sum(model.asked[number] for model in models)
        assert 1 <= asked <= retries + 1


@often
@given(
    st.lists(PLANS, min_size=1, max_size=3),
    st.lists(st.integers(0, 5), unique=True, min_size=1),
    RETRIES,
    st.integers(1, 4),
)
def test_every_input_of_a_batch_has_its_own_answer(
    plans: list[dict[int, list[Break]]], numbers: list[int], retries: int, at_once: int
) -> None:
    inputs: Any = [str(number) for number in numbers]
    config: Any = {"max_concurrency": at_once}

    models = tellers(plans)
    model = safe(models, retries)
    check(model.batch(inputs, config, return_exceptions=True), numbers, models, plans, retries)
    models = tellers(plans)
    answers: Any = asyncio.run(safe(models, retries).abatch(inputs, config, return_exceptions=True))
    check(answers, numbers, models, plans, retries)


def heard(chunks: list[AIMessageChunk]) -> str:
    """What a consumer has who obeys `is_restarted`."""
    text = ""
    for chunk in chunks:
        text = "" if chunk.response_metadata.get("is_restarted") else text + chunk.text
    return text


async def _all(chunks: AsyncIterator[AIMessageChunk], into: list[AIMessageChunk]) -> None:
    async for chunk in chunks:
        into.append(chunk)  # noqa: PERF401 (what came before an error is kept)


@often
@given(st.lists(BREAKS, min_size=1, max_size=3), RETRIES, MODES, st.booleans())
def test_a_stream_tells_the_story_once_or_says_how_far_it_got(
    breaks: list[list[Break]],
    retries: int,
    mode: Literal["raise", "restart", "continue"],
    blocking: bool,  # noqa: FBT001 (hypothesis calls it)
) -> None:
    models = tellers([{3: plan} for plan in breaks])
    model = safe(models, retries, on_broken_stream=mode)
    chunks: list[AIMessageChunk] = []
    failed: errors.ExternalServiceError | None = None
    try:
        if blocking:
            chunks.extend(model.stream("3"))
        else:
            asyncio.run(_all(model.astream("3"), chunks))
    except errors.ExternalServiceError as error:
        failed = error

    asked = sum(one.asked[3] for one in models)
    assert asked <= retries + 1
    if failed is None:
        assert heard(chunks) == story_of(3)
        log = chunks[-1].response_metadata["attempts"]
        assert len(log) == asked
        assert log[-1]["error"] is None
    else:
        assert story_of(3).startswith(failed.partial_text or "")
        assert heard(chunks) == (failed.partial_text or "")
        if mode != "raise":
            assert sum(map(len, breaks)) > retries


@given(st.integers(0, 40), st.integers(0, 40))
@settings(max_examples=200, deadline=None)
def test_a_continued_story_has_every_character_once(first: int, second: int) -> None:
    models = tellers([{3: [first]}, {3: [second]}, {}])
    told = list(safe(models, 3, on_broken_stream="continue").stream("3"))

    assert heard(told) == story_of(3)
