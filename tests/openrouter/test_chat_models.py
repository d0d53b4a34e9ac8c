"""`ChatOpenRouter` over real HTTP."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.load import dumpd, load
from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel, SecretStr

from langchain_tale import errors
from langchain_tale.catalogue import OpenRouterModel
from langchain_tale.errors import ConfigurationError
from langchain_tale.openrouter.chat_models import ChatOpenRouter
from langchain_tale.sandbox import Fault, Sandbox
from langchain_tale.sandbox.engines import ScriptedEngine
from tests.conftest import chat_model

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

FACTS = {"id", "model_name", "provider_name", "finish_reason", "native_finish_reason", "cost"}


class Recorder(ScriptedEngine):
    """The scripted engine, with a memory for what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[Mapping[str, Any]] = []

    async def generate(self, request: Mapping[str, Any]) -> AsyncGenerator[Any]:
        self.bodies.append(request)
        async for item in super().generate(request):
            yield item


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


class Scene(BaseModel):
    """A scene."""

    place: str
    hours: int


# ── answers ─────────────────────────────────────────────────────────────────


def test_an_answer_carries_its_facts(llm: ChatOpenRouter) -> None:
    message = llm.invoke("Tell me of a fox.")

    assert message.text.startswith("# The Tale of")
    assert message.response_metadata.keys() >= FACTS
    assert message.response_metadata["model_name"] == "openai/gpt-4o-mini"
    assert message.response_metadata["provider_name"] == "Sandbox (scripted)"
    assert message.response_metadata["id"].startswith("gen-")
    assert message.response_metadata["cost"] > 0
    assert message.usage_metadata is not None
    assert message.usage_metadata["output_tokens"] > 10


def test_a_streamed_answer_carries_the_same_facts_once(llm: ChatOpenRouter) -> None:
    whole = llm.invoke("Tell me of a fox.")
    chunks = list(llm.stream("Tell me of a fox."))
    streamed = sum(chunks[1:], start=chunks[0])

    assert isinstance(streamed, AIMessageChunk)
    assert streamed.text == whole.text
    assert len(chunks) > 10
    assert streamed.usage_metadata == whole.usage_metadata
    same = FACTS - {"id"}
    assert {k: streamed.response_metadata[k] for k in same} == {
        k: whole.response_metadata[k] for k in same
    }
    assert streamed.response_metadata["finish_reason"] == "stop"


async def test_the_async_twins_give_the_same(llm: ChatOpenRouter) -> None:
    whole = llm.invoke("Tell me of a fox.")

    assert (await llm.ainvoke("Tell me of a fox.")).text == whole.text
    assert [m.text for m in await llm.abatch(["Tell me of a fox."] * 3)] == [whole.text] * 3
    texts = [chunk.text async for chunk in llm.astream("Tell me of a fox.")]
    assert "".join(texts) == whole.text


def test_a_batch_keeps_its_order(llm: ChatOpenRouter) -> None:
    prompts: list[Any] = [f"Story number {n}" for n in range(8)]

    assert [m.text for m in llm.batch(prompts)] == [llm.invoke(p).text for p in prompts]


def test_truncation_is_an_answer_that_says_so(llm: ChatOpenRouter) -> None:
    message = llm.invoke("Tell me of a fox.", max_tokens=5)

    assert len(message.text.split()) == 5
    assert message.response_metadata["finish_reason"] == "length"


def test_tools_are_called_and_answered(llm: ChatOpenRouter) -> None:
    bound = llm.bind_tools([weather])
    question = HumanMessage("How is the weather?")
    asking = bound.invoke([question])

    assert [call["name"] for call in asking.tool_calls] == ["weather"]
    assert asking.response_metadata["finish_reason"] == "tool_calls"
    answer = ToolMessage(
        weather.invoke(asking.tool_calls[0]["args"]), tool_call_id=asking.tool_calls[0]["id"]
    )
    assert bound.invoke([question, asking, answer]).text


def test_streamed_tool_calls_are_whole(llm: ChatOpenRouter) -> None:
    chunks = list(llm.bind_tools([weather]).stream("How is the weather?"))
    streamed = sum(chunks[1:], start=chunks[0])

    assert isinstance(streamed, AIMessageChunk)
    assert [call["args"] for call in streamed.tool_calls] == [{"city": "fox"}]


@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
def test_structured_output_is_parsed(llm: ChatOpenRouter, method: Any) -> None:
    structured = llm.with_structured_output(Scene, method=method)

    assert structured.invoke("A scene, please.") == Scene(place="fox", hours=1)
    assert list(structured.stream("A scene, please."))[-1] == Scene(place="fox", hours=1)


