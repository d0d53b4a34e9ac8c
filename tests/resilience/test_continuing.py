"""The seam between two models that tell one story."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGenerationChunk

from langchain_tale.errors import BrokenStreamError
from langchain_tale.resilience.continuing import GO_ON, Seam, Telling

STORY = (
    "# The Fox\n\nOnce upon a time there was a very, very small fox. He had nine berries.\n\n"
    "His friends were hungry, so he gave them half. And that night everyone slept soundly."
)


def joined(before: str, continuation: str, size: int = 3) -> str:
    seam = Seam(before)
    pieces = [continuation[i : i + size] for i in range(0, len(continuation), size)]
    return before + "".join(map(seam.take, pieces)) + ("" if seam.is_joined else seam.rest())


@pytest.mark.parametrize("size", [1, 3, 200])
@pytest.mark.parametrize("cut", range(1, len(STORY)))
def test_an_exact_continuation_is_joined_to_the_character(cut: int, size: int) -> None:
    before = STORY[:cut]
    prefilled = before.rstrip()  # what the next model is given

    assert joined(before, STORY[len(prefilled) :], size) == STORY


@pytest.mark.parametrize("cut", range(1, len(STORY)))
def test_a_story_that_is_told_from_its_beginning_is_told_once(cut: int) -> None:
    assert joined(STORY[:cut], STORY) == STORY


@pytest.mark.parametrize("back", [20, 25, 40])
def test_a_sentence_that_is_begun_again_is_told_once(back: int) -> None:
    before = STORY[:80]

    assert joined(before, STORY[80 - back :]) == STORY


def test_a_short_repetition_may_be_meant() -> None:
    assert joined("It was a very, ", "very small fox.") == "It was a very, very small fox."


@given(st.text(min_size=1), st.text(), st.integers(1, 5))
def test_nothing_that_was_told_is_taken_back(before: str, continuation: str, size: int) -> None:
    whole = joined(before, continuation, size)

    assert whole.startswith(before)
    assert len(whole) <= len(before) + len(continuation)


def chunk(text: str, **more: object) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=AIMessageChunk(content=text, **more))


def test_the_next_model_is_given_the_text_so_far() -> None:
    telling = Telling([HumanMessage("Tell me.")], "continue")
    telling.joined(chunk("Once upon "))
    telling.breaks(BrokenStreamError("cut"))

    assert telling.messages(continues_prefill=True) == [
        HumanMessage("Tell me."),
        AIMessage("Once upon"),
    ]
    assert telling.messages(continues_prefill=False)[-1] == HumanMessage(GO_ON)
    assert telling.joined(chunk(" a time")).text == "a time"
    assert telling.text == "Once upon a time"


def test_half_a_tool_call_has_no_sequel() -> None:
    telling = Telling([HumanMessage("Tell me.")], "continue")
    telling.joined(chunk("Let me look."))
    assert telling.may_go_on
    call = {"name": "look", "args": '{"wh', "id": "1", "index": 0}
    telling.joined(chunk("", tool_call_chunks=[call]))

    assert not telling.may_go_on


def test_a_restart_tells_the_consumer_and_asks_the_same() -> None:
    telling = Telling([HumanMessage("Tell me.")], "restart")
    telling.joined(chunk("Once upon "))
    notice = telling.breaks(BrokenStreamError("cut"))

    assert notice is not None
    assert notice.message.response_metadata == {"is_restarted": True}
    assert telling.messages(continues_prefill=True) == [HumanMessage("Tell me.")]
    assert telling.text == ""


def test_by_default_nothing_follows() -> None:
    telling = Telling([HumanMessage("Tell me.")])
    telling.joined(chunk("Once"))

    assert not telling.may_go_on
