from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

import pytest

from langchain_tale import catalogue
from langchain_tale.catalogue import DEFAULT_MODEL, OpenRouterModel, known_model, served_slug

if TYPE_CHECKING:
    from collections.abc import Iterator

PROMISED = {
    "GPT_4O": "openai/gpt-4o",
    "GPT_4O_MINI": "openai/gpt-4o-mini",
    "CLAUDE_3_5_SONNET": "anthropic/claude-3.5-sonnet",
    "CLAUDE_3_HAIKU": "anthropic/claude-3-haiku",
    "LLAMA_3_1_405B": "meta-llama/llama-3.1-405b-instruct",
    "LLAMA_3_1_70B": "meta-llama/llama-3.1-70b-instruct",
    "LLAMA_3_1_8B": "meta-llama/llama-3.1-8b-instruct",
    "GEMMA_2_27B": "google/gemma-2-27b-it",
    "MIXTRAL_8X22B": "mistralai/mixtral-8x22b-instruct",
    "GEMINI_20_FREE": "google/gemini-2.0-flash-exp:free",
    "GROK_41_FREE": "x-ai/grok-4.1-fast:free",
}
each_member = pytest.mark.parametrize("member", list(OpenRouterModel), ids=lambda m: m.name)


@pytest.mark.parametrize(("name", "slug"), PROMISED.items(), ids=PROMISED)
def test_existing_callers_find_their_member(name: str, slug: str) -> None:
    member = OpenRouterModel[name]

    assert member.value == slug
    assert str(member) == slug
    assert f"{member}" == slug


def test_existing_callers_find_their_members_first_and_in_order() -> None:
    assert list(OpenRouterModel.__members__)[: len(PROMISED)] == list(PROMISED)


def test_no_name_is_an_alias() -> None:
    assert len(OpenRouterModel.__members__) == len(OpenRouterModel)


@each_member
def test_a_member_is_a_string(member: OpenRouterModel) -> None:
    assert isinstance(member, str)
    assert member.partition("/")[0]
    assert member.partition("/")[2]


@each_member
def test_a_member_says_who_made_it_what_for_and_how_it_performs(member: OpenRouterModel) -> None:
    info = member.info

    assert info.provider.strip()
    assert info.performance.strip()
    assert info.use_cases
    assert all(use.strip() for use in info.use_cases)
    assert info.status in {"available", "retired", "route"}


@each_member
def test_only_a_route_may_leave_its_context_open(member: OpenRouterModel) -> None:
    info = member.info

    assert info.status == "route" or info.context_length is not None
    assert info.context_length is None or info.context_length >= 8_192


@each_member
def test_what_is_retired_has_a_living_successor_and_nothing_else_has_one(
    member: OpenRouterModel,
) -> None:
    info = member.info

    assert (info.status == "retired") == (info.successor is not None)
    assert info.successor is None or info.successor.info.status != "retired"


def test_the_default_is_not_retired() -> None:
    assert DEFAULT_MODEL is OpenRouterModel.GPT_4O_MINI
    assert DEFAULT_MODEL.info.status == "available"


@each_member
def test_a_known_slug_becomes_its_member(member: OpenRouterModel) -> None:
    assert known_model(member.value) is member
    assert known_model(member) is member


@pytest.mark.parametrize("slug", ["qwen/qwen-max", "", "OPENAI/GPT-4O", "openai/gpt-4o:nitro"])
def test_any_other_slug_stays_a_plain_string(slug: str) -> None:
    assert known_model(slug) == slug
    assert type(known_model(slug)) is str


@pytest.mark.parametrize(
    ("slug", "served"),
    [
        ("openai/gpt-4o", "openai/gpt-4o"),
        ("openai/gpt-4o:nitro", "openai/gpt-4o"),
        ("openai/gpt-4o:free", "openai/gpt-4o:free"),
        ("openai/gpt-4o:free:online", "openai/gpt-4o:free"),
        ("openai/gpt-4o:floor:extended:exacto", "openai/gpt-4o:extended"),
        ("openai/gpt-4o@preset/bedtime", "openai/gpt-4o"),
        ("~openai/gpt-mini-latest", "~openai/gpt-mini-latest"),
        ("@preset/bedtime", ""),
        ("", ""),
    ],
)
def test_what_only_steers_the_routing_is_no_part_of_the_model(slug: str, served: str) -> None:
    assert served_slug(slug) == served


