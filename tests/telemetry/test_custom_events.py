"""What LangChain's own handlers and streams of events hear of a call."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler

from langchain_tale.errors import ExternalServiceError
from langchain_tale.resilience.policy import RetryPolicy
from langchain_tale.sandbox import Fault, Sandbox
from langchain_tale.story.chain import create_story_chain
from langchain_tale.telemetry import scopes
from tests.conftest import chat_model
from tests.telemetry.conftest import EVERY_WAY, QUICK

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from langchain_tale.sandbox.pytest_plugin import StartSandbox

FALLBACK = [
    "attempt.started",
    "attempt.failed",
    "retry.scheduled",
    "model.fell_back",
    "attempt.started",
    "attempt.succeeded",
]


def falling_back(faulty: StartSandbox) -> BaseChatModel:
    """A policy whose first model fails once."""
    sandbox = faulty({"a/b": [Fault(status=429)]})
    found: Any = chat_model(sandbox, "a/b").with_fallbacks(["c/d"], retry=QUICK)
    return found  # type: ignore[no-any-return]  # fallbacks by name make a chat model


class Handler(BaseCallbackHandler):
    """Hears custom events, and where."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.runs: set[UUID] = set()
        self.threads: set[int] = set()

    def on_custom_event(self, name: str, data: Any, *, run_id: UUID, **_: Any) -> None:
        self.heard.append((name.removeprefix("langchain_tale."), data))
        self.runs.add(run_id)
        self.threads.add(threading.get_ident())

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.heard]


class AsyncHandler(AsyncCallbackHandler):
    """The same, as coroutines."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.threads: set[int] = set()

    async def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        self.heard.append(name.removeprefix("langchain_tale."))
        self.threads.add(threading.get_ident())


# ── a stream of events ──────────────────────────────────────────────────────


async def test_a_fallback_shows_every_attempt_under_one_parent(faulty: StartSandbox) -> None:
    sandbox = faulty({"a/b": [Fault(status=429)]})
    address: dict[str, Any] = {"api_key": sandbox.api_key, "base_url": sandbox.base_url}
    chain = create_story_chain(["a/b", "c/d"], retry=QUICK, **address)

    events = [event async for event in chain.astream_events("a fox", version="v2")]

    [call] = [
        event
        for event in events
        if (event["event"], event["name"]) == ("on_chat_model_start", "ResilientChatModel")
    ]
    attempts = [
        event for event in events if event["event"] == "on_chat_model_start" and event is not call
    ]
    assert [event["name"] for event in attempts] == ["a/b", "c/d"]
    assert {event["parent_ids"][-1] for event in attempts} == {call["run_id"]}

    told = [event for event in events if event["event"] == "on_custom_event"]
    names = [event["name"].removeprefix("langchain_tale.") for event in told]
    assert names == [*FALLBACK, "story.told"]
    assert {event["run_id"] for event in told[:-1]} == {call["run_id"]}
    assert all(event["parent_ids"] == call["parent_ids"] for event in told[:-1])
    assert told[-1]["run_id"] in call["parent_ids"], "a story is told of by the step that tells it"
    facts: list[Any] = [event["data"] for event in told]
    assert len({fact["request_id"] for fact in facts}) == 1
    assert {fact["run_id"] for fact in facts[:-1]} == {call["run_id"]}


async def test_a_wait_is_heard_of_before_it_is_over(faulty: StartSandbox) -> None:
    sandbox = faulty({"a/b": [Fault(status=503)]})
    llm = chat_model(sandbox, "a/b").with_retry(RetryPolicy(max_retries=1, retry_delay=0.001))

    events = [event async for event in llm.astream_events("Hello", version="v2")]

    names = [
        event["name"] if event["event"] == "on_custom_event" else event["event"] for event in events
    ]
    scheduled = names.index("langchain_tale.retry.scheduled")
    assert names.count("langchain_tale.attempt.started") == 2
    assert "langchain_tale.attempt.started" in names[scheduled:]
    assert names.index("langchain_tale.attempt.failed") < scheduled
    assert names[-1] == "on_chat_model_end", "all of it before the run is over"


# ── handlers ────────────────────────────────────────────────────────────────


@EVERY_WAY
async def test_a_handler_hears_in_order_and_of_its_run(faulty: StartSandbox, ask: Any) -> None:
    handler, run_id = Handler(), uuid4()
    llm = falling_back(faulty)
    bound: Any = llm.with_config({"callbacks": [handler], "run_id": run_id})

    await ask(bound)

    assert handler.names == FALLBACK
    assert handler.runs == {run_id}
    assert handler.heard[1][1]["error"] == "RateLimitError"


@EVERY_WAY
async def test_a_coroutine_is_awaited_where_the_call_is(faulty: StartSandbox, ask: Any) -> None:
    handler = AsyncHandler()
    bound: Any = falling_back(faulty).with_config({"callbacks": [handler]})

    await ask(bound)

    assert handler.heard == FALLBACK
    is_sync = ask.__name__ in ("invoked", "streamed")
    assert is_sync or handler.threads == {threading.get_ident()}


@EVERY_WAY
async def test_a_call_that_fails_is_heard_of_to_its_end(faulty: StartSandbox, ask: Any) -> None:
    handler = Handler()
    sandbox = faulty({"a/b": [Fault(status=400)]})
    bound: Any = chat_model(sandbox, "a/b").with_retry(QUICK)

    with pytest.raises(ExternalServiceError):
        await ask(bound.with_config({"callbacks": [handler]}))

    assert handler.names == ["attempt.started", "attempt.failed", "call.failed"]


@EVERY_WAY
async def test_a_handler_that_ignores_them_is_not_asked(
    faulty: StartSandbox, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Deaf(BaseCallbackHandler):
        pass

    class Ignoring(Handler):
        ignore_custom_event = True

    def made(*_: Any, **__: Any) -> None:
        pytest.fail("a manager was made for nobody")

    monkeypatch.setattr(scopes, "CallbackManager", made)
    monkeypatch.setattr(scopes, "AsyncCallbackManager", made)
    ignoring = Ignoring()
    bound: Any = falling_back(faulty).with_config({"callbacks": [Deaf(), ignoring]})

    await ask(bound)

    assert ignoring.heard == []


@EVERY_WAY
async def test_a_handler_that_raises_breaks_a_call_only_if_it_means_to(
    faulty: StartSandbox, ask: Any
) -> None:
    class Failing(BaseCallbackHandler):
        def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
            msg = "broken"
            raise LookupError(msg)

    handler = Failing()
    await ask(falling_back(faulty).with_config({"callbacks": [handler]}))
    handler.raise_error = True
    with pytest.raises(LookupError):
        await ask(falling_back(faulty).with_config({"callbacks": [handler]}))


async def test_a_chat_model_alone_shows_only_its_run(sandbox: Sandbox) -> None:
    handler = Handler()

    await chat_model(sandbox).ainvoke("Hello", {"callbacks": [handler]})

    assert handler.heard == []
