"""Our own hand beside the SDK's, through the same faults over real HTTP."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx2
import openai
import pytest
from openai._base_client import BaseClient
from openai._utils._json import openapi_dumps
from pydantic import BaseModel

from langchain_tale.errors import ExternalServiceError
from langchain_tale.openrouter.chat_models import ChatOpenRouter
from langchain_tale.openrouter.sending import Sending
from tests.openrouter.scripted_answers import ScriptedAnswers

if TYPE_CHECKING:
    from collections.abc import Callable

    Answers = tuple[tuple[int, dict[str, str]] | None, ...]

OK: tuple[int, dict[str, str]] = (200, {"content-type": "application/json"})
MAX_RETRIES = 2
FAULTS: dict[str, Answers] = {
    "nothing": (OK,),
    "lost once": (None, OK),
    "lost": (None,),
    "408": ((408, {}), OK),
    "409": ((409, {}), OK),
    "429": ((429, {}),),
    "429 and seconds": ((429, {"retry-after": "1.5"}), OK),
    "429 and milliseconds": ((429, {"retry-after-ms": "700"}), OK),
    "429 and too long": ((429, {"retry-after": "121"}),),
    "429 and no number": ((429, {"retry-after": "soon"}), OK),
    "429 and never": ((429, {"retry-after": "1e999"}),),
    "429 and a date far off": ((429, {"retry-after": "Fri, 01 Jan 2100 00:00:00 GMT"}),),
    "429 and a date gone by": ((429, {"retry-after": "Fri, 01 Jan 2016 00:00:00 GMT"}), OK),
    "500, 502, 503": ((500, {}), (502, {}), (503, {})),
    "529": ((529, {}), OK),
    "500 not to be retried": ((500, {"x-should-retry": "false"}),),
    "400 to be retried": ((400, {"x-should-retry": "true"}), OK),
    "400": ((400, {}),),
    "401": ((401, {}),),
    "404": ((404, {}),),
    "304": ((304, {}),),
    "a redirect that keeps the method": ((307, {"location": "/v2/x"}), OK),
    "one that does not": ((302, {"location": "/v2/x"}), OK),
    "one to nowhere": ((307, {}),),
    "for ever": ((307, {"location": "/v2/x"}),),
}


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would have been waited, without jitter."""
    noted: list[float] = []
    plain = BaseClient._calculate_retry_timeout

    def noting(*args: Any, **kwargs: Any) -> float:
        noted.append(plain(*args, **kwargs))
        return 0.0

    monkeypatch.setattr("openai._base_client.random", lambda: 0.0)
    monkeypatch.setattr(BaseClient, "_calculate_retry_timeout", noting)
    return noted


def sdk(server: ScriptedAnswers) -> str:
    with httpx2.Client(follow_redirects=True) as http:
        client = openai.OpenAI(
            api_key="sk-or-v1-x", base_url=server.url, http_client=http, max_retries=MAX_RETRIES
        )
        try:
            client.post("/chat/completions", cast_to=httpx2.Response, body={"model": "a/b"})
        except openai.APIStatusError as error:
            return str(error.status_code)
        except openai.APIConnectionError:
            return "None"
        return "ok"


def model(server: ScriptedAnswers) -> ChatOpenRouter:
    return ChatOpenRouter(
        model="a/b", api_key="sk-or-v1-x", base_url=server.url, max_retries=MAX_RETRIES
    )


def came_to(ask: Callable[[], Any]) -> str:
    try:
        ask()
    except ExternalServiceError as error:
        return str(error.status_code)
    return "ok"


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_retried_as_the_sdk_does(fault: str, waits: list[float]) -> None:
    def note(outcome: str) -> tuple[str, list[str], list[float]]:
        noted = outcome, list(server.requests), list(waits)
        server.again()
        waits.clear()
        return noted

    async def read() -> None:
        async for _ in llm.astream("x"):
            pass

    with ScriptedAnswers(*FAULTS[fault]) as server:
        theirs = note(sdk(server))
        llm = model(server)
        ours = {
            "invoke": note(came_to(lambda: llm.invoke("x"))),
            "stream": note(came_to(lambda: list(llm.stream("x")))),
            "ainvoke": note(came_to(lambda: asyncio.run(llm.ainvoke("x")))),
            "astream": note(came_to(lambda: asyncio.run(read()))),
        }

    assert ours == dict.fromkeys(ours, theirs)


@pytest.mark.parametrize("max_retries", [-1, 1.5])
async def test_a_number_of_retries_that_is_none_sends_nothing(max_retries: Any) -> None:
    with ScriptedAnswers(OK) as server:
        llm = model(server)
        with pytest.raises((TypeError, ValueError), match="max_retries must be"):
            llm.invoke("x", max_retries=max_retries)
        with pytest.raises((TypeError, ValueError), match="max_retries must be"):
            await llm.ainvoke("x", max_retries=max_retries)

    assert server.requests == []


# ── bodies ──────────────────────────────────────────────────────────────────


class Point(BaseModel):
    x: int = 1


@pytest.mark.parametrize(
    "value",
    [
        "ein Märchen 🦊 \u2028 \x00 null",
        [1, 0.1, 1e16, 1e-7, 2**70, True, None, ()],
        {1: {"a": None}},
        Point(x=2),
        datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    ],
    ids=repr,
)
def test_a_body_is_the_json_that_the_sdk_writes(value: Any) -> None:
    body = {"model": "a/b", "value": value}
    content = Sending("/x", body, {}, {}, None, 0, None).content

    assert content is not None
    assert json.loads(content) == json.loads(openapi_dumps(body))


@pytest.mark.parametrize("value", [float("nan"), "\ud800", {1}], ids=ascii)
def test_what_the_sdk_cannot_write_is_refused_as_it_does(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)) as theirs:
        openapi_dumps({"value": value})
    with pytest.raises(theirs.type):
        Sending("/x", {"value": value}, {}, {}, None, 0, None)