# ── refreshing ──────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Seen:
    """A model as a listing has it."""

    context_length: int | None = 64_000
    expires_on: date | None = None


@pytest.fixture(autouse=True)
def _catalogue_as_it_was() -> Iterator[None]:
    yield
    catalogue.forget_refresh()


def test_what_is_listed_has_the_listed_facts() -> None:
    before = OpenRouterModel.GPT_4O.info
    catalogue.refresh({"openai/gpt-4o": Seen(expires_on=date(2026, 12, 31))})

    assert OpenRouterModel.GPT_4O.info == replace(
        before, context_length=64_000, expires_on=date(2026, 12, 31)
    )


def test_what_is_not_listed_is_retired() -> None:
    before = OpenRouterModel.GPT_4O.info
    catalogue.refresh({"openai/gpt-4o:free": Seen()})

    assert OpenRouterModel.GPT_4O.info == replace(before, status="retired")


def test_what_is_listed_again_is_available_and_keeps_its_successor() -> None:
    catalogue.refresh({"anthropic/claude-3.5-sonnet": Seen()})
    info = OpenRouterModel.CLAUDE_3_5_SONNET.info

    assert info.status == "available"
    assert info.successor is OpenRouterModel.CLAUDE_SONNET_LATEST


@each_member
@pytest.mark.parametrize("is_listed", [True, False], ids=["listed", "not listed"])
def test_a_route_stays_a_route(member: OpenRouterModel, *, is_listed: bool) -> None:
    before = member.info
    catalogue.refresh({member.value: Seen()} if is_listed else {})

    assert (member.info.status == "route") == (before.status == "route")


def test_an_alias_takes_the_listed_length_and_a_router_none() -> None:
    catalogue.refresh({slug: Seen() for slug in OpenRouterModel})

    assert OpenRouterModel.CLAUDE_HAIKU_LATEST.info.context_length == 64_000
    assert OpenRouterModel.AUTO.info.context_length is None


def test_a_length_that_is_not_told_stays() -> None:
    catalogue.refresh({"openai/gpt-4o": Seen(context_length=None)})

    assert OpenRouterModel.GPT_4O.info.context_length == 128_000


@each_member
def test_what_no_listing_knows_stays(member: OpenRouterModel) -> None:
    before = member.info
    catalogue.refresh({member.value: Seen()})

    assert member.info == replace(
        before, context_length=member.info.context_length, status=member.info.status
    )


@each_member
def test_a_refresh_can_be_forgotten(member: OpenRouterModel) -> None:
    before = member.info
    catalogue.refresh({})
    catalogue.forget_refresh()

    assert member.info is before


def test_a_newer_listing_replaces_an_older_one_whole() -> None:
    catalogue.refresh({"tales/a": Seen(), "tales/b": Seen()})
    catalogue.refresh({"tales/b": Seen(32_000)})

    assert catalogue.listed("tales/a") is None
    assert catalogue.listed("tales/b") == Seen(32_000)


def test_nothing_is_listed_before_a_refresh() -> None:
    assert catalogue.listed("openai/gpt-4o") is None


def test_the_listing_is_not_the_callers_any_more() -> None:
    listing = {"openai/gpt-4o": Seen()}
    catalogue.refresh(listing)
    listing.clear()

    assert OpenRouterModel.GPT_4O.info.status == "available"


def test_threads_see_one_listing_or_the_other() -> None:
    listings: list[dict[str, Seen]] = [{"openai/gpt-4o": Seen()}, {}]

    def look(turn: int) -> tuple[str, int | None]:
        catalogue.refresh(listings[turn % 2])
        info = OpenRouterModel.GPT_4O.info
        return info.status, info.context_length

    with ThreadPoolExecutor(8) as threads:
        seen = set(threads.map(look, range(400)))

    assert seen <= {("available", 64_000), ("retired", 128_000)}
