"""What is told of calls: by the loop, and by a chat model alone."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from langchain_tale.client import OpenRouterClient
from langchain_tale.errors import (
    AllModelsFailedError,
    AuthenticationError,
    CircuitOpenError,
    ExternalServiceError,
)
from langchain_tale.openrouter import account
from langchain_tale.resilience.breaker import reset_circuits
from langchain_tale.resilience.chat_models import ResilientChatModel
from langchain_tale.resilience.policy import BreakerPolicy, RetryPolicy
from langchain_tale.sandbox import Fault, Sandbox
from langchain_tale.story.chain import create_story_chain
from langchain_tale.telemetry.events import (
    ApiCalled,
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    CallFailed,
    CircuitClosed,
    CircuitOpened,
    KeyRetired,
    ModelFellBack,
    ModelRetired,
    RetryScheduled,
    StoryRefused,
    StoryTold,
)
from tests.conftest import chat_model
from tests.telemetry.conftest import EVERY_WAY, QUICK, astreamed, streamed

if TYPE_CHECKING:
    from langchain_tale.sandbox.pytest_plugin import StartSandbox
    from tests.conftest import FakeTime
    from tests.telemetry.conftest import Heard

ONCE = RetryPolicy(max_retries=0)
TWICE = RetryPolicy(max_retries=1, retry_delay=0.0)


# ── a policy ────────────────────────────────────────────────────────────────


@EVERY_WAY
async def test_a_fallback_is_told_step_by_step(
    faulty: StartSandbox, heard: Heard, ask: Any
) -> None:
    sandbox = faulty({"a/b": [Fault(status=429)]})
    llm = chat_model(sandbox, "a/b").with_fallbacks(["c/d"], retry=QUICK)

    await ask(llm)

    assert heard.kinds == [
        "AttemptStarted",
        "ApiCalled",
        "AttemptFailed",
        "RetryScheduled",
        "ModelFellBack",
        "AttemptStarted",
        "ApiCalled",
        "AttemptSucceeded",
    ]
    failed = heard.one(AttemptFailed)
    assert (failed.model, failed.attempt, failed.max_attempts) == ("a/b", 1, 4)
    assert (failed.error, failed.status_code) == ("RateLimitError", 429)
    retry, fallback = heard.one(RetryScheduled), heard.one(ModelFellBack)
    assert (retry.model, retry.next_model, retry.wait_s) == ("a/b", "c/d", 0.0)
    assert (fallback.from_model, fallback.model, fallback.error) == ("a/b", "c/d", "RateLimitError")
    assert len(heard.request_ids) == 1
    assert len({event.run_id for event in heard}) == 1


@EVERY_WAY
async def test_an_answer_is_told_with_what_it_took(
    sandbox: Sandbox, heard: Heard, ask: Any
) -> None:
    await ask(chat_model(sandbox, "c/d").with_retry(QUICK))

    told, called = heard.one(AttemptSucceeded), heard.one(ApiCalled)
    assert (told.attempt, told.model, told.answered_by) == (1, "c/d", "c/d")
    assert told.input_tokens == called.input_tokens
    assert told.output_tokens == called.output_tokens
    assert told.cost_usd == told.total_cost_usd == called.cost_usd
    assert told.generation_id == called.generation_id
    assert told.content_chars
    assert told.is_streamed is called.is_streamed is (ask in (streamed, astreamed))
    assert (told.time_to_first_token_s is not None) is told.is_streamed


def test_a_wait_is_told_before_it(faulty: StartSandbox, heard: Heard, fake_time: FakeTime) -> None:
    sandbox = faulty({"a/b": [Fault(status=503)]})
    told: list[int] = []
    timing = replace(
        fake_time.timing(), sleep=lambda _s: told.append(len(heard.of(RetryScheduled)))
    )
    policy = RetryPolicy(max_retries=1, retry_delay=2.0)
    llm = chat_model(sandbox, "a/b").with_retry(policy)
    llm.timing = timing

    llm.invoke("Hello")

    assert heard.one(RetryScheduled).wait_s == 2.0
    assert told == [1]


@EVERY_WAY
async def test_a_call_that_fails_is_told_once_as_such(
    faulty: StartSandbox, heard: Heard, ask: Any
) -> None:
    sandbox = faulty({"a/b": [Fault(status=503)] * 2})

    with pytest.raises(AllModelsFailedError) as caught:
        await ask(chat_model(sandbox, "a/b").with_retry(TWICE))

    failed = heard.one(CallFailed)
    assert (failed.attempts, failed.error) == (2, "AllModelsFailedError")
    assert (failed.last_error, failed.status_code) == ("UnavailableError", 503)
    assert len(heard.of(AttemptFailed)) == len(heard.of(ApiCalled)) == 2
    assert len(heard.of(RetryScheduled)) == 1
    errors = [caught.value, *(attempt.error for attempt in caught.value.attempts)]
    assert {getattr(error, "client_request_id", None) for error in errors} == heard.request_ids


def test_an_answer_that_is_refused_is_told_without_its_words(
    sandbox: Sandbox, heard: Heard
) -> None:
    words = iter(["too sad", None])
    llm = chat_model(sandbox).with_retry(QUICK, accept=lambda _message: next(words))

    llm.invoke("Tell me of a fox.")

    refused = heard.one(StoryRefused)
    assert (refused.reason, refused.attempt, refused.max_attempts) == ("too sad", 1, 4)
    assert refused.content_chars
    assert refused.cost_usd
    assert [event.outcome for event in heard.of(ApiCalled)] == ["succeeded", "succeeded"]


def test_a_parser_that_refuses_is_told_by_its_class(sandbox: Sandbox, heard: Heard) -> None:
    class UnfitError(ValueError):
        pass

    def accept(message: Any) -> None:
        raise UnfitError(message.text)

    llm = chat_model(sandbox).with_retry(ONCE, accept=accept)
    with pytest.raises(ExternalServiceError, match=r"was refused: UnfitError\.$") as caught:
        llm.invoke("Tell me of a fox.")

    assert heard.one(StoryRefused).reason == "UnfitError"
    assert getattr(caught.value, "reason", None) == caught.value.partial_text


def test_circuits_tell_when_they_open_and_close(faulty: StartSandbox, heard: Heard) -> None:
    sandbox = faulty({"a/b": [Fault(status=503)] * 2})
    breaker = BreakerPolicy(fail_max=2, reset_timeout_s=0.001)
    llm = chat_model(sandbox, "a/b").with_retry(QUICK, breaker=breaker)

    llm.invoke("Hello")

    opened, closed = heard.one(CircuitOpened), heard.one(CircuitClosed)
    assert (opened.model, opened.base_url) == ("a/b", sandbox.base_url)
    assert (closed.model, closed.base_url) == ("a/b", sandbox.base_url)
    assert len(heard.request_ids) == 1, "they belong to the call that changed them"
    assert heard.kinds.index("CircuitOpened") < heard.kinds.index("CircuitClosed")


def test_a_model_that_is_passed_over_is_a_fallback_too(faulty: StartSandbox, heard: Heard) -> None:
    sandbox = faulty({"a/b": [Fault(status=503)]})
    breaker = BreakerPolicy(fail_max=1, reset_timeout_s=600)
    llm = chat_model(sandbox, "a/b").with_fallbacks(["c/d"], retry=QUICK, breaker=breaker)
    llm.invoke("Hello")
    heard.clear()

    llm.invoke("Hello")

    assert heard.kinds == ["ModelFellBack", "AttemptStarted", "ApiCalled", "AttemptSucceeded"]
    assert heard.one(ModelFellBack).error == "CircuitOpenError"
    reset_circuits()
    assert heard.one(CircuitClosed).model == "a/b"


def test_where_nothing_may_be_asked_nothing_is_said_to_have_been(
    faulty: StartSandbox, heard: Heard
) -> None:
    sandbox = faulty({"a/b": [Fault(status=503)], "c/d": [Fault(status=503)]})
    breaker = BreakerPolicy(fail_max=1, reset_timeout_s=600)
    llm = chat_model(sandbox, "a/b").with_fallbacks(["c/d"], retry=TWICE, breaker=breaker)
    with pytest.raises(AllModelsFailedError):
        llm.invoke("Hello")
    heard.clear()

    with pytest.raises(CircuitOpenError) as caught:
        llm.invoke("Hello")

    assert heard.kinds == ["CallFailed"]
    assert heard.one(CallFailed).attempts == 0
    assert {caught.value.client_request_id} == heard.request_ids


def test_a_wait_for_a_circuit_is_told_once(
    faulty: StartSandbox, heard: Heard, fake_time: FakeTime
) -> None:
    sandbox = faulty({"a/b": [Fault(status=503)] * 2, "c/d": [Fault(status=503)] * 2})
    breaker = BreakerPolicy(fail_max=1, reset_timeout_s=600)
    policy = RetryPolicy(max_retries=7, retry_delay=400, max_delay_s=800)
    options = {"retry": policy, "breaker": breaker, "timing": fake_time.timing()}
    llm = chat_model(sandbox, "a/b").with_fallbacks(["c/d"], **options)
    with pytest.raises(AllModelsFailedError):
        llm.invoke("Hello")  # the circuits go by another clock, which stands still meanwhile

    waits = [event for event in heard.of(RetryScheduled) if event.error == "CircuitOpenError"]
    assert len(fake_time.slept) > 3
    assert len(waits) == 1


def test_a_key_that_is_refused_is_told_by_its_last_characters(
    sandbox: Sandbox, heard: Heard
) -> None:
    keys = ["sk-or-v1-nobody-knows-1234", sandbox.api_key]
    chat_model(sandbox, api_key=keys).with_retry(QUICK).invoke("Hello")

    retired = heard.one(KeyRetired)
    assert (retired.key_hint, retired.error) == ("1234", "AuthenticationError")
    assert retired.status_code == 401
    assert [event.key_hint for event in heard.of(ApiCalled)] == ["1234", sandbox.api_key[-4:]]
    assert len(heard.request_ids) == 1


def test_successors_are_told_once_a_process(faulty: StartSandbox, heard: Heard) -> None:
    gone = Fault.unavailable("model_not_found", model="g/one", fallback_models=["g/next"])
    sandbox = faulty({"g/one": [gone, gone]})
    llm = chat_model(sandbox, "g/one").with_retry(QUICK)

    llm.invoke("Hello")
    llm.invoke("Hello")

    assert heard.one(ModelRetired).successors == "g/next"


@EVERY_WAY
async def test_a_policy_inside_a_policy_tells_nothing_twice(
    faulty: StartSandbox, heard: Heard, ask: Any
) -> None:
    sandbox = faulty({"a/b": [Fault(status=404)]})
    inner = [chat_model(sandbox, name).with_retry(ONCE) for name in ("a/b", "c/d")]

    await ask(ResilientChatModel(models=inner, retry=TWICE))

    assert heard.of(CallFailed) == []
    assert len(heard.of(AttemptSucceeded)) == 1
    assert len(heard.of(ApiCalled)) == sum(sandbox.requests.values()) == 2
    assert len(heard.request_ids) == 1


# ── a chat model alone ──────────────────────────────────────────────────────


@EVERY_WAY
async def test_a_chat_model_alone_tells_of_its_one_attempt(
    sandbox: Sandbox, heard: Heard, ask: Any
) -> None:
    await ask(chat_model(sandbox))

    assert heard.kinds == ["AttemptStarted", "ApiCalled", "AttemptSucceeded"]
    told, called = heard.one(AttemptSucceeded), heard.one(ApiCalled)
    assert told.content_chars
    assert told.output_tokens == called.output_tokens
    assert told.cost_usd == called.cost_usd
    assert told.is_streamed is called.is_streamed is (ask in (streamed, astreamed))
    assert (called.outcome, called.status_code) == ("succeeded", 200)
    assert called.key_hint == sandbox.api_key[-4:]
    assert called.provider_name == "Sandbox (scripted)"
    assert len({event.run_id for event in heard}) == 1
    assert heard[0].run_id is not None


@EVERY_WAY
async def test_a_chat_model_alone_tells_of_its_failure(
    faulty: StartSandbox, heard: Heard, ask: Any
) -> None:
    headers = {"x-request-id": "req-of-the-server"}
    sandbox = faulty({"a/b": [Fault(status=401, headers=headers)]})

    with pytest.raises(AuthenticationError) as caught:
        await ask(chat_model(sandbox, "a/b"))

    assert heard.kinds == ["AttemptStarted", "ApiCalled", "AttemptFailed", "CallFailed"]
    assert heard.one(CallFailed).error == heard.one(ApiCalled).outcome == "AuthenticationError"
    assert {caught.value.client_request_id} == heard.request_ids
    assert caught.value.request_id == "req-of-the-server"
    assert heard.one(ApiCalled).server_request_id == "req-of-the-server"
    assert heard.one(AttemptFailed).server_request_id == "req-of-the-server"


@EVERY_WAY
async def test_each_request_of_the_sdk_is_told(
    faulty: StartSandbox, heard: Heard, ask: Any
) -> None:
    now = {"retry-after-ms": "1"}
    sandbox = faulty({"a/b": [Fault(status=503, headers=now), Fault(status=429, headers=now)]})

    await ask(chat_model(sandbox, "a/b", max_retries=2))

    assert [(event.outcome, event.status_code) for event in heard.of(ApiCalled)] == [
        ("UnavailableError", 503),
        ("RateLimitError", 429),
        ("succeeded", 200),
    ]
    assert sandbox.requests["a/b"] == 3
    assert len(heard.of(AttemptStarted)) == len(heard.of(AttemptSucceeded)) == 1


def test_a_connection_that_is_lost_is_an_outcome(faulty: StartSandbox, heard: Heard) -> None:
    sandbox = faulty({"a/b": [Fault(kind="hangup")]})

    with pytest.raises(ExternalServiceError):
        chat_model(sandbox, "a/b").invoke("Hello")

    called = heard.one(ApiCalled)
    assert (called.outcome, called.status_code) == ("ConnectionFailedError", None)


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (Fault(kind="body", status=502), "UnavailableError"),
        (Fault(kind="empty"), "EmptyReplyError"),
        (Fault(kind="html", status=200), "MalformedReplyError"),
        (Fault(kind="cut"), "BrokenStreamError"),
        (Fault(kind="midstream", status=429), "RateLimitError"),
        (Fault(kind="drop"), "ConnectionFailedError"),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
def test_a_failure_after_the_head_of_an_answer_is_an_outcome(
    faulty: StartSandbox, heard: Heard, fault: Fault, outcome: str
) -> None:
    sandbox = faulty({"a/b": [fault]})

    with pytest.raises(ExternalServiceError):
        list(chat_model(sandbox, "a/b").stream("Hello"))

    assert heard.one(ApiCalled).outcome == outcome
    assert heard.one(CallFailed).error == outcome


def test_a_stream_that_is_left_was_cancelled(sandbox: Sandbox, heard: Heard) -> None:
    chunks = chat_model(sandbox).stream("Tell me of a fox.")
    next(chunks)
    chunks.close()  # type: ignore[attr-defined]  # it is a generator

    called = heard.one(ApiCalled)
    assert called.outcome == "cancelled"
    assert called.generation_id
    assert called.provider_name
    assert heard.kinds == ["AttemptStarted", "ApiCalled"]


async def test_a_task_that_is_cancelled_was_cancelled(faulty: StartSandbox, heard: Heard) -> None:
    sandbox = faulty({"a/b": [Fault(kind="hang")]})
    task = asyncio.create_task(chat_model(sandbox, "a/b").with_retry(QUICK).ainvoke("Hello"))
    while not sandbox.requests.get("a/b"):  # noqa: ASYNC110 (another thread counts)
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert heard.kinds == ["AttemptStarted", "ApiCalled"]
    assert heard.one(ApiCalled).outcome == "cancelled"


def test_records_of_an_account_are_no_calls_of_a_chat_model(sandbox: Sandbox, heard: Heard) -> None:
    account.key(chat_model(sandbox))

    assert heard == []


# ── stories ─────────────────────────────────────────────────────────────────

STORY = {"theme": "a fox who learns to share", "child_name": "Mia"}


async def told(chain: Any) -> None:
    chain.invoke(STORY)


async def atold(chain: Any) -> None:
    await chain.ainvoke(STORY)


async def stream_told(chain: Any) -> None:
    list(chain.stream(STORY))


async def astream_told(chain: Any) -> None:
    _ = [result async for result in chain.astream(STORY)]


@pytest.mark.parametrize("tell", [told, atold, stream_told, astream_told])
async def test_a_story_is_told_once_it_is_whole(
    faulty: StartSandbox, heard: Heard, tell: Any
) -> None:
    sandbox = faulty({"a/b": [Fault(kind="empty")]})
    address: dict[str, Any] = {"api_key": sandbox.api_key, "base_url": sandbox.base_url}

    await tell(create_story_chain(["a/b", "c/d"], retry=QUICK, **address))

    story, answer = heard.one(StoryTold), heard.one(AttemptSucceeded)
    assert heard[-1] is story
    assert (story.model, story.attempts) == ("c/d", 2)
    assert 0 < story.content_words < story.content_chars <= (answer.content_chars or 0)
    assert story.output_tokens == answer.output_tokens
    assert story.cost_usd == pytest.approx(answer.total_cost_usd)
    assert len(heard.request_ids) == 1


@pytest.mark.parametrize("is_async", [False, True])
async def test_the_plain_client_tells_of_its_stories_too(
    sandbox: Sandbox, heard: Heard, *, is_async: bool
) -> None:
    client = OpenRouterClient(sandbox.api_key, base_url=sandbox.base_url)

    if is_async:
        story = await client.agenerate_story("Tell me of a fox.")
    else:
        story = client.generate_story("Tell me of a fox.")

    assert heard.one(StoryTold).content_words == len(story.content.split())
    assert len(heard.request_ids) == 1
