"""The account over real HTTP where the sandbox has an answer, else with answers of our own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from langchain_tale import catalogue
from langchain_tale.catalogue import OpenRouterModel
from langchain_tale.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    MalformedReplyError,
    ModelNotFoundError,
    UnavailableError,
)
from langchain_tale.openrouter import account
from langchain_tale.openrouter.chat_models import ChatOpenRouter
from langchain_tale.openrouter.profiles import known_profile
from langchain_tale.sandbox import LOCAL_MODEL, Sandbox
from tests.conftest import chat_model

if TYPE_CHECKING:
    from tests.conftest import FakeTime

Ask = Callable[..., Awaitable[Any]]
Answer = Callable[[httpx2.Request], httpx2.Response]
SECRET = "sk-or-v1-0123456789abcdef"
BASE = "https://openrouter.ai/api/v1"


@pytest.fixture(params=["plain", "awaited"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """`await ask("models", llm)`: one function of `account`, or its twin."""

    async def asking(name: str, *args: Any, **kwargs: Any) -> Any:
        if request.param == "plain":
            return getattr(account, name)(*args, **kwargs)
        return await getattr(account, f"a{name}")(*args, **kwargs)

    return asking


@pytest.fixture(autouse=True)
def _catalogue_as_it_was() -> Iterator[None]:
    yield
    catalogue.forget_refresh()


class Server:
    """Gives its answers in turn, the last one for ever, and keeps every request."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.urls: list[str] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.urls.append(str(request.url))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        return httpx2.Response(status, json=body)

    @property
    def llm(self) -> ChatOpenRouter:
        transport = httpx2.MockTransport(self)
        return ChatOpenRouter(
            model="tales/fox-1",
            api_key=SECRET,
            max_retries=0,
            http_client=httpx2.Client(transport=transport),
            http_async_client=httpx2.AsyncClient(transport=transport),
        )


def page(*slugs: str, following: Any = None) -> dict[str, Any]:
    items = [{"id": slug} for slug in slugs]
    return {"data": items, "total_count": 99, "links": {"next": following}}


NOT_FOUND = (404, {"error": {"message": "Generation gen-1 not found", "code": 404}})


# ── generations ─────────────────────────────────────────────────────────────


async def test_a_generation_is_found(llm: ChatOpenRouter, ask: Ask, fake_time: FakeTime) -> None:
    answer = llm.invoke("Tell me of a fox.")

    found = await ask("generation", llm, answer.response_metadata["id"], timing=fake_time.timing())

    assert found.id == answer.response_metadata["id"]
    assert found.model == "openai/gpt-4o-mini"
    assert found.provider_name == answer.response_metadata["provider_name"]
    assert found.input_tokens == answer.usage_metadata["input_tokens"]  # type: ignore[index]
    assert found.output_tokens == answer.usage_metadata["output_tokens"]  # type: ignore[index]
    assert found.cost_usd == Decimal(str(answer.response_metadata["cost"]))
    assert found.created_at.tzinfo is not None
    assert found.raw["id"] == found.id
    assert fake_time.slept == []


async def test_a_late_generation_is_asked_for_again(ask: Ask, fake_time: FakeTime) -> None:
    server = Server(NOT_FOUND, NOT_FOUND, {"data": {"id": "gen-1", "latency": 1500}})

    found = await ask("generation", server.llm, "gen-1", timing=fake_time.timing())

    assert found.latency_s == 1.5
    assert server.urls == [f"{BASE}/generation?id=gen-1"] * 3
    assert fake_time.slept == [0.25, 0.5]


async def test_patience_ends_after_seconds(ask: Ask, fake_time: FakeTime) -> None:
    server = Server(NOT_FOUND)

    assert await ask("generation", server.llm, "gen-1", timing=fake_time.timing()) is None
    assert len(server.urls) == 6
    assert fake_time.slept == [0.25, 0.5, 1.0, 2.0, 2.0]


async def test_what_is_not_lateness_raises_at_once(ask: Ask, fake_time: FakeTime) -> None:
    server = Server((503, {"error": {"code": 503, "message": "down"}}))

    with pytest.raises(UnavailableError, match="The generation gen-1"):
        await ask("generation", server.llm, "gen-1", timing=fake_time.timing())
    assert len(server.urls) == 1


async def test_stats_that_are_none_raise(ask: Ask, fake_time: FakeTime) -> None:
    server = Server({"stats": {}})

    with pytest.raises(MalformedReplyError, match="The generation gen-1"):
        await ask("generation", server.llm, "gen-1", timing=fake_time.timing())


# ── models ──────────────────────────────────────────────────────────────────


async def test_models_are_listed(llm: ChatOpenRouter, ask: Ask) -> None:
    found = {record.id: record for record in await ask("models", llm)}

    assert LOCAL_MODEL in found
    mini = found["openai/gpt-4o-mini"]
    assert mini.pricing.input_usd == Decimal("0.00000015")
    assert mini.input_modalities == ("text",)
    assert OpenRouterModel.CLAUDE_3_5_SONNET not in found


