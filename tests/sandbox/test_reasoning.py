"""Reasoning over real HTTP: who asks for it, the shape of each vendor, and what it costs."""

from __future__ import annotations

from typing import Any

import pytest

from langchain_tale.sandbox import reasoning

CLAUDE = "anthropic/claude-haiku-4.5"
GPT = "openai/gpt-5-mini"
GEMINI = "google/gemini-2.5-flash"
QWEN = "qwen/qwen3-30b-a3b"
MODELS = [CLAUDE, GPT, GEMINI, QWEN]
LOW = {"effort": "low"}


def kinds(details: list[dict[str, Any]]) -> list[tuple[str, int, str]]:
    return [(item["type"], item["index"], item["format"]) for item in details]


class TestWhoAsks:
    @pytest.mark.parametrize(
        "fields",
        [
            {"reasoning": {}},
            {"reasoning": {"enabled": True}},
            {"reasoning": LOW},
            {"reasoning": {"max_tokens": 100}},
            {"reasoning_effort": "minimal"},
            {"reasoning": LOW, "reasoning_effort": "low"},
            {"include_reasoning": True},
        ],
        ids=str,
    )
    def test_they_get_it(self, http: Any, fields: dict[str, Any]) -> None:
        body = http.ask(**fields).json()
        message = body["choices"][0]["message"]
        counted = body["usage"]["completion_tokens_details"]["reasoning_tokens"]
        assert message["reasoning"]
        assert message["reasoning_details"]
        assert "Once upon a time" in message["content"]
        assert counted == len(message["reasoning"].split())
        assert body["usage"]["completion_tokens"] > counted > 0

    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"reasoning": None},
            {"reasoning": {"enabled": False}},
            {"reasoning": {"effort": "none"}},
            {"reasoning_effort": "none"},
            {"include_reasoning": False},
        ],
        ids=str,
    )
    def test_the_others_do_not(self, http: Any, fields: dict[str, Any]) -> None:
        body = http.ask(**fields).json()
        message = body["choices"][0]["message"]
        assert message["reasoning"] is None
        assert "reasoning_details" not in message
        assert body["usage"]["completion_tokens_details"] == {"reasoning_tokens": 0}

    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
    @pytest.mark.parametrize(
        "fields",
        [{"reasoning": {"exclude": True}}, {"reasoning": LOW, "include_reasoning": False}],
        ids=["exclude", "legacy"],
    )
    def test_excluded_it_is_counted_and_not_told(
        self, http: Any, fields: dict[str, Any], *, stream: bool
    ) -> None:
        text = http.ask(stream=stream, **fields).text
        assert '"reasoning_details"' not in text
        assert '"reasoning_tokens": 0' not in text
        assert '"reasoning_tokens": ' in text

    def test_more_effort_is_more_of_it(self, http: Any) -> None:
        efforts = ("minimal", "medium", "high", "xhigh", "max")
        lengths = [
            len(http.message(reasoning={"effort": effort})["reasoning"]) for effort in efforts
        ]
        assert lengths == sorted(set(lengths))

    def test_a_budget_bounds_it(self, http: Any) -> None:
        assert len(http.message(reasoning={"max_tokens": 7})["reasoning"].split()) == 7

    def test_the_same_request_has_the_same(self, http: Any) -> None:
        told = [http.message(content=f"Story {n // 2}", reasoning=LOW) for n in range(20)]
        assert told[0::2] == told[1::2]
        assert len({message["reasoning"] for message in told}) > 1

    def test_it_comes_before_a_tool_call_too(self, http: Any) -> None:
        tools = [{"type": "function", "function": {"name": "a", "parameters": {}}}]
        body = http.ask(reasoning=LOW, tools=tools).json()
        [choice] = body["choices"]
        assert choice["finish_reason"] == "tool_calls"
        assert choice["message"]["reasoning"]
        assert choice["message"]["tool_calls"]


