"""Clients that we did not write accept what the sandbox says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openrouter
import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_core.tools import tool
from langchain_openrouter import ChatOpenRouter
from openrouter import components, errors
from pydantic import BaseModel

from langchain_tale.catalogue import OpenRouterModel
from langchain_tale.sandbox import LOCAL_MODEL, Fault, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL = "openai/gpt-4o-mini"
REASONERS = [
    "anthropic/claude-haiku-4.5",
    "openai/gpt-5-mini",
    "google/gemini-2.5-flash",
    "qwen/qwen3-30b-a3b",
]
ASKED: Any = [{"role": "user", "content": "Tell me of a fox."}]


class Scene(BaseModel):
    """One scene of a story."""

    title: str
    words: int


@tool
def weather(city: str, days: int) -> str:
    """The weather in a city."""
    return f"Sunny in {city} for {days} days."


def client_of(sandbox: Sandbox, *, api_key: str | None = None) -> openrouter.OpenRouter:
    return openrouter.OpenRouter(
        api_key=api_key or sandbox.api_key, server_url=sandbox.base_url, retry_config=None
    )


@pytest.fixture
def sdk(sandbox: Sandbox) -> Iterator[openrouter.OpenRouter]:
    with client_of(sandbox) as client:
        yield client


def streamed(sdk: openrouter.OpenRouter, **options: Any) -> list[components.ChatStreamChunk]:
    with sdk.chat.send(messages=ASKED, model=MODEL, stream=True, **options) as events:
        return list(events)


class TestOfficialSdk:
    def test_a_completion_is_valid(self, sdk: openrouter.OpenRouter) -> None:
        answer = sdk.chat.send(messages=ASKED, model=MODEL, stream=False)
        assert answer.model == MODEL
        assert answer.choices[0].finish_reason == "stop"
        assert "Once upon a time" in str(answer.choices[0].message.content)
        assert answer.usage is not None
        assert answer.usage.completion_tokens > 10

    def test_a_stream_says_the_same_as_a_completion(self, sdk: openrouter.OpenRouter) -> None:
        whole = sdk.chat.send(messages=ASKED, model=MODEL, stream=False)
        chunks = streamed(sdk)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert text == whole.choices[0].message.content
        assert chunks[-1].usage is not None
        assert whole.usage is not None
        assert chunks[-1].usage.total_tokens == whole.usage.total_tokens

    def test_a_tool_call_is_valid_whole_and_streamed(self, sdk: openrouter.OpenRouter) -> None:
        tools: Any = [
            {
                "type": "function",
                "function": {
                    "name": "weather",
                    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
                },
            }
        ]
        whole = sdk.chat.send(messages=ASKED, model=MODEL, stream=False, tools=tools)
        calls = whole.choices[0].message.tool_calls
        assert calls is not None
        assert (calls[0].function.name, calls[0].function.arguments) == (
            "weather",
            '{"city": "fox"}',
        )
        deltas = [chunk.choices[0].delta.tool_calls for chunk in streamed(sdk, tools=tools)]
        names = [call.function.name for delta in deltas for call in delta or () if call.function]
        assert names == ["weather"]

    @pytest.mark.parametrize("model", REASONERS)
    def test_reasoning_is_valid_whole_and_streamed(
        self, sdk: openrouter.OpenRouter, model: str
    ) -> None:
        options: Any = {"messages": ASKED, "model": model, "reasoning": {"effort": "low"}}
        whole = sdk.chat.send(stream=False, **options)
        message = whole.choices[0].message
        assert message.reasoning
        details = message.reasoning_details or []
        assert {type(item).__name__ for item in details} <= {
            "ReasoningDetailText",
            "ReasoningDetailSummary",
            "ReasoningDetailEncrypted",
        }
        with sdk.chat.send(stream=True, **options) as events:
            deltas = [chunk.choices[0].delta for chunk in events]
        assert "".join(delta.reasoning or "" for delta in deltas) == message.reasoning
        fragments = [item for delta in deltas for item in delta.reasoning_details or []]
        assert fragments[-1].type == details[-1].type
        assert whole.usage is not None
        assert whole.usage.completion_tokens_details is not None
        assert whole.usage.completion_tokens_details.reasoning_tokens

    def test_the_cost_is_valid_to_its_parts(self, sdk: openrouter.OpenRouter) -> None:
        parts: Any = [{"type": "text", "text": "A fox.", "cache_control": {"type": "ephemeral"}}]
        asked: Any = [{"role": "user", "content": parts}]
        first, second = (
            sdk.chat.send(messages=asked, model=MODEL, stream=False).usage for _ in range(2)
        )
        assert isinstance(first, components.ChatUsage)
        assert isinstance(second, components.ChatUsage)
        assert isinstance(first.cost_details, components.CostDetails)
        assert first.cost
        assert first.cost == pytest.approx(
            first.cost_details.upstream_inference_prompt_cost
            + first.cost_details.upstream_inference_completions_cost
        )
        assert first.is_byok is False
        written, read = first.prompt_tokens_details, second.prompt_tokens_details
        assert written
        assert read
        assert (written.cached_tokens, written.cache_write_tokens) == (0, 2)
        assert (read.cached_tokens, read.cache_write_tokens) == (2, 0)

    def test_a_web_search_is_billed(self, sdk: openrouter.OpenRouter) -> None:
        tools: Any = [{"type": "openrouter:web_search"}]
        answer = sdk.chat.send(messages=ASKED, model=MODEL, stream=False, tools=tools)
        assert answer.usage is not None
        assert answer.usage.server_tool_use_details
        assert answer.usage.server_tool_use_details.web_search_requests == 1

    def test_router_metadata_is_valid_whole_and_streamed(self, sdk: openrouter.OpenRouter) -> None:
        options: Any = {"x_open_router_metadata": "enabled"}
        whole = sdk.chat.send(messages=ASKED, model=MODEL, stream=False, **options)
        last = streamed(sdk, **options)[-1]
        assert whole.openrouter_metadata is not None
        assert whole.openrouter_metadata.strategy == "direct"
        assert last.openrouter_metadata == whole.openrouter_metadata

    def test_images_and_likelihoods_are_valid(self, sdk: openrouter.OpenRouter) -> None:
        options: Any = {"modalities": ["image", "text"], "logprobs": True, "top_logprobs": 1}
        [choice] = sdk.chat.send(messages=ASKED, model=MODEL, stream=False, **options).choices
        assert choice.message.images
        assert choice.message.images[0].image_url.url.startswith("data:image/png")
        assert choice.logprobs
        assert choice.logprobs.content
        assert choice.logprobs.content[0].top_logprobs

    def test_sound_is_valid(self, http: Any) -> None:
        """The client itself has no `audio`, which only the guides know; its chunks have."""
        audio = {"voice": "alloy", "format": "pcm16"}
        chunks = http.chunks(modalities=["text", "audio"], audio=audio)
        read = [components.ChatStreamChunk.model_validate(chunk) for chunk in chunks]
        sounds = [chunk.choices[0].delta.audio for chunk in read]
        assert any(sound and sound.data for sound in sounds)
        assert any(sound and sound.transcript for sound in sounds)

    def test_parts_of_every_kind_are_taken(self, sdk: openrouter.OpenRouter) -> None:
        pdf = "data:application/pdf;base64,AA=="
        parts: Any = [
            {"type": "text", "text": "What is it?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
            {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
            {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": pdf}},
        ]
        asked: Any = [{"role": "user", "content": parts}]
        answer = sdk.chat.send(messages=asked, model=MODEL, stream=False)
        assert answer.choices[0].finish_reason == "stop"

    def test_a_choice_without_a_finish_reason_is_valid(self, faulty: Any) -> None:
        with client_of(faulty({MODEL: [Fault(kind="no_finish")]})) as sdk:
            answer = sdk.chat.send(messages=ASKED, model=MODEL, stream=False)
        assert answer.choices[0].finish_reason is None

    @pytest.mark.parametrize("usage_chunk", ["repeated", "null", "empty"])
    def test_every_kind_of_usage_chunk_is_valid(self, faulty: Any, usage_chunk: str) -> None:
        with client_of(faulty({}, usage_chunk=usage_chunk)) as sdk:
            chunks = streamed(sdk)
        assert chunks[-1].usage is not None

    def test_one_model_is_described(self, sdk: openrouter.OpenRouter) -> None:
        model = sdk.models.get(author="openai", slug="gpt-4o-mini").data
        assert (model.id, model.context_length) == (MODEL, 4096)

    def test_the_models_are_listed(self, sdk: openrouter.OpenRouter) -> None:
        listed = sdk.models.list()
        assert listed is not None
        ids = {model.id for model in listed.result.data}
        assert {LOCAL_MODEL, MODEL} <= ids
        assert OpenRouterModel.CLAUDE_3_5_SONNET not in ids

    def test_the_endpoints_of_a_model_are_listed(self, sdk: openrouter.OpenRouter) -> None:
        listed = sdk.endpoints.list(author="openai", slug="gpt-4o-mini")
        assert [endpoint.status for endpoint in listed.data.endpoints] == [0]

    def test_a_generation_has_its_record(self, sdk: openrouter.OpenRouter) -> None:
        answer = sdk.chat.send(messages=ASKED, model=MODEL, stream=False)
        record = sdk.generations.get_generation(id=answer.id).data
        assert answer.usage is not None
        assert (record.id, record.model) == (answer.id, MODEL)
        assert record.tokens_completion == answer.usage.completion_tokens
        assert record.total_cost == pytest.approx(answer.usage.cost)

    def test_a_stream_that_was_left_has_a_valid_record(self, serve: Any, stuck: Any) -> None:
        sandbox, http = serve(stuck("Once", " upon"))
        generation_id = http.leave_after(3)
        http.until(lambda: sandbox.cancelled == 1)
        with client_of(sandbox) as sdk:
            record = sdk.generations.get_generation(id=generation_id).data
        assert (record.cancelled, record.finish_reason) == (True, None)

    @pytest.mark.filterwarnings("ignore:.*DEPRECATED:DeprecationWarning")  # a field of the answer
    def test_the_key_is_described(self, sdk: openrouter.OpenRouter) -> None:
        answer = sdk.chat.send(messages=ASKED, model=MODEL, stream=False)
        key = sdk.api_keys.get_current_key_metadata().data
        assert answer.usage is not None
        assert key.limit is None
        assert key.usage == pytest.approx(answer.usage.cost)

    def test_a_wrong_key_is_unauthorized(self, sandbox: Sandbox) -> None:
        stranger = client_of(sandbox, api_key="sk-or-v1-wrong")
        with stranger, pytest.raises(errors.UnauthorizedResponseError) as caught:
            stranger.chat.send(messages=ASKED, model=MODEL, stream=False)
        assert caught.value.data.error.code == 401

    def test_an_unknown_generation_is_not_found(self, sdk: openrouter.OpenRouter) -> None:
        with pytest.raises(errors.NotFoundResponseError, match="gen-nothing"):
            sdk.generations.get_generation(id="gen-nothing")

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (402, errors.PaymentRequiredResponseError),
            (429, errors.TooManyRequestsResponseError),
            (502, errors.BadGatewayResponseError),
            (503, errors.ServiceUnavailableResponseError),
            (529, errors.ProviderOverloadedResponseError),
        ],
        ids=lambda value: str(value) if isinstance(value, int) else "",
    )
    def test_an_http_fault_is_the_error_of_its_status(
        self, faulty: Any, status: int, kind: type[Exception]
    ) -> None:
        sandbox = faulty({MODEL: [Fault(status=status, message="Not now.")]})
        with client_of(sandbox) as sdk, pytest.raises(kind, match=r"Not now\."):
            sdk.chat.send(messages=ASKED, model=MODEL, stream=False)

    def test_a_failure_in_midstream_is_an_error_in_the_last_chunk(self, faulty: Any) -> None:
        sandbox = faulty({MODEL: [Fault(kind="midstream", status=502, after_chunks=1)]})
        with client_of(sandbox) as sdk:
            chunks = streamed(sdk)
        assert len(chunks) == 2
        assert chunks[-1].error is not None
        assert chunks[-1].error.code == 502
        assert chunks[-1].choices[0].finish_reason == "error"


class TestLangchainOpenrouter:
    @pytest.fixture
    def llm(self, sandbox: Sandbox) -> Iterator[ChatOpenRouter]:
        options: Any = {"api_key": sandbox.api_key, "base_url": sandbox.base_url}
        llm = ChatOpenRouter(model=MODEL, max_retries=0, **options)
        yield llm
        llm.client.sdk_configuration.client.close()  # nobody else would

    def test_it_invokes(self, llm: ChatOpenRouter) -> None:
        answer = llm.invoke("Tell me of a fox.")
        assert "Once upon a time" in answer.text
        assert answer.usage_metadata is not None
        assert answer.usage_metadata["output_tokens"] > 10
        assert answer.response_metadata["finish_reason"] == "stop"

    async def test_it_invokes_asynchronously(self, llm: ChatOpenRouter) -> None:
        answer = await llm.ainvoke("Tell me of a fox.")
        await llm.client.sdk_configuration.async_client.aclose()  # nobody else would
        assert "Once upon a time" in answer.text

    def test_it_streams(self, llm: ChatOpenRouter) -> None:
        chunks = list(llm.stream("Tell me of a fox."))
        assert len(chunks) > 10
        whole = chunks[0]
        for chunk in chunks[1:]:
            whole += chunk
        assert isinstance(whole, AIMessageChunk)
        assert whole.text == llm.invoke("Tell me of a fox.").text

    def test_it_calls_a_tool_and_reads_its_result(self, llm: ChatOpenRouter) -> None:
        bound = llm.bind_tools([weather])
        asked = HumanMessage("What is the weather?")
        call = bound.invoke([asked])
        assert call.tool_calls[0]["name"] == "weather"
        assert call.tool_calls[0]["args"] == {"city": "fox", "days": 1}
        result = weather.invoke(call.tool_calls[0])
        assert "Once upon a time" in bound.invoke([asked, call, result]).text

    @pytest.mark.parametrize("method", ["function_calling", "json_schema"])
    def test_it_gives_structured_output(self, llm: ChatOpenRouter, method: Any) -> None:
        scene = llm.with_structured_output(Scene, method=method).invoke("A scene, please.")
        assert scene == Scene(title="fox", words=1)

    def test_it_reads_what_an_answer_cost(self, llm: ChatOpenRouter) -> None:
        metadata = llm.invoke("Tell me of a fox.").response_metadata
        assert metadata["cost"] > 0
        assert metadata["cost"] == metadata["cost_details"]["upstream_inference_cost"]

    @pytest.mark.parametrize("model", REASONERS)
    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
    def test_it_reasons_and_sends_it_back(
        self, sandbox: Sandbox, model: str, *, stream: bool
    ) -> None:
        options: Any = {"api_key": sandbox.api_key, "base_url": sandbox.base_url}
        llm = ChatOpenRouter(model=model, max_retries=0, reasoning={"effort": "low"}, **options)
        asked = HumanMessage("Tell me of a fox.")
        answer = _sum(list(llm.stream([asked]))) if stream else llm.invoke([asked])
        assert answer.additional_kwargs["reasoning_content"]
        assert answer.usage_metadata is not None
        assert answer.usage_metadata["output_token_details"]["reasoning"]
        assert "Once upon a time" in llm.invoke([asked, answer, HumanMessage("Go on.")]).text
        llm.client.sdk_configuration.client.close()


def _sum(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole
