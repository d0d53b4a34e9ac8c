"""Whole answers in, LangChain's messages out; the shapes are those of §5 and §6 of the docs."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.exceptions import ModelAPIError

from langchain_tale import errors
from langchain_tale.openrouter.failures import Source
from langchain_tale.openrouter.protocol import read_reply, read_usage, summed_usage
from tests.openrouter.replies import ASKED, USAGE, call, read, reply

# ── what was said ───────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("ab", "ab"),
        ([{"type": "text", "text": "a"}, {"text": "b"}, "?", {"text": None}], "ab"),
        ("\n", "\n"),
    ],
    ids=["text", "parts", "a line break"],
)
def test_content_is_text_however_it_comes(content: Any, text: str) -> None:
    assert read({"content": content}).content == text


def test_reasoning_is_kept_beside_the_text() -> None:
    details = [{"type": "reasoning.text", "text": "hm", "signature": "s", "index": 0}]
    message = read({"content": "yes", "reasoning": "hm", "reasoning_details": details})

    assert message.text == "yes"
    assert message.additional_kwargs == {"reasoning_content": "hm", "reasoning_details": details}


@pytest.mark.parametrize(
    "said",
    [
        {"reasoning": "hm"},
        {"reasoning_content": "hm"},
        {"reasoning": None, "reasoning_details": [{"type": "reasoning.summary", "summary": "hm"}]},
    ],
    ids=["reasoning", "its alias", "items only"],
)
def test_readable_reasoning_has_one_place(said: dict[str, Any]) -> None:
    message = read({"content": "yes", **said})

    assert message.additional_kwargs["reasoning_content"] == "hm"
    assert "reasoning" not in message.additional_kwargs


def test_what_langchain_has_no_field_for_is_kept() -> None:
    extra = {
        "images": [{"image_url": {"url": "data:image/png;base64,AA=="}}],
        "annotations": [{"type": "file"}],
        "refusal": "no",
        "audio": {"id": "a", "data": "AA=="},
        "a_new_field": {"of": "tomorrow"},
    }
    message = read({"role": "assistant", "content": None, **extra}, citations=["https://x.test"])

    assert message.additional_kwargs == {**extra, "citations": ["https://x.test"]}


def test_there_is_one_generation_for_each_choice() -> None:
    body = reply({"content": "one"})
    body["choices"].append({"index": 1, "finish_reason": "length", "message": {"content": "two"}})

    messages = [generation.message for generation in read_reply(body, ASKED).generations]
    assert [message.content for message in messages] == ["one", "two"]
    reasons = [message.response_metadata["finish_reason"] for message in messages]
    assert reasons == ["stop", "length"]


# ── tool calls ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "args"),
    [
        ('{"a": 1}', {"a": 1}),
        ({"a": 1}, {"a": 1}),
        ('{"a": "one\ntwo"}', {"a": "one\ntwo"}),
        (None, {}),
        ("null", {}),
        ("", {}),
        ({}, {}),
    ],
    ids=["json", "object", "raw line break", "null", "null in json", "nothing", "empty object"],
)
def test_arguments_are_read_however_they_come(arguments: Any, args: dict[str, Any]) -> None:
    message = read({"content": None, "tool_calls": [call("f", arguments)]})

    assert [(c["name"], c["args"], c["id"]) for c in message.tool_calls] == [("f", args, "1")]
    assert message.invalid_tool_calls == []


@pytest.mark.parametrize("arguments", ['{"a": ', "[1]", "1", "a fox"])
def test_arguments_that_are_no_object_make_an_invalid_call(arguments: str) -> None:
    calls = [call("f", arguments), call("g", "{}", "2")]
    message = read({"content": None, "tool_calls": calls})

    assert [(c["name"], c["args"]) for c in message.invalid_tool_calls] == [("f", arguments)]
    assert message.invalid_tool_calls[0]["error"]
    assert [c["name"] for c in message.tool_calls] == ["g"]


def test_a_call_without_a_function_or_an_id_is_a_call_still() -> None:
    calls = [{"id": None, "function": {"name": "f"}}, {"id": "2", "function": None}]
    message = read({"content": None, "tool_calls": calls})

    assert [(c["id"], c["name"]) for c in message.tool_calls] == [(None, "f"), ("2", "")]


# ── what it says about itself ───────────────────────────────────────────────


def test_the_facts_of_an_answer_are_in_its_metadata() -> None:
    usage = {**USAGE, "cost_details": {"upstream_inference_cost": None}, "is_byok": False}
    choice = {"native_finish_reason": "end_turn", "logprobs": {"content": [{"token": "x"}]}}
    facts = read(
        {"content": "x"},
        choice=choice,
        usage=usage,
        service_tier="flex",
        openrouter_metadata={"attempt": 1},
        object="chat.completion",
    ).response_metadata

    assert facts == {
        "model_provider": "openrouter",
        "id": "gen-1",
        "request_id": "req-1",
        "model_name": "a/b-2",
        "requested_model": "a/b",
        "provider_name": "P",
        "finish_reason": "stop",
        "native_finish_reason": "end_turn",
        "cost": 0.5,
        "cost_details": {"upstream_inference_cost": None},
        "is_byok": False,
        "token_usage": usage,
        "service_tier": "flex",
        "openrouter_metadata": {"attempt": 1},
        "logprobs": {"content": [{"token": "x"}]},
    }


def test_null_means_absent() -> None:
    facts = read(
        {"content": "x"},
        provider=None,
        usage=None,
        system_fingerprint=None,
        choice={"logprobs": None, "native_finish_reason": None},
    ).response_metadata

    assert facts.keys() == {
        "model_provider",
        "id",
        "request_id",
        "model_name",
        "requested_model",
        "finish_reason",
    }


def test_the_model_asked_is_named_only_where_another_answered() -> None:
    same = read({"content": "x"}, model="a/b").response_metadata
    unsaid = read({"content": "x"}, model=None).response_metadata

    assert same["model_name"] == unsaid["model_name"] == "a/b"
    assert not (same | unsaid).keys() & {"requested_model"}


def test_the_ids_of_the_headers_serve_where_the_body_has_none() -> None:
    source = Source("a/b", 200, {"x-generation-id": "gen-h", "cf-ray": "ray"})
    body = reply({"content": "x"})
    del body["id"]
    metadata = read_reply(body, source).generations[0].message.response_metadata

    assert (metadata["id"], metadata["request_id"]) == ("gen-h", "ray")


def test_a_replayed_answer_says_so() -> None:
    headers = {
        "x-openrouter-cache-status": "HIT",
        "x-openrouter-cache-age": "12",
        "x-openrouter-cache-ttl": "288",
        "x-openrouter-cache-source-id": "gen-0",
    }
    result = read_reply(reply({"content": "x"}), Source("a/b", 200, headers))
    metadata = result.generations[0].message.response_metadata

    assert metadata["cache_status"] == "HIT"
    assert metadata["cache_source_id"] == "gen-0"
    assert (float(metadata["cache_age_s"]), float(metadata["cache_ttl_s"])) == (12, 288)


def test_usage_is_in_langchains_words() -> None:
    usage = read_usage(
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 3, "audio_tokens": None},
        }
    )

    assert usage == {
        "input_tokens": 10,
        "output_tokens": 5,
        "total_tokens": 15,
        "input_token_details": {"cache_read": 4, "cache_creation": 2},
        "output_token_details": {"reasoning": 3},
    }


@pytest.mark.parametrize("usage", [None, {}])
def test_usage_that_was_not_sent_is_unknown_and_not_zero(usage: Any) -> None:
    assert read_usage(usage) is None


def test_usages_are_summed() -> None:
    one = {"cost": 0.5, "is_byok": True, "total_tokens": 1, "cost_details": {"a": 1, "b": None}}

    assert summed_usage([one, None, one, {"is_byok": False}]) == {
        "cost": 1.0,
        "is_byok": True,
        "total_tokens": 2,
        "cost_details": {"a": 2},
    }


# ── what is no answer ───────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "body",
    [
        [],
        "Hello.",
        None,
        {},
        {"choices": None},
        {"choices": []},
        {"choices": ["Hello."]},
        {"choices": [{"message": "Hello."}]},
    ],
    ids=str,
)
def test_a_body_without_a_choice_is_malformed(body: Any) -> None:
    with pytest.raises(errors.MalformedReplyError, match="a/b") as caught:
        read_reply(body, ASKED)
    assert isinstance(caught.value, ModelAPIError)
    assert caught.value.raw == body
    assert (caught.value.status_code, caught.value.request_id) == (200, "req-1")


@pytest.mark.parametrize("content", [None, "", []])
def test_an_answer_without_a_word_raises(content: Any) -> None:
    with pytest.raises(errors.EmptyReplyError, match="without saying anything") as caught:
        read({"content": content, "reasoning": "hm"})
    assert (caught.value.generation_id, caught.value.provider_name) == ("gen-1", "P")


@pytest.mark.parametrize(
    ("usage", "sentence"),
    [
        ({"completion_tokens_details": {"reasoning_tokens": 64}}, r"64 reasoning tokens.*raise"),
        (None, r"reached max_tokens before it said anything; raise max_tokens"),
    ],
    ids=["reasoning", "unknown"],
)
def test_an_answer_that_reasoning_left_no_room_for_says_so(usage: Any, sentence: str) -> None:
    with pytest.raises(errors.EmptyReplyError, match=sentence):
        read({"content": "", "reasoning": "hm"}, choice={"finish_reason": "length"}, usage=usage)


def test_an_answer_that_was_cut_off_by_max_tokens_is_an_answer() -> None:
    message = read({"content": "Once upon"}, choice={"finish_reason": "length"})

    assert message.text == "Once upon"
    assert message.response_metadata["finish_reason"] == "length"


@pytest.mark.parametrize(
    "said",
    [
        {"refusal": "no"},
        {"images": [{}]},
        {"audio": {"data": "AA=="}},
        {"tool_calls": [call("f", "")]},
    ],
    ids=["refusal", "images", "audio", "tool call"],
)
def test_an_answer_without_text_may_say_something_still(said: dict[str, Any]) -> None:
    assert read({"content": None, **said}).content == ""