class TestItsShape:
    def test_of_claude_is_one_signed_text(self, http: Any) -> None:
        message = http.message(model=CLAUDE, reasoning=LOW)
        [item] = message["reasoning_details"]
        assert kinds([item]) == [("reasoning.text", 0, "anthropic-claude-v1")]
        assert item["text"] == message["reasoning"]
        assert item["signature"] == reasoning.seal(item["text"])

    def test_of_claude_streamed_ends_with_a_signature_alone(self, http: Any) -> None:
        *texts, last = http.deltas("reasoning_details", model=CLAUDE, reasoning=LOW)
        assert all(item.keys() == {"type", "text", "format", "index"} for [item] in texts)
        assert last[0].keys() == {"type", "signature", "format", "index"}
        assert {kind for [item] in [*texts, last] for kind in kinds([item])} == {
            ("reasoning.text", 0, "anthropic-claude-v1")
        }

    def test_of_gpt_is_a_summary_and_an_encrypted_item(self, http: Any) -> None:
        message = http.message(model=GPT, reasoning=LOW)
        summary, encrypted = message["reasoning_details"]
        assert kinds([summary, encrypted]) == [
            ("reasoning.summary", 0, "openai-responses-v1"),
            ("reasoning.encrypted", 1, "openai-responses-v1"),
        ]
        assert summary["summary"] == message["reasoning"]
        assert encrypted["id"].startswith("rs_")

    def test_of_gemini_has_both_items_at_one_index(self, http: Any) -> None:
        message = http.message(model=GEMINI, reasoning=LOW)
        assert kinds(message["reasoning_details"]) == [
            ("reasoning.text", 0, "google-gemini-v1"),
            ("reasoning.encrypted", 0, "google-gemini-v1"),
        ]

    @pytest.mark.parametrize("model", [QWEN, "huggingfacetb/smollm2-135m-instruct"])
    def test_of_others_is_text_of_unknown_format(self, http: Any, model: str) -> None:
        message = http.message(model=model, reasoning=LOW)
        assert kinds(message["reasoning_details"]) == [("reasoning.text", 0, "unknown")]

    def test_an_alias_has_that_of_its_vendor(self, http: Any) -> None:
        message = http.message(model="~anthropic/claude-haiku-latest", reasoning=LOW)
        assert "signature" in message["reasoning_details"][0]

    def test_a_fallback_has_that_of_who_answers(self, http: Any) -> None:
        message = http.message(
            model="anthropic/claude-3.5-sonnet", models=["openai/gpt-4o"], reasoning=LOW
        )
        assert message["reasoning_details"][0]["type"] == "reasoning.summary"

    @pytest.mark.parametrize("model", MODELS)
    def test_a_stream_says_the_same_as_a_whole_answer(self, http: Any, model: str) -> None:
        whole = http.message(model=model, reasoning=LOW)
        told = http.deltas("reasoning", model=model, reasoning=LOW)
        fragments = http.deltas("reasoning_details", model=model, reasoning=LOW)
        items: dict[tuple[str, int], dict[str, Any]] = {}
        for [fragment] in fragments:
            item = items.setdefault((fragment["type"], fragment["index"]), {})
            for name, value in fragment.items():
                item[name] = item.get(name, "") + value if name in {"text", "summary"} else value
        assert len(told) > 3
        assert "".join(told) == whole["reasoning"]
        assert list(items.values()) == whole["reasoning_details"]

    def test_in_a_stream_it_comes_before_the_text(self, http: Any) -> None:
        deltas = [c["choices"][0]["delta"] for c in http.chunks(model=GPT, reasoning=LOW)]
        says = [(bool(d.get("reasoning_details")), bool(d["content"])) for d in deltas]
        assert says == sorted(says, key=lambda said: (not said[0], not said[1]))
        assert (True, True) not in says


class TestItsBudget:
    def test_what_is_left_goes_to_the_answer(self, http: Any) -> None:
        spent = len(http.message(reasoning=LOW)["reasoning"].split())
        body = http.ask(reasoning=LOW, max_tokens=spent + 2).json()
        assert body["choices"][0]["finish_reason"] == "length"
        assert body["choices"][0]["message"]["content"] == "# The"
        assert body["usage"]["completion_tokens"] == spent + 2

    @pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
    def test_it_can_eat_all_of_it(self, http: Any, name: str) -> None:
        body = http.ask(model=CLAUDE, reasoning=LOW, **{name: 3}).json()
        [choice] = body["choices"]
        assert (choice["finish_reason"], choice["message"]["content"]) == ("length", None)
        assert choice["message"]["reasoning_details"][0].keys() == {
            "type", "text", "format", "index",
        }  # fmt: skip
        assert body["usage"]["completion_tokens_details"]["reasoning_tokens"] == 3

    def test_also_in_a_stream(self, http: Any) -> None:
        chunks = http.chunks(reasoning=LOW, max_tokens=3)
        assert not any(chunk["choices"][0]["delta"]["content"] for chunk in chunks)
        assert [c["choices"][0]["finish_reason"] for c in chunks[-2:]] == ["length", "length"]

    def test_also_before_a_tool_call(self, http: Any) -> None:
        tools = [{"type": "function", "function": {"name": "a"}}]
        body = http.ask(reasoning=LOW, tools=tools, max_tokens=3).json()
        assert body["choices"][0]["finish_reason"] == "length"
        assert "tool_calls" not in body["choices"][0]["message"]

    def test_the_record_counts_it(self, http: Any) -> None:
        body = http.ask(reasoning=LOW).json()
        record = http.get("/generation", params={"id": body["id"]}).json()["data"]
        counted = body["usage"]["completion_tokens_details"]["reasoning_tokens"]
        assert record["native_tokens_reasoning"] == counted > 0


class TestItsReturn:
    @pytest.mark.parametrize("model", MODELS)
    def test_what_comes_back_as_it_left_is_taken(self, http: Any, model: str) -> None:
        said = http.message(model=model, reasoning=LOW)
        messages = [{"role": "user", "content": "A fox."}, said, {"role": "user", "content": "On."}]
        assert http.ask(model=model, messages=messages).status_code == 200

    def test_a_signed_text_that_was_altered_is_refused(self, http: Any) -> None:
        said = http.message(model=CLAUDE, reasoning=LOW)
        said["reasoning_details"][0]["text"] += " And more."
        messages = [said, {"role": "user", "content": "On."}]
        answer = http.ask(model=CLAUDE, messages=messages)
        assert answer.status_code == 400
        assert "unmodified" in answer.json()["error"]["message"]

    def test_a_signature_of_others_is_let_pass(self, http: Any) -> None:
        item = {"type": "reasoning.text", "text": "Hm.", "signature": "c2lnbmVk", "index": 0}
        messages = [{"role": "assistant", "content": "Yes.", "reasoning_details": [item]}]
        assert http.ask(messages=messages).status_code == 200
