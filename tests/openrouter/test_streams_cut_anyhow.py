"""However a server cuts its answer into events, their chunks add up to the whole answer."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.openrouter.replies import STOP, USAGE, call, event, read, streamed

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage

Event = dict[str, Any]
Events = list[Event]
WORDS = st.text("ab é\n", min_size=1, max_size=8)
ARGS = st.dictionaries(st.sampled_from("xyz"), st.integers() | WORDS, max_size=2)
KNOWN = {
    "annotations": [{"type": "url_citation", "url_citation": {"url": "https://x.test"}}],
    "images": [{"image_url": {"url": "data:image/png;base64,AA=="}}],
    "refusal": "I won't.",
    "audio": {"id": "a", "data": "AAEC", "transcript": "Once"},
}
IDENTITY = {"id": "gen-1", "model": "a/b-2", "provider": "P"}
relaxed = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@dataclass(frozen=True)
class Answer:
    """The same answer twice: as the message of a body, and as the deltas of a stream."""

    message: dict[str, Any] = field(default_factory=dict)
    deltas: Events = field(default_factory=list)


def pieces(data: st.DataObject, text: str) -> list[str]:
    """A text, cut anywhere; no piece is empty."""
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(text) - 1)), max_size=3)))
    parts = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    return [part for part in parts if part]


def reasoning(data: st.DataObject) -> Answer:
    """Items as Claude, Gemini, OpenAI and those with plain text only have them."""
    items: Events = []
    deltas: Events = []
    text = ""
    is_plain_sent = data.draw(st.booleans())
    for index, kind in enumerate(
        data.draw(st.lists(st.sampled_from(["text", "summary"]), max_size=2))
    ):
        own = {"type": f"reasoning.{kind}", "index": index, "format": None}
        thought = data.draw(WORDS)
        for piece in pieces(data, thought):
            plain = {"reasoning": piece} if is_plain_sent else {}
            deltas.append({**plain, "reasoning_details": [{**own, kind: piece}]})
        item = {**own, kind: thought}
        if data.draw(st.booleans()):
            deltas.append({"reasoning": "", "reasoning_details": [{**own, "signature": "s+/="}]})
            item["signature"] = "s+/="
        items.append(item)
        text += thought
    for number in range(data.draw(st.integers(0, 2))):
        item = {"type": "reasoning.encrypted", "index": 0, "id": f"rs_{number}", "data": "x=="}
        deltas.append({"reasoning_details": [item]})
        items.append(item)
    return Answer({"reasoning": text or None, "reasoning_details": items}, deltas)


def tool_calls(data: st.DataObject) -> Answer:
    """Up to three calls, whose fragments may take turns and repeat who they are."""
    calls: Events = []
    fragments: list[Events] = []
    for index, args in enumerate(data.draw(st.lists(ARGS, max_size=3))):
        text = json.dumps(args)
        calls.append(call(f"f{index}", text, f"call_{index}"))
        first, *rest = pieces(data, text)
        named = {"id": f"call_{index}", "name": f"f{index}"} if data.draw(st.booleans()) else {}
        later = [
            {"index": index, "function": {"arguments": p, **named}, "id": named.get("id")}
            for p in rest
        ]
        fragments.append([call(f"f{index}", first, f"call_{index}", index=index), *later])
    deltas: Events = []
    begun = 0
    while any(fragments):
        open_to_all = [own for own in fragments[: begun + 1] if own]
        chosen = data.draw(st.sampled_from(open_to_all))
        begun += "type" in chosen[0]
        deltas.append({"tool_calls": [chosen.pop(0)]})
    return Answer({"tool_calls": calls}, deltas)


def answer(data: st.DataObject) -> Answer:
    """Any answer that says something."""
    text = data.draw(WORDS)
    known = {name: KNOWN[name] for name in data.draw(st.sets(st.sampled_from(sorted(KNOWN))))}
    thought, called = reasoning(data), tool_calls(data)
    said = [{"content": piece} for piece in pieces(data, text)]
    return Answer(
        {"content": text, **known, **thought.message, **called.message},
        [*thought.deltas, *said, *called.deltas, *({name: known[name]} for name in known)],
    )


def events(data: st.DataObject, deltas: Events, **facts: Any) -> Events:
    """Deltas as events; the facts are in any of them, the reason why it ended in the last."""
    found = [event(delta, **bare(data, facts)) for delta in together(data, deltas)]
    found[-1]["choices"][0] |= STOP
    found += [event({"content": ""}, choice=STOP)] * data.draw(st.integers(0, 2))
    if data.draw(st.booleans()):
        found.append({"choices": []})
    for name, fact in {**IDENTITY, **facts}.items():
        found[data.draw(st.integers(0, len(found) - 1))][name] = fact
    debug = [{"choices": [], "debug": {"echo_upstream_body": {}}}]
    return debug * data.draw(st.integers(0, 2)) + found


def together(data: st.DataObject, deltas: Events) -> Events:
    """Deltas of which some share an event with the one before."""
    found: Events = [{"role": "assistant", "content": ""}]
    for delta in deltas:
        if data.draw(st.booleans()) or found[-1].keys() & delta.keys():
            found.append(dict(delta))
        else:
            found[-1] |= delta
    return found


def bare(data: st.DataObject, facts: dict[str, Any]) -> dict[str, Any]:
    """Some of the facts, null where they are missing."""
    known = {**IDENTITY, **facts}
    said = data.draw(st.sets(st.sampled_from(sorted(known))))
    return {name: known[name] if name in said else None for name in known}


def essence(message: AIMessage) -> dict[str, Any]:
    """All that a caller can know of an answer."""
    return {
        "content": message.content,
        "tool_calls": message.tool_calls,
        "invalid": message.invalid_tool_calls,
        "kwargs": message.additional_kwargs,
        "usage": message.usage_metadata,
        "metadata": message.response_metadata,
    }


@relaxed
@given(st.data())
def test_a_stream_adds_up_to_the_whole_answer(data: st.DataObject) -> None:
    wanted = answer(data)
    facts = {"usage": USAGE, "service_tier": "flex", "created": 7}

    whole = read(wanted.message, choice=STOP, **facts)
    assert essence(streamed(*events(data, wanted.deltas, **facts))) == essence(whole)


def plain(blocks: list[Any]) -> list[Any]:
    """Content blocks without the numbers that chunks are joined by."""
    return [{name: block[name] for name in block if name != "index"} for block in blocks]


@relaxed
@given(st.data())
def test_the_content_blocks_of_a_stream_are_those_of_the_whole_answer(data: st.DataObject) -> None:
    wanted = answer(data)

    whole = read(wanted.message, choice=STOP)
    together = streamed(*events(data, wanted.deltas))
    assert plain(list(together.content_blocks)) == list(whole.content_blocks)
