"""Events in, chunks out: what a stream is to a caller, and how it may fail."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk

from langchain_tale import errors
from langchain_tale.openrouter.failures import Source
from langchain_tale.openrouter.streams import StreamReader
from tests.openrouter.replies import ASKED, STOP, USAGE, call, chunks, event, read, streamed

ONCE = event({"role": "assistant", "content": "Once"})
FACTS = {
    "model_provider": "openrouter",
    "id": "gen-1",
    "request_id": "req-1",
    "model_name": "a/b-2",
    "requested_model": "a/b",
    "provider_name": "P",
    "cost": 0.5,
    "token_usage": USAGE,
    **STOP,
}
END = event({"content": ""}, choice=STOP, usage=USAGE)

# ── what comes when ─────────────────────────────────────────────────────────


def test_text_and_reasoning_come_at_once_and_the_facts_at_the_end() -> None:
    reader = StreamReader(ASKED)
    details = [{"type": "reasoning.text", "index": 0, "text": "hm"}]

    thought = reader.read(event({"reasoning": "hm", "reasoning_details": details}, usage=USAGE))
    said = reader.read(ONCE)
    last = reader.finish if reader.read(END) is None else None

    assert thought is not None
    assert said is not None
    assert last is not None
    assert thought.message.additional_kwargs == {"reasoning_content": "hm"}
    assert said.message.content == "Once"
    assert thought.message.response_metadata.keys() == {"model_provider"}
    end = last().message
    assert isinstance(end, AIMessageChunk)
    assert (end.content, end.chunk_position) == ("", "last")
    assert end.additional_kwargs == {"reasoning_details": details}
    assert end.response_metadata["cost"] == 0.5


def test_only_the_last_chunk_is_the_last() -> None:
    positions = [chunk.chunk_position for chunk in chunks(ONCE, ONCE, END)]

    assert positions == [None, None, "last"]


@pytest.mark.parametrize(
    "ending",
    [
        [event(choice=STOP), event(choice={"finish_reason": None}, usage=USAGE)],
        [event(choice=STOP), event(choice=STOP, usage=USAGE)],
        [event(choice=STOP), {"choices": [], "usage": USAGE}],
        [event(choice=STOP, usage=USAGE)],
        [event(choice={**STOP, "finish_reason": ""}), event(choice=STOP, usage=USAGE)],
    ],
    ids=["until 2026", "as recorded", "as documented", "together", "an empty one before"],
)
def test_a_stream_may_end_in_several_ways(ending: list[Any]) -> None:
    message = streamed({"choices": [], "debug": {"echo_upstream_body": {}}}, ONCE, *ending)

    assert message.response_metadata == FACTS
    assert message.usage_metadata is not None
    assert message.usage_metadata["total_tokens"] == 3


def test_logprobs_of_all_chunks_are_joined() -> None:
    tokens = [{"token": "On"}, {"token": "ce"}]
    message = streamed(
        event({"content": "On"}, choice={"logprobs": {"content": tokens[:1], "refusal": None}}),
        event({"content": "ce"}, choice={"logprobs": {"content": tokens[1:], "refusal": None}}),
        event(choice={**STOP, "logprobs": None}),
    )

    assert message.response_metadata["logprobs"] == {"content": tokens}


def test_what_a_server_repeats_counts_once() -> None:
    citation = {"type": "url_citation", "url_citation": {"url": "https://x.test"}}
    image = {"image_url": {"url": "data:image/png;base64,AA=="}}
    message = streamed(
        event({"content": "a", "annotations": [citation]}, citations=["https://x.test"]),
        event({"content": "b", "annotations": [citation], "images": [image]}),
        event({"images": [image]}, choice=STOP, citations=["https://x.test"]),
    )

    assert message.additional_kwargs == {
        "annotations": [citation],
        "images": [image],
        "citations": ["https://x.test"],
    }


def test_a_refusal_grows() -> None:
    message = streamed(event({"refusal": "I "}), event({"refusal": "won't."}), END)

    assert message.additional_kwargs["refusal"] == "I won't."


def test_unknown_fields_are_kept_as_in_a_whole_answer() -> None:
    new = {"a_new_field": {"of": "tomorrow"}}

    assert streamed(event({"content": "x", **new}), END).additional_kwargs == new
    assert read({"content": "x", **new}).additional_kwargs == new


def test_a_second_choice_is_passed_over() -> None:
    other = event({"content": "twice"}, choice={"index": 1, **STOP})

    assert streamed(ONCE, other, END).content == "Once"


def test_one_whole_body_is_a_stream_of_one_event() -> None:
    body = event(choice={**STOP, "delta": None, "message": {"content": "Once"}})

    assert streamed(body).content == "Once"


def test_an_answer_cut_off_by_max_tokens_is_an_answer() -> None:
    message = streamed(ONCE, event(choice={"finish_reason": "length"}))

    assert (message.content, message.response_metadata["finish_reason"]) == ("Once", "length")


@pytest.mark.parametrize(
    "said",
    [
        {"refusal": "no"},
        {"images": [{}]},
        {"audio": {"data": "AAAA"}},
        {"tool_calls": [call("f", "")]},
    ],
    ids=["refusal", "images", "audio", "tool call"],
)
def test_an_answer_without_text_may_say_something_still(said: dict[str, Any]) -> None:
    assert streamed(event(said), END).content == ""


# ── failing ─────────────────────────────────────────────────────────────────


def broken_by(*events: Any) -> errors.ExternalServiceError:
    with pytest.raises(errors.ExternalServiceError) as caught:
        streamed(ONCE, event({"content": " upon"}), *events)
    return caught.value


@pytest.mark.parametrize("choice", [{"finish_reason": "error"}, STOP, {}], ids=str)
@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        ({"code": 502}, errors.UnavailableError, 502),
        ({"code": 429}, errors.RateLimitError, 429),
        ({"code": "429"}, errors.RateLimitError, 429),
        ({"code": "server_error"}, errors.UnavailableError, None),
        ({"code": 400, "metadata": {"error_type": "refusal"}}, errors.ModerationError, 400),
        ({"code": 504, "metadata": {"error_type": "timeout"}}, errors.RequestTimeoutError, 504),
        ({"code": 502, "metadata": {"raw": "x"}}, errors.UnavailableError, 502),
    ],
    ids=["502", "429", "429 as text", "a word", "refusal", "timeout", "as recorded"],
)
def test_an_error_in_mid_stream_keeps_what_came(
    error: dict[str, Any], kind: type[Exception], status: int | None, choice: dict[str, Any]
) -> None:
    found = broken_by(event({"content": ""}, choice=choice, error={"message": "x", **error}))

    assert (type(found), found.status_code) == (kind, status)
    assert found.partial_text == "Once upon"
    assert (found.generation_id, found.provider_name, found.request_id) == ("gen-1", "P", "req-1")


@pytest.mark.parametrize(
    "last",
    [
        {"error": {"code": 502, "message": "x"}},
        {"error": {"code": 502, "message": "x"}, "choices": [], "provider": None},
        event(choice={"finish_reason": "error"}),
        event(choice={"finish_reason": "stop", "error": {"code": 502, "message": "x"}}),
    ],
    ids=["bare", "without a choice", "finish reason only", "in its choice"],
)
def test_an_error_event_may_have_many_shapes(last: dict[str, Any]) -> None:
    found = broken_by(last)

    assert type(found) is errors.UnavailableError
    assert (found.partial_text, found.provider_name) == ("Once upon", "P")
    assert found.generation_id == "gen-1"


@pytest.mark.parametrize(
    "events",
    [[], [event(usage=USAGE)], [event(choice={"finish_reason": None})]],
    ids=["nothing", "usage only", "null"],
)
def test_a_stream_without_a_finish_reason_is_broken(events: list[Any]) -> None:
    found = broken_by(*events)

    assert type(found) is errors.BrokenStreamError
    assert found.partial_text == "Once upon"
    assert (found.generation_id, found.provider_name, found.request_id) == ("gen-1", "P", "req-1")


@pytest.mark.parametrize("last", ["text", 7, None, ["x"]], ids=str)
def test_an_event_that_is_no_object_breaks_the_stream(last: Any) -> None:
    found = broken_by(last)

    assert type(found) is errors.BrokenStreamError
    assert found.partial_text == "Once upon"


@pytest.mark.parametrize(
    "last",
    [
        event({"reasoning": "hm", "reasoning_details": ["x"]}, choice=STOP),
        {"choices": ["x"]},
        {"choices": 7},
        event(choice={"delta": "x"}),
        event({"tool_calls": ["x"]}),
    ],
    ids=str,
)
def test_an_event_of_no_documented_shape_is_malformed(last: Any) -> None:
    assert isinstance(broken_by(last), errors.MalformedReplyError)


def test_a_stream_without_a_word_raises() -> None:
    with pytest.raises(errors.EmptyReplyError, match="without saying anything") as caught:
        streamed(event({"content": "", "reasoning": "hm"}), END)
    assert (caught.value.generation_id, caught.value.provider_name) == ("gen-1", "P")
    assert caught.value.raw["usage"] == USAGE  # it was billed all the same


def test_a_stream_that_reasoning_left_no_room_for_says_so() -> None:
    usage = {**USAGE, "completion_tokens_details": {"reasoning_tokens": 64}}

    with pytest.raises(errors.EmptyReplyError, match="64 reasoning tokens"):
        streamed(event({"reasoning": "hm"}, choice={"finish_reason": "length"}, usage=usage))


def test_the_headers_name_a_generation_that_never_began() -> None:
    with pytest.raises(errors.BrokenStreamError) as caught:
        streamed(source=Source("a/b", 200, {"x-generation-id": "gen-h"}))
    assert (caught.value.generation_id, caught.value.model) == ("gen-h", "a/b")
