"""Which bodies are refused, each with one sentence, and which are taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_tale.sandbox import Sandbox
from langchain_tale.sandbox.validation import problem_with
from tests.sandbox.conftest import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = "data:image/png;base64,AAAA"


def user(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


def image(**fields: Any) -> dict[str, Any]:
    return user({"type": "image_url", "image_url": fields})


def sound(**fields: Any) -> dict[str, Any]:
    return user({"type": "input_audio", "input_audio": fields})


def file(**fields: Any) -> dict[str, Any]:
    return user({"type": "file", "file": fields})


def assistant(**fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "assistant", "content": "Once.", **fields}]}


def details(**item: Any) -> dict[str, Any]:
    return assistant(reasoning_details=[item])


CALL = {"id": "c1", "type": "function", "function": {"name": "a", "arguments": "{}"}}
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    # messages
    ("unknown role", {"messages": [{"role": "narrator", "content": "x"}]}, "role must be one of"),
    ("tool without id", {"messages": [{"role": "tool", "content": "x"}]}, "tool_call_id"),
    ("part of no type", user({}), "type must be one of"),
    ("unknown part", user({"type": "thinking", "thinking": "x"}), "not 'thinking'"),
    ("odd part type", user({"type": {}}), "type must be one of"),
    ("text without text", user({"type": "text"}), "needs text"),
    (
        "image in system",
        {"messages": [{"role": "system", "content": image(url=DATA)["messages"][0]["content"]}]},
        "text parts only",
    ),
    (
        "sound in developer",
        {"messages": [{"role": "developer", "content": [{"type": "input_audio"}]}]},
        "text parts only",
    ),
    ("image a string", user({"type": "image_url", "image_url": DATA}), "image_url.url"),
    ("image without url", image(detail="low"), "image_url.url"),
    ("image of odd detail", image(url=DATA, detail="tiny"), "detail must be one of"),
    ("image of bare base64", image(url="AAAA"), "data URL of an image"),
    ("sound without data", sound(format="wav"), "input_audio.data and"),
    ("sound without format", sound(data="AAAA"), "input_audio.format"),
    ("sound by url", sound(data="https://example.com/a.wav", format="wav"), "no URL"),
    ("sound by data url", sound(data="data:audio/wav;base64,AA", format="wav"), "no URL"),
    ("sound of odd format", sound(data="AAAA", format="midi"), "format must be one of"),
    ("file without data", file(filename="a.pdf"), "file_data"),
    ("file a string", user({"type": "file", "file": "a.pdf"}), "file_data"),
    ("file of bare base64", file(file_data="AAAA"), "URL or a data URL"),
    ("video without url", user({"type": "video_url", "video_url": {}}), "video_url.url"),
    (
        "odd cache mark",
        user({"type": "text", "text": "x", "cache_control": {"type": "forever"}}),
        "ephemeral",
    ),
    (
        "odd cache time",
        user({"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "9m"}}),
        "5m or 1h",
    ),
    # what an assistant said
    ("reasoning no string", assistant(reasoning=["x"]), "reasoning must be a string"),
    ("details no array", assistant(reasoning_details={} | {"type": "x"}), "must be an array"),
    ("details of no type", details(text="x"), "type must be one of"),
    ("details of odd type", details(type="thinking", text="x"), "type must be one of"),
    ("encrypted without data", details(type="reasoning.encrypted"), "needs data"),
    ("summary without summary", details(type="reasoning.summary", text="x"), "needs summary"),
    (
        "format joined twice",
        details(type="reasoning.text", text="x", format="anthropic-claude-v1anthropic-claude-v1"),
        "format must be one of",
    ),
    ("annotation of no type", assistant(annotations=[{}]), "annotation"),
    ("file note without hash", assistant(annotations=[{"type": "file", "file": {}}]), "hash"),
    ("image without url", assistant(images=[{"type": "image_url"}]), "image_url.url"),
    ("call without function", assistant(tool_calls=[{"id": "c1"}]), "function"),
    (
        "arguments an object",
        assistant(tool_calls=[{"id": "c", "function": {"name": "a", "arguments": {}}}]),
        "arguments",
    ),
    # the rest
    ("four models", {"models": ["a/b"] * 4}, "'models' array must have 3 items or fewer"),
    ("long session", {"session_id": "x" * 257}, "session_id"),
    ("many pairs", {"metadata": {str(n): "x" for n in range(17)}}, "16 pairs"),
    ("long key", {"metadata": {"k" * 65: "x"}}, "64 characters"),
    ("long value", {"metadata": {"k": "x" * 513}}, "512 characters"),
    ("value a number", {"metadata": {"k": 1}}, "string"),
    ("provider a string", {"provider": "openai"}, "provider must be an object"),
    ("provider's odd key", {"provider": {"orders": ["a"]}}, "no key 'orders'"),
    ("provider's odd order", {"provider": {"order": "openai"}}, "provider.order"),
    ("provider's odd flag", {"provider": {"zdr": "yes"}}, "provider.zdr"),
    ("provider's odd policy", {"provider": {"data_collection": "no"}}, "data_collection"),
    ("provider's odd sort", {"provider": {"sort": "size"}}, "provider.sort"),
    ("provider's odd sort object", {"provider": {"sort": {"by": "size"}}}, "provider.sort"),
    ("provider's odd quantization", {"provider": {"quantizations": ["int3"]}}, "quantizations"),
    ("provider's odd price", {"provider": {"max_price": {"tokens": 1}}}, "max_price"),
    ("provider's odd speed", {"provider": {"preferred_min_throughput": "fast"}}, "throughput"),
    ("unknown plugin", {"plugins": [{"id": "calculator"}]}, "id must be one of"),
    ("plugin without id", {"plugins": [{}]}, "id must be one of"),
    ("plugin a string", {"plugins": ["web"]}, "array of objects"),
    ("reasoning a string", {"reasoning": "high"}, "reasoning must be an object"),
    ("odd effort", {"reasoning": {"effort": "huge"}}, "reasoning.effort"),
    ("odd short effort", {"reasoning_effort": "huge"}, "reasoning_effort"),
    (
        "two efforts",
        {"reasoning": {"effort": "low"}, "reasoning_effort": "high"},
        "must not differ",
    ),
    ("effort and budget", {"reasoning": {"effort": "low", "max_tokens": 9}}, "not both"),
    ("odd budget", {"reasoning": {"max_tokens": 0}}, "at least 1"),
    ("logprobs a number", {"logprobs": 3}, "boolean"),
    ("too many logprobs", {"logprobs": True, "top_logprobs": 21}, "0 to 20"),
    ("top without logprobs", {"top_logprobs": 2}, "needs logprobs"),
    ("odd modality", {"modalities": ["smell"]}, "text, image, audio"),
    (
        "sound not streamed",
        {"modalities": ["audio"], "audio": {"voice": "a", "format": "pcm16"}},
        "stream: true",
    ),
    ("sound without a voice", {"modalities": ["audio"], "stream": True}, "audio.voice"),
    ("odd tier", {"service_tier": "gold"}, "service_tier"),
    ("odd cache control", {"cache_control": {"type": "forever"}}, "ephemeral"),
    ("debug a flag", {"debug": True}, "debug must be an object"),
    ("tool of no type", {"tools": [{"function": {"name": "a"}}]}, "tools[0]"),
    ("tool of odd type", {"tools": [{"type": "computer"}]}, "tools[0]"),
    ("function without a name", {"tools": [{"type": "function", "function": {}}]}, "a name"),
    (
        "function with a long name",
        {"tools": [{"type": "function", "function": {"name": "a" * 65}}]},
        "64 characters",
    ),
    (
        "server tool's odd parameters",
        {"tools": [{"type": "openrouter:web_search", "parameters": 5}]},
        "parameters",
    ),
]
TAKEN: list[tuple[str, dict[str, Any]]] = [
    ("image by url", image(url="https://example.com/a.png", detail="original")),
    ("image by data", image(url=DATA)),
    ("sound", sound(data="AAAA", format="flac")),
    ("file by data", file(filename="a.pdf", file_data="data:application/pdf;base64,AA")),
    ("file by url", file(file_data="https://example.com/a.pdf")),
    ("file by id", file(file_id="file-1")),
    ("video", user({"type": "video_url", "video_url": {"url": "https://youtu.be/x"}})),
    (
        "system in parts",
        {"messages": [{"role": "system", "content": [{"type": "text", "text": "x"}]}]},
    ),
    (
        "tool result in parts",
        {
            "messages": [
                {"role": "user", "content": "x"},
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {
                    "role": "tool",
                    "tool_call_id": "c1",
                    "content": [
                        {"type": "text", "text": "x"},
                        {"type": "image_url", "image_url": {"url": DATA}},
                    ],
                },
            ]
        },
    ),
    (
        "all that was said",
        assistant(
            reasoning="Hm.",
            reasoning_details=[
                {"type": "reasoning.text", "text": "Hm.", "signature": None, "format": None},
                {"type": "reasoning.summary", "summary": "Hm."},
                {"type": "reasoning.encrypted", "data": "AA", "id": None, "index": 1},
            ],
            annotations=[
                {"type": "url_citation", "url_citation": {"url": "https://example.com"}},
                {"type": "file", "file": {"hash": "ab", "content": []}},
            ],
            images=[{"type": "image_url", "image_url": {"url": DATA}}],
            refusal=None,
        ),
    ),
    ("three models", {"models": ["a/b", "c/d", "e/f"]}),
    ("session", {"session_id": "x" * 256}),
    ("metadata", {"metadata": {"k" * 64: "x" * 512}}),
    (
        "every preference",
        {
            "provider": {
                "order": ["openai"],
                "only": None,
                "ignore": [],
                "allow_fallbacks": False,
                "require_parameters": False,
                "data_collection": "deny",
                "zdr": True,
                "enforce_distillable_text": True,
                "quantizations": ["fp8"],
                "sort": {"by": "price", "partition": "none"},
                "preferred_min_throughput": {"p90": 5},
                "preferred_max_latency": 2.5,
                "max_price": {"prompt": 1, "completion": "2"},
            }
        },
    ),
    ("plugins", {"plugins": [{"id": "response-healing"}, {"id": "web", "enabled": False}]}),
    ("unknown fields", {"safe_prompt": True, "transforms": ["middle-out"]}),
]


@pytest.fixture(scope="module")
def http() -> Iterator[Client]:
    with Sandbox(engine="scripted") as sandbox, Client(sandbox) as client:
        yield client


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [pytest.param(fields, sentence, id=name) for name, fields, sentence in REFUSED],
)
def test_a_mistake_is_one_sentence(http: Any, fields: dict[str, Any], sentence: str) -> None:
    answer = http.ask(**fields)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, 400)
    assert error["metadata"] == {"error_type": "invalid_request"}
    assert sentence in error["message"]
    assert "\n" not in error["message"]


@pytest.mark.parametrize("fields", [pytest.param(fields, id=name) for name, fields in TAKEN])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_what_is_documented_is_taken(http: Any, fields: dict[str, Any], *, stream: bool) -> None:
    assert http.ask(stream=stream, **fields).status_code == 200


def test_the_sentence_says_where(http: Any) -> None:
    messages = [
        {"role": "user", "content": "x"},
        *user({"type": "text", "text": "x"}, {})["messages"],
    ]
    answer = http.ask(messages=messages)
    assert answer.json()["error"]["message"].startswith("messages[1]: content[1]: type must")


def test_a_session_in_the_header_counts_too(http: Any) -> None:
    assert http.ask_with({"x-session-id": "x" * 257}).status_code == 400
    assert http.ask_with({"x-session-id": "x" * 256}).status_code == 200


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-2, 20), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = (
    "model", "models", "messages", "tools", "provider", "plugins", "reasoning", "modalities",
    "audio", "metadata", "session_id", "logprobs", "top_logprobs", "cache_control", "debug",
    "service_tier", "response_format", "reasoning_effort", "max_tokens",
)  # fmt: skip
PART = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url", "input_audio", "file", "video_url"])},
    optional=dict.fromkeys(("text", "image_url", "input_audio", "file", "video_url"), JSON),
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", "system"])},
    optional={
        "content": st.one_of(JSON, st.lists(PART, max_size=2)),
        **{
            name: st.one_of(JSON, st.lists(JSON, max_size=2))
            for name in ("tool_calls", "reasoning_details", "annotations", "images", "reasoning")
        },
    },
)


@given(st.one_of(JSON, st.dictionaries(st.sampled_from(FIELDS), JSON)))
def test_no_body_breaks_it(request: Any) -> None:
    assert problem_with(request) is None or isinstance(problem_with(request), str)


@given(st.lists(MESSAGE, min_size=1, max_size=2))
def test_no_message_breaks_it(messages: list[dict[str, Any]]) -> None:
    problem = problem_with({"model": "a/b", "messages": messages})
    assert problem is None or isinstance(problem, str)
