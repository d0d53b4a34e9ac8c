from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.runnables import RunnableLambda

from langchain_tale.catalogue import OpenRouterModel
from langchain_tale.errors import (
    AllModelsFailedError,
    BrokenStreamError,
    BudgetSpentError,
    ConfigurationError,
    ModerationError,
    RefusedReplyError,
    UnavailableError,
    UnparsableReplyError,
)
from langchain_tale.openrouter.chat_models import ChatOpenRouter
from langchain_tale.resilience.policy import RetryPolicy
from langchain_tale.sandbox import Fault, Sandbox
from langchain_tale.story.book.chain import create_storybook_chain
from langchain_tale.story.book.result import StorybookParser, StorybookResult
from langchain_tale.story.book.schema import RESPONSE_FORMAT
from langchain_tale.story.request import StoryRequest
from langchain_tale.telemetry.budget import Budget
from langchain_tale.telemetry.emitting import listen
from langchain_tale.telemetry.events import StoryTold
from tests.story.books import RUSTY, as_json
from tests.story.recorder import STORY, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langchain_core.runnables import Runnable

    from tests.conftest import FakeTime

    Book = Runnable[Any, StorybookResult]

MINI, HAIKU = OpenRouterModel.GPT_4O_MINI, OpenRouterModel.CLAUDE_3_HAIKU
LLAMA = OpenRouterModel.LLAMA_3_1_8B
DOWN = Fault(status=503)
FOX = {"theme": "a fox", "scenes": 4}
WRITTEN = as_json(RUSTY)
IN_SCENE_2 = len(WRITTEN[: WRITTEN.index("an owl on")].split())
"""Words, which are chunks, up to the second picture: one scene can be shown by then."""


def reaching(sandbox: Sandbox, **options: Any) -> dict[str, Any]:
    return {"base_url": sandbox.base_url, "api_key": sandbox.api_key, **options}


@pytest.fixture
def book(sandbox: Sandbox) -> Book:
    return create_storybook_chain(MINI, **reaching(sandbox))


@pytest.fixture
def answering() -> Iterator[Callable[..., tuple[Recorder, dict[str, Any]]]]:
    """A sandbox whose models answer in order with these texts, then always with the last."""
    running: list[Sandbox] = []

    def start(*answers: str, **options: Any) -> tuple[Recorder, dict[str, Any]]:
        left = list(answers)
        engine = Recorder(lambda _: left.pop(0) if len(left) > 1 else left[0])
        running.append(Sandbox(engine, lateness_s=0.0, **options).start())
        return engine, reaching(running[-1], structured=False)

    yield start
    for sandbox in running:
        sandbox.stop()


# ── whole ───────────────────────────────────────────────────────────────────


def test_a_story_comes_in_as_many_scenes_as_asked_for_and_says_who_told_it(book: Book) -> None:
    result = book.invoke(FOX)

    assert isinstance(result, StorybookResult)
    assert [scene.text.endswith(".") for scene in result.story.scenes] == [True] * 4
    assert result.form == "json"
    assert result.model is MINI
    assert (result.title, result.content) == (result.story.title, result.story.text)
    assert result.story.moral
    assert result.story.questions
    assert all(c.look in prompt for c in result.story.characters for prompt in
               result.story.illustration_prompts())  # fmt: skip
    assert result.cost_usd
    assert result.usage
    assert result.generation_id
    assert [attempt.succeeded for attempt in result.attempts] == [True]
    assert result.to_dict()["story"]["scenes"][0]["text"] == result.story.scenes[0].text
    assert json.loads(json.dumps(result.to_dict()))["form"] == "json"


@pytest.mark.parametrize(
    ("request_", "scenes"),
    [("a fox", 4), ({"theme": "a fox", "age": 3}, 3), ({"theme": "a fox", "words": 3000}, 12)],
    ids=["theme", "age", "words"],
)
def test_the_number_of_scenes_follows_the_length(book: Book, request_: Any, scenes: int) -> None:
    assert len(book.invoke(request_).story.scenes) == scenes


