"""The batch API, over real HTTP to the sandbox; OpenRouter's own is beta and not asked here."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langchain_tale import errors
from langchain_tale.errors import ConfigurationError, InvalidRequestError, ModelNotFoundError
from langchain_tale.openrouter import batches
from langchain_tale.openrouter.batch_records import Batch
from langchain_tale.openrouter.failures import Source
from langchain_tale.sandbox import Fault, Sandbox
from tests.conftest import FakeTime, chat_model

if TYPE_CHECKING:
    from langchain_tale.openrouter.chat_models import ChatOpenRouter

MINI = "openai/gpt-4o-mini"


def ended(llm: ChatOpenRouter, batch: Batch) -> Batch:
    while not batch.is_over:
        batch = batches.fetch(llm, batch.id)
    return batch


def cost_of(message: Any) -> float:
    return float(message.response_metadata["cost"])


async def test_a_batch_answers_each_request_under_its_own_id(llm: ChatOpenRouter) -> None:
    asked: dict[str, Any] = {
        "mia": "Tell me of a fox named Mia.",
        "leo": [HumanMessage("Tell me of an owl named Leo.")],
    }

    begun = batches.submit(llm, asked)
    over = ended(llm, begun)
    again = ended(llm, await batches.asubmit(llm, asked))

    assert (begun.model, begun.results, begun.counts and begun.counts.total) == (MINI, None, 2)
    for batch in (over, again):
        replies = batch.replies()
        assert set(replies) == {"mia", "leo"}
        for name, question in asked.items():
            alone = llm.invoke(question)
            reply = replies[name]
            assert isinstance(reply, AIMessage)
            assert reply.text == alone.text
            assert reply.usage_metadata == alone.usage_metadata
            assert cost_of(reply) == pytest.approx(cost_of(alone) / 2)
    assert over.usage is not None
    assert over.usage.cost_usd == pytest.approx(
        Decimal(sum(cost_of(reply) for reply in over.replies().values()))
    )


def test_what_fails_in_a_batch_is_what_asking_alone_would_have_raised() -> None:
    faults = [
        None,
        Fault(status=429),
        Fault(kind="hangup"),
        Fault(kind="starved"),
        Fault(kind="choice"),
    ]
    with Sandbox(engine="scripted", faults={"a/b": faults}) as sandbox:
        llm = chat_model(sandbox, "a/b")
        batch = ended(llm, batches.submit(llm, {str(n): "x" for n in range(5)}))

    replies = batch.replies()
    kinds = {name: type(reply) for name, reply in replies.items()}
    assert set(kinds.values()) == {
        AIMessage,
        errors.RateLimitError,
        errors.UnavailableError,
        errors.EmptyReplyError,
    }
    assert len(kinds) == 5
    assert batch.counts is not None
    assert (batch.counts.completed, batch.counts.failed) == (3, 2)


async def test_a_batch_is_looked_at_until_it_ends_or_patience_does(
    llm: ChatOpenRouter, fake_time: FakeTime
) -> None:
    batch = batches.submit(llm, {"a": "x"})
    assert batches.poll(llm, batch.id, poll_s=0, timing=fake_time.timing()).is_over
    assert (await batches.apoll(llm, batch.id, timing=fake_time.timing())).status == "completed"
    assert batches.poll(llm, batch.id, timeout_s=0).is_over


def test_a_batch_of_nothing_or_of_several_models_is_not_sent(
    sandbox: Sandbox, llm: ChatOpenRouter
) -> None:
    with pytest.raises(ConfigurationError, match="at least one"):
        batches.submit(llm, {})
    with pytest.raises(ConfigurationError, match="one model"):
        batches.submit(llm, {"a": "x"}, models=["a/b"])
    with pytest.raises(ConfigurationError, match="batch_id"):
        batches.fetch(llm, "../key")
    assert sandbox.requests == {}


def test_the_server_refuses_what_it_cannot_do(llm: ChatOpenRouter) -> None:
    with pytest.raises(InvalidRequestError):
        batches.submit(llm, {"a": "x"}, provider={"sort": 3})
    with pytest.raises(ModelNotFoundError):
        batches.fetch(llm, "batch_unknown")


@pytest.mark.parametrize("status", ["failed", "expired", "cancelled"])
def test_a_batch_may_end_without_results(status: str) -> None:
    body = {"id": "batch_1", "status": status, "results": None, "error": {"message": "too old"}}
    batch = Batch.from_body(body, Source("The batch"))

    assert batch.is_over
    assert batch.replies() == {}


def test_a_body_that_is_no_batch_raises() -> None:
    with pytest.raises(errors.MalformedReplyError):
        Batch.from_body({"object": "batch"}, Source("The batch"))
    with pytest.raises(errors.UnavailableError):
        Batch.from_body({"error": {"code": 503, "message": "down"}}, Source("The batch"))
