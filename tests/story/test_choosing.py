from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from langchain_tale.catalogue import OpenRouterModel, forget_refresh, refresh
from langchain_tale.errors import ConfigurationError, ConnectionFailedError
from langchain_tale.openrouter import account
from langchain_tale.openrouter.chat_models import ChatOpenRouter
from langchain_tale.openrouter.model_records import Health, ModelRecord
from langchain_tale.resilience.policy import BreakerPolicy, RetryPolicy
from langchain_tale.sandbox import Fault, Sandbox
from langchain_tale.story.book.chain import create_storybook_chain
from langchain_tale.story.chain import create_story_chain
from langchain_tale.story.choice import ModelWeights
from langchain_tale.story.choosing import achoose_models, choose_models, need_of
from langchain_tale.story.request import StoryRequest
from langchain_tale.telemetry.metrics import StoryMetrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import FakeTime

MINI, HAIKU, LLAMA = (
    OpenRouterModel.GPT_4O_MINI,
    OpenRouterModel.CLAUDE_3_HAIKU,
    OpenRouterModel.LLAMA_3_1_8B,
)
RETIRED = OpenRouterModel.CLAUDE_3_5_SONNET
RUSSIAN = {"theme": "лиса", "language": "ru", "age": 5}


@dataclass(frozen=True)
class Counted:
    success_rate: float | None


def record(slug: str, usd: str = "0.0000001", **fields: Any) -> ModelRecord:
    pricing = {"prompt": usd, "completion": usd}
    return ModelRecord.model_validate(
        {"id": slug, "pricing": pricing, "context_length": 100_000, **fields}
    )


def healthy(slug: str, percent: float = 99.0, verdict: Any = "healthy") -> Health:
    return Health(model=slug, verdict=verdict, uptime_percent=percent, reason="as measured")


# ── offline ─────────────────────────────────────────────────────────────────


def test_the_catalogue_alone_gives_an_order_without_any_request() -> None:
    choice = choose_models(RUSSIAN)

    left_out = {out.model for out in choice.left_out}
    assert set(choice) | left_out == set(OpenRouterModel)
    assert left_out == {model for model in OpenRouterModel if model.info.status == "retired"}
    assert all(isinstance(model, OpenRouterModel) for model in choice)
    assert list(choice).index(MINI) < list(choice).index(LLAMA)


def test_the_language_of_the_story_decides() -> None:
    french = {"theme": "un renard", "language": "French"}
    two = [OpenRouterModel.GEMMA_2_27B, OpenRouterModel.MIXTRAL_8X22B]

    assert choose_models(french, two)[0] is OpenRouterModel.MIXTRAL_8X22B
    assert "writes fr" in choose_models(french, two).reason
    assert choose_models("a fox", two)[0] is OpenRouterModel.GEMMA_2_27B  # a tie: as given


def test_a_long_story_rules_short_writers_out() -> None:
    choice = choose_models({"theme": "a fox", "words": 3000}, [HAIKU, MINI])

    assert list(choice) == [MINI]
    assert choice.left_out[0].reason == "too short for 3000 words"


def test_retired_models_are_left_out_with_their_successors() -> None:
    choice = choose_models("a fox", [RETIRED, MINI])

    assert list(choice) == [MINI]
    assert choice.left_out[0].successor is RETIRED.info.successor
    assert f"ask {RETIRED.info.successor} instead" in choice.reason


def test_where_no_model_is_left_the_error_says_why_and_whom_to_ask() -> None:
    with pytest.raises(ConfigurationError, match="ask ~anthropic/claude-sonnet-latest instead"):
        choose_models("a fox", [RETIRED])


@pytest.mark.parametrize("candidates", [[], [7], [None]])
def test_candidates_are_names(candidates: Any) -> None:
    with pytest.raises(ConfigurationError, match="needs candidates"):
        choose_models("a fox", candidates)


def test_a_wrong_request_is_a_slip() -> None:
    with pytest.raises(ConfigurationError, match=r"StoryRequest\.age"):
        choose_models({"theme": "a fox", "age": 99})


def test_any_slug_is_a_candidate_once() -> None:
    choice = choose_models("a fox", ["some/unknown", "some/unknown", MINI, str(MINI)])

    assert list(choice) == [MINI, "some/unknown"]
    assert "en unknown, length unknown, price unknown, health unknown" in choice.ranked[1].reason
    assert list(choose_models("a fox", "some/unknown")) == ["some/unknown"]


def test_variants_are_judged_as_the_model_they_are_of() -> None:
    nitro, plain = choose_models(RUSSIAN, [f"{MINI}:nitro", MINI]).ranked

    assert nitro.model == f"{MINI}:nitro"
    assert nitro.marks == plain.marks


def test_a_name_puts_free_models_last() -> None:
    two = [OpenRouterModel.FREE, OpenRouterModel.AUTO]

    assert choose_models("a fox", two)[0] is OpenRouterModel.FREE
    assert choose_models({"theme": "a fox", "child_name": "Mia"}, two)[0] is OpenRouterModel.AUTO


def test_the_scenes_of_a_book_take_room() -> None:
    plain, book = need_of(StoryRequest(theme="a")), need_of(StoryRequest(theme="a", scenes=5))

    assert book.output_tokens > plain.output_tokens
    assert need_of(StoryRequest(theme="a", language="ru")).output_tokens > plain.output_tokens


# ── with what was measured ──────────────────────────────────────────────────