def test_the_text_of_its_scenes_is_measured(
    answering: Callable[..., tuple[Recorder, dict[str, Any]]],
) -> None:
    _, to_it = answering(WRITTEN)
    asked = {"theme": "berries", "scenes": 3, "words": 300}

    result = create_storybook_chain(MINI, **to_it).invoke(asked)
    streamed = list(create_storybook_chain(MINI, **to_it).stream(asked))
    unmeasured = create_storybook_chain(MINI, checks=False, **to_it).invoke(asked)

    assert result.report is not None
    assert "words" in {finding.name for finding in result.report.failures}
    assert streamed[0].report is None
    assert streamed[-1].report == result.report
    assert unmeasured.report is None


def test_a_russian_story_knows_its_language(book: Book) -> None:
    assert book.invoke(StoryRequest(theme="лиса", language="Russian", scenes=2)).story.language == (
        "ru"
    )


async def test_await_and_batches_give_every_story_in_its_place(book: Book) -> None:
    asked = [{"theme": f"fox number {n}", "scenes": n} for n in range(1, 5)]
    told = [book.invoke(one).story for one in asked]

    assert [result.story for result in book.batch([*asked])] == told
    assert [result.story for result in await book.abatch([*asked])] == told
    assert (await book.ainvoke(asked[0])).story == told[0]


def test_it_composes_and_describes_itself(book: Book) -> None:
    titles = book | RunnableLambda(lambda result: result.story.title)

    assert titles.invoke(FOX) == book.invoke(FOX).title
    assert '"scenes"' in json.dumps(book.input_schema.model_json_schema())  # type: ignore[union-attr]
    assert '"moral"' in json.dumps(book.output_schema.model_json_schema())  # type: ignore[union-attr]


# ── growing ─────────────────────────────────────────────────────────────────


def grows_by_scenes(results: list[StorybookResult], n_scenes: int) -> bool:
    scenes = [result.story.scenes for result in results]
    by_one = [len(each) for each in scenes] == list(range(1, n_scenes + 1))
    return by_one and all(each == scenes[-1][: len(each)] for each in scenes)


def test_a_stream_shows_a_scene_more_each_time_and_is_whole_in_the_end(book: Book) -> None:
    results = list(book.stream(FOX))

    assert grows_by_scenes(results, 4)
    assert results[0].title == results[-1].title
    assert results[0].generation_info is None
    assert results[-1].story == book.invoke(FOX).story
    assert results[-1].attempts
    assert results[-1].cost_usd


async def test_an_awaited_stream_does_the_same(book: Book) -> None:
    results = [result async for result in book.astream(FOX)]

    assert grows_by_scenes(results, 4)
    assert results[-1].story == (await book.ainvoke(FOX)).story


def test_a_scene_is_shown_long_before_the_story_is_over(
    answering: Callable[..., tuple[Recorder, dict[str, Any]]],
) -> None:
    """The stream breaks after the second scene: by then the first one was shown."""
    _, to_it = answering(WRITTEN, faults={MINI: [Fault(kind="cut", after_chunks=IN_SCENE_2)]})
    shown: list[StorybookResult] = []

    with pytest.raises(BrokenStreamError):
        shown.extend(create_storybook_chain(MINI, **to_it).stream({"theme": "a", "scenes": 3}))
    # `extend` keeps what came before the error
    assert [len(result.story.scenes) for result in shown] == [1]


# ── schemas ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("model", "structured", "is_sent"),
    [
        (MINI, None, True),
        (f"{MINI}:nitro", None, True),
        (HAIKU, None, False),
        ("some/unknown", None, False),
        (HAIKU, True, True),
        (MINI, False, False),
    ],
)
def test_the_schema_is_sent_to_models_that_are_known_to_heed_it(
    answering: Callable[..., tuple[Recorder, dict[str, Any]]],
    model: str,
    structured: bool | None,  # noqa: FBT001 (pytest passes it by name)
    is_sent: bool,  # noqa: FBT001 (as above)
) -> None:
    engine, to_it = answering(WRITTEN)
    chain = create_storybook_chain(model, **{**to_it, "structured": structured})
    chain.invoke({"theme": "a fox", "scenes": 3})

    assert (engine.body.get("response_format") == RESPONSE_FORMAT) == is_sent
    assert "provider" not in engine.body
    assert all("JSON" in message["content"] for message in engine.body["messages"])


