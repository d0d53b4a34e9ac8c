from __future__ import annotations

from typing import Any

import pytest

from langchain_tale.catalogue import OpenRouterModel
from langchain_tale.client import OpenRouterClient
from langchain_tale.openrouter.chat_models import ChatOpenRouter
from langchain_tale.sandbox import Fault, Sandbox
from langchain_tale.story.book.chain import create_storybook_chain
from langchain_tale.story.chain import create_story_chain
from langchain_tale.story.personal import has_personal_data, is_personal
from langchain_tale.story.request import StoryRequest
from tests.story.recorder import Recorder

MINI, HAIKU = OpenRouterModel.GPT_4O_MINI, OpenRouterModel.CLAUDE_3_HAIKU
RETIRED = OpenRouterModel.CLAUDE_3_5_SONNET
DENY: Any = {"data_collection": "deny"}
FOR_MIA = {"theme": "a fox", "child_name": "Mia", "age": 5}
CHAINS = [create_story_chain, create_storybook_chain]


@pytest.mark.parametrize(
    "text",
    [
        "write to mia.miller@example.com",
        "папа: ivan.petrov+fox@почта.рф",
        "follow @mia_2019",
        "call +49 (170) 123-45-67",
        "call 020 7946 0958",
        "тел. 8 (912) 345-67-89",
        "ring 555-0199",
        "the house at 12 Elm Street",
        "she lives at 221b, Old Baker St",
        "живёт на ул. Ленина, д. 5",
        "дом на улице Большая Садовая, 10",
        "in der Lindenstraße 7",
    ],
)
def test_what_tells_where_to_find_a_child_is_personal(text: str) -> None:
    assert has_personal_data(text)
    assert is_personal(StoryRequest(theme=text))


@pytest.mark.parametrize(
    "text",
    [
        "1001 nights",
        "in the year 2026, on 24.12.2026",
        "from 1914 to 1918",
        "a fox who counts 1, 2, 3, 4, 5, 6, 7, 8, 9, 10",
        "20 000 leagues under the sea",
        "101 dalmatians run down the street",
        "3 little pigs on the road",
        "a bus on line 42",
        "a castle of 1,000,000 rooms and 3.14159265 towers",
        "@ the zoo",
        "улица, полная фонарей",
        "три медведя и 12 месяцев",
    ],
)
def test_numbers_and_streets_of_tales_are_not_personal(text: str) -> None:
    assert not has_personal_data(text)


@pytest.mark.parametrize("field", ["theme", "hero", "moral", "setting", "interests", "avoid"])
def test_every_field_is_looked_at(field: str) -> None:
    value: Any = ("mia@example.com",) if field in {"interests", "avoid"} else "mia@example.com"

    assert is_personal(StoryRequest(**{"theme": "a fox", field: value}))
    assert not is_personal(StoryRequest(theme="a fox", age=5))
    assert is_personal(StoryRequest(theme="a fox", child_name="Mia"))


# ── every way in ────────────────────────────────────────────────────────────


def reaching(sandbox: Sandbox) -> dict[str, Any]:
    return {"base_url": sandbox.base_url, "api_key": sandbox.api_key}


@pytest.mark.parametrize("create", CHAINS)
@pytest.mark.parametrize("request_", [FOR_MIA, "a fox at 12 Elm Street"], ids=["name", "address"])
def test_a_chain_asks_private_providers(create: Any, request_: Any) -> None:
    recorder = Recorder()
    with Sandbox(recorder, lateness_s=0.0) as sandbox:
        chain = create(MINI, **reaching(sandbox))
        chain.invoke(request_)
        list(chain.stream(request_))
        chain.invoke("a fox")

    assert [body.get("provider") for body in recorder.bodies] == [DENY, DENY, None]


@pytest.mark.parametrize("create", CHAINS)
def test_the_successor_of_a_retired_model_is_as_private(create: Any) -> None:
    recorder = Recorder()
    with Sandbox(recorder, lateness_s=0.0) as sandbox:
        result = create(RETIRED, **reaching(sandbox)).invoke(FOR_MIA)

    assert [attempt.model for attempt in result.attempts][:2] == [RETIRED, RETIRED.info.successor]
    assert all(body["provider"] == DENY for body in recorder.bodies)
    assert recorder.bodies


@pytest.mark.parametrize("create", CHAINS)
def test_fallbacks_and_siblings_are_as_private(create: Any, fake_time: Any) -> None:
    recorder = Recorder()
    with Sandbox(recorder, faults={MINI: [Fault(status=503)]}, lateness_s=0.0) as sandbox:
        llm = ChatOpenRouter(model=MINI, **reaching(sandbox))
        safe: Any = llm.with_fallbacks([HAIKU])
        create(safe, timing=fake_time.timing()).invoke(FOR_MIA)
        create(llm.for_model(HAIKU)).invoke(FOR_MIA)

    assert {body["model"] for body in recorder.bodies} == {HAIKU}
    assert len(recorder.bodies) >= 2
    assert all(body["provider"] == DENY for body in recorder.bodies)


async def test_the_plain_client_is_private_where_it_is_told_to_or_must_be() -> None:
    recorder = Recorder()
    with Sandbox(recorder, lateness_s=0.0) as sandbox:
        open_, private = (
            OpenRouterClient(**reaching(sandbox), provider=provider) for provider in (None, DENY)
        )
        open_.generate_story("Tell me of a fox.")
        open_.generate_story("Tell mia@example.com of a fox.")
        await open_.agenerate_story("Tell mia@example.com of a fox.")
        private.generate_story("Tell Mia of a fox.")

    assert [body.get("provider") for body in recorder.bodies] == [None, DENY, DENY, DENY]
