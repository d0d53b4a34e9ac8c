from __future__ import annotations

import inspect
import json
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from langchain_tale.catalogue import OpenRouterModel
from langchain_tale.client import OpenRouterClient
from langchain_tale.errors import (
    AllModelsFailedError,
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    ExternalServiceError,
    InvalidRequestError,
    RateLimitError,
    TaleError,
    UnavailableError,
)
from langchain_tale.sandbox import SANDBOX_KEY, Fault, Sandbox
from langchain_tale.sandbox.engines import ScriptedEngine
from langchain_tale.story.result import StoryGenerationResult

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.conftest import FakeTime

MINI = OpenRouterModel.GPT_4O_MINI
SECRET = "sk-or-v1-secret"
DOWN = Fault(status=503)
STORY_PARAMETERS = {
    "prompt": inspect.Parameter.empty,
    "model": MINI,
    "max_tokens": 1000,
    "max_retries": 3,
    "retry_delay": 1.0,
}


def client_of(sandbox: Sandbox, fake_time: FakeTime | None = None) -> OpenRouterClient:
    timing = fake_time.timing() if fake_time else None
    return OpenRouterClient(sandbox.api_key, base_url=sandbox.base_url, timing=timing)


# ── the contract of existing callers ────────────────────────────────────────


@pytest.mark.parametrize("name", ["generate_story", "agenerate_story"])
def test_a_story_is_asked_for_with_the_parameters_of_old(name: str) -> None:
    parameters = dict(inspect.signature(getattr(OpenRouterClient, name)).parameters)
    del parameters["self"]

    assert {name: p.default for name, p in parameters.items()} == STORY_PARAMETERS
    assert all(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters.values())


def test_a_client_is_made_with_a_key_and_a_base_url() -> None:
    parameters = inspect.signature(OpenRouterClient).parameters

    assert list(parameters)[:2] == ["api_key", "base_url"]
    assert parameters["api_key"].default is None
    assert parameters["base_url"].default is None
    assert parameters["base_url"].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("name", ["fetch_generation_info", "afetch_generation_info"])
def test_the_stats_are_asked_for_by_id(name: str) -> None:
    assert list(inspect.signature(getattr(OpenRouterClient, name)).parameters) == [
        "self",
        "generation_id",
    ]


def test_the_coroutines_are_coroutines() -> None:
    assert inspect.iscoroutinefunction(OpenRouterClient.agenerate_story)
    assert inspect.iscoroutinefunction(OpenRouterClient.afetch_generation_info)


# ── keys and base URLs ──────────────────────────────────────────────────────


@pytest.mark.parametrize("api_key", [None, "", "  "])
def test_without_a_key_there_is_no_client(api_key: str | None) -> None:
    with pytest.raises(ValueError, match="OPENROUTER_API_KEY") as caught:
        OpenRouterClient(api_key)

    assert isinstance(caught.value, ConfigurationError)
    assert isinstance(caught.value, TaleError)


