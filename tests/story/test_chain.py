from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.language_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableLambda

from langchain_tale.catalogue import OpenRouterModel
from langchain_tale.errors import (
    AllModelsFailedError,
    AuthenticationError,
    ConfigurationError,
    ModelNotFoundError,
    ModerationError,
    RateLimitError,
    UnavailableError,
)
from langchain_tale.openrouter.chat_models import ChatOpenRouter
from langchain_tale.resilience.policy import RetryPolicy
from langchain_tale.sandbox import Fault, Sandbox
from langchain_tale.sandbox.engines import End, Piece, ScriptedEngine
from langchain_tale.story.chain import create_story_chain
from langchain_tale.story.request import StoryRequest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Mapping

    from langchain_tale.story.result import StoryGenerationResult
    from tests.conftest import FakeTime

MINI, HAIKU, LLAMA = (
    OpenRouterModel.GPT_4O_MINI,
    OpenRouterModel.CLAUDE_3_HAIKU,
    OpenRouterModel.LLAMA_3_1_8B,
)
DOWN = Fault(status=503)
FOR_MIA = {"theme": "a fox", "child_name": "Mia", "age": 5}


class Recorder(ScriptedEngine):
    """Keeps the body of every request that it answers."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[dict[str, Any]] = []

    def generate(self, request: Mapping[str, Any]) -> AsyncGenerator[Piece | End]:
        self.bodies.append(dict(request))
        return super().generate(request)

    @property
    def body(self) -> dict[str, Any]:
        """The body of the only request."""
        (only,) = self.bodies
        return only


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def to_recorder(recorder: Recorder) -> Iterator[dict[str, Any]]:
    """What a model needs to be told to reach the recorder."""
    with Sandbox(recorder, lateness_s=0.0) as running:
        yield reaching(running)


def reaching(sandbox: Sandbox, **options: Any) -> dict[str, Any]:
    return {"base_url": sandbox.base_url, "api_key": sandbox.api_key, **options}


@pytest.fixture
def chain(sandbox: Sandbox) -> Runnable[Any, StoryGenerationResult]:
    return create_story_chain(MINI, **reaching(sandbox))


def is_whole(result: StoryGenerationResult) -> bool:
    return bool(
        result.content.endswith(".")
        and result.title
        and result.generation_id
        and result.cost_usd
        and result.usage
        and result.latency_s is not None
        and len(result.attempts) == 1
        and result.full_response["choices"][0]["finish_reason"] == "stop"
    )


# ── what it takes and how it runs ───────────────────────────────────────────


@pytest.mark.parametrize(
    "given",
    [StoryRequest(theme="a fox"), {"theme": "a fox"}, "a fox"],
    ids=["request", "dict", "str"],
)
def test_it_takes_a_request_its_fields_or_a_theme(
    chain: Runnable[Any, StoryGenerationResult], given: Any
) -> None:
    result = chain.invoke(given)

    assert is_whole(result)
    assert result.model is MINI
    assert result.content == chain.invoke("a fox").content
    assert not result.content.startswith("#")


async def test_it_can_be_awaited(chain: Runnable[Any, StoryGenerationResult]) -> None:
    assert is_whole(await chain.ainvoke("a fox"))


def test_a_batch_has_every_story_in_its_place(
    chain: Runnable[Any, StoryGenerationResult],
) -> None:
    themes = [f"fox number {n}" for n in range(5)]

    assert [r.content for r in chain.batch([*themes])] == [chain.invoke(t).content for t in themes]


async def test_an_awaited_batch_has_every_story_in_its_place(
    chain: Runnable[Any, StoryGenerationResult],
) -> None:
    themes = [f"fox number {n}" for n in range(5)]

    results = await chain.abatch([*themes])

    assert [r.content for r in results] == [(await chain.ainvoke(t)).content for t in themes]


def test_one_bad_request_does_not_spoil_a_batch(
    chain: Runnable[Any, StoryGenerationResult],
) -> None:
    good, bad = chain.batch(["a fox", {"theme": "a fox", "age": 99}], return_exceptions=True)

    assert is_whole(good)
    assert isinstance(bad, ConfigurationError)


def grows(results: list[StoryGenerationResult]) -> bool:
    contents = [result.content for result in results]
    growing = all(b.startswith(a) for a, b in pairwise(contents))
    return growing and len(set(contents)) > 10


def test_a_streamed_story_grows_and_is_complete_in_the_end(
    chain: Runnable[Any, StoryGenerationResult],
) -> None:
    results = list(chain.stream("a fox"))

    assert grows(results)
    assert is_whole(results[-1])
    assert results[-1].content == chain.invoke("a fox").content
    assert results[0].generation_info is None


async def test_an_awaited_stream_grows_and_is_complete_in_the_end(
    chain: Runnable[Any, StoryGenerationResult],
) -> None:
    results = [result async for result in chain.astream("a fox")]

    assert grows(results)
    assert is_whole(results[-1])
    assert results[-1].content == (await chain.ainvoke("a fox")).content


def test_it_composes_with_any_runnable(chain: Runnable[Any, StoryGenerationResult]) -> None:
    titles = chain | RunnableLambda(lambda result: result.title)
    numbered: Runnable[int, str] = RunnableLambda(lambda n: f"fox number {n}")
    themed = numbered | chain

    assert titles.invoke("a fox") == chain.invoke("a fox").title
    assert themed.invoke(1).content == chain.invoke("fox number 1").content


def test_its_schemas_describe_the_request_and_the_result(
    chain: Runnable[Any, StoryGenerationResult],
) -> None:
    asked = json.dumps(chain.input_schema.model_json_schema())  # type: ignore[union-attr]
    told = json.dumps(chain.output_schema.model_json_schema())  # type: ignore[union-attr]

    assert '"child_name"' in asked
    assert '"theme"' in asked
    assert '"content"' in told
    assert '"attempts"' in told


def test_its_steps_are_named_in_a_trace(chain: Runnable[Any, StoryGenerationResult]) -> None:
    from langchain_core.tracers.run_collector import RunCollectorCallbackHandler

    collector = RunCollectorCallbackHandler()
    chain.invoke("a fox", {"callbacks": [collector]})
    (root,) = collector.traced_runs

    def names(run: Any) -> set[str]:
        return {run.name}.union(*(names(child) for child in run.child_runs))

    assert root.name == "story_chain"
    assert {"story_request", "story_prompt", "ResilientChatModel", "StoryParser"} <= names(root)


# ── several models ──────────────────────────────────────────────────────────


def test_models_are_asked_in_order_and_every_attempt_is_kept(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    sandbox = faulty({MINI: [DOWN], HAIKU: [Fault(status=429)]})
    chain = create_story_chain([MINI, HAIKU, LLAMA], timing=fake_time.timing(), **reaching(sandbox))

    result = chain.invoke("a fox")

    assert result.model is LLAMA
    assert [attempt.model for attempt in result.attempts] == [MINI, HAIKU, LLAMA]
    assert [type(attempt.error) for attempt in result.attempts] == [
        UnavailableError,
        RateLimitError,
        type(None),
    ]
    assert not any(fake_time.slept)
    assert dict(sandbox.requests) == {MINI: 1, HAIKU: 1, LLAMA: 1}


def test_each_model_gets_a_try_however_few_retries_the_settings_allow(
    faulty: Callable[..., Sandbox], fake_time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALE_AI_SERVICE__MAX_RETRIES", "0")
    sandbox = faulty({MINI: [DOWN], HAIKU: [DOWN]})
    chain = create_story_chain([MINI, HAIKU, LLAMA], timing=fake_time.timing(), **reaching(sandbox))

    assert chain.invoke("a fox").model is LLAMA


def test_the_settings_say_how_hard_to_try(
    faulty: Callable[..., Sandbox], fake_time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALE_AI_SERVICE__MAX_RETRIES", "2")
    monkeypatch.setenv("TALE_AI_SERVICE__RETRY_DELAY", "5")
    monkeypatch.setenv("TALE_AI_SERVICE__DEFAULT_MODEL", LLAMA)
    sandbox = faulty({LLAMA: [DOWN] * 9})
    chain = create_story_chain(timing=fake_time.timing(), **reaching(sandbox))

    with pytest.raises(AllModelsFailedError):
        chain.invoke("a fox")

    assert fake_time.slept == [5, 10]
    assert dict(sandbox.requests) == {LLAMA: 3}


def test_the_policy_given_wins_over_the_settings(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    sandbox = faulty({MINI: [DOWN] * 9})
    policy = RetryPolicy(max_retries=1, retry_delay=7)
    chain = create_story_chain(MINI, retry=policy, timing=fake_time.timing(), **reaching(sandbox))

    with pytest.raises(AllModelsFailedError) as caught:
        chain.invoke("a fox")

    assert len(caught.value.attempts) == 2
    assert fake_time.slept == [7]


def test_a_retired_model_passes_its_turn_on_at_once(sandbox: Sandbox, fake_time: FakeTime) -> None:
    retired = OpenRouterModel.CLAUDE_3_5_SONNET
    chain = create_story_chain([retired, HAIKU], timing=fake_time.timing(), **reaching(sandbox))

    result = chain.invoke("a fox")

    assert result.model is HAIKU
    assert isinstance(result.attempts[0].error, ModelNotFoundError)


def test_a_stream_that_breaks_before_its_first_word_goes_on_with_the_next_model(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    sandbox = faulty({MINI: [Fault(kind="cut", after_chunks=0)]})
    chain = create_story_chain([MINI, HAIKU], timing=fake_time.timing(), **reaching(sandbox))

    results = list(chain.stream("a fox"))

    assert grows(results)
    assert results[-1].model is HAIKU
    assert [attempt.model for attempt in results[-1].attempts] == [MINI, HAIKU]


def test_a_stream_that_breaks_later_fails_with_what_had_arrived(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    from langchain_tale.errors import BrokenStreamError

    sandbox = faulty({MINI: [Fault(kind="cut", after_chunks=9)]})
    chain = create_story_chain([MINI, HAIKU], timing=fake_time.timing(), **reaching(sandbox))
    seen: list[StoryGenerationResult] = []

    with pytest.raises(BrokenStreamError) as caught:
        seen.extend(chain.stream("a fox"))

    assert caught.value.partial_text
    assert caught.value.partial_text.startswith("# The Tale of")


@pytest.mark.parametrize(
    "other",
    [
        FakeListChatModel(responses=["# The Owl\n\nIt hooted."]),
        GenericFakeChatModel(messages=iter([AIMessage("# The Owl\n\nIt hooted.")])),
    ],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.parametrize("how", ["invoke", "stream"])
def test_another_vendors_model_can_be_the_fallback(
    faulty: Callable[..., Sandbox], fake_time: FakeTime, other: Any, how: str
) -> None:
    if isinstance(other, GenericFakeChatModel):
        other = GenericFakeChatModel(messages=iter([AIMessage("# The Owl\n\nIt hooted.")]))
    sandbox = faulty({MINI: [DOWN]})
    chain = create_story_chain([MINI, other], timing=fake_time.timing(), **reaching(sandbox))

    result = chain.invoke(FOR_MIA) if how == "invoke" else list(chain.stream(FOR_MIA))[-1]

    assert (result.title, result.content) == ("The Owl", "It hooted.")
    assert [attempt.succeeded for attempt in result.attempts] == [False, True]
    assert result.full_response["choices"][0]["message"]["content"] == "# The Owl\n\nIt hooted."
    assert result.cost_usd is None


# ── privacy ─────────────────────────────────────────────────────────────────


def test_a_childs_name_goes_only_to_providers_that_neither_store_nor_train(
    recorder: Recorder, to_recorder: dict[str, Any]
) -> None:
    create_story_chain(MINI, **to_recorder).invoke(FOR_MIA)

    assert recorder.body["provider"] == {"data_collection": "deny"}


def test_a_streamed_name_is_as_private(recorder: Recorder, to_recorder: dict[str, Any]) -> None:
    list(create_story_chain(MINI, **to_recorder).stream(FOR_MIA))

    assert recorder.body["provider"] == {"data_collection": "deny"}


def test_without_a_name_any_provider_will_do(
    recorder: Recorder, to_recorder: dict[str, Any]
) -> None:
    chain = create_story_chain(MINI, **to_recorder)
    chain.invoke(FOR_MIA)
    chain.invoke({"theme": "a fox", "age": 5})

    assert "provider" in recorder.bodies[0]
    assert "provider" not in recorder.bodies[1]


def test_zero_data_retention_can_be_asked_for(
    recorder: Recorder, to_recorder: dict[str, Any]
) -> None:
    chain = create_story_chain(MINI, zdr=True, **to_recorder)
    chain.invoke("a fox")
    chain.invoke(FOR_MIA)

    assert [body["provider"] for body in recorder.bodies] == [
        {"zdr": True},
        {"data_collection": "deny", "zdr": True},
    ]


@pytest.mark.parametrize(
    "place",
    [
        {"provider": {"order": ["OpenAI"], "data_collection": "allow"}},
        {"extra_body": {"provider": {"order": ["OpenAI"], "data_collection": "allow"}}},
        pytest.param(
            {"model_kwargs": {"provider": {"order": ["OpenAI"], "data_collection": "allow"}}},
            marks=pytest.mark.filterwarnings("ignore:Parameters"),  # langchain-core's advice
        ),
    ],
    ids=lambda place: next(iter(place)),
)
def test_no_routing_preference_of_the_caller_undoes_the_privacy_of_a_name(
    recorder: Recorder, to_recorder: dict[str, Any], place: dict[str, Any]
) -> None:
    llm = ChatOpenRouter(model=MINI, **to_recorder, **place)
    create_story_chain(llm).invoke(FOR_MIA)

    assert recorder.body["provider"] == {"order": ["OpenAI"], "data_collection": "deny"}


def test_what_else_the_caller_sends_is_still_sent(
    recorder: Recorder, to_recorder: dict[str, Any]
) -> None:
    extra = {"provider": {"order": ["OpenAI"]}, "top_k": 7}
    llm = ChatOpenRouter(model=MINI, extra_body=extra, **to_recorder)
    chain = create_story_chain(llm)
    chain.invoke(FOR_MIA)
    chain.invoke("a fox")

    assert [body["top_k"] for body in recorder.bodies] == [7, 7]
    assert recorder.bodies[1]["provider"] == {"order": ["OpenAI"]}


def test_a_model_with_fallbacks_of_its_own_keeps_a_name_private(
    faulty: Callable[..., Sandbox], recorder: Recorder, fake_time: FakeTime
) -> None:
    with Sandbox(recorder, faults={MINI: [DOWN]}, lateness_s=0.0) as sandbox:
        safe = ChatOpenRouter(model=MINI, **reaching(sandbox)).with_fallbacks([HAIKU])
        result = create_story_chain(safe, timing=fake_time.timing()).invoke(FOR_MIA)  # type: ignore[arg-type]

    assert result.model is HAIKU
    assert recorder.body["provider"] == {"data_collection": "deny"}


def test_a_model_with_a_policy_of_its_own_is_tried_as_that_policy_says(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    sandbox = faulty({MINI: [DOWN] * 99})
    policy = RetryPolicy(max_retries=1, retry_delay=7)
    safe = ChatOpenRouter(model=MINI, **reaching(sandbox)).with_retry(policy)

    with pytest.raises(AllModelsFailedError):
        create_story_chain(safe, timing=fake_time.timing()).invoke("a fox")

    assert sandbox.requests[MINI] == 2
    assert fake_time.slept == [7]


def test_policies_never_multiply(faulty: Callable[..., Sandbox], fake_time: FakeTime) -> None:
    sandbox = faulty({MINI: [DOWN] * 99, HAIKU: [DOWN] * 99})
    safe = ChatOpenRouter(model=MINI, **reaching(sandbox)).with_retry()
    chain = create_story_chain(
        [safe, HAIKU],
        retry=RetryPolicy(max_retries=3),
        timing=fake_time.timing(),
        **reaching(sandbox),
    )

    with pytest.raises(AllModelsFailedError) as caught:
        chain.invoke("a fox")

    assert sum(sandbox.requests.values()) == 4
    assert len(caught.value.attempts) == 4


# ── room ────────────────────────────────────────────────────────────────────


def test_the_room_follows_the_length_and_has_a_floor(
    recorder: Recorder, to_recorder: dict[str, Any]
) -> None:
    chain = create_story_chain(MINI, **to_recorder)
    for words in (20, 250, 251, 3000):
        chain.invoke({"theme": "a fox", "words": words})

    assert [body["max_tokens"] for body in recorder.bodies] == [1000, 1000, 1004, 12_000]


def test_the_floor_comes_from_the_settings(
    recorder: Recorder, to_recorder: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALE_AI_SERVICE__MAX_TOKENS", "2000")
    create_story_chain(MINI, **to_recorder).invoke("a fox")

    assert recorder.body["max_tokens"] == 2000


@pytest.mark.parametrize("by_name", [True, False], ids=["options", "model"])
def test_a_limit_of_the_callers_own_is_kept(
    recorder: Recorder, to_recorder: dict[str, Any], *, by_name: bool
) -> None:
    model = MINI if by_name else ChatOpenRouter(model=MINI, max_tokens=33, **to_recorder)
    options = {**to_recorder, "max_tokens": 33} if by_name else {}
    chain = create_story_chain(model, **options)
    chain.invoke({**FOR_MIA, "words": 3000})

    assert recorder.body["max_tokens"] == 33
    assert recorder.body["provider"] == {"data_collection": "deny"}


def test_a_story_that_fills_its_room_says_so(sandbox: Sandbox) -> None:
    result = create_story_chain(MINI, max_tokens=9, **reaching(sandbox)).invoke("a fox")

    assert result.is_cut_off


def test_the_callers_own_model_is_left_as_it_was(sandbox: Sandbox) -> None:
    llm = ChatOpenRouter(model=MINI, **reaching(sandbox))
    before = llm.model_dump()
    create_story_chain(llm, zdr=True).invoke({**FOR_MIA, "words": 3000})

    assert llm.model_dump() == before


def test_options_reach_every_model_given_by_name(
    recorder: Recorder, to_recorder: dict[str, Any]
) -> None:
    create_story_chain(MINI, temperature=0.1, seed=7, **to_recorder).invoke("a fox")

    assert (recorder.body["temperature"], recorder.body["seed"]) == (0.1, 7)


# ── errors ──────────────────────────────────────────────────────────────────


def test_without_a_key_nothing_can_be_made() -> None:
    with pytest.raises(ConfigurationError, match="OPENROUTER_API_KEY"):
        create_story_chain(MINI)


def test_a_key_is_not_quoted_when_an_option_is_wrong() -> None:
    with pytest.raises(ConfigurationError) as caught:
        create_story_chain(MINI, api_key="sk-secret", base_url="http://openrouter.ai/api/v1")

    assert "https://" in str(caught.value)
    assert "sk-secret" not in str(caught.value)


def test_no_models_are_no_chain(sandbox: Sandbox) -> None:
    with pytest.raises(ConfigurationError, match="at least one model"):
        create_story_chain([], **reaching(sandbox))


@pytest.mark.parametrize("given", [{"theme": "a fox", "age": 0}, {}, None, 7], ids=str)
def test_a_wrong_request_is_refused_before_anything_is_sent(sandbox: Sandbox, given: Any) -> None:
    chain = create_story_chain(MINI, **reaching(sandbox))

    with pytest.raises(ConfigurationError):
        chain.invoke(given)

    assert not sandbox.requests


async def test_a_wrong_key_fails_at_once(sandbox: Sandbox, fake_time: FakeTime) -> None:
    options = reaching(sandbox, api_key="sk-wrong")
    chain = create_story_chain([MINI, HAIKU], timing=fake_time.timing(), **options)

    for call in (chain.invoke, lambda theme: list(chain.stream(theme))):
        with pytest.raises(AuthenticationError):
            call("a fox")
    with pytest.raises(AuthenticationError):
        await chain.ainvoke("a fox")

    assert fake_time.slept == []


def test_when_every_model_fails_all_their_errors_are_told(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    sandbox = faulty({MINI: [DOWN] * 9, HAIKU: [Fault(status=429)] * 9})
    chain = create_story_chain(
        [MINI, HAIKU],
        retry=RetryPolicy(max_retries=1),
        timing=fake_time.timing(),
        **reaching(sandbox),
    )

    with pytest.raises(AllModelsFailedError) as caught:
        chain.invoke(FOR_MIA)

    assert [(a.model, type(a.error)) for a in caught.value.attempts] == [
        (MINI, UnavailableError),
        (HAIKU, RateLimitError),
    ]
    assert "Mia" not in str(caught.value)


@pytest.mark.parametrize("how", ["invoke", "stream"])
@pytest.mark.parametrize("options", [{}, {"max_revisions": 1}, {"checks": False}], ids=str)
async def test_a_model_that_declines_tells_no_empty_story(
    how: str, options: dict[str, Any]
) -> None:
    declined = AIMessage("", additional_kwargs={"refusal": "I won't."})
    model = GenericFakeChatModel(messages=iter([declined, declined]))
    chain = create_story_chain([model], **options)

    with pytest.raises(ModerationError, match="refused to tell this story") as caught:
        list(getattr(chain, how)("a fox"))
    assert caught.value.partial_text == "I won't."
    with pytest.raises(ModerationError):
        await chain.ainvoke("a fox")