def test_what_a_refreshed_catalogue_says_of_schemas_counts(sandbox: Sandbox) -> None:
    from langchain_tale.catalogue import forget_refresh
    from langchain_tale.openrouter.account import refresh_catalogue
    from langchain_tale.story.book.chain import heeds_schemas

    options = reaching(sandbox)
    try:
        refresh_catalogue(ChatOpenRouter(**options))
        assert heeds_schemas(ChatOpenRouter(model=HAIKU, **options))
    finally:
        forget_refresh()
    assert not heeds_schemas(ChatOpenRouter(model=HAIKU, **options))


def test_there_is_room_for_pictures_but_no_more_than_a_model_writes(
    answering: Callable[..., tuple[Recorder, dict[str, Any]]],
) -> None:
    engine, to_it = answering(WRITTEN)
    asked = {"theme": "a fox", "words": 1500, "scenes": 6}
    create_storybook_chain(MINI, **to_it).invoke(asked)
    create_storybook_chain(HAIKU, **to_it).invoke(asked)

    assert [body["max_tokens"] for body in engine.bodies] == [1500 * 4 + 6 * 200 + 700, 4096]


# ── answers that do not fit ─────────────────────────────────────────────────


@pytest.mark.parametrize("how", ["invoke", "stream"])
@pytest.mark.parametrize(
    "first",
    ["I cannot.", WRITTEN[:120], '{"title": "A", "scenes": []}', '{"title":"A","scenes":["One."]}'],
    ids=["prose", "cut", "no scenes", "too few scenes"],
)
def test_an_answer_that_is_no_story_is_asked_for_again_inside_the_loop(
    answering: Callable[..., tuple[Recorder, dict[str, Any]]],
    fake_time: FakeTime,
    first: str,
    how: str,
) -> None:
    _, to_it = answering(first, WRITTEN)
    chain = create_storybook_chain([MINI, HAIKU], timing=fake_time.timing(), **to_it)
    asked = {"theme": "a fox", "scenes": 3}

    results = [chain.invoke(asked)] if how == "invoke" else list(chain.stream(asked))

    assert results[-1].story == RUSTY
    assert [attempt.model for attempt in results[-1].attempts] == [MINI, HAIKU]
    assert isinstance(results[-1].attempts[0].error, RefusedReplyError)
    assert not any(fake_time.slept)
    if how == "stream":
        assert grows_by_scenes(results, 3)


def test_broken_json_is_mended_and_said_to_be(
    answering: Callable[..., tuple[Recorder, dict[str, Any]]],
) -> None:
    engine, to_it = answering(WRITTEN.replace("Olive looked", 'Olive said "oh" and looked')[:-1])

    result = create_storybook_chain(MINI, **to_it).invoke({"theme": "a fox", "scenes": 3})
    streamed = list(create_storybook_chain(MINI, **to_it).stream({"theme": "a fox", "scenes": 3}))

    assert result.form == streamed[-1].form == "repaired"
    assert result.story.scenes[1].text == 'Olive said "oh" and looked down.'
    assert streamed[-1].story == result.story
    assert len(engine.bodies) == 2


def test_an_answer_that_fills_its_room_is_no_whole_story(sandbox: Sandbox) -> None:
    chain = create_storybook_chain(
        MINI, retry=RetryPolicy(max_retries=0), on_prose="raise", **reaching(sandbox, max_tokens=30)
    )

    with pytest.raises(RefusedReplyError, match="limit of tokens"):
        chain.invoke(FOX)


def test_a_stream_that_turns_bad_after_its_first_scene_fails_with_what_it_held(
    answering: Callable[..., tuple[Recorder, dict[str, Any]]],
) -> None:
    engine, to_it = answering(f"{WRITTEN[: WRITTEN.index('They shared')]}They")
    shown: list[StorybookResult] = []

    with pytest.raises(UnparsableReplyError, match="breaks off") as caught:
        shown.extend(create_storybook_chain([MINI, HAIKU], **to_it).stream("a fox"))

    assert [len(result.story.scenes) for result in shown] == [1, 2]
    assert (caught.value.partial_text or "").endswith("They")
    assert len(engine.bodies) == 1