def test_prices_and_lengths_of_a_listing_count() -> None:
    records = [record(MINI, "0.00005"), record(HAIKU), record(LLAMA, context_length=800)]

    choice = choose_models("a fox", [MINI, HAIKU, LLAMA, "gone/model"], records=records)

    assert list(choice) == [HAIKU, MINI]
    assert choice.ranked[1].cost_usd == pytest.approx((500 + 375) * 5e-5)
    assert {out.model: out.reason for out in choice.left_out} == {
        LLAMA: "too short for 250 words",
        "gone/model": "not listed",
    }


def test_a_retired_model_that_is_listed_again_takes_part() -> None:
    assert list(choose_models("a fox", [RETIRED], records=[record(RETIRED)])) == [RETIRED]


def test_the_catalogue_that_was_refreshed_counts_without_being_asked_for() -> None:
    refresh({MINI: record(MINI), LLAMA: record(LLAMA, "0.0001")})
    try:
        choice = choose_models("a fox", [LLAMA, MINI, HAIKU])
    finally:
        forget_refresh()

    assert list(choice) == [MINI, LLAMA]
    assert choice.left_out[0].model is HAIKU
    assert choice.ranked[0].cost_usd


def test_health_counts_in_either_form(sandbox: Sandbox, llm: ChatOpenRouter) -> None:
    endpoints = account.endpoints(llm, MINI)

    choice = choose_models(
        "a fox", [HAIKU, MINI], health={HAIKU: healthy(HAIKU, 3, "down"), MINI: endpoints}
    )

    assert list(choice) == [MINI, HAIKU]
    assert "healthy (100 %)" in choice.reason


def test_what_one_measured_oneself_counts() -> None:
    measured = {MINI: Counted(0.2), HAIKU: Counted(1.0), LLAMA: Counted(None)}

    choice = choose_models("a fox", [MINI, HAIKU], measured=measured)

    assert list(choice) == [HAIKU, MINI]
    assert "answered 20%" in choice.ranked[1].reason


def test_a_snapshot_of_metrics_is_what_one_measured(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    metrics = StoryMetrics()
    sandbox = faulty({MINI: [Fault(status=503)]})
    chain = create_story_chain(
        [MINI, HAIKU],
        base_url=sandbox.base_url,
        api_key=sandbox.api_key,
        timing=fake_time.timing(),
    )
    chain.invoke("a fox", {"callbacks": [metrics]})

    choice = choose_models("a fox", [MINI, HAIKU], measured=metrics.snapshot())

    assert list(choice) == [HAIKU, MINI]
    assert "answered 0%" in choice.ranked[1].reason
    assert "answered 100%" in choice.ranked[0].reason


def test_a_model_with_an_open_circuit_comes_last(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    sandbox = faulty({MINI: [Fault(status=503)] * 3})
    chain = create_story_chain(
        ChatOpenRouter(model=MINI, base_url=sandbox.base_url, api_key=sandbox.api_key).with_retry(
            RetryPolicy(max_retries=2),
            breaker=BreakerPolicy(fail_max=2),
            timing=fake_time.timing(),
        )
    )
    with pytest.raises(Exception, match="No model answered"):
        chain.invoke("a fox")

    choice = choose_models("a fox", [MINI, HAIKU])

    assert list(choice) == [HAIKU, MINI]
    assert "failed too often of late" in choice.ranked[1].reason


def test_weights_are_the_callers() -> None:
    by_price = ModelWeights(language=0, length=0, price=1, health=0)

    assert choose_models(RUSSIAN, [MINI, LLAMA], weights=by_price)[0] is LLAMA
    assert choose_models(RUSSIAN, [MINI, LLAMA])[0] is MINI


# ── asking ──────────────────────────────────────────────────────────────────


async def test_a_model_asks_for_the_listing_and_for_the_health_of_each_candidate(
    sandbox: Sandbox, llm: ChatOpenRouter
) -> None:
    candidates = [HAIKU, RETIRED, MINI, "no/such"]

    choice = choose_models("a fox", candidates, llm=llm)

    assert list(choice) == [HAIKU, MINI]
    assert all("healthy (100 %)" in one.reason and one.cost_usd for one in choice.ranked)
    assert {out.model for out in choice.left_out} == {RETIRED, "no/such"}
    assert await achoose_models("a fox", candidates, llm=llm) == choice
    assert Counter(sandbox.requests) == Counter()  # no completion was asked for


async def test_what_is_given_is_not_asked_for_again(llm: ChatOpenRouter) -> None:
    given = {MINI: healthy(MINI, 81.0, "degraded")}

    for choice in (
        choose_models("a fox", [MINI], llm=llm, health=given, records=[record(MINI)]),
        await achoose_models("a fox", [MINI], llm=llm, health=given, records=[record(MINI)]),
    ):
        assert "degraded (81 %)" in choice.reason
    assert list(await achoose_models(RUSSIAN, [LLAMA, MINI])) == [MINI, LLAMA]


async def test_who_cannot_be_asked_is_an_error(sandbox: Sandbox, llm: ChatOpenRouter) -> None:
    sandbox.stop()

    with pytest.raises(ConnectionFailedError):
        choose_models("a fox", [MINI], llm=llm, records=[record(MINI)])
    with pytest.raises(ConnectionFailedError):
        await achoose_models("a fox", [MINI], llm=llm)


@pytest.mark.parametrize("create", [create_story_chain, create_storybook_chain])
def test_a_choice_is_given_straight_to_a_chain(sandbox: Sandbox, create: Any) -> None:
    choice = choose_models(RUSSIAN, [LLAMA, MINI])
    chain = create(models=choice, base_url=sandbox.base_url, api_key=sandbox.api_key)

    assert chain.invoke(RUSSIAN).model is MINI
