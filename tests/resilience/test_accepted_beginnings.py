"""Under a check, a stream is held back whole, or until its beginning is accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from langchain_tale.errors import BrokenStreamError, RefusedReplyError
from langchain_tale.resilience.policy import RetryPolicy
from langchain_tale.sandbox import Fault, Sandbox
from tests.conftest import chat_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_tale.openrouter.chat_models import ChatOpenRouter
    from langchain_tale.resilience.chat_models import ResilientChatModel
    from tests.conftest import FakeTime

ONE_TRY = RetryPolicy(max_retries=0)


def under(llm: ChatOpenRouter, **options: Any) -> ResilientChatModel:
    return llm.with_retry(ONE_TRY, **options)


def refusing(message: Any) -> str:
    return "never good enough"


def has_four_words(text: str) -> bool:
    return len(text.split()) >= 4


def test_what_was_accepted_at_its_beginning_is_handed_on_and_not_checked_again(
    llm: ChatOpenRouter,
) -> None:
    safe = under(llm, accept=refusing, accept_beginning=has_four_words)

    chunks = [chunk.text for chunk in safe.stream("Hello")]

    assert "".join(chunks) == llm.invoke("Hello").text
    assert len(chunks) > 10


async def test_its_twin_does_the_same(llm: ChatOpenRouter) -> None:
    safe = under(llm, accept=refusing, accept_beginning=has_four_words)

    assert "".join([c.text async for c in safe.astream("Hello")]) == llm.invoke("Hello").text


async def test_an_answer_that_ends_before_that_is_checked_whole(llm: ChatOpenRouter) -> None:
    safe = under(llm, accept=refusing, accept_beginning=lambda _text: False)

    with pytest.raises(RefusedReplyError, match="never good enough"):
        list(safe.stream("Hello"))
    with pytest.raises(RefusedReplyError, match="never good enough"):
        [_ async for _ in safe.astream("Hello")]


def test_an_answer_at_once_is_always_checked(llm: ChatOpenRouter) -> None:
    safe = under(llm, accept=refusing, accept_beginning=has_four_words)

    with pytest.raises(RefusedReplyError):
        safe.invoke("Hello")


def test_the_beginning_is_told_the_text_so_far(llm: ChatOpenRouter) -> None:
    seen: list[str] = []

    def noting(text: str) -> bool:
        seen.append(text)
        return len(seen) == 3

    list(under(llm, accept=refusing, accept_beginning=noting).stream("Hello"))

    assert len(seen) == 3
    assert llm.invoke("Hello").text.startswith(seen[2])
    assert seen[2].startswith(seen[1])


@pytest.mark.parametrize(
    ("after", "is_mended"), [(2, True), (12, False)], ids=["before it", "after it"]
)
def test_a_stream_may_break_until_its_beginning_is_accepted(
    faulty: Callable[..., Sandbox],
    fake_time: FakeTime,
    after: int,
    is_mended: bool,  # noqa: FBT001 (pytest passes it by name)
) -> None:
    cut = Fault(kind="cut", after_chunks=after)
    llm = chat_model(faulty({"openai/gpt-4o-mini": [cut]}))
    safe = llm.with_retry(
        RetryPolicy(max_retries=1),
        accept=lambda _message: None,
        accept_beginning=lambda text: len(text.split()) >= 6,
        timing=fake_time.timing(),
    )

    if is_mended:
        assert "".join(chunk.text for chunk in safe.stream("Hello")) == llm.invoke("Hello").text
        return
    with pytest.raises(BrokenStreamError):
        list(safe.stream("Hello"))


def test_what_goes_on_from_an_accepted_beginning_is_not_checked(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    cut = Fault(kind="cut", after_chunks=12)
    llm = chat_model(faulty({"openai/gpt-4o-mini": [cut]}))
    safe = llm.with_retry(
        RetryPolicy(max_retries=1),
        accept=refusing,
        accept_beginning=has_four_words,
        on_broken_stream="continue",
        timing=fake_time.timing(),
    )

    assert "".join(chunk.text for chunk in safe.stream("Hello")) == llm.invoke("Hello").text


def test_copies_and_fallbacks_keep_it(llm: ChatOpenRouter) -> None:
    safe = under(llm, accept=refusing, accept_beginning=has_four_words)
    more: Any = safe.with_retry(ONE_TRY).with_fallbacks(["openrouter/auto"])

    assert more.accept_beginning is has_four_words
    assert "".join(chunk.text for chunk in more.stream("Hello"))