@pytest.mark.parametrize("how", ["restart", "continue"])
def test_a_broken_stream_is_told_anew_or_goes_on(
    answering: Callable[..., tuple[Recorder, dict[str, Any]]], fake_time: FakeTime, how: Any
) -> None:
    _, to_it = answering(WRITTEN, faults={MINI: [Fault(kind="cut", after_chunks=IN_SCENE_2)]})
    chain = create_storybook_chain(
        [MINI, HAIKU], on_broken_stream=how, timing=fake_time.timing(), **to_it
    )

    results = list(chain.stream({"theme": "a fox", "scenes": 3}))

    lengths = [len(result.story.scenes) for result in results]
    assert lengths == ([1, 1, 2, 3] if how == "restart" else [1, 2, 3])
    assert results[-1].story == RUSTY
    assert results[-1].model is HAIKU


# ── plain text ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", ["invoke", "stream", "ainvoke", "astream"])
async def test_plain_text_is_taken_in_the_end_and_said_to_be(
    answering: Callable[..., tuple[Recorder, dict[str, Any]]], fake_time: FakeTime, how: str
) -> None:
    engine, to_it = answering(STORY)
    retry = RetryPolicy(max_retries=2)
    chain = create_storybook_chain(MINI, retry=retry, timing=fake_time.timing(), **to_it)
    asked = {"theme": "a fox", "scenes": 3}
    results = {
        "invoke": lambda: [chain.invoke(asked)],
        "stream": lambda: list(chain.stream(asked)),
    }
    if how == "ainvoke":
        (result,) = [await chain.ainvoke(asked)]
    elif how == "astream":
        (result,) = [each async for each in chain.astream(asked)]
    else:
        (result,) = results[how]()

    assert result.form == "prose"
    assert result.title == "The Fox"
    assert len(result.story.scenes) == 3
    assert result.story.illustration_prompts() == ("", "", "")
    assert result.model is MINI
    assert result.cost_usd
    assert [type(attempt.error) for attempt in result.attempts] == [RefusedReplyError] * 3
    assert len(engine.bodies) == 3


def test_plain_text_may_be_taken_at_once(
    answering: Callable[..., tuple[Recorder, dict[str, Any]]],
) -> None:
    engine, to_it = answering(STORY)

    result = create_storybook_chain(MINI, on_prose="split", **to_it).invoke("a fox")
    (streamed,) = create_storybook_chain(MINI, on_prose="split", **to_it).stream("a fox")

    assert result.form == streamed.form == "prose"
    assert [attempt.succeeded for attempt in result.attempts] == [True]
    assert len(engine.bodies) == 2


def test_plain_text_may_be_never_taken(
    answering: Callable[..., tuple[Recorder, dict[str, Any]]], fake_time: FakeTime
) -> None:
    _, to_it = answering(STORY)
    chain = create_storybook_chain(MINI, on_prose="raise", timing=fake_time.timing(), **to_it)

    with pytest.raises(AllModelsFailedError, match="no JSON object"):
        chain.invoke("a fox")