def test_the_key_and_the_base_url_come_from_the_environment(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", sandbox.api_key)
    monkeypatch.setenv("OPENROUTER_API_BASE", sandbox.base_url)

    assert OpenRouterClient().generate_story("Tell me of a fox.").content


def test_the_arguments_win_over_the_environment(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-wrong")
    monkeypatch.setenv("OPENROUTER_API_BASE", "http://127.0.0.1:9/api/v1")

    assert client_of(sandbox).generate_story("Tell me of a fox.").content


def test_a_key_may_be_a_function(sandbox: Sandbox) -> None:
    client = OpenRouterClient(lambda: sandbox.api_key, base_url=sandbox.base_url)

    assert client.generate_story("Tell me of a fox.").content


@pytest.mark.parametrize(
    "base_url", ["http://openrouter.ai/api/v1", "openrouter.ai", "https://u:p@openrouter.ai"]
)
def test_a_key_is_sent_to_no_unsafe_place_and_quoted_in_no_error(base_url: str) -> None:
    with pytest.raises(ConfigurationError, match="base URL") as caught:
        OpenRouterClient(SECRET, base_url=base_url)

    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_representation_shows_where_it_sends_and_hides_the_key(sandbox: Sandbox) -> None:
    assert repr(client_of(sandbox)) == f"OpenRouterClient(base_url='{sandbox.base_url}')"


# ── stories ─────────────────────────────────────────────────────────────────


class Recorder(ScriptedEngine):
    """Says `reply`, and keeps the last body."""

    def __init__(self, reply: str) -> None:
        super().__init__(self._keep)
        self.said = reply
        self.body: Mapping[str, Any] = {}

    def _keep(self, body: Mapping[str, Any]) -> str:
        self.body = body
        return self.said


def test_a_story_comes_with_all_that_is_known_of_it(sandbox: Sandbox) -> None:
    result = client_of(sandbox).generate_story(prompt="Tell me of a fox.", model=MINI)

    assert isinstance(result, StoryGenerationResult)
    assert result.content
    assert result.model is MINI
    assert result.full_response["choices"][0]["message"]["content"] == result.content
    assert result.generation_info is not None
    assert result.generation_info["id"] == result.generation_id == result.full_response["id"]
    assert result.cost_usd == result.full_response["usage"]["cost"]
    assert len(result.attempts) == 1
    json.dumps(result.to_dict())


def test_the_text_is_the_models_word_for_word() -> None:
    said = "\n# The Fox\n\nOnce upon a time. \n"
    with Sandbox(Recorder(said), lateness_s=0.0) as sandbox:
        result = client_of(sandbox).generate_story("Tell me of a fox.")

    assert (result.title, result.content) == (None, said)


def test_the_prompt_is_sent_as_it_is_with_the_room_given() -> None:
    recorder = Recorder("Once.")
    with Sandbox(recorder, lateness_s=0.0) as sandbox:
        client_of(sandbox).generate_story(" Tell\nme {of} a fox. ", "qwen/qwen-max", 77)

    assert recorder.body == {
        "model": "qwen/qwen-max",
        "messages": [{"role": "user", "content": " Tell\nme {of} a fox. "}],
        "max_tokens": 77,
        "stream": False,
    }


@pytest.mark.parametrize("model", ["qwen/qwen-max", OpenRouterModel.CLAUDE_3_HAIKU])
def test_any_slug_is_a_model(sandbox: Sandbox, model: str) -> None:
    result = client_of(sandbox).generate_story("Tell me of a fox.", model)

    assert result.model == model
    assert isinstance(result.model, OpenRouterModel) == isinstance(model, OpenRouterModel)


def test_the_model_named_is_the_one_that_answered(sandbox: Sandbox) -> None:
    result = client_of(sandbox).generate_story("Tell me of a fox.", OpenRouterModel.AUTO)

    assert result.model == "huggingfacetb/smollm2-135m-instruct"


def test_a_story_at_its_limit_is_cut_off(sandbox: Sandbox) -> None:
    result = client_of(sandbox).generate_story("Tell me of a fox.", max_tokens=3)

    assert result.is_cut_off
    assert len(result.content.split(" ")) == 3


async def test_the_twin_tells_the_same_story(sandbox: Sandbox) -> None:
    client = client_of(sandbox)

    awaited = await client.agenerate_story("Tell me of a fox.", MINI, 50)
    plain = client.generate_story("Tell me of a fox.", MINI, 50)

    assert awaited.content == plain.content
    assert awaited.model is plain.model
    assert awaited.generation_id != plain.generation_id


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": " \n"}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"model": ""}, "model"),
        ({"model": None}, "model"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_retries": -1}, "max_retries"),
        ({"retry_delay": -0.1}, "retry_delay"),
    ],
    ids=str,
)
async def test_a_wrong_argument_is_named_before_anything_is_sent(
    sandbox: Sandbox, arguments: dict[str, Any], named: str
) -> None:
    client = client_of(sandbox)
    given = {"prompt": "Tell me of a fox.", **arguments}

    with pytest.raises(ValueError, match=named) as caught:
        client.generate_story(**given)
    with pytest.raises(ConfigurationError, match=named):
        await client.agenerate_story(**given)

    assert isinstance(caught.value, ConfigurationError)
    assert not sandbox.requests


# ── retries ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("max_retries", [1, 2, 5])
async def test_there_is_one_request_more_than_retries(
    faulty: Callable[..., Sandbox], fake_time: FakeTime, max_retries: int
) -> None:
    sandbox = faulty({MINI: [DOWN] * 99})
    client = client_of(sandbox, fake_time)

    with pytest.raises(AllModelsFailedError) as caught:
        client.generate_story("Tell me of a fox.", max_retries=max_retries)
    assert sandbox.requests[MINI] == max_retries + 1 == len(caught.value.attempts)

    with pytest.raises(AllModelsFailedError):
        await client.agenerate_story("Tell me of a fox.", max_retries=max_retries)
    assert sandbox.requests[MINI] == 2 * (max_retries + 1)


async def test_waits_double(faulty: Callable[..., Sandbox], fake_time: FakeTime) -> None:
    sandbox = faulty({MINI: [DOWN] * 99})
    client = client_of(sandbox, fake_time)

    with pytest.raises(ExternalServiceError):
        client.generate_story("Tell me of a fox.", max_retries=4, retry_delay=0.5)
    assert fake_time.slept == [0.5, 1, 2, 4]

    with pytest.raises(ExternalServiceError):
        await client.agenerate_story("Tell me of a fox.", max_retries=2, retry_delay=3)
    assert fake_time.slept[4:] == [3, 6]


def test_jitter_comes_on_top(faulty: Callable[..., Sandbox], fake_time: FakeTime) -> None:
    sandbox = faulty({MINI: [DOWN] * 99})
    most = replace(fake_time.timing(), uniform=lambda _low, high: high)
    client = OpenRouterClient(sandbox.api_key, base_url=sandbox.base_url, timing=most)

    with pytest.raises(ExternalServiceError):
        client.generate_story("Tell me of a fox.", max_retries=2, retry_delay=4)

    assert all(4 * 2**n < wait <= 8 * 2**n for n, wait in enumerate(fake_time.slept))
    assert len(fake_time.slept) == 2


def test_no_retries_are_one_request_and_its_own_error(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    sandbox = faulty({MINI: [DOWN] * 99})

    with pytest.raises(UnavailableError) as caught:
        client_of(sandbox, fake_time).generate_story("Tell me of a fox.", max_retries=0)

    assert caught.value.status_code == 503
    assert sandbox.requests[MINI] == 1
    assert fake_time.slept == []


def test_every_error_is_inside_the_last_one(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    faults = [DOWN, Fault(status=429), Fault(kind="body", status=502), Fault(kind="empty")]
    sandbox = faulty({MINI: faults})

    with pytest.raises(AllModelsFailedError) as caught:
        client_of(sandbox, fake_time).generate_story("Tell me of a fox.", max_retries=3)

    assert [type(attempt.error).__name__ for attempt in caught.value.attempts] == [
        "UnavailableError",
        "RateLimitError",
        "UnavailableError",
        "EmptyReplyError",
    ]
    assert [attempt.number for attempt in caught.value.attempts] == [1, 2, 3, 4]
    assert isinstance(caught.value, ExternalServiceError)


def test_a_story_that_took_several_tries_tells_of_them(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    sandbox = faulty({MINI: [DOWN, Fault(status=429)]})

    result = client_of(sandbox, fake_time).generate_story("Tell me of a fox.")

    assert [type(attempt.error) for attempt in result.attempts] == [
        UnavailableError,
        RateLimitError,
        type(None),
    ]
    assert [attempt.waited_s for attempt in result.attempts] == [0, 1, 2]
    assert result.latency_s == 3


@pytest.mark.parametrize("status", [400, 402, 403, 422])
async def test_what_no_try_can_mend_is_asked_once(
    faulty: Callable[..., Sandbox], fake_time: FakeTime, status: int
) -> None:
    sandbox = faulty({MINI: [Fault(status=status)] * 99})
    client = client_of(sandbox, fake_time)

    with pytest.raises(ExternalServiceError) as caught:
        client.generate_story("Tell me of a fox.")
    assert (sandbox.requests[MINI], caught.value.status_code) == (1, status)
    assert not isinstance(caught.value, AllModelsFailedError)
    assert isinstance(caught.value, InvalidRequestError) == (status in {400, 422})

    with pytest.raises(ExternalServiceError):
        await client.agenerate_story("Tell me of a fox.")
    assert sandbox.requests[MINI] == 2
    assert fake_time.slept == []


async def test_a_wrong_key_fails_at_once(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    sandbox = faulty({MINI: [Fault(status=401)] * 99})
    client = client_of(sandbox, fake_time)
    other = OpenRouterClient(SECRET, base_url=sandbox.base_url, timing=fake_time.timing())

    with pytest.raises(AuthenticationError):
        client.generate_story("Tell me of a fox.")
    assert sandbox.requests[MINI] == 1
    with pytest.raises(AuthenticationError) as caught:
        await other.agenerate_story("Tell me of a fox.")

    assert caught.value.status_code == 401
    assert fake_time.slept == []
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_neither_the_key_nor_the_prompt_is_in_an_error(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    sandbox = faulty({MINI: [DOWN] * 99})

    with pytest.raises(ExternalServiceError) as caught:
        client_of(sandbox, fake_time).generate_story("Tell Mia of a fox.")

    told = f"{caught.value!s} {caught.value!r}"
    assert SANDBOX_KEY not in told
    assert "Mia" not in told


def test_nobody_there_is_a_failed_connection(fake_time: FakeTime) -> None:
    with Sandbox(engine="scripted") as gone:
        client = client_of(gone, fake_time)

    with pytest.raises(AllModelsFailedError) as caught:
        client.generate_story("Tell me of a fox.", max_retries=1)

    assert [type(attempt.error) for attempt in caught.value.attempts] == [ConnectionFailedError] * 2
    assert fake_time.slept == [1]


# ── stats ───────────────────────────────────────────────────────────────────


async def test_the_stats_of_a_story_are_found(sandbox: Sandbox, fake_time: FakeTime) -> None:
    client = client_of(sandbox, fake_time)
    result = client.generate_story("Tell me of a fox.")

    stats = client.fetch_generation_info(result.generation_id)

    assert stats is not None
    assert stats["id"] == result.generation_id
    assert stats["total_cost"] == result.cost_usd
    assert stats == await client.afetch_generation_info(result.generation_id)
    assert fake_time.slept == []


class LateTime:
    """Waits for nothing; after `waits` waits the sandbox knows every generation."""

    def __init__(self, sandbox: Sandbox, fake_time: FakeTime, waits: int) -> None:
        self.slept: list[float] = []
        self._sandbox, self._waits = sandbox, waits
        self.timing = replace(fake_time.timing(), sleep=self.sleep, asleep=self.asleep)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if len(self.slept) == self._waits:
            records = self._sandbox._stats._records
            for generation_id, (_, record) in records.items():
                records[generation_id] = (0.0, record)

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)


@pytest.mark.parametrize("awaited", [False, True], ids=["plain", "awaited"])
async def test_stats_that_are_late_are_asked_for_again(
    fake_time: FakeTime, *, awaited: bool
) -> None:
    with Sandbox(engine="scripted", lateness_s=9999.0) as sandbox:
        late = LateTime(sandbox, fake_time, waits=3)
        client = OpenRouterClient(sandbox.api_key, base_url=sandbox.base_url, timing=late.timing)
        asked = client.generate_story("Tell me of a fox.").generation_id
        if awaited:
            stats = await client.afetch_generation_info(asked)
        else:
            stats = client.fetch_generation_info(asked)

    assert stats is not None
    assert stats["id"] == asked
    assert len(late.slept) == 3


async def test_of_an_unknown_generation_there_are_no_stats_after_a_few_seconds(
    sandbox: Sandbox, fake_time: FakeTime
) -> None:
    client = client_of(sandbox, fake_time)

    assert client.fetch_generation_info("gen-unknown") is None
    assert len(fake_time.slept) == 5
    assert 3 <= sum(fake_time.slept) <= 7
    assert await client.afetch_generation_info("gen-unknown") is None
    assert len(fake_time.slept) == 10


@pytest.mark.parametrize("nothing", [None, ""])
async def test_of_no_generation_there_are_no_stats_and_nobody_is_asked(
    fake_time: FakeTime, nothing: str | None
) -> None:
    with Sandbox(engine="scripted") as gone:
        client = client_of(gone, fake_time)

    assert client.fetch_generation_info(nothing) is None
    assert await client.afetch_generation_info(nothing) is None


def test_stats_need_a_key_that_is_right(sandbox: Sandbox, fake_time: FakeTime) -> None:
    client = OpenRouterClient("sk-wrong", base_url=sandbox.base_url, timing=fake_time.timing())

    with pytest.raises(AuthenticationError):
        client.fetch_generation_info("gen-1")

    assert fake_time.slept == []
