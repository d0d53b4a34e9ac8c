"""What OpenRouter itself adds: citations of a web search, annotations of parsed files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from langchain_tale.sandbox.pieces import EngineError

MODEL = "openai/gpt-4o-mini"
SEARCH = {"type": "openrouter:web_search"}
PDF = "data:application/pdf;base64,JVBERi0xLjQK"

Serve = Callable[..., tuple[Any, Any]]
NATIVE: list[dict[str, Any]] = [
    {"plugins": [{"id": "web", "max_results": 3}]},
    {"web_search_options": {}},
    {"model": f"{MODEL}:online"},
]


def asking(file: dict[str, Any]) -> list[dict[str, Any]]:
    parts = [{"type": "text", "text": "What is it?"}, {"type": "file", "file": file}]
    return [{"role": "user", "content": parts}]


class TestWebSearch:
    def test_by_the_tool_is_cited_and_billed(self, http: Any) -> None:
        body = http.ask(tools=[SEARCH]).json()
        message = body["choices"][0]["message"]
        cited = [note["url_citation"] for note in message["annotations"]]
        assert {note["type"] for note in message["annotations"]} == {"url_citation"}
        assert all(page["url"].startswith("https://example.com/") for page in cited)
        assert all(page["content"] for page in cited)
        assert [(page["start_index"], page["end_index"]) for page in cited] == [(0, 0)] * 2
        assert "" in {page["title"] for page in cited}
        assert "Once upon a time" in message["content"]
        usage = body["usage"]
        assert usage["server_tool_use_details"] == {
            "web_search_requests": 1,
            "tool_calls_requested": 1,
            "tool_calls_executed": 1,
        }
        inference = usage["cost_details"]["upstream_inference_cost"]
        assert usage["cost"] == pytest.approx(inference + 0.007)

    def test_the_tool_can_want_fewer_results(self, http: Any) -> None:
        tools = [{**SEARCH, "parameters": {"max_results": 1}}]
        assert len(http.message(tools=tools)["annotations"]) == 1

    @pytest.mark.parametrize("fields", NATIVE, ids=["plugin", "options", "online"])
    def test_by_other_ways_is_cited_with_its_place(self, http: Any, fields: dict[str, Any]) -> None:
        body = http.ask(**fields).json()
        message = body["choices"][0]["message"]
        [note] = message["annotations"]
        cited = note["url_citation"]
        assert (cited["start_index"], cited["end_index"]) == (0, len(message["content"]))
        assert "content" not in cited
        assert body["usage"]["server_tool_use_details"] == {"web_search_requests": 1}

    def test_a_plugin_that_is_switched_off_does_nothing(self, http: Any) -> None:
        body = http.ask(plugins=[{"id": "web", "enabled": False}]).json()
        assert "annotations" not in body["choices"][0]["message"]
        assert "server_tool_use_details" not in body["usage"]

    def test_streamed_the_tool_cites_before_and_the_plugin_after_the_text(self, http: Any) -> None:
        def order(**fields: Any) -> list[str]:
            deltas = [chunk["choices"][0]["delta"] for chunk in http.chunks(**fields)]
            said = ["note" if "annotations" in delta else delta["content"] for delta in deltas]
            return ["note" if word == "note" else "word" for word in said if word]

        before, after = order(tools=[SEARCH]), order(**NATIVE[0])
        assert before[:2] == ["note", "note"]
        assert after[-1] == "note"
        assert set(before[2:]) == set(after[:-1]) == {"word"}

    def test_streamed_it_says_the_same(self, http: Any) -> None:
        for fields in ({"tools": [SEARCH]}, *NATIVE):
            whole = http.message(**fields)["annotations"]
            assert [note for [note] in http.deltas("annotations", **fields)] == whole

    def test_tools_of_the_caller_are_called_beside_it(self, http: Any) -> None:
        tools = [SEARCH, {"type": "function", "function": {"name": "a"}}]
        message = http.message(tools=tools)
        assert message["tool_calls"][0]["function"]["name"] == "a"
        assert message["annotations"]

    def test_whichever_engine_writes(self, serve: Serve, stuck: Any) -> None:
        _, http = serve(stuck("Once"))
        body = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "stream": True}
        body["tools"] = [SEARCH]
        with http.stream("POST", "/chat/completions", json=body) as answer:
            lines = answer.iter_lines()
            seen = [next(lines) for _ in range(8)]
        assert sum("url_citation" in line for line in seen) == 2

    def test_an_engine_that_refuses_keeps_its_status(self, serve: Serve, broken: Any) -> None:
        _, http = serve(broken(EngineError(400, "Too long.", "context_length_exceeded")))
        assert http.ask(tools=[SEARCH]).status_code == 400


class TestFiles:
    @pytest.mark.parametrize(
        "file",
        [
            {"filename": "fox.pdf", "file_data": PDF},
            {"filename": "FOX.PDF", "file_data": "data:application/octet-stream;base64,AA=="},
            {"file_data": "https://example.com/fox.pdf"},
        ],
        ids=["data", "name", "url"],
    )
    def test_a_pdf_is_annotated(self, http: Any, file: dict[str, str]) -> None:
        [note] = http.message(messages=asking(file))["annotations"]
        assert note["type"] == "file"
        assert note["file"]["hash"] == hashlib.sha256(file["file_data"].encode()).hexdigest()
        assert note["file"]["name"] == file.get("filename", "file")
        assert {part["type"] for part in note["file"]["content"]} == {"text"}
        assert http.deltas("annotations", messages=asking(file)) == [[note]]

    def test_any_file_is_where_the_plugin_is_wanted(self, http: Any) -> None:
        messages = asking({"filename": "fox.txt", "file_data": "data:text/plain;base64,eA=="})
        plugin = {"id": "file-parser", "pdf": {"engine": "native"}}
        assert "annotations" not in http.message(messages=messages)
        assert len(http.message(messages=messages, plugins=[plugin])["annotations"]) == 1

    def test_a_file_that_was_annotated_is_not_parsed_again(self, http: Any) -> None:
        messages = asking({"filename": "fox.pdf", "file_data": PDF})
        said = http.message(messages=messages)
        messages += [said, {"role": "user", "content": "And then?"}]
        assert "annotations" not in http.message(messages=messages)
        del said["annotations"]
        assert "annotations" in http.message(messages=messages)

    def test_one_file_twice_is_one_annotation(self, http: Any) -> None:
        messages = asking({"filename": "fox.pdf", "file_data": PDF}) * 2
        assert len(http.message(messages=messages)["annotations"]) == 1
