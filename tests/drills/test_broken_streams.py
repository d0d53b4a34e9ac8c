"""A story that one model began and another goes on with, wherever the stream broke."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from langchain_tale import RetryPolicy
from langchain_tale.sandbox import Fault
from langchain_tale.sandbox.pieces import Piece
from tests.conftest import chat_model
from tests.drills.telling import SICK, WELL, asking_for, heard, sick_model, story_of, storyteller

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from langchain_tale.sandbox import Sandbox
    from langchain_tale.sandbox.engines import End
    from langchain_tale.sandbox.pytest_plugin import StartSandbox

pytestmark = pytest.mark.slow
STORY = story_of(3)
ASKED = asking_for(3)


class Speller:
    """Tells the same stories letter by letter, so that a chunk may begin or end anywhere."""

    provider_name = "Speller"

    def __init__(self) -> None:
        self._teller = storyteller()

    async def generate(self, request: Mapping[str, Any]) -> AsyncGenerator[Piece | End]:
        async for item in self._teller.generate(request):
            if not isinstance(item, Piece):
                yield item
                continue
            for letter in item.text:
                yield Piece(text=letter)

    def close(self) -> None:
        pass


def continued(sandbox: Sandbox, *others: str) -> Any:
    policy = RetryPolicy(max_retries=6, retry_delay=0.0)
    llm = sick_model(sandbox).with_retry(policy, breaker=None, on_broken_stream="continue")
    return llm.with_fallbacks(list(others))


def n_chunks(sandbox: Sandbox) -> int:
    """The chunks of a healthy story that have text."""
    return sum(bool(chunk.text) for chunk in chat_model(sandbox, "healthy/model").stream(ASKED))


@pytest.mark.parametrize("kind", ["cut", "midstream", "reset_midway"])
async def test_a_story_has_every_word_once(openrouter_sandbox: StartSandbox, kind: Any) -> None:
    sandbox = openrouter_sandbox(engine=storyteller())
    breaks = range(n_chunks(sandbox))
    order = [Fault(kind=kind, after_chunks=number) for number in breaks for _ in range(2)]
    sandbox = openrouter_sandbox({SICK: order}, engine=storyteller())
    model = continued(sandbox, WELL)

    for number in breaks:
        streamed = list(model.stream(ASKED))
        astreamed = [chunk async for chunk in model.astream(ASKED)]
        for chunks in (streamed, astreamed):
            assert heard(chunks) == STORY, number
            models = [one["model"] for one in chunks[-1].response_metadata["attempts"]]
            assert models == [SICK, WELL]


def test_a_story_has_every_letter_once(openrouter_sandbox: StartSandbox) -> None:
    order = [Fault(kind="cut", after_chunks=number) for number in range(len(STORY))]
    sandbox = openrouter_sandbox({SICK: order}, engine=Speller())
    model = continued(sandbox, WELL)

    for number in range(len(STORY)):
        assert heard(list(model.stream(ASKED))) == STORY, number


def test_a_story_that_breaks_twice_has_every_letter_once(openrouter_sandbox: StartSandbox) -> None:
    firsts, seconds = range(1, 21), range(20)
    sandbox = openrouter_sandbox(
        {
            SICK: [Fault(kind="cut", after_chunks=3 * number) for number in firsts],
            "sick/too": [Fault(kind="midstream", after_chunks=2 * number) for number in seconds],
        },
        engine=Speller(),
    )
    model = continued(sandbox, "sick/too", WELL)

    for number in firsts:
        chunks = list(model.stream(ASKED))
        assert heard(chunks) == STORY, number
        assert len(chunks[-1].response_metadata["attempts"]) == 3


@pytest.mark.parametrize("kind", ["cut", "midstream", "no_finish"])
def test_a_story_of_which_only_the_end_was_lost_is_whole(
    openrouter_sandbox: StartSandbox, kind: Any
) -> None:
    """The next model has nothing left to say, and says nothing."""
    fault = Fault(kind=kind, after_chunks=10_000)
    sandbox = openrouter_sandbox({SICK: [fault]}, engine=storyteller())

    assert heard(list(continued(sandbox, WELL).stream(ASKED))) == STORY


@pytest.mark.parametrize("kind", ["empty", "starved", "no_finish"])
def test_a_story_is_not_over_because_the_next_model_says_nothing(
    openrouter_sandbox: StartSandbox, kind: Any
) -> None:
    faults = {SICK: [Fault(kind="cut", after_chunks=3)], "sick/too": [Fault(kind=kind)]}
    sandbox = openrouter_sandbox(faults, engine=storyteller())

    assert heard(list(continued(sandbox, "sick/too", WELL).stream(ASKED))) == STORY


def test_one_empty_reply_ends_no_story_wherever_it_broke(openrouter_sandbox: StartSandbox) -> None:
    breaks = range(1, n_chunks(openrouter_sandbox(engine=storyteller())))
    faults = {SICK: [Fault(kind="cut", after_chunks=n) for n in breaks]}
    empty = {"sick/too": [Fault(kind="empty")] * len(breaks)}
    sandbox = openrouter_sandbox({**faults, **empty}, engine=storyteller())

    model = continued(sandbox, "sick/too", WELL)
    assert [heard(list(model.stream(ASKED))) for _ in breaks] == [STORY] * len(breaks)
    assert sandbox.requests["sick/too"] == len(breaks)
