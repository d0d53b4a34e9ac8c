"""`ResilientChatModel` over real HTTP, and as a citizen of LangChain."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler, get_usage_metadata_callback
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessageChunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.runnables import RunnableLambda
from langchain_core.runnables.fallbacks import RunnableWithFallbacks
from langchain_core.tools import tool
from pydantic import BaseModel

from langchain_tale import errors
from langchain_tale.catalogue import OpenRouterModel
from langchain_tale.errors import AllModelsFailedError, ConfigurationError
from langchain_tale.resilience.chat_models import ResilientChatModel, resilient
from langchain_tale.resilience.policy import RetryPolicy
from langchain_tale.sandbox import Fault, Sandbox
from tests.conftest import FakeTime, chat_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from langchain_tale.openrouter.chat_models import ChatOpenRouter

DOWN = Fault(status=503)
MINI = "openai/gpt-4o-mini"


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


class Scene(BaseModel):
    """A scene."""

    place: str


class Spy(BaseCallbackHandler):
    """Remembers chat-model runs: parent, tags, outcome."""

    def __init__(self) -> None:
        self.runs: dict[UUID, dict[str, Any]] = {}
        self.tokens = 0

    def on_chat_model_start(
        self,
        serialized: Any,
        messages: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        self.runs[run_id] = {"parent": parent_run_id, "tags": kwargs.get("tags") or []}

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.tokens += 1

    def on_llm_end(self, response: Any, *, run_id: UUID, **kwargs: Any) -> None:
        self.runs[run_id]["ended"] = True

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self.runs[run_id]["error"] = type(error)


def safe_model(sandbox: Sandbox, time: FakeTime, *models: str, **policy: Any) -> ResilientChatModel:
    first = chat_model(sandbox, models[0])
    others = [first.for_model(model) for model in models[1:]]
    return resilient([first, *others], retry=RetryPolicy(**policy), timing=time.timing())


async def every_way(model: BaseChatModel) -> list[Any]:
    """The answer by invoke, batch, stream and their twins."""
    streamed = list(model.stream("x"))
    astreamed = [chunk async for chunk in model.astream("x")]
    return [
        model.invoke("x"),
        *model.batch(["x"]),
        sum(streamed[1:], start=streamed[0]),
        await model.ainvoke("x"),
        *await model.abatch(["x"]),
        sum(astreamed[1:], start=astreamed[0]),
    ]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=500),
        Fault(status=429),
        Fault(status=404),
        Fault(kind="body", status=502),
        Fault(kind="empty"),
        Fault(kind="midstream", after_chunks=0),
        Fault(kind="cut", after_chunks=0),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
async def test_a_fallback_serves_in_every_way(
    faulty: Callable[..., Sandbox], fake_time: FakeTime, fault: Fault
) -> None:
    sandbox = faulty({"a/b": [fault] * 6})
    model = safe_model(sandbox, fake_time, "a/b", MINI)

    answers = await every_way(model)

    assert {answer.response_metadata["model_name"] for answer in answers} == {MINI}
    assert len({answer.text for answer in answers}) == 1
    for answer in answers:
        first, second = answer.response_metadata["attempts"]
        assert (first["model"], second["model"]) == ("a/b", MINI)
        assert (first["error"] is None, second["error"] is None) == (False, True)
        assert second["cost_usd"] == answer.response_metadata["cost"]
    assert sandbox.requests == {"a/b": 6, MINI: 6}
    assert sum(fake_time.slept) == 0


async def test_n_attempts_are_at_most_n_requests(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    sandbox = faulty({"a/b": [DOWN] * 100})
    model = resilient(
        [chat_model(sandbox, "a/b", max_retries=2)],
        retry=RetryPolicy(max_retries=3),
        timing=fake_time.timing(),
    )

    with pytest.raises(AllModelsFailedError):
        model.invoke("x")
    assert sandbox.requests["a/b"] == 4
    with pytest.raises(AllModelsFailedError):
        await model.ainvoke("x")
    with pytest.raises(AllModelsFailedError):
        list(model.stream("x"))
    assert sandbox.requests["a/b"] == 12
    assert fake_time.slept == [1, 2, 4] * 3


def test_a_stream_that_breaks_after_its_first_words_raises_with_them(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    sandbox = faulty({"a/b": [DOWN, Fault(kind="cut", after_chunks=3)]})
    model = safe_model(sandbox, fake_time, "a/b")

    with pytest.raises(AllModelsFailedError) as caught:
        list(model.stream("x"))
    assert caught.value.partial_text == "# The Tale"
    assert [type(attempt.error) for attempt in caught.value.attempts] == [
        errors.UnavailableError,
        errors.BrokenStreamError,
    ]


async def test_a_batch_gives_each_input_its_own_answer(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    sandbox = faulty({"a/b": [DOWN, None, Fault(kind="empty"), None, DOWN] * 2})
    model = safe_model(sandbox, fake_time, "a/b", MINI)
    plain = chat_model(sandbox)
    prompts: list[Any] = [f"story {n}" for n in range(8)]

    expected = [plain.invoke(prompt).text for prompt in prompts]
    assert [answer.text for answer in model.batch(prompts)] == expected
    assert [answer.text for answer in await model.abatch(prompts)] == expected


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
def test_attempts_are_child_runs_and_tokens_count_once(
    faulty: Callable[..., Sandbox], fake_time: FakeTime, way: str
) -> None:
    sandbox = faulty({"a/b": [DOWN]})
    model = safe_model(sandbox, fake_time, "a/b", MINI)
    spy = Spy()
    config: Any = {"callbacks": [spy]}

    async def astream() -> None:
        async for _chunk in model.astream("x", config):
            pass

    ways: dict[str, Callable[[], object]] = {
        "invoke": lambda: model.invoke("x", config),
        "ainvoke": lambda: asyncio.run(model.ainvoke("x", config)),
        "stream": lambda: list(model.stream("x", config)),
        "astream": lambda: asyncio.run(astream()),
    }
    with get_usage_metadata_callback() as counted:
        ways[way]()

    (parent_id, parent), first, second = spy.runs.items()
    assert parent["parent"] is None
    assert parent["ended"]
    assert (first[1]["parent"], second[1]["parent"]) == (parent_id, parent_id)
    assert (first[1]["tags"], second[1]["tags"]) == (["attempt:1"], ["attempt:2"])
    assert first[1]["error"] is errors.UnavailableError
    assert second[1]["ended"]
    plain = chat_model(sandbox).invoke("x").usage_metadata
    assert counted.usage_metadata == {MINI: plain}


async def test_an_invoke_that_streams_for_its_listeners_nests_too(
    sandbox: Sandbox, fake_time: FakeTime
) -> None:
    model = safe_model(sandbox, fake_time, MINI)
    chain = RunnableLambda(model.invoke)

    events = [e async for e in chain.astream_events("x", version="v2")]

    starts = [e for e in events if e["event"] == "on_chat_model_start"]
    assert len(starts) == 2
    assert starts[1]["parent_ids"][-1] == starts[0]["run_id"]
    streamed = [e["data"]["chunk"].text for e in events if e["event"] == "on_chat_model_stream"]
    assert "".join(streamed) == chat_model(sandbox).invoke("x").text


async def test_events_show_each_token_once(sandbox: Sandbox, fake_time: FakeTime) -> None:
    model = safe_model(sandbox, fake_time, MINI)
    plain = [chunk.text async for chunk in chat_model(sandbox).astream("x")]

    events = [e async for e in model.astream_events("x", version="v2")]

    streamed = [e["data"]["chunk"].text for e in events if e["event"] == "on_chat_model_stream"]
    assert "".join(streamed) == "".join(plain)
    starts = [e for e in events if e["event"] == "on_chat_model_start"]
    assert starts[1]["parent_ids"] == [starts[0]["run_id"]]
    assert starts[1]["name"] == MINI


async def test_cancelling_ends_it_without_another_try(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    sandbox = faulty({"a/b": [DOWN]})
    waiting = asyncio.Event()

    async def asleep(_seconds: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    timing = fake_time.timing()
    model = resilient([chat_model(sandbox, "a/b")], timing=timing)
    object.__setattr__(timing, "asleep", asleep)

    call = asyncio.create_task(model.ainvoke("x"))
    await waiting.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert sandbox.requests["a/b"] == 1


# ── composing ───────────────────────────────────────────────────────────────


def test_the_two_names_of_langchain_give_a_chat_model(llm: ChatOpenRouter) -> None:
    other = FakeListChatModel(responses=["from another vendor"])
    safe = llm.with_retry(RetryPolicy(max_retries=7)).with_fallbacks(
        [OpenRouterModel.GPT_4O, "openrouter/auto", other]
    )

    assert isinstance(safe, ResilientChatModel)
    assert safe.retry.max_retries == 7
    assert [getattr(m, "model_name", None) for m in safe.models] == [
        MINI,
        "openai/gpt-4o",
        "openrouter/auto",
        None,
    ]
    assert [getattr(model, "max_retries", 0) for model in safe.models] == [0, 0, 0, 0]
    assert llm.with_retry(stop_after_attempt=2).retry.max_attempts == 2


def test_without_a_policy_every_fallback_gets_a_try(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    dead = [f"dead/{n}" for n in range(6)]
    sandbox = faulty({name: [DOWN] for name in dead})
    safe = chat_model(sandbox, dead[0]).with_fallbacks([*dead[1:], MINI])

    assert safe.invoke("x").response_metadata["model_name"] == MINI


def test_another_vendors_model_takes_over_and_streams(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    sandbox = faulty({"a/b": [DOWN] * 2})
    other = FakeListChatModel(responses=["from another vendor"])
    safe = resilient([chat_model(sandbox, "a/b"), other], timing=fake_time.timing())

    assert safe.invoke("x").text == "from another vendor"
    assert "".join(chunk.text for chunk in safe.stream("x")) == "from another vendor"


def test_exceptions_to_handle_are_the_only_ones(
    faulty: Callable[..., Sandbox],
) -> None:
    sandbox = faulty({"a/b": [DOWN]})
    safe = chat_model(sandbox, "a/b").with_fallbacks(
        [MINI], exceptions_to_handle=(errors.RateLimitError,)
    )

    with pytest.raises(errors.UnavailableError):
        safe.invoke("x")


def test_another_kind_of_runnable_falls_back_in_langchains_own_way(llm: ChatOpenRouter) -> None:
    plain: Any = RunnableLambda(lambda _: "plain")
    safe = llm.with_fallbacks([plain])

    assert isinstance(safe, RunnableWithFallbacks)


def test_a_slug_needs_a_model_that_knows_its_kin() -> None:
    only = ResilientChatModel(models=[FakeListChatModel(responses=["x"])])

    with pytest.raises(ConfigurationError, match="by name"):
        only.with_fallbacks(["openai/gpt-4o"])


def test_tools_and_structured_output_survive_a_fallback(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    sandbox = faulty({"a/b": [DOWN] * 2})
    model = safe_model(sandbox, fake_time, "a/b", MINI)
    bound = model.bind_tools([weather])

    assert isinstance(bound, BaseChatModel)
    assert bound.invoke("x").tool_calls[0]["name"] == "weather"
    assert model.with_structured_output(Scene).invoke("x") == Scene(place="fox")


def test_it_is_the_model_of_an_agent(faulty: Callable[..., Sandbox], fake_time: FakeTime) -> None:
    sandbox = faulty({"a/b": [DOWN, None, DOWN]})
    agent = create_agent(safe_model(sandbox, fake_time, "a/b", MINI), tools=[weather])

    asking: Any = {"messages": [("user", "How is the weather?")]}
    messages = agent.invoke(asking)["messages"]

    assert [message.type for message in messages] == ["human", "ai", "tool", "ai"]
    assert messages[2].content == "sunny in fox"


def test_it_composes_in_a_pipeline(sandbox: Sandbox, fake_time: FakeTime) -> None:
    prompt = ChatPromptTemplate.from_template("Tell me of {what}.")
    chain = prompt | safe_model(sandbox, fake_time, MINI) | StrOutputParser()

    assert chain.batch([{"what": "a fox"}, {"what": "a hen"}])[1].startswith("# The Tale")
    assert "".join(chain.stream({"what": "a fox"})) == chain.invoke({"what": "a fox"})


def test_a_cache_and_a_rate_limiter_work_as_on_any_model(
    sandbox: Sandbox, fake_time: FakeTime
) -> None:
    limiter = InMemoryRateLimiter(requests_per_second=1000, check_every_n_seconds=0.001)
    llm = chat_model(sandbox, cache=InMemoryCache(), rate_limiter=limiter)
    safe = llm.with_retry()

    assert safe.invoke("x").text == safe.invoke("x").text
    assert sandbox.requests[MINI] == 1
    assert safe.invoke("x", temperature=0.5).text
    assert sandbox.requests[MINI] == 2


def test_usage_survives_the_sum_of_chunks(sandbox: Sandbox, fake_time: FakeTime) -> None:
    chunks = list(safe_model(sandbox, fake_time, MINI).stream("x"))
    whole = sum(chunks[1:], start=chunks[0])

    assert isinstance(whole, AIMessageChunk)
    assert whole.usage_metadata == chat_model(sandbox).invoke("x").usage_metadata
    assert len(whole.response_metadata["attempts"]) == 1