def test_when_nothing_was_a_story_the_error_is_that_of_the_loop(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    sandbox = faulty({MINI: [DOWN] * 9})
    chain = create_storybook_chain(
        MINI, retry=RetryPolicy(max_retries=1), timing=fake_time.timing(), **reaching(sandbox)
    )

    for call in (chain.invoke, lambda asked: list(chain.stream(asked))):
        with pytest.raises(AllModelsFailedError) as caught:
            call("a fox")
        assert [type(a.error) for a in caught.value.attempts] == [UnavailableError] * 2


# ── others ──────────────────────────────────────────────────────────────────


def test_a_model_with_a_policy_and_a_check_of_its_own_keeps_both(
    answering: Callable[..., tuple[Recorder, dict[str, Any]]], fake_time: FakeTime
) -> None:
    engine, to_it = answering(WRITTEN)
    to_it.pop("structured")
    seen: list[str] = []

    def accept(message: Any) -> str | None:
        seen.append(message.text)
        return None if len(seen) > 1 else "once more"

    safe = ChatOpenRouter(model=MINI, **to_it).with_retry(
        RetryPolicy(max_retries=1), accept=accept, timing=fake_time.timing()
    )
    result = create_storybook_chain(safe, structured=False).invoke({"theme": "a", "scenes": 3})

    assert [attempt.succeeded for attempt in result.attempts] == [False, True]
    assert "once more" in str(result.attempts[0].error)
    assert len(engine.bodies) == len(seen) == 2


@pytest.mark.parametrize("how", ["invoke", "stream", "ainvoke", "astream"])
@pytest.mark.parametrize("answer", [WRITTEN, STORY], ids=["json", "prose"])
async def test_who_listens_hears_of_every_whole_story_once(
    answering: Callable[..., tuple[Recorder, dict[str, Any]]], answer: str, how: str
) -> None:
    _, to_it = answering(answer)
    heard: list[StoryTold] = []
    stop = listen(lambda event: heard.append(event) if isinstance(event, StoryTold) else None)
    chain = create_storybook_chain(MINI, retry=RetryPolicy(max_retries=0), **to_it)
    asked = {"theme": "a fox", "scenes": 3}
    try:
        if how == "invoke":
            result = chain.invoke(asked)
        elif how == "ainvoke":
            result = await chain.ainvoke(asked)
        elif how == "stream":
            result = list(chain.stream(asked))[-1]
        else:
            result = [each async for each in chain.astream(asked)][-1]
    finally:
        stop()

    assert [event.content_words for event in heard] == [len(result.content.split())]
    assert "Rusty" not in repr(result)
    assert repr(result).startswith("StorybookResult(content=<")


def test_a_budget_that_is_spent_ends_the_asking(
    answering: Callable[..., tuple[Recorder, dict[str, Any]]], fake_time: FakeTime
) -> None:
    engine, to_it = answering(STORY)
    options: dict[str, Any] = {**to_it, "timing": fake_time.timing()}
    raising = create_storybook_chain(MINI, budget=Budget(tokens=1), on_prose="raise", **options)
    lenient = create_storybook_chain(MINI, budget=Budget(tokens=1), **options)

    with pytest.raises(BudgetSpentError):
        raising.invoke({"theme": "a fox", "scenes": 3})
    assert lenient.invoke({"theme": "a fox", "scenes": 3}).form == "prose"  # better than nothing
    with pytest.raises(BudgetSpentError):
        lenient.invoke("a fox")
    assert len(engine.bodies) == 2


def test_another_vendors_model_can_tell_one() -> None:
    chain = create_storybook_chain(FakeListChatModel(responses=[WRITTEN]))
    asked = {"theme": "a fox", "scenes": 3}

    assert chain.invoke(asked).story == RUSTY
    assert grows_by_scenes(list(chain.stream(asked)), 3)


def test_a_refusal_is_a_refusal() -> None:
    from langchain_core.messages import AIMessage

    refused = AIMessage("", additional_kwargs={"refusal": "I won't."})

    for read in (StorybookParser().result, StorybookParser().refusal):
        with pytest.raises(ModerationError):
            read(refused)


def test_the_parser_reads_bare_text() -> None:
    assert StorybookParser().invoke(WRITTEN).story == RUSTY
    with pytest.raises(UnparsableReplyError) as caught:
        StorybookParser().invoke("Once.")
    assert caught.value.partial_text == "Once."
    assert "Once" not in str(caught.value)


def test_wrong_requests_and_no_models_are_slips(sandbox: Sandbox) -> None:
    with pytest.raises(ConfigurationError, match="create_storybook_chain needs at least one"):
        create_storybook_chain([], **reaching(sandbox))
    with pytest.raises(ConfigurationError, match=r"StoryRequest\.scenes"):
        create_storybook_chain(MINI, **reaching(sandbox)).invoke({"theme": "a", "scenes": 21})
    assert not sandbox.requests


@pytest.mark.slow
def test_a_small_real_model_tells_a_story_in_scenes_or_in_plain_text() -> None:
    with Sandbox(engine="llama") as sandbox:
        options = reaching(sandbox, on_prose="split", seed=3)
        asked = {"theme": "a fox who learns to share", "age": 5, "words": 120, "scenes": 3}
        plain = create_storybook_chain("local/model", structured=False, **options).invoke(asked)
        structured = create_storybook_chain("local/model", structured=True, **options).invoke(asked)

    for result in (plain, structured):
        assert result.story.scenes
        assert result.story.to_html()
    assert structured.form == "json"  # the grammar of llama.cpp holds it to the schema
    assert structured.story.questions