async def test_a_query_is_sent_as_openrouter_wants_it(ask: Ask) -> None:
    server = Server(page("tales/fox-1"))

    await ask(
        "models",
        server.llm,
        supported_parameters=["tools", "reasoning"],
        zdr=True,
        max_price=1,
        category=None,
    )

    assert httpx2.URL(server.urls[0]).params.multi_items() == [
        ("supported_parameters", "tools,reasoning"),
        ("zdr", "true"),
        ("max_price", "1"),
    ]


async def test_all_pages_are_fetched(ask: Ask) -> None:
    server = Server(
        page("tales/a", "tales/b", following="/api/v1/models?offset=2&limit=2"),
        page("tales/c", "tales/d", following="/api/v1/models?offset=4&limit=2"),
        page("tales/e"),
    )

    found = await ask("models", server.llm, limit=2, sort="newest")

    assert [record.id for record in found] == [f"tales/{name}" for name in "abcde"]
    assert server.urls == [
        f"{BASE}/models?limit=2&sort=newest",
        f"{BASE}/models?limit=2&sort=newest&offset=2",
        f"{BASE}/models?limit=2&sort=newest&offset=4",
    ]


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/api/v1/models?offset=1",
        "//evil.example/models?offset=1",
        "http://[evil?offset=1",
        "/somewhere/else?offset=1",
        "../../admin?offset=1",
    ],
)
async def test_the_key_follows_no_link_away(ask: Ask, link: str) -> None:
    server = Server(page("tales/a", following=link), page("tales/b"))

    assert len(await ask("models", server.llm)) == 2
    assert server.urls == [f"{BASE}/models", f"{BASE}/models?offset=1"]


@pytest.mark.parametrize("link", [None, "", "/api/v1/models", 7, {}], ids=repr)
async def test_a_link_that_leads_nowhere_is_the_end(ask: Ask, link: Any) -> None:
    server = Server(page("tales/a", following=link))

    assert len(await ask("models", server.llm)) == 1
    assert len(server.urls) == 1


async def test_a_list_that_goes_in_circles_ends(ask: Ask) -> None:
    circle = Server(page("tales/a", following="?offset=1"))
    empty = Server(page("tales/a", following="?offset=1"), page(following="?offset=2"))

    assert len(await ask("models", circle.llm)) == 2
    assert len(await ask("models", empty.llm)) == 1
    assert (len(circle.urls), len(empty.urls)) == (2, 2)


@pytest.mark.parametrize("links", [{}, {"links": None}, {"links": []}], ids=repr)
async def test_a_list_without_links_is_one_page(ask: Ask, links: dict[str, Any]) -> None:
    server = Server({"data": [{"id": "tales/a"}], **links})

    assert [record.id for record in await ask("models", server.llm)] == ["tales/a"]


async def test_a_list_that_is_none_raises(ask: Ask) -> None:
    with pytest.raises(MalformedReplyError, match="OpenRouter's list of models is not described"):
        await ask("models", Server({"models": []}).llm)


# ── refreshing the catalogue ────────────────────────────────────────────────


async def test_a_refresh_changes_what_members_say(llm: ChatOpenRouter, ask: Ask) -> None:
    before = OpenRouterModel.GPT_4O_MINI.info

    found = await ask("refresh_catalogue", llm)

    listed = {record.id: record for record in found}
    after = OpenRouterModel.GPT_4O_MINI.info
    assert after.context_length == listed["openai/gpt-4o-mini"].context_length
    assert after.context_length != before.context_length
    assert (after.status, after.use_cases) == ("available", before.use_cases)
    profile = known_profile(LOCAL_MODEL)
    assert profile is not None
    assert profile["tool_calling"] is True


async def test_a_member_that_is_listed_no_more_is_retired(ask: Ask) -> None:
    server = Server(page("anthropic/claude-3.5-sonnet"))

    await ask("refresh_catalogue", server.llm)

    assert OpenRouterModel.CLAUDE_3_5_SONNET.info.status == "available"
    assert OpenRouterModel.GPT_4O_MINI.info.status == "retired"
    assert OpenRouterModel.AUTO.info.status == "route"


@pytest.mark.parametrize(
    "answer",
    [page(), {"data": None}, (503, {"error": {"code": 503, "message": "down"}})],
    ids=["empty", "malformed", "down"],
)
async def test_a_refresh_that_fails_changes_nothing(ask: Ask, answer: Any) -> None:
    await ask("refresh_catalogue", Server(page("openai/gpt-4o")).llm)

    with pytest.raises((MalformedReplyError, UnavailableError)):
        await ask("refresh_catalogue", Server(answer).llm)

    assert OpenRouterModel.GPT_4O.info.status == "available"
    assert OpenRouterModel.GPT_4O_MINI.info.status == "retired"


