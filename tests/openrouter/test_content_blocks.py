"""Answers as LangChain's standard content blocks: whole, streamed, as v1 content, and back."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk

from langchain_tale.openrouter.messages import to_wire
from tests.openrouter.replies import STOP, Wire, call, chunks, event, joined, read, reply, streamed

TEXT = {"type": "reasoning.text", "index": 0, "format": "anthropic-claude-v1", "signature": "s"}
SECRET = {"type": "reasoning.encrypted", "index": 0, "id": "rs_1", "data": "xyz=="}
SUMMARY = {"type": "reasoning.summary", "index": 0, "format": "openai-responses-v1"}
CITED = {"url": "https://x.test", "title": "X", "start_index": 0, "end_index": 4}

SAID: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "text": ({"content": "Once"}, [{"type": "text", "text": "Once"}]),
    "signed reasoning": (
        {"content": "x", "reasoning": "hm", "reasoning_details": [{**TEXT, "text": "hm"}]},
        [{"type": "reasoning", "reasoning": "hm", "extras": TEXT}, {"type": "text", "text": "x"}],
    ),
    "plain reasoning": (
        {"content": "x", "reasoning": "hm"},
        [{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "x"}],
    ),
    "secret reasoning": (
        {"content": "x", "reasoning_details": [SECRET]},
        [{"type": "reasoning", "extras": SECRET}, {"type": "text", "text": "x"}],
    ),
    "summary and secret": (
        {
            "content": "x",
            "reasoning": "hm",
            "reasoning_details": [{**SUMMARY, "summary": "hm"}, SECRET],
        },
        [
            {"type": "reasoning", "reasoning": "hm", "extras": SUMMARY},
            {"type": "reasoning", "extras": SECRET},
            {"type": "text", "text": "x"},
        ],
    ),
    "citation": (
        {
            "content": "Once",
            "annotations": [
                {"type": "url_citation", "url_citation": {**CITED, "content": "said", "new": 1}},
                {"type": "file", "file": {"hash": "h"}},
            ],
        },
        [
            {
                "type": "text",
                "text": "Once",
                "annotations": [
                    {"type": "citation", **CITED, "cited_text": "said", "extras": {"new": 1}},
                    {
                        "type": "non_standard_annotation",
                        "value": {"type": "file", "file": {"hash": "h"}},
                    },
                ],
            }
        ],
    ),
    "image": (
        {
            "content": None,
            "images": [
                {"image_url": {"url": "data:image/png;base64,AA=="}},
                {"image_url": {"url": "https://x.test/a.png"}},
            ],
        },
        [
            {"type": "image", "base64": "AA==", "mime_type": "image/png"},
            {"type": "image", "url": "https://x.test/a.png"},
        ],
    ),
    "audio": (
        {"content": None, "audio": {"id": "a", "data": "AAEC", "transcript": "Once"}},
        [{"type": "audio", "id": "a", "base64": "AAEC", "extras": {"transcript": "Once"}}],
    ),
    "refusal": (
        {"content": None, "refusal": "no"},
        [{"type": "refusal", "refusal": "no"}],
    ),
    "tool call": (
        {"content": "x", "tool_calls": [call("f", '{"a": 1}', index=0)]},
        [
            {"type": "text", "text": "x"},
            {"type": "tool_call", "name": "f", "args": {"a": 1}, "id": "1"},
        ],
    ),
}
EACH = pytest.mark.parametrize(("said", "blocks"), SAID.values(), ids=SAID)


def numberless(blocks: Any) -> list[dict[str, Any]]:
    """Blocks without the index that chunks are joined by."""
    return [{name: block[name] for name in block if name != "index"} for block in blocks]


def by_type(blocks: Any) -> list[dict[str, Any]]:
    """Blocks sorted: in a stream, secret reasoning comes after the text."""
    return sorted(numberless(blocks), key=itemgetter("type"))


@EACH
def test_an_answer_is_standard_blocks(said: dict[str, Any], blocks: list[dict[str, Any]]) -> None:
    assert read(said).content_blocks == blocks


@EACH
def test_a_streamed_answer_is_the_same_blocks(
    said: dict[str, Any], blocks: list[dict[str, Any]]
) -> None:
    assert numberless(streamed(event(said), event(choice=STOP)).content_blocks) == blocks


@EACH
async def test_v1_content_is_the_same_blocks_however_it_is_asked_for(
    said: dict[str, Any], blocks: list[dict[str, Any]]
) -> None:
    def llm(answer: Any) -> Any:
        return Wire(answer).llm(output_version="v1")

    whole, events = reply(said), [event(said), event(choice=STOP)]
    messages = [
        llm(whole).invoke("x"),
        await llm(whole).ainvoke("x"),
        joined(llm(events).stream("x")),
        joined([chunk async for chunk in llm(events).astream("x")]),
        Wire(events).llm(output_version="v1", streaming=True).invoke("x"),
    ]

    wanted = [by_type(blocks)] * 5
    assert [by_type(message.content) for message in messages] == wanted
    assert [by_type(message.content_blocks) for message in messages] == wanted


@pytest.mark.filterwarnings("ignore:The method .* is in beta")
@pytest.mark.parametrize("name", sorted(SAID.keys() - {"audio", "refusal"}))
def test_the_newest_events_have_the_same_blocks(name: str) -> None:
    said, blocks = SAID[name]
    llm = Wire([event(said), event(choice=STOP)]).llm()
    message = llm.stream_events("x", version="v3").output

    assert by_type(message.content) == by_type(blocks)
    whole = read(said)
    assert to_wire([message], "a/b") == to_wire([whole], "a/b")


@pytest.mark.filterwarnings("ignore:The method .* is in beta")
def test_the_newest_events_keep_a_refusal_beside_the_blocks() -> None:
    llm = Wire([event({"refusal": "no"}), event(choice=STOP)]).llm()
    message = llm.stream_events("x", version="v3").output

    assert message.additional_kwargs["refusal"] == "no"  # langchain-core 1.8.3 drops the block
    assert to_wire([message], "a/b")[0]["refusal"] == "no"


def test_citations_without_annotations_are_cited_too() -> None:
    message = read({"content": "Once"}, citations=["https://x.test"])

    assert message.content_blocks == [
        {
            "type": "text",
            "text": "Once",
            "annotations": [{"type": "citation", "url": "https://x.test"}],
        }
    ]


def test_content_that_is_blocks_already_stays() -> None:
    blocks: list[Any] = [{"type": "text", "text": "x"}]
    kind = {"model_provider": "openrouter"}

    assert AIMessage(blocks, response_metadata=kind).content_blocks == blocks


def test_a_broken_call_is_an_invalid_block() -> None:
    blocks = read({"tool_calls": [call("f", '{"a')]}).content_blocks

    assert [(block["type"], block["args"]) for block in blocks] == [  # type: ignore[typeddict-item]
        ("invalid_tool_call", '{"a')
    ]


def test_a_chunk_is_the_blocks_that_it_adds() -> None:
    seen = chunks(
        event({"reasoning": "hm", "reasoning_details": [{**TEXT, "text": "hm"}]}),
        event({"content": "On"}),
        event({"tool_calls": [call("f", '{"a"', index=0)]}),
        event(choice=STOP),
    )
    blocks: list[list[Any]] = [list(chunk.content_blocks) for chunk in seen]

    assert [[block["type"] for block in some] for some in blocks[:3]] == [
        ["reasoning"],
        ["text"],
        ["tool_call_chunk"],
    ]
    assert blocks[0][0]["reasoning"] == "hm"
    assert "reasoning" not in blocks[3][0]  # it is not said twice
    assert blocks[3][0]["extras"] == TEXT


# ── and back ────────────────────────────────────────────────────────────────

DETAILS = {
    "signed": [{**TEXT, "text": "hm"}],
    "secret": [SECRET],
    "text and secret": [{**TEXT, "text": "hm"}, SECRET],
    "summary and secret": [{**SUMMARY, "summary": "hm"}, SECRET],
    "two secrets": [SECRET, {**SECRET, "id": "rs_2"}],
    "server tool call": [{"type": "reasoning.server_tool_call", "index": 0, "tool_name": "t"}],
}


def turns(details: list[dict[str, Any]], **options: Any) -> list[AIMessage]:
    """One answer in all the ways that a caller may have got it."""
    texts = [item.get("text") or item.get("summary") or None for item in details]
    said = {"content": "x", "reasoning": "".join(filter(None, texts)) or None}
    whole = Wire(reply({**said, "reasoning_details": details})).llm(**options).invoke("x")
    cut = [
        event({"reasoning": text, "reasoning_details": [item]})
        for text, item in zip(texts, details, strict=True)
    ]
    events = [*cut, event({"content": "x"}), event(choice=STOP)]
    sum_of_chunks = joined(Wire(events).llm(**options).stream("x"))
    assert isinstance(sum_of_chunks, AIMessageChunk)
    return [whole, sum_of_chunks]


def only_content(message: AIMessage, *, as_blocks: bool = False) -> AIMessage:
    """What is left of an answer where an application keeps no more than its content."""
    content: Any = message.content_blocks if as_blocks else message.content
    return AIMessage(content=content, response_metadata=message.response_metadata)


@pytest.mark.parametrize("details", DETAILS.values(), ids=DETAILS)
def test_reasoning_goes_back_exactly_as_it_came(details: list[dict[str, Any]]) -> None:
    v0, v1 = turns(details), turns(details, output_version="v1")
    kept = [only_content(message) for message in v1]
    kept += [only_content(message, as_blocks=True) for message in v0]

    for message in (*v0, *v1, *kept):
        sent = to_wire([message], "a/b")[0]
        assert sent["reasoning_details"] == details
        assert (sent["content"], sent.keys() & {"reasoning"}) == ("x", set())


@pytest.mark.parametrize("details", DETAILS.values(), ids=DETAILS)
def test_v1_content_gives_no_model_anothers_reasoning(details: list[dict[str, Any]]) -> None:
    for message in map(only_content, turns(details, output_version="v1")):
        assert to_wire([message], "c/d") == [{"role": "assistant", "content": "x"}]


@pytest.mark.parametrize("name", sorted(SAID.keys() - {"audio"}))
def test_what_was_said_goes_back_the_same_from_either_content(name: str) -> None:
    said, blocks = SAID[name]
    v0 = Wire(reply(said)).llm().invoke("x")
    v1 = Wire(reply(said)).llm(output_version="v1").invoke("x")

    assert v1.content == blocks
    assert to_wire([v1], "a/b") == to_wire([v0], "a/b")
