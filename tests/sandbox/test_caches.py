"""The cache of whole answers, and that of marked prompts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from langchain_tale.sandbox import Fault, response_cache
from langchain_tale.sandbox.bodies import Generation
from langchain_tale.sandbox.pieces import End, Piece
from langchain_tale.sandbox.response_cache import CacheWish, ResponseCache, key_of

MODEL = "openai/gpt-4o-mini"
CLAUDE = "anthropic/claude-haiku-4.5"
ON = {"X-OpenRouter-Cache": "true"}

Serve = Callable[..., tuple[Any, Any]]


def status(answer: Any) -> str | None:
    found: str | None = answer.headers.get("X-OpenRouter-Cache-Status")
    return found


class TestAnswers:
    def test_the_first_is_a_miss_and_the_second_a_free_copy(self, http: Any) -> None:
        first, second = http.ask_with(ON), http.ask_with(ON)
        assert (status(first), status(second)) == ("MISS", "HIT")
        assert first.json()["choices"] == second.json()["choices"]
        assert first.json()["model"] == second.json()["model"]
        usage = second.json()["usage"]
        assert usage["prompt_tokens"] == usage["completion_tokens"] == usage["total_tokens"] == 0
        assert usage["cost"] == usage["cost_details"]["upstream_inference_cost"] == 0
        assert first.json()["usage"]["cost"] > 0

    def test_a_hit_is_a_generation_of_its_own(self, http: Any) -> None:
        first, *others = (http.ask_with(ON) for _ in range(3))
        ids = [answer.json()["id"] for answer in (first, *others)]
        assert len(set(ids)) == 3
        assert [answer.headers["X-Generation-Id"] for answer in (first, *others)] == ids
        assert {a.headers["X-OpenRouter-Cache-Source-Id"] for a in others} == {ids[0]}
        record = http.get("/generation", params={"id": ids[1]}).json()["data"]
        assert record["response_cache_source_id"] == ids[0]
        assert record["total_cost"] == 0

    def test_a_hit_asks_no_model_and_meets_no_fault(self, serve: Serve) -> None:
        sandbox, http = serve(faults={MODEL: [None, Fault(status=503)]})
        assert [http.ask_with(ON).status_code for _ in range(3)] == [200] * 3
        assert sandbox.requests == {MODEL: 1}
        assert http.ask().status_code == 503

    def test_a_stream_is_told_again_word_for_word(self, http: Any, chunks_of: Any) -> None:
        answers = [http.ask_with(ON, stream=True, reasoning={}, model=CLAUDE) for _ in range(2)]
        first, second = (chunks_of(answer.text.splitlines()) for answer in answers)
        assert [status(answer) for answer in answers] == ["MISS", "HIT"]
        assert [c["choices"] for c in first] == [c["choices"] for c in second]
        assert {c["id"] for c in first}.isdisjoint({c["id"] for c in second})
        assert second[-1]["usage"]["total_tokens"] == 0
        assert answers[1].text.rstrip().endswith("data: [DONE]")

    def test_hits_carry_no_metadata(self, http: Any) -> None:
        headers = {**ON, "X-OpenRouter-Metadata": "enabled"}
        first, second = (http.ask_with(headers).json() for _ in range(2))
        assert "openrouter_metadata" in first
        assert "openrouter_metadata" not in second

    @pytest.mark.parametrize("headers", [{}, {"X-OpenRouter-Cache": "false"}], ids=str)
    def test_nobody_gets_it_unasked(self, http: Any, headers: dict[str, str]) -> None:
        http.ask_with(ON)
        answers = [http.ask_with(headers) for _ in range(2)]
        assert [status(answer) for answer in answers] == [None, None]
        assert all(answer.json()["usage"]["cost"] > 0 for answer in answers)

    @pytest.mark.parametrize(
        "fields",
        [{"stream": True}, {"model": "openai/gpt-4o"}, {"temperature": 1.0}, {"max_tokens": 999}],
        ids=str,
    )
    def test_another_request_is_another_entry(self, http: Any, fields: dict[str, Any]) -> None:
        http.ask_with(ON)
        assert status(http.ask_with(ON, **fields)) == "MISS"

    def test_white_space_is_no_difference_and_order_is(self, http: Any) -> None:
        body = {"model": MODEL, "messages": [{"role": "user", "content": "x"}]}
        texts = (
            json.dumps(body),
            json.dumps(body, indent=4),
            json.dumps(dict(reversed(body.items()))),
        )
        headers = {**ON, "Content-Type": "application/json"}
        answers = [http.post("/chat/completions", content=t, headers=headers) for t in texts]
        assert [status(answer) for answer in answers] == ["MISS", "HIT", "MISS"]

    def test_attribution_is_no_difference(self, http: Any) -> None:
        http.ask_with(ON)
        assert status(http.ask_with({**ON, "X-Title": "Foxes"})) == "HIT"

    def test_another_key_has_another_cache(self) -> None:
        assert key_of("a", {"model": MODEL}) != key_of("b", {"model": MODEL})

    def test_clearing_asks_the_model_again(self, serve: Serve) -> None:
        sandbox, http = serve()
        old = http.ask_with(ON).json()["id"]
        cleared = http.ask_with({**ON, "X-OpenRouter-Cache-Clear": "true"})
        after = http.ask_with(ON)
        assert (status(cleared), status(after)) == ("MISS", "HIT")
        assert after.headers["X-OpenRouter-Cache-Source-Id"] == cleared.json()["id"] != old
        assert sandbox.requests == {MODEL: 2}

    @pytest.mark.parametrize(
        "fault",
        [
            Fault(status=502),
            Fault(kind="body"),
            Fault(kind="empty"),
            Fault(kind="truncated"),
            Fault(kind="choice"),
        ],
        ids=lambda fault: fault.kind,
    )
    def test_failures_are_not_kept(self, serve: Serve, fault: Fault) -> None:
        _, http = serve(faults={MODEL: [fault]})
        http.ask_with(ON)
        again = http.ask_with(ON)
        assert status(again) == "MISS"
        assert "Once upon a time" in again.text

    def test_what_is_left_half_way_is_not_kept(self, serve: Serve, stuck: Any) -> None:
        sandbox, http = serve(stuck("Once"))
        http.headers.update(ON)
        http.leave_after(3)
        http.until(lambda: sandbox.cancelled == 1)
        http.leave_after(3)
        assert sandbox.requests == {MODEL: 2}

    def test_they_do_not_wait_for_each_other(self, serve: Serve, stuck: Any) -> None:
        engine = stuck("Once")
        _, http = serve(engine)
        http.headers.update(ON)
        http.leave_after(3)
        http.leave_after(3)
        assert engine.started == 2


class TestTheirAge:
    @pytest.mark.parametrize(
        ("given", "ttl_s"),
        [
            (None, 300), ("600", 600), ("0", 1), ("999999", 86400), ("60abc", 60), ("1.5", 1),
            ("abc", 300), ("", 300), ("-5", 300),
        ],
    )  # fmt: skip
    def test_the_header_is_read_as_documented(self, given: str | None, ttl_s: int) -> None:
        headers = {"x-openrouter-cache": "true"}
        if given is not None:
            headers["x-openrouter-cache-ttl"] = given
        wish = CacheWish.of(headers)
        assert wish is not None
        assert wish.ttl_s == ttl_s

    def test_it_is_told(self, http: Any) -> None:
        headers = {**ON, "X-OpenRouter-Cache-TTL": "60"}
        first, second = http.ask_with(headers), http.ask_with(headers)
        assert first.headers["X-OpenRouter-Cache-TTL"] == "60"
        assert "X-OpenRouter-Cache-Age" not in first.headers
        age = int(second.headers["X-OpenRouter-Cache-Age"])
        assert age + int(second.headers["X-OpenRouter-Cache-TTL"]) == 60

    def test_an_old_answer_is_gone(self) -> None:
        now = [100.0]
        cache, wish = ResponseCache(lambda: now[0]), CacheWish(ttl_s=60)
        of = Generation(
            id="gen-1", asked=MODEL, model=MODEL, provider_name="x", created=1, streamed=False
        )
        cache.put("key", wish, of, (Piece("a"), End("stop", 1, 1)))
        now[0] += 59.9
        kept = cache.find("key", wish)
        assert kept is not None
        assert cache.headers_of_hit(kept)["x-openrouter-cache-ttl"] == "1"
        now[0] += 0.1
        assert cache.find("key", wish) is None

    def test_the_oldest_makes_room(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(response_cache, "MOST_ANSWERS", 2)
        cache, wish = ResponseCache(), CacheWish()
        of = Generation(
            id="gen-1", asked=MODEL, model=MODEL, provider_name="x", created=1, streamed=False
        )
        for key in "abc":
            cache.put(key, wish, of, (End("stop", 1, 1),))
        assert [cache.find(key, wish) is not None for key in "abc"] == [False, True, True]


def marked(*texts: str) -> list[dict[str, Any]]:
    mark = {"type": "ephemeral"}
    return [{"type": "text", "text": text, "cache_control": mark} for text in texts]


class TestPrompts:
    def details(self, http: Any, **fields: Any) -> dict[str, int]:
        usage = http.ask(**{"model": CLAUDE, **fields}).json()["usage"]
        details: dict[str, int] = usage["prompt_tokens_details"]
        return details

    def test_what_is_marked_is_written_once_and_then_read(self, http: Any) -> None:
        messages = [
            {"role": "system", "content": marked("You tell tales to children.")},
            {"role": "user", "content": "A fox."},
        ]
        first, second = (self.details(http, messages=messages) for _ in range(2))
        assert first == {"cached_tokens": 0, "cache_write_tokens": 5, "audio_tokens": 0}
        assert second == {"cached_tokens": 5, "cache_write_tokens": 0, "audio_tokens": 0}

    def test_a_longer_prefix_reads_the_shorter_and_writes_the_rest(self, http: Any) -> None:
        system = {"role": "system", "content": marked("One two three.")}
        self.details(http, messages=[system, {"role": "user", "content": "x"}])
        longer = [system, {"role": "user", "content": marked("four five")}]
        assert self.details(http, messages=longer)["cached_tokens"] == 3
        assert self.details(http, messages=longer) == {
            "cached_tokens": 5,
            "cache_write_tokens": 0,
            "audio_tokens": 0,
        }

    def test_another_prefix_or_another_model_is_written_anew(self, http: Any) -> None:
        one = [{"role": "user", "content": marked("One two three.")}]
        two = [{"role": "user", "content": marked("One two four.")}]
        self.details(http, messages=one)
        assert self.details(http, messages=two)["cached_tokens"] == 0
        assert self.details(http, messages=one, model="a/b")["cached_tokens"] == 0

    def test_a_mark_on_the_whole_request_is_its_end(self, http: Any) -> None:
        fields = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
        first, second = (self.details(http, **fields) for _ in range(2))
        assert (first["cached_tokens"], first["cache_write_tokens"]) == (0, 5)
        assert (second["cached_tokens"], second["cache_write_tokens"]) == (5, 0)

    def test_reading_is_cheap_and_writing_dear(self, http: Any) -> None:
        messages = [{"role": "user", "content": marked("word " * 100)}]
        plain = http.ask(content="word " * 100).json()["usage"]["cost_details"]
        written, read = (
            http.ask(messages=messages).json()["usage"]["cost_details"] for _ in range(2)
        )
        name = "upstream_inference_prompt_cost"
        assert written[name] == pytest.approx(1.25 * plain[name])
        assert read[name] == pytest.approx(0.1 * plain[name])

    def test_unmarked_prompts_know_nothing_of_it(self, http: Any) -> None:
        assert self.details(http) == {"cached_tokens": 0, "audio_tokens": 0}

    def test_the_record_has_what_was_read(self, http: Any) -> None:
        messages = [{"role": "user", "content": marked("One two three.")}]
        http.ask(messages=messages)
        generation_id = http.ask(messages=messages).json()["id"]
        record = http.get("/generation", params={"id": generation_id}).json()["data"]
        assert record["native_tokens_cached"] == 3
