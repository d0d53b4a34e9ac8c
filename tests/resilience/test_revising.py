"""A refused answer is asked for again with the reason, or continued where it ran out of tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from langchain_tale.errors import RefusedReplyError, UnavailableError
from langchain_tale.resilience.accepting import acheck, both, check
from langchain_tale.resilience.attempts import Walk
from langchain_tale.resilience.chat_models import resilient
from langchain_tale.resilience.continuing import GO_ON, joined_text, without_last_word
from langchain_tale.resilience.policy import RetryPolicy
from langchain_tale.resilience.revising import asked_after, continued, whole_after
from tests.conftest import FakeTime, chat_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tale.sandbox import Sandbox

ASKED: list[BaseMessage] = [HumanMessage("A story, please.")]


class Louder:
    """Asks for more, as often as it may; goes on with what ran out of tokens."""

    max_revisions = 2

    def again(self, asked: Sequence[BaseMessage], refusal: RefusedReplyError) -> list[BaseMessage]:
        return [*asked, AIMessage(refusal.message.text), HumanMessage(refusal.reason)]

    def may_be_continued(self, refusal: RefusedReplyError) -> bool:
        return bool(refusal.message.response_metadata.get("finish_reason") == "length")


def refused(text: str, finish_reason: str = "stop", **facts: Any) -> RefusedReplyError:
    error = RefusedReplyError("no")
    metadata = {"finish_reason": finish_reason, **facts}
    error.reason, error.message = "louder", AIMessage(text, response_metadata=metadata)
    return error


# ── what is asked ───────────────────────────────────────────────────────────


def test_after_a_refusal_the_answer_goes_back_with_the_reason() -> None:
    asked = asked_after(refused("boo"), ASKED, Louder(), continues_prefill=True)

    assert [message.text for message in asked] == ["A story, please.", "boo", "louder"]


def test_without_a_refusal_or_a_reviser_the_same_is_asked_again() -> None:
    assert asked_after(None, ASKED, Louder(), continues_prefill=True) == ASKED
    assert asked_after(refused("boo"), ASKED, None, continues_prefill=True) == ASKED


@pytest.mark.parametrize(
    ("continues_prefill", "added"),
    [(True, ["Once a"]), (False, ["Once a", GO_ON])],
    ids=["prefill", "told to"],
)
def test_a_beginning_is_continued(continues_prefill: bool, added: list[str]) -> None:  # noqa: FBT001 (a case)
    beginning = refused("Once a fo", "length")

    asked = asked_after(beginning, ASKED, Louder(), continues_prefill=continues_prefill)

    assert [message.text for message in asked[1:]] == added


# ── what comes of it ────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("beginning", "rest", "whole"),
    [
        ("Once a fo", "fox ran.", "Once a fox ran."),
        ("Once a fo", " fox ran.", "Once a fox ran."),
        ("Once.\n\nThen th", "Then they ran.", "Once.\n\nThen Then they ran."),
        ("Once there was a small red fo", "Once there was a small red fox.", None),
        ("It ended.", " And began.", "It ended. And began."),
        ("He said", ", and ran.", "He, and ran."),
    ],
)
def test_two_parts_make_one_text(beginning: str, rest: str, whole: str | None) -> None:
    joined = joined_text(without_last_word(beginning), rest)

    assert joined == (rest if whole is None else whole)


def test_tokens_and_cost_of_both_parts_are_those_of_the_whole() -> None:
    usage = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}
    first, second = (
        AIMessage("Once a ", response_metadata={"cost": cost, "id": id_}, usage_metadata=usage)
        for cost, id_ in ((0.5, "gen-1"), (0.25, "gen-2"))
    )

    whole = continued(first, second)

    assert whole.response_metadata == {"cost": 0.75, "id": "gen-2"}
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["total_tokens"] == 14


def test_an_answer_that_continues_nothing_is_itself() -> None:
    message = AIMessage("boo")

    assert whole_after(None, message, Louder()) is message
    assert whole_after(refused("x"), message, Louder()) is message


# ── how often ───────────────────────────────────────────────────────────────

KINDS = st.sampled_from(["refused", "down"])


@given(st.lists(KINDS, min_size=30, max_size=30), st.integers(0, 4), st.integers(0, 4))
def test_retries_and_revisions_never_add_up_to_more_than_both(
    kinds: list[str], max_retries: int, max_revisions: int
) -> None:
    policy = RetryPolicy(max_retries=max_retries)
    walk = Walk(["a/a", "b/b"], policy, FakeTime().timing(), max_revisions=max_revisions)

    asked = 1
    for kind in kinds:
        walk.begin()
        error = refused("x") if kind == "refused" else UnavailableError("down")
        if not walk.has_another_turn_after(error):
            break
        asked += 1

    refusals = kinds[:asked].count("refused")
    failures = asked - refusals
    assert asked <= max_retries + 1 + max_revisions
    assert refusals <= max_revisions + 1
    assert failures <= max_retries + 1


async def test_a_policy_asks_again_as_it_is_told_to(sandbox: Sandbox, fake_time: FakeTime) -> None:
    seen: list[str] = []

    def never(message: AIMessage) -> str:
        seen.append(message.text)
        return "louder"

    model = resilient(
        [chat_model(sandbox)], accept=never, revising=Louder(), timing=fake_time.timing()
    )

    for ask in (model.invoke, lambda x: list(model.stream(x))):
        with pytest.raises(Exception, match="louder"):
            ask("A story, please.")

    assert sum(sandbox.requests.values()) == 6
    assert len(set(seen)) > 1  # the script answers what it is asked


# ── checks that have a twin ─────────────────────────────────────────────────


class Twin:
    def __call__(self, _: AIMessage) -> str:
        return "sync"

    async def awaited(self, _: AIMessage) -> str:
        return "async"


@pytest.mark.parametrize("accept", [Twin(), both(None, Twin()), both(lambda _: None, Twin())])
async def test_a_check_may_have_a_twin_for_coroutines(accept: Any) -> None:
    with pytest.raises(RefusedReplyError, match=r"refused: sync\."):
        check(accept, AIMessage("x"), "a/b")
    with pytest.raises(RefusedReplyError, match=r"refused: async\."):
        await acheck(accept, AIMessage("x"), "a/b")


async def test_of_two_checks_the_first_no_counts() -> None:
    async def no(_: AIMessage) -> str:
        return "first"

    with pytest.raises(RefusedReplyError, match="first"):
        await acheck(both(no, Twin()), AIMessage("x"), "a/b")
