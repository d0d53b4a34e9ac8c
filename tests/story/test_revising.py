"""Stories that are not fit are asked for again, with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage

from langchain_tale.catalogue import OpenRouterModel
from langchain_tale.errors import (
    AllModelsFailedError,
    ConfigurationError,
    RefusedReplyError,
    UnavailableError,
    UnfitStoryError,
)
from langchain_tale.openrouter.chat_models import ChatOpenRouter
from langchain_tale.resilience.policy import RetryPolicy
from langchain_tale.sandbox import Fault, Sandbox
from langchain_tale.story.chain import create_story_chain
from langchain_tale.story.checks import Finding, Told, WordCount
from tests.story.storyteller import (
    ASKED,
    GOOD,
    HARSH,
    HARSH_AND_NAMELESS,
    NAMELESS,
    Storyteller,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langchain_core.runnables import Runnable

    from langchain_tale.story.result import StoryGenerationResult
    from tests.conftest import FakeTime


MINI, HAIKU = OpenRouterModel.GPT_4O_MINI, OpenRouterModel.CLAUDE_3_HAIKU
DOWN = Fault(status=503)
HOW = ("invoke", "ainvoke", "batch", "abatch", "stream", "astream")


class Stage:
    """A storyteller, the sandbox around it, and a chain that asks it."""

    def __init__(self, *texts: str, timing: Any, **sandbox: Any) -> None:
        self.teller = Storyteller(*texts)
        self.sandbox = Sandbox(self.teller, lateness_s=0.0, **sandbox).start()
        self.timing = timing

    def chain(self, models: Any = MINI, **options: Any) -> Runnable[Any, StoryGenerationResult]:
        given = {"max_revisions": 2, "timing": self.timing, **self.address, **options}
        return create_story_chain(models, **given)

    @property
    def address(self) -> dict[str, Any]:
        return {"base_url": self.sandbox.base_url, "api_key": self.sandbox.api_key}

    @property
    def requests(self) -> int:
        return sum(self.sandbox.requests.values())


@pytest.fixture
def stage(fake_time: FakeTime) -> Iterator[Callable[..., Stage]]:
    running: list[Stage] = []

    def start(*texts: str, **sandbox: Any) -> Stage:
        running.append(Stage(*texts, timing=fake_time.timing(), **sandbox))
        return running[-1]

    yield start
    for each in running:
        each.sandbox.stop()


async def told(
    chain: Runnable[Any, StoryGenerationResult], how: str, asked: Any = ASKED
) -> StoryGenerationResult:
    """The story, asked for in one of all ways."""
    if how == "invoke":
        return chain.invoke(asked)
    if how == "ainvoke":
        return await chain.ainvoke(asked)
    if how == "batch":
        return chain.batch([asked])[0]
    if how == "abatch":
        return (await chain.abatch([asked]))[0]
    if how == "stream":
        return list(chain.stream(asked))[-1]
    return [result async for result in chain.astream(asked)][-1]


# ── the report ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", ["invoke", "astream"])
async def test_every_story_is_measured_and_returned_as_it_is(
    stage: Callable[..., Stage], how: str
) -> None:
    playing = stage(NAMELESS)

    result = await told(playing.chain(max_revisions=0), how)

    assert result.report is not None
    assert [finding.name for finding in result.report.failures] == ["child_name"]
    assert result.is_best_effort
    assert result.title == "Mia and the Boat".replace("Mia", "Ann")
    assert result.to_dict()["report"]["passed"] is False
    assert playing.requests == 1


def test_without_revisions_a_stream_grows_and_is_measured_once_whole(
    stage: Callable[..., Stage],
) -> None:
    results = list(stage(GOOD).chain(max_revisions=0).stream(ASKED))

    assert len({result.content for result in results}) > 10
    assert results[0].report is None
    assert results[-1].report is not None
    assert results[-1].report.passed
    assert not results[-1].is_best_effort


def test_the_checks_are_the_callers_choice(stage: Callable[..., Stage]) -> None:
    playing = stage(NAMELESS)

    measured = playing.chain(max_revisions=0, checks=[WordCount()]).invoke(ASKED)
    unmeasured = playing.chain(max_revisions=0, checks=False).invoke(ASKED)

    assert measured.report is not None
    assert [finding.name for finding in measured.report.findings] == ["words"]
    assert unmeasured.report is None
    assert not unmeasured.is_best_effort


# ── asking again ────────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", HOW)
async def test_a_refused_story_is_asked_for_again(stage: Callable[..., Stage], how: str) -> None:
    playing = stage(HARSH_AND_NAMELESS, GOOD)

    result = await told(playing.chain(), how)

    assert result.content == GOOD.partition("\n\n")[2]
    assert result.title == "Mia and the Boat"
    assert not result.is_best_effort
    assert [type(attempt.error) for attempt in result.attempts] == [RefusedReplyError, type(None)]
    assert playing.requests == 2


@pytest.mark.parametrize("how", ["invoke", "astream"])
async def test_the_next_attempt_gets_the_story_back_with_the_reasons(
    stage: Callable[..., Stage], how: str
) -> None:
    playing = stage(HARSH_AND_NAMELESS, NAMELESS, GOOD)

    await told(playing.chain(), how)

    first, second, third = (playing.teller.messages(number) for number in range(3))
    assert [role for role, _ in first] == ["system", "user"]
    assert second[:2] == third[:2] == first
    assert [role for role, _ in second[2:]] == ["assistant", "user"]
    assert second[2][1] == HARSH_AND_NAMELESS
    assert "leave out: killed, blood" in second[3][1]
    assert "by name" in second[3][1]
    assert third[2][1] == NAMELESS
    assert "leave out" not in third[3][1]


def test_a_russian_story_is_asked_for_again_in_russian(stage: Callable[..., Stage]) -> None:
    playing = stage("# Лодка\n\nЛодка поплыла и")

    playing.chain(max_revisions=1).invoke({"theme": "лодка", "language": "ru", "words": 20})

    assert playing.teller.messages(1)[3][1].startswith("Такую сказку ещё нельзя рассказать:\n- ")
    assert "обрывается" in playing.teller.messages(1)[3][1]


def test_another_model_is_given_the_refused_story(stage: Callable[..., Stage]) -> None:
    playing = stage(NAMELESS, GOOD)

    result = playing.chain([MINI, HAIKU]).invoke(ASKED)

    assert result.model is HAIKU
    assert playing.teller.messages(1)[2][1] == NAMELESS


def test_every_request_of_a_batch_is_revised_by_its_own_reasons(
    stage: Callable[..., Stage],
) -> None:
    playing = stage(GOOD)
    asked = [{**ASKED, "child_name": name} for name in ("Mia", "Tom", "Mia")]

    results = playing.chain(max_revisions=1).batch([*asked], {"max_concurrency": 1})

    assert [result.is_best_effort for result in results] == [False, True, False]
    assert playing.requests == 4


# ── when no story is fit ────────────────────────────────────────────────────


@pytest.mark.parametrize("how", HOW)
async def test_the_best_of_the_refused_stories_is_returned_and_marked(
    stage: Callable[..., Stage], how: str
) -> None:
    playing = stage(HARSH, NAMELESS, HARSH_AND_NAMELESS)

    result = await told(playing.chain(), how)

    assert result.content == NAMELESS.partition("\n\n")[2]
    assert result.is_best_effort
    assert result.report is not None
    assert [finding.name for finding in result.report.failures] == ["child_name"]
    assert len(result.attempts) == playing.requests == 3
    assert result.generation_id
    assert result.latency_s is not None


def test_of_equals_the_later_is_the_better(stage: Callable[..., Stage]) -> None:
    playing = stage(NAMELESS, NAMELESS.replace("Ann", "Eva"))

    assert "Eva" in playing.chain(max_revisions=1).invoke(ASKED).content


@pytest.mark.parametrize("how", ["abatch", "stream"])
async def test_the_caller_may_choose_an_error_that_has_the_best(
    stage: Callable[..., Stage], how: str
) -> None:
    playing = stage(HARSH, NAMELESS, HARSH)

    with pytest.raises(UnfitStoryError, match="the best one fails child_name") as caught:
        await told(playing.chain(on_unfit="raise"), how)

    assert isinstance(caught.value, AllModelsFailedError)
    assert caught.value.result.content == NAMELESS.partition("\n\n")[2]
    assert len(caught.value.attempts) == playing.requests == 3


def test_to_raise_it_takes_no_revisions(stage: Callable[..., Stage]) -> None:
    playing = stage(NAMELESS)

    with pytest.raises(UnfitStoryError):
        playing.chain(max_revisions=0, on_unfit="raise").invoke(ASKED)

    assert playing.requests == 1


def test_a_story_that_was_refused_is_better_than_none(stage: Callable[..., Stage]) -> None:
    playing = stage(NAMELESS, faults={MINI: [None, *[DOWN] * 9]})

    result = playing.chain(retry=RetryPolicy(max_retries=2)).invoke(ASKED)

    assert result.is_best_effort
    assert [type(attempt.error) for attempt in result.attempts] == [
        RefusedReplyError,
        UnavailableError,
        UnavailableError,
        UnavailableError,
    ]


def test_where_nothing_was_told_the_error_is_raised(stage: Callable[..., Stage]) -> None:
    playing = stage(GOOD, faults={MINI: [DOWN] * 9})

    with pytest.raises(AllModelsFailedError) as caught:
        playing.chain(retry=RetryPolicy(max_retries=2)).invoke(ASKED)

    assert not isinstance(caught.value, UnfitStoryError)
    assert playing.requests == 3


# ── what it costs ───────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", ["invoke", "astream"])
@pytest.mark.parametrize(
    ("retries", "revisions", "faults", "requests"),
    [
        (0, 0, 0, 1),
        (0, 2, 0, 3),
        (3, 2, 0, 3),
        (2, 2, 2, 5),
        (2, 1, 9, 3),
        (0, 2, 1, 1),
    ],
)
async def test_revisions_and_retries_together_are_bounded(  # noqa: PLR0917 (cases)
    stage: Callable[..., Stage], how: str, retries: int, revisions: int, faults: int, requests: int
) -> None:
    """At most `max_retries + 1 + max_revisions`, however both come together."""
    playing = stage(NAMELESS, faults={MINI: [DOWN] * faults})
    chain = playing.chain(
        retry=RetryPolicy(max_retries=retries), max_revisions=revisions, on_unfit="raise"
    )

    with pytest.raises((AllModelsFailedError, UnavailableError)):
        await told(chain, how)

    assert playing.requests == requests <= retries + 1 + revisions


def test_the_cost_limit_of_the_policy_holds_for_revisions(stage: Callable[..., Stage]) -> None:
    playing = stage(NAMELESS)

    result = playing.chain(retry=RetryPolicy(max_cost_usd=0)).invoke(ASKED)

    assert result.is_best_effort
    assert playing.requests == 1


# ── a story that ran out of tokens ──────────────────────────────────────────


@pytest.mark.parametrize("how", HOW)
async def test_a_story_that_ran_out_of_tokens_is_continued(
    stage: Callable[..., Stage], how: str
) -> None:
    playing = stage(GOOD)

    result = await told(playing.chain(max_tokens=20), how)

    assert result.content == GOOD.partition("\n\n")[2]
    assert not result.is_best_effort
    assert playing.requests == 3
    beginning = playing.teller.messages(1)[-1]
    assert beginning[0] == "assistant"
    assert GOOD.startswith(beginning[1])
    assert result.usage is not None
    assert result.usage["output_tokens"] >= len(GOOD.split())
    costs = [attempt.cost_usd for attempt in result.attempts]
    assert result.cost_usd == pytest.approx(sum(cost or 0.0 for cost in costs))


def test_continuing_counts_as_a_revision(stage: Callable[..., Stage]) -> None:
    playing = stage(GOOD)

    result = playing.chain(max_tokens=20, max_revisions=1).invoke(ASKED)

    assert playing.requests == 2
    assert result.is_best_effort
    assert result.is_cut_off
    assert GOOD.partition("\n\n")[2].startswith(result.content)


def test_a_story_that_is_too_long_already_is_told_anew(stage: Callable[..., Stage]) -> None:
    playing = stage(GOOD)

    playing.chain(max_tokens=35, max_revisions=1).invoke({**ASKED, "words": 20})

    assert playing.teller.messages(1)[-1][0] == "user"
    assert "breaks off" in playing.teller.messages(1)[-1][1]


class Remembering(GenericFakeChatModel):
    """A model of another vendor, which does not go on from its own words."""

    asked: list[list[BaseMessage]] = []  # noqa: RUF012 (a field)

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Any:
        self.asked.append(messages)
        return super()._generate(messages, *args, **kwargs)


@pytest.mark.parametrize("how", ["invoke", "stream"])
async def test_a_model_that_cannot_go_on_by_itself_is_told_to(how: str) -> None:
    whole = GOOD.partition("\n\n")[2]
    cut, rest = whole[: whole.index("sat down")] + "sa", whole[whole.index("sat down") :]
    parts = [
        AIMessage(cut, response_metadata={"finish_reason": "length"}),
        AIMessage(rest, response_metadata={"finish_reason": "stop"}),
    ]
    model = Remembering(messages=iter(parts), disable_streaming=True)

    result = await told(create_story_chain(model, max_revisions=1), how)

    assert result.content == whole
    assert [message.type for message in model.asked[1][-2:]] == ["ai", "human"]
    assert model.asked[1][-2].text.endswith("A frog")
    assert "Continue it exactly" in model.asked[1][-1].text


# ── what else is to be held ─────────────────────────────────────────────────


def test_no_error_and_no_log_names_the_child_or_quotes_the_story(
    stage: Callable[..., Stage],
) -> None:
    playing = stage(HARSH_AND_NAMELESS)

    with pytest.raises(UnfitStoryError) as caught:
        playing.chain(on_unfit="raise").invoke(ASKED)

    said = [str(caught.value), *(str(attempt.to_dict()) for attempt in caught.value.attempts)]
    assert not any(word in line for word in ("Mia", "blood", "frog") for line in said)
    assert "it fails unfit_words, child_name" in said[1]


def test_a_check_of_the_models_own_is_obeyed_too(stage: Callable[..., Stage]) -> None:
    playing = stage(GOOD, GOOD.replace("red", "blue"))
    model = ChatOpenRouter(model=MINI, **playing.address).with_retry(
        accept=lambda message: "the boat must be blue" if "red" in message.text else None
    )

    result = create_story_chain(model, max_revisions=1, timing=playing.timing).invoke(ASKED)

    assert "blue" in result.content
    assert "the boat must be blue" in playing.teller.messages(1)[3][1]


def test_a_cached_story_is_not_told_unread(stage: Callable[..., Stage]) -> None:
    from langchain_core.caches import InMemoryCache

    playing = stage(NAMELESS, NAMELESS, GOOD)
    model = ChatOpenRouter(model=MINI, cache=InMemoryCache(), **playing.address)

    create_story_chain(model).invoke(ASKED)
    result = create_story_chain(model, max_revisions=1).invoke(ASKED)

    assert result.content == GOOD.partition("\n\n")[2]


def test_a_check_of_the_callers_own_sends_its_sentence(stage: Callable[..., Stage]) -> None:
    class Whale:
        name = "whale"

        def __call__(self, told: Told) -> Finding:
            return Finding(
                name=self.name,
                value=told.words.count("whale"),
                at_least=1,
                sentence="Let a whale pass by.",
            )

    playing = stage(GOOD)

    result = playing.chain(checks=[Whale()], max_revisions=1).invoke(ASKED)

    assert result.is_best_effort
    assert "Let a whale pass by." in playing.teller.messages(1)[3][1]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"max_revisions": -1}, "max_revisions must be from 0 to 20"),
        ({"max_revisions": 21}, "max_revisions must be from 0 to 20"),
        ({"on_unfit": "ignore"}, 'on_unfit must be "return" or "raise"'),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_sent(
    options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        create_story_chain(MINI, api_key="sk-or-v1-x", **options)
