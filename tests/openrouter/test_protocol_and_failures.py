"""Bodies in, messages or exceptions out; the shapes are those of OpenRouter's documentation."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.exceptions import ContextOverflowError
from langchain_core.messages import AIMessage, AIMessageChunk

from langchain_tale import errors
from langchain_tale.openrouter.failures import Source, error_from_body
from langchain_tale.openrouter.protocol import (
    StreamReader,
    merged_reasoning,
    read_reply,
    read_usage,
    request_body,
    summed_usage,
)

ASKED = Source("a/b", 200, {"x-generation-id": "gen-1", "x-request-id": "req-1"})


def reply(message: dict[str, Any], **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop", "message": message, **more.pop("choice", {})}
    return {"id": "gen-1", "model": "a/b-2", "provider": "P", "choices": [choice], **more}


def read(message: dict[str, Any], **more: Any) -> AIMessage:
    found = read_reply(reply(message, **more), ASKED).generations[0].message
    assert isinstance(found, AIMessage)
    return found


# ── whole answers ───────────────────────────────────────────────────────────


def test_reasoning_is_kept_and_is_a_content_block() -> None:
    details = [{"type": "reasoning.text", "text": "hm", "signature": "s", "index": 0}]
    message = read({"content": "yes", "reasoning": "hm", "reasoning_details": details})

    assert message.additional_kwargs["reasoning_content"] == "hm"
    assert message.additional_kwargs["reasoning_details"] == details
    assert {block["type"] for block in message.content_blocks} == {"reasoning", "text"}


def test_broken_tool_arguments_are_an_invalid_call_and_null_ones_are_none() -> None:
    calls = [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": '}},
        {"id": "2", "type": "function", "function": {"name": "g", "arguments": None}},
    ]
    message = read({"content": None, "tool_calls": calls})

    assert [call["name"] for call in message.invalid_tool_calls] == ["f"]
    assert [(call["name"], call["args"]) for call in message.tool_calls] == [("g", {})]


def test_content_in_parts_is_text() -> None:
    assert read({"content": [{"type": "text", "text": "a"}, {"text": "b"}, "?"]}).text == "ab"


def test_what_has_no_field_of_its_own_is_kept() -> None:
    images = [{"image_url": {"url": "data:"}}]
    message = read(
        {"content": None, "images": images, "annotations": [{"type": "file"}]},
        service_tier="flex",
        system_fingerprint="fp",
        choice={"logprobs": {"content": []}, "native_finish_reason": "STOP"},
    )

    assert message.additional_kwargs["images"] == images
    assert message.response_metadata["service_tier"] == "flex"
    assert message.response_metadata["system_fingerprint"] == "fp"
    assert message.response_metadata["logprobs"] == {"content": []}
    assert message.response_metadata["native_finish_reason"] == "STOP"


def test_null_means_absent() -> None:
    metadata = read({"content": "x"}, provider=None, usage=None).response_metadata

    assert not metadata.keys() & {"provider_name", "cost", "token_usage", "native_finish_reason"}


def test_usage_is_in_langchains_words() -> None:
    usage = read_usage(
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 3, "audio_tokens": None},
        }
    )

    assert usage is not None
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (10, 5, 15)
    assert usage["input_token_details"] == {"cache_read": 4, "cache_creation": 2}
    assert usage["output_token_details"] == {"reasoning": 3}
    assert read_usage(None) is None


def test_usages_are_summed() -> None:
    one = {"cost": 0.5, "is_byok": True, "total_tokens": 1, "cost_details": {"a": 1, "b": None}}

    assert summed_usage([one, None, one, {"is_byok": False}]) == {
        "cost": 1.0,
        "is_byok": True,
        "total_tokens": 2,
        "cost_details": {"a": 2},
    }


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ([], errors.MalformedReplyError),
        ({"choices": None}, errors.MalformedReplyError),
        ({"choices": []}, errors.MalformedReplyError),
        (reply({"content": None}), errors.EmptyReplyError),
        (reply({"content": ""}, choice={"finish_reason": "length"}), errors.EmptyReplyError),
        (reply({"content": "par"}, choice={"finish_reason": "error"}), errors.UnavailableError),
        (
            reply({"content": "par"}, choice={"error": {"code": 429, "message": "x"}}),
            errors.RateLimitError,
        ),
        ({"error": "out of order"}, errors.UnavailableError),
    ],
    ids=range(8),
)
def test_what_is_no_answer_raises(body: Any, kind: type[errors.ExternalServiceError]) -> None:
    with pytest.raises(kind) as caught:
        read_reply(body, ASKED)
    assert caught.value.model == "a/b"


def test_reasoning_that_ate_the_budget_is_said_so() -> None:
    usage = {"completion_tokens_details": {"reasoning_tokens": 64}}
    body = reply(
        {"content": "", "reasoning": "hm"}, choice={"finish_reason": "length"}, usage=usage
    )

    with pytest.raises(errors.EmptyReplyError, match=r"64 reasoning tokens.*raise max_tokens"):
        read_reply(body, ASKED)


# ── streams ─────────────────────────────────────────────────────────────────


def event(delta: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta or {}, **more.pop("choice", {})}
    return {"id": "gen-1", "model": "a/b-2", "provider": "P", "choices": [choice], **more}


def streamed(*events: Any) -> AIMessageChunk:
    reader = StreamReader(ASKED)
    chunks = [chunk for chunk in map(reader.read, events) if chunk is not None]
    message = (
        sum((c.message for c in chunks), start=AIMessageChunk(content="")) + reader.finish().message
    )
    assert isinstance(message, AIMessageChunk)
    return message


def test_a_repeated_finish_is_one_finish() -> None:
    stop = {"finish_reason": "stop", "native_finish_reason": "end_turn"}
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "cost": 0.5}
    message = streamed(
        {"choices": [], "debug": {}},
        event({"content": "a"}),
        event({"content": "b"}, choice=stop),
        event({"content": ""}, choice=stop, usage=usage),
    )

    assert message.text == "ab"
    assert message.response_metadata["finish_reason"] == "stop"
    assert message.response_metadata["native_finish_reason"] == "end_turn"
    assert message.response_metadata["model_name"] == "a/b-2"
    assert message.response_metadata["cost"] == 0.5
    assert message.usage_metadata is not None
    assert message.usage_metadata["total_tokens"] == 3


def test_usage_may_come_before_or_without_a_choice() -> None:
    usage = {"total_tokens": 3, "cost": 0.5}
    early = streamed(
        {"usage": usage, "choices": []}, event({"content": "a"}, choice={"finish_reason": "stop"})
    )

    assert early.response_metadata["cost"] == 0.5


def test_reasoning_fragments_merge_by_type_and_index() -> None:
    text = {"type": "reasoning.text", "index": 0, "format": "anthropic-claude-v1"}
    encrypted = {"type": "reasoning.encrypted", "index": 0, "data": "xyz"}

    assert merged_reasoning(
        [
            {**text, "text": "a"},
            {**text, "text": "b"},
            {**text, "signature": "s"},
            encrypted,
            encrypted,
        ]
    ) == [{**text, "text": "ab", "signature": "s"}, encrypted, encrypted]


def test_streamed_reasoning_is_kept() -> None:
    part = {"type": "reasoning.text", "index": 0}
    message = streamed(
        event({"reasoning": "a", "reasoning_details": [{**part, "text": "a"}]}),
        event({"reasoning": "b", "reasoning_details": [{**part, "text": "b"}]}),
        event({"content": "c"}, choice={"finish_reason": "stop"}),
    )

    assert message.additional_kwargs["reasoning_content"] == "ab"
    assert message.additional_kwargs["reasoning_details"] == [{**part, "text": "ab"}]


@pytest.mark.parametrize(
    ("failing", "kind"),
    [
        ([], errors.BrokenStreamError),
        (["no object"], errors.BrokenStreamError),
        ([event(error={"code": "server_error", "message": "x"})], errors.UnavailableError),
        ([event(error={"code": 429, "message": "x"})], errors.RateLimitError),
        ([event(choice={"finish_reason": "error"})], errors.UnavailableError),
        (
            [event(error={"code": 502, "message": "x"}, choice={"finish_reason": "stop"})],
            errors.UnavailableError,
        ),
    ],
    ids=range(6),
)
def test_a_stream_that_fails_raises_with_what_came(
    failing: list[Any], kind: type[errors.ExternalServiceError]
) -> None:
    with pytest.raises(kind) as caught:
        streamed(event({"content": "Once"}), *failing)
    assert caught.value.partial_text == "Once"
    assert caught.value.generation_id == "gen-1"


def test_a_stream_without_a_word_raises() -> None:
    with pytest.raises(errors.EmptyReplyError):
        streamed(event({"reasoning": "hm"}, choice={"finish_reason": "stop"}))


# ── errors ──────────────────────────────────────────────────────────────────


def test_the_availability_envelope_is_read() -> None:
    body = {
        "error": {
            "message": "busy",
            "error_type": "rate_limit_exceeded",
            "http_status": 429,
            "availability": {"code": "capacity_exhausted", "retryable": True, "retry_after": 4},
        }
    }
    error = error_from_body(body, Source("a/b", 429))

    assert isinstance(error, errors.RateLimitError)
    assert (error.status_code, error.retry_after_s, error.retryable) == (429, 4.0, True)


@pytest.mark.parametrize(
    ("status", "inner", "kind"),
    [
        (400, {"metadata": {"error_type": "context_length_exceeded"}}, errors.ContextLengthError),
        (400, {"error_type": "refusal"}, errors.ModerationError),
        (403, {"metadata": {"reasons": ["violence"]}}, errors.ModerationError),
        (400, {"availability": {"code": "model_not_found"}}, errors.ModelNotFoundError),
        (418, {}, errors.InvalidRequestError),
        (500, {"metadata": {"error_type": "a new word"}}, errors.UnavailableError),
        (504, {}, errors.RequestTimeoutError),
    ],
    ids=range(7),
)
def test_the_error_type_comes_before_the_status(
    status: int, inner: dict[str, Any], kind: type[errors.ExternalServiceError]
) -> None:
    error = error_from_body(
        {"error": {"code": status, "message": "x", **inner}}, Source("a/b", status)
    )

    assert type(error) is kind
    assert error.status_code == status


def test_a_long_prompt_is_langchains_overflow_too() -> None:
    body = {"error": {"code": 400, "metadata": {"error_type": "context_length_exceeded"}}}

    assert isinstance(error_from_body(body, ASKED), ContextOverflowError)


def test_reasons_provider_and_ids_are_kept() -> None:
    metadata = {"reasons": ["violence"], "provider_name": "P", "flagged_input": "my secret tale"}
    body = {"error": {"code": 403, "message": "flagged", "metadata": metadata}, "user_id": "u"}
    error = error_from_body(body, Source("a/b", 403, {"x-request-id": "r"}))

    assert isinstance(error, errors.ModerationError)
    assert (error.reasons, error.provider_name, error.request_id) == (("violence",), "P", "r")
    assert error.raw is body
    assert "secret tale" not in str(error)


def test_an_edge_servers_page_is_an_error_like_any() -> None:
    error = error_from_body("<html>524</html>", Source("a/b", 524, {"retry-after": "soon"}))

    assert isinstance(error, errors.RequestTimeoutError)
    assert error.retry_after_s is None
    assert "html" not in str(error)


def test_a_message_quotes_little_and_no_key() -> None:
    body = {"error": {"code": 500, "message": "sk-or-v1-0123456789 " + "x" * 1000}}

    assert "0123456789" not in str(error_from_body(body, ASKED))
    assert len(str(error_from_body(body, ASKED))) < 400


# ── requests ────────────────────────────────────────────────────────────────


def test_false_and_zero_are_sent_and_none_is_not() -> None:
    payload = {"a": False, "b": 0, "c": None, "stream_options": {}, "extra_body": {"d": [], "a": 1}}

    assert request_body(payload, stream=False) == {"a": 1, "b": 0, "d": [], "stream": False}