def test_usage_is_counted_by_langchains_own_handler(llm: ChatOpenRouter) -> None:
    with get_usage_metadata_callback() as counted:
        message = llm.invoke("Tell me of a fox.")

    assert message.usage_metadata is not None
    total = counted.usage_metadata["openai/gpt-4o-mini"]["total_tokens"]
    assert total == message.usage_metadata["total_tokens"]


def test_usage_of_several_is_added_up(llm: ChatOpenRouter) -> None:
    result = llm.generate([[HumanMessage("one")], [HumanMessage("two")]])
    costs = [g[0].message.response_metadata["cost"] for g in result.generations]  # type: ignore[union-attr]

    assert result.llm_output is not None
    usage = result.llm_output["token_usage"]
    assert usage["cost"] == pytest.approx(sum(costs))
    assert usage["is_byok"] is False


# ── what is sent ────────────────────────────────────────────────────────────


def test_the_body_is_openrouters() -> None:
    engine = Recorder()
    with Sandbox(engine=engine) as sandbox:
        llm = chat_model(
            sandbox,
            reasoning={"effort": "low"},
            provider={"data_collection": "deny", "allow_fallbacks": False},
            models=["openrouter/auto"],
            temperature=0.0,
            extra_body={"session_id": "s"},
        )
        llm.invoke("x", top_p=0.5)
        list(llm.stream("x"))

    body, streamed = engine.bodies
    assert body["reasoning"] == {"effort": "low"}
    assert body["provider"] == {"data_collection": "deny", "allow_fallbacks": False}
    assert body["models"] == ["openrouter/auto"]
    assert (body["temperature"], body["top_p"], body["session_id"]) == (0.0, 0.5, "s")
    assert body["max_tokens"] == 4096
    assert body["stream"] is False
    assert streamed["stream"] is True
    assert not body.keys() & {"extra_body", "stream_options", "n", "store"}
    assert None not in body.values()


@pytest.mark.parametrize(
    "given",
    [
        {"reasoning": {"effort": "low"}},
        {"model": "openai/gpt-5-codex"},
        {"use_responses_api": True},
        {"truncation": "auto"},
        {"output_version": "responses/v1"},
    ],
    ids=str,
)
def test_it_never_asks_the_responses_endpoint(sandbox: Sandbox, given: dict[str, Any]) -> None:
    assert chat_model(sandbox, **{"model": "openai/gpt-4o", **given}).invoke("x").text
    assert sum(sandbox.requests.values()) == 1  # the sandbox counts chat completions only


def test_a_call_may_ask_another_model(llm: ChatOpenRouter) -> None:
    message = llm.invoke("x", model="meta-llama/llama-3.1-8b-instruct")

    assert message.response_metadata["model_name"] == "meta-llama/llama-3.1-8b-instruct"


def test_an_enum_member_is_a_slug(sandbox: Sandbox) -> None:
    llm = chat_model(sandbox, OpenRouterModel.GPT_4O)

    assert type(llm.model_name) is str
    assert llm.invoke("x").response_metadata["model_name"] == "openai/gpt-4o"


# ── keys and addresses ──────────────────────────────────────────────────────


def test_a_missing_key_is_said_before_anything_is_sent() -> None:
    with pytest.raises(ValueError, match="OPENROUTER_API_KEY"):
        ChatOpenRouter(model="a/b")


def test_a_blank_key_is_none_and_white_space_is_no_part_of_one(sandbox: Sandbox) -> None:
    with pytest.raises(ConfigurationError, match="OPENROUTER_API_KEY"):
        ChatOpenRouter(api_key="  ")
    assert chat_model(sandbox, api_key=f" {sandbox.api_key}\n").invoke("x").text
    assert chat_model(sandbox, api_key=lambda: f"{sandbox.api_key}\n").invoke("x").text


def test_the_key_may_be_a_function_that_is_asked_each_time(sandbox: Sandbox) -> None:
    keys = iter([sandbox.api_key, "sk-or-v1-revoked", sandbox.api_key])
    llm = chat_model(sandbox, api_key=lambda: next(keys))

    assert llm.invoke("x").text
    with pytest.raises(errors.AuthenticationError):
        llm.invoke("x")
    assert asyncio.run(llm.ainvoke("x")).text


async def test_the_key_may_be_a_coroutine_function(sandbox: Sandbox) -> None:
    async def key() -> str:
        return sandbox.api_key

    llm = chat_model(sandbox, api_key=key)

    assert (await llm.ainvoke("x")).text
    with pytest.raises(ValueError, match="async"):
        llm.invoke("x")