# ── endpoints and health ────────────────────────────────────────────────────


@pytest.mark.parametrize("model", ["openai/gpt-4o-mini", OpenRouterModel.GPT_4O_MINI])
async def test_endpoints_are_listed(llm: ChatOpenRouter, ask: Ask, model: str) -> None:
    found = await ask("endpoints", llm, model)

    assert found.id == "openai/gpt-4o-mini"
    (endpoint,) = found.endpoints
    assert endpoint.provider_name == "FakeProvider"
    assert endpoint.pricing.output_usd == Decimal("0.0000006")
    assert endpoint.latency_s.p50 == pytest.approx(0.06)
    assert endpoint.throughput_tokens_per_s.p50 == 130
    assert found.health().verdict == "healthy"


async def test_an_unknown_model_has_no_endpoints(llm: ChatOpenRouter, ask: Ask) -> None:
    with pytest.raises(ModelNotFoundError, match="tales/fox-1 is not available") as caught:
        await ask("endpoints", llm, "tales/fox-1")

    assert caught.value.model == "tales/fox-1"
    assert caught.value.status_code == 404


async def test_the_health_of_a_model(llm: ChatOpenRouter, ask: Ask) -> None:
    health = await ask("health", llm, OpenRouterModel.CLAUDE_3_HAIKU)

    assert (health.model, health.verdict) == ("anthropic/claude-3-haiku", "healthy")
    assert health.uptime_percent == 100


async def test_an_unknown_model_is_unroutable(llm: ChatOpenRouter, ask: Ask) -> None:
    health = await ask("health", llm, "tales/fox-1")

    assert (health.model, health.verdict) == ("tales/fox-1", "unroutable")


async def test_health_is_no_answer_to_an_outage(ask: Ask) -> None:
    with pytest.raises(UnavailableError):
        await ask("health", Server((500, {"error": {"code": 500, "message": "x"}})).llm, "a/b")


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("openai/gpt-4o-mini:nitro", "openai/gpt-4o-mini"),
        ("openai/gpt-4o-mini@preset/bedtime", "openai/gpt-4o-mini"),
        ("meta-llama/llama-3.1-8b-instruct:free", "meta-llama/llama-3.1-8b-instruct:free"),
        ("~anthropic/claude-haiku-latest", "~anthropic/claude-haiku-latest"),
    ],
)
async def test_endpoints_are_asked_of_what_is_served(ask: Ask, model: str, path: str) -> None:
    server = Server({"data": {"id": path, "endpoints": []}})

    await ask("endpoints", server.llm, model)

    assert server.urls == [f"{BASE}/models/{path}/endpoints"]


@pytest.mark.parametrize(
    "model", ["", "gpt-4o", "../key", "a/../key", "a/b?x=1", "a/b#c", "a/b/c", "@preset/x", "a/ b"]
)
async def test_what_is_no_slug_is_not_asked_for(ask: Ask, model: str) -> None:
    server = Server({})

    for name in ("endpoints", "health"):
        with pytest.raises(ConfigurationError, match="slug"):
            await ask(name, server.llm, model)
    assert server.urls == []


# ── the key ─────────────────────────────────────────────────────────────────


async def test_the_key_knows_what_it_has_spent(llm: ChatOpenRouter, ask: Ask) -> None:
    cost = llm.invoke("Tell me of a fox.").response_metadata["cost"]

    found = await ask("key", llm)

    assert (found.limit_usd, found.remaining_usd) == (None, None)
    assert found.usage_usd == Decimal(str(cost))
    assert found.is_management_key is False
    assert llm.openai_api_key.get_secret_value() not in repr(found)  # type: ignore[union-attr]


async def test_a_wrong_key_is_refused_without_being_quoted(sandbox: Sandbox, ask: Ask) -> None:
    llm = chat_model(sandbox, api_key=SECRET)

    with pytest.raises(AuthenticationError, match="OPENROUTER_API_KEY") as caught:
        await ask("key", llm)

    assert SECRET not in f"{caught.value!s} {caught.value!r}"


# ── asking ──────────────────────────────────────────────────────────────────


async def test_nobody_there_is_a_failed_connection(ask: Ask) -> None:
    with Sandbox(engine="scripted") as gone:
        llm = chat_model(gone)

    with pytest.raises(ConnectionFailedError, match="list of models"):
        await ask("models", llm)


async def test_a_key_that_only_a_coroutine_tells_is_for_the_twins(sandbox: Sandbox) -> None:
    async def api_key() -> str:
        return sandbox.api_key

    llm = chat_model(sandbox, api_key=api_key)

    assert await account.amodels(llm)
    for blocking in (account.models, account.key, account.refresh_catalogue):
        with pytest.raises(ConfigurationError, match="await"):
            blocking(llm)
