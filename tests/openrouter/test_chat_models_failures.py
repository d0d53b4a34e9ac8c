"""Failures over real HTTP: one class each, however it is asked, with all that is known."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from langchain_tale import errors
from langchain_tale.sandbox import Fault
from tests.conftest import chat_model
from tests.openrouter.replies import STOP, Wire, event, reply, sse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from langchain_tale.openrouter.chat_models import ChatOpenRouter
    from langchain_tale.sandbox import Sandbox

STATUSES = {
    400: errors.InvalidRequestError,
    401: errors.AuthenticationError,
    402: errors.InsufficientCreditsError,
    403: errors.PermissionDeniedError,
    404: errors.ModelNotFoundError,
    408: errors.RequestTimeoutError,
    413: errors.InvalidRequestError,
    429: errors.RateLimitError,
    500: errors.UnavailableError,
    502: errors.UnavailableError,
    503: errors.UnavailableError,
    524: errors.RequestTimeoutError,
    529: errors.UnavailableError,
}


async def every_failure(llm: ChatOpenRouter) -> list[errors.ExternalServiceError]:
    """What each of the four ways of asking raises."""

    async def astream() -> Any:
        return [chunk async for chunk in llm.astream("x")]

    ways: list[Callable[[], Any]] = [lambda: llm.invoke("x"), lambda: list(llm.stream("x"))]
    aways: list[Callable[[], Awaitable[Any]]] = [lambda: llm.ainvoke("x"), astream]
    caught: list[errors.ExternalServiceError] = []
    for way in ways:
        with pytest.raises(errors.ExternalServiceError) as failed:
            way()
        caught.append(failed.value)
    for away in aways:
        with pytest.raises(errors.ExternalServiceError) as failed:
            await away()
        caught.append(failed.value)
    return caught


@pytest.mark.parametrize("kind", ["http", "body"])
@pytest.mark.parametrize("status", STATUSES)
async def test_a_failure_has_one_class_however_it_is_asked(
    faulty: Callable[..., Sandbox], status: int, kind: Any
) -> None:
    fault = Fault(kind=kind, status=status, headers={"Retry-After": "3"}, message="no sk-or-v1-abc")
    caught = await every_failure(chat_model(faulty({"a/b": [fault] * 4}), "a/b"))

    assert {type(error) for error in caught} == {STATUSES[status]}
    assert {(e.status_code, e.retry_after_s, e.model) for e in caught} == {(status, 3.0, "a/b")}
    assert "sk-or-v1-abc" not in "".join(map(str, caught))
    assert all(error.generation_id for error in caught)


HEADERS = {"x-request-id": "req", "cf-ray": "ray", "x-generation-id": "gen-1"}
AVAILABLE = {
    "message": "busy",
    "error_type": "rate_limit_exceeded",
    "http_status": 429,
    "availability": {"code": "capacity_exhausted", "retryable": True, "retry_after": 7},
}
OLD = {"code": 429, "message": "Provider returned error", "metadata": {"provider_name": "Google"}}
CHOICE = {"finish_reason": "error", "error": {"code": 502, "message": "x"}}
ANSWERS: dict[str, tuple[dict[str, Any], type[errors.ExternalServiceError], dict[str, Any]]] = {
    "availability": (
        {"status_code": 429, "headers": HEADERS, "json": {"error": AVAILABLE, "user_id": "u"}},
        errors.RateLimitError,
        {"status_code": 429, "retry_after_s": 7.0, "retryable": True, "request_id": "req"},
    ),
    "older metadata": (
        {"status_code": 429, "json": {"error": OLD}},
        errors.RateLimitError,
        {"provider_name": "Google", "status_code": 429, "raw": {"error": OLD}},
    ),
    "a page of the edge": (
        {"status_code": 502, "headers": {"cf-ray": "ray"}, "html": "<html>bad gateway</html>"},
        errors.UnavailableError,
        {"status_code": 502, "request_id": "ray", "raw": "<html>bad gateway</html>"},
    ),
    "a late page of the edge": (
        {"status_code": 524, "html": "<html>timeout</html>"},
        errors.RequestTimeoutError,
        {"status_code": 524},
    ),
    "a page inside a 200": (
        {"status_code": 200, "headers": {"cf-ray": "ray"}, "html": "<html>hello</html>"},
        errors.MalformedReplyError,
        {"status_code": 200, "request_id": "ray"},
    ),
    "an error in a choice": (
        {"status_code": 200, "headers": HEADERS, "json": reply({"content": "Once"}, choice=CHOICE)},
        errors.UnavailableError,
        {"status_code": 502, "provider_name": "P", "generation_id": "gen-1"},
    ),
    "no choice": (
        {"status_code": 200, "headers": HEADERS, "json": {"choices": None}},
        errors.MalformedReplyError,
        {"generation_id": "gen-1", "request_id": "req"},
    ),
    "no content": (
        {"status_code": 500, "content": b""},
        errors.UnavailableError,
        {"status_code": 500},
    ),
}


@pytest.mark.parametrize(("response", "kind", "facts"), ANSWERS.values(), ids=ANSWERS)
async def test_an_error_of_any_shape_tells_all_it_knows(
    response: dict[str, Any], kind: type[errors.ExternalServiceError], facts: dict[str, Any]
) -> None:
    for error in await every_failure(Wire(lambda _: httpx2.Response(**response)).llm()):
        assert isinstance(error, kind)
        assert {name: getattr(error, name) for name in facts} == facts
        assert error.model == "a/b"
        assert "html" not in str(error).replace("text/html", "")


KINDS: dict[str, tuple[type[errors.ExternalServiceError], str, str]] = {
    "html": (errors.UnavailableError, "502", ""),
    "hangup": (errors.ConnectionFailedError, "No connection", ""),
    "choiceless": (errors.MalformedReplyError, "try again", ""),
    "empty": (errors.EmptyReplyError, "without saying anything", ""),
    "starved": (errors.EmptyReplyError, "reasoning tokens.*raise max_tokens", ""),
    "choice": (errors.UnavailableError, "502", "# The"),
    "truncated": (errors.MalformedReplyError, "no JSON", ""),
    "drop": (errors.ConnectionFailedError, "No connection", ""),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_whatever_goes_wrong_is_one_error_in_all_ways_of_asking(
    faulty: Callable[..., Sandbox], kind: Any
) -> None:
    llm = chat_model(faulty({"a/b": [Fault(kind=kind, status=502)] * 4}), "a/b")
    wanted, sentence, partial_text = KINDS[kind]

    for error in await every_failure(llm):
        assert isinstance(error, wanted)
        assert re.search(sentence, str(error))
        assert (error.partial_text or "").startswith(partial_text)


def test_an_answer_cut_off_by_max_tokens_is_an_answer(llm: ChatOpenRouter) -> None:
    message = llm.invoke("Tell me of a fox.", max_tokens=5)

    assert len(message.text.split()) == 5
    assert message.response_metadata["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(kind="cut", after_chunks=3), errors.BrokenStreamError),
        (Fault(kind="midstream", status=502, after_chunks=3), errors.UnavailableError),
        (Fault(kind="midstream", status=429, after_chunks=3), errors.RateLimitError),
    ],
    ids=["cut", "502", "429"],
)
async def test_a_broken_stream_keeps_what_came(
    faulty: Callable[..., Sandbox], fault: Fault, kind: type[errors.ExternalServiceError]
) -> None:
    llm = chat_model(faulty({"a/b": [fault] * 2}), "a/b")
    texts: list[str] = []

    with pytest.raises(kind) as caught:
        texts.extend(chunk.text for chunk in llm.stream("x"))
    assert caught.value.partial_text == "".join(texts) == "# The Tale"
    with pytest.raises(kind) as async_caught:
        await anext(chunk async for chunk in llm.astream("x") if chunk.chunk_position == "last")
    assert async_caught.value.partial_text == "# The Tale"


@pytest.mark.parametrize("is_done", [True, False], ids=["done", "not done"])
def test_a_stream_needs_a_finish_reason_and_not_its_last_word(is_done: Any) -> None:
    whole = [event({"content": "Once"}), event(choice=STOP)]

    answered = Wire(lambda _: sse(whole, done=is_done)).llm()
    assert "".join(chunk.text for chunk in answered.stream("x")) == "Once"
    broken = Wire(lambda _: sse(whole[:1], done=is_done)).llm()
    with pytest.raises(errors.BrokenStreamError):
        list(broken.stream("x"))


def test_a_connection_lost_in_mid_stream_keeps_what_came() -> None:
    class Lost(httpx2.SyncByteStream):
        def __iter__(self) -> Any:
            yield sse([event({"content": "Once"})], done=False).content
            msg = "reset"
            raise httpx2.ReadError(msg)

    headers = {"content-type": "text/event-stream", "x-generation-id": "gen-1"}
    llm = Wire(lambda _: httpx2.Response(200, headers=headers, stream=Lost())).llm()

    with pytest.raises(errors.ConnectionFailedError) as caught:
        list(llm.stream("x"))
    assert caught.value.partial_text == "Once"


def test_no_server_is_a_connection_error(sandbox: Sandbox) -> None:
    llm = chat_model(sandbox, base_url="http://127.0.0.1:9/api/v1")

    with pytest.raises(errors.ConnectionFailedError, match="base_url"):
        llm.invoke("x")


# ── the SDK's own retries ───────────────────────────────────────────────────


def test_a_bare_model_is_retried_and_counted(faulty: Callable[..., Sandbox]) -> None:
    quick = {"Retry-After": "0.001"}
    sandbox = faulty({"a/b": [Fault(status=503, headers=quick)] * 4})
    llm = chat_model(sandbox, "a/b", max_retries=2)

    with pytest.raises(errors.UnavailableError):
        llm.invoke("x")
    assert sandbox.requests["a/b"] == 3
    assert llm.invoke("x").text
    assert sandbox.requests["a/b"] == 5


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404])
def test_what_no_retry_mends_is_not_retried(faulty: Callable[..., Sandbox], status: int) -> None:
    sandbox = faulty({"a/b": [Fault(status=status)] * 2})

    with pytest.raises(STATUSES[status]):
        chat_model(sandbox, "a/b", max_retries=2).invoke("x")
    assert sandbox.requests["a/b"] == 1