def test_a_function_without_a_key_is_an_error_of_ours(sandbox: Sandbox) -> None:
    with pytest.raises(ConfigurationError, match="no key"):
        chat_model(sandbox, api_key=lambda: "").invoke("x")
    assert not sandbox.requests


@pytest.mark.parametrize("url", ["http://openrouter.ai/api/v1", "ftp://127.0.0.1", "openrouter.ai"])
def test_a_key_is_never_sent_in_the_clear(url: str) -> None:
    with pytest.raises(ConfigurationError, match="https") as caught:
        ChatOpenRouter(api_key="sk-or-v1-hidden", base_url=url)
    assert "hidden" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bad_argument_is_one_sentence_without_the_key() -> None:
    with pytest.raises(ConfigurationError) as caught:
        ChatOpenRouter(api_key="sk-or-v1-hidden", model="", max_tokens="many")

    assert str(caught.value).startswith("ChatOpenRouter.model: ")
    assert "ChatOpenRouter.max_tokens: " in str(caught.value)
    assert "hidden" not in repr(caught.value)


def test_nothing_of_openais_environment_is_used(
    monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox
) -> None:
    for name in (
        "OPENAI_API_KEY",
        "OPENAI_API_BASE",
        "OPENAI_BASE_URL",
        "OPENAI_ORG_ID",
        "OPENAI_ORGANIZATION",
        "OPENAI_PROJECT_ID",
        "OPENAI_ADMIN_KEY",
        "OPENAI_PROXY",
        "LANGSMITH_GATEWAY",
        "LANGSMITH_GATEWAY_API_KEY",
    ):
        monkeypatch.setenv(name, "http://127.0.0.1:9/leak")
    seen: list[dict[str, str]] = []
    llm = chat_model(sandbox, app_url="https://tales.example", app_title="Tales")
    llm.root_client._client.event_hooks["request"].append(lambda r: seen.append(dict(r.headers)))
    try:
        llm.invoke("x")
    finally:
        llm.root_client._client.event_hooks["request"].clear()

    headers = seen[0]
    assert "leak" not in str(headers)
    assert not [name for name in headers if name.startswith(("x-stainless", "openai-"))]
    assert headers["authorization"] == f"Bearer {sandbox.api_key}"
    assert headers["http-referer"] == "https://tales.example"
    assert headers["x-openrouter-title"] == "Tales"
    with pytest.raises(ValueError, match="OPENROUTER_API_KEY"):
        ChatOpenRouter()


def test_the_key_is_nowhere_to_be_seen() -> None:
    llm = ChatOpenRouter(api_key="sk-or-v1-hidden")

    assert "hidden" not in repr(llm) + str(llm) + str(dumpd(llm)) + str(llm._get_ls_params())
    assert isinstance(llm.openai_api_key, SecretStr)


@pytest.mark.filterwarnings("ignore:The function `load` is in beta")
def test_it_is_dumped_and_loaded_without_its_key() -> None:
    llm = ChatOpenRouter(model="a/b", api_key="sk-or-v1-one", temperature=0.5)
    again = load(
        dumpd(llm),
        allowed_objects="all",
        valid_namespaces=["langchain_tale"],
        secrets_map={"OPENROUTER_API_KEY": "sk-or-v1-two"},
    )

    assert isinstance(again, ChatOpenRouter)
    assert (again.model_name, again.temperature) == ("a/b", 0.5)
    assert again.openai_api_key.get_secret_value() == "sk-or-v1-two"  # type: ignore[union-attr]


def test_langsmith_is_told_openrouter(llm: ChatOpenRouter) -> None:
    params = llm._get_ls_params(stop=["x"])

    assert params["ls_provider"] == "openrouter"
    assert params["ls_max_tokens"] == 4096


def test_the_default_timeout_is_thirty_seconds_or_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert ChatOpenRouter(api_key="k").request_timeout == 30.0
    monkeypatch.setenv("TALE_AI_SERVICE__TIMEOUT_S", "7.5")
    assert ChatOpenRouter(api_key="k").request_timeout == 7.5
    assert ChatOpenRouter(api_key="k", timeout=None).request_timeout is None


def test_room_is_made_only_where_nobody_chose() -> None:
    chosen = ChatOpenRouter(api_key="k", max_tokens=9, timeout=5).with_room(3000)
    free = ChatOpenRouter(api_key="k").with_room(3000)

    assert (chosen.max_tokens, chosen.request_timeout) == (9, 5)
    assert (free.max_tokens, free.request_timeout) == (3000, 600)


# ── failures ────────────────────────────────────────────────────────────────

CASES = {
    400: errors.InvalidRequestError,
    401: errors.AuthenticationError,
    402: errors.InsufficientCreditsError,
    403: errors.PermissionDeniedError,
    404: errors.ModelNotFoundError,
    408: errors.RequestTimeoutError,
    413: errors.InvalidRequestError,
    429: errors.RateLimitError,
    500: errors.UnavailableError,
    503: errors.UnavailableError,
    524: errors.RequestTimeoutError,
    529: errors.UnavailableError,
}


@pytest.mark.parametrize("kind", ["http", "body"])
@pytest.mark.parametrize("status", CASES)
async def test_a_failure_has_one_class_however_it_is_asked(
    faulty: Callable[..., Sandbox], status: int, kind: Any
) -> None:
    fault = Fault(kind=kind, status=status, headers={"Retry-After": "3"}, message="no sk-or-v1-abc")
    sandbox = faulty({"a/b": [fault] * 4})
    llm = chat_model(sandbox, "a/b")

    async def astream() -> list[Any]:
        return [chunk async for chunk in llm.astream("x")]

    caught: list[errors.ExternalServiceError] = []
    for ask in (lambda: llm.invoke("x"), lambda: list(llm.stream("x"))):
        with pytest.raises(CASES[status]) as sync_error:
            ask()
        caught.append(sync_error.value)
    for awaitable in (llm.ainvoke("x"), astream()):
        with pytest.raises(CASES[status]) as async_error:
            await awaitable
        caught.append(async_error.value)

    assert {type(error) for error in caught} == {CASES[status]}
    assert {(e.status_code, e.retry_after_s, e.model) for e in caught} == {(status, 3.0, "a/b")}
    assert "sk-or-v1-abc" not in "".join(map(str, caught))
    assert all(error.generation_id for error in caught)


def test_an_empty_answer_raises(faulty: Callable[..., Sandbox]) -> None:
    llm = chat_model(faulty({"a/b": [Fault(kind="empty")] * 2}), "a/b")

    with pytest.raises(errors.EmptyReplyError, match="without saying anything"):
        llm.invoke("x")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(kind="cut", after_chunks=3), errors.BrokenStreamError),
        (Fault(kind="midstream", status=502, after_chunks=3), errors.UnavailableError),
        (Fault(kind="midstream", status=429, after_chunks=3), errors.RateLimitError),
    ],
    ids=["cut", "502", "429"],
)
async def test_a_broken_stream_raises_and_keeps_what_came(
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


def test_no_server_is_a_connection_error(sandbox: Sandbox) -> None:
    llm = chat_model(sandbox, base_url="http://127.0.0.1:9/api/v1")

    with pytest.raises(errors.ConnectionFailedError, match="base_url") as caught:
        llm.invoke("x")
    assert isinstance(caught.value, errors.ExternalServiceError)


def test_the_sdk_retries_a_bare_model_and_counts(faulty: Callable[..., Sandbox]) -> None:
    quick = {"Retry-After": "0.001"}
    sandbox = faulty({"a/b": [Fault(status=503, headers=quick)] * 2})

    assert chat_model(sandbox, "a/b", max_retries=2).invoke("x").text
    assert sandbox.requests["a/b"] == 3


# ── one instance, many places ───────────────────────────────────────────────


def test_one_instance_works_in_several_event_loops(llm: ChatOpenRouter) -> None:
    async def both() -> str:
        first = [chunk.text async for chunk in llm.astream("x")]
        return (await llm.ainvoke("x")).text + "".join(first)

    assert len({asyncio.run(both()) for _ in range(4)}) == 1


def test_one_instance_works_in_many_threads(llm: ChatOpenRouter) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len({m.text for m in pool.map(llm.invoke, ["x"] * 32)}) == 1


async def test_cancelling_closes_the_stream() -> None:
    started = asyncio.Event()
    release = threading.Event()

    class Endless(ScriptedEngine):
        async def generate(self, request: Mapping[str, Any]) -> AsyncGenerator[Any]:
            try:
                async for item in super().generate(request):
                    yield item
                    await asyncio.Event().wait()
            finally:
                release.set()

    with Sandbox(engine=Endless()) as endless:

        async def read() -> None:
            async for _chunk in chat_model(endless).astream("x"):
                started.set()

        reading = asyncio.create_task(read())
        await started.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert await asyncio.to_thread(release.wait, 10)
