"""Router metadata, tiers, fingerprints, own keys, the debug chunk, and what cannot be routed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from langchain_tale.sandbox import Fault

MODEL = "openai/gpt-4o-mini"
OTHER = "anthropic/claude-3-haiku"
RETIRED = "anthropic/claude-3.5-sonnet"
PROVIDER = "Sandbox (scripted)"
TOLD = {"X-OpenRouter-Metadata": "enabled"}

Serve = Callable[..., tuple[Any, Any]]


class TestMetadata:
    def test_a_whole_answer_has_it_where_asked(self, http: Any) -> None:
        assert http.ask_with(TOLD).json()["openrouter_metadata"] == {
            "requested": MODEL,
            "strategy": "direct",
            "region": "local",
            "summary": f"available=1, selected={PROVIDER}",
            "attempt": 1,
            "is_byok": False,
            "endpoints": {
                "total": 1,
                "available": [{"provider": PROVIDER, "model": MODEL, "selected": True}],
            },
            "attempts": [{"provider": PROVIDER, "model": MODEL, "status": 200}],
        }

    def test_a_stream_has_it_on_its_last_chunk(self, http: Any, chunks_of: Any) -> None:
        answer = http.ask_with(TOLD, stream=True)
        chunks = chunks_of(answer.text.splitlines())
        assert ["openrouter_metadata" in chunk for chunk in chunks] == [
            *[False] * (len(chunks) - 1),
            True,
        ]
        whole = http.ask_with(TOLD).json()["openrouter_metadata"]
        assert chunks[-1]["openrouter_metadata"] == whole

    @pytest.mark.parametrize(
        ("headers", "is_told"),
        [
            ({"X-OpenRouter-Metadata": "ENABLED"}, True),
            ({"X-OpenRouter-Experimental-Metadata": "enabled"}, True),
            ({"X-OpenRouter-Metadata": "disabled"}, False),
            ({"X-OpenRouter-Metadata": "yes"}, False),
            ({}, False),
        ],
        ids=str,
    )
    def test_the_header_is_read_as_documented(
        self, http: Any, headers: dict[str, str], *, is_told: bool
    ) -> None:
        assert ("openrouter_metadata" in http.ask_with(headers).json()) is is_told

    @pytest.mark.parametrize(
        ("fields", "strategy"),
        [
            ({"model": "openrouter/auto"}, "auto"),
            ({"model": "openrouter/free"}, "free"),
            ({"model": "~anthropic/claude-haiku-latest"}, "latest"),
            ({"models": [OTHER]}, "fallback"),
        ],
        ids=["auto", "free", "latest", "fallback"],
    )
    def test_it_names_the_strategy(self, http: Any, fields: dict[str, Any], strategy: str) -> None:
        metadata = http.ask_with(TOLD, **fields).json()["openrouter_metadata"]
        assert metadata["strategy"] == strategy
        assert metadata["requested"] == fields.get("model", MODEL)

    def test_it_tells_of_those_who_failed_before(self, serve: Serve) -> None:
        _, http = serve(faults={MODEL: [Fault(status=503)]})
        metadata = http.ask_with(TOLD, models=[OTHER]).json()["openrouter_metadata"]
        assert metadata["attempt"] == 2
        assert [(one["model"], one["status"]) for one in metadata["attempts"]] == [
            (MODEL, 503),
            (OTHER, 200),
        ]
        assert metadata["endpoints"]["available"][0]["model"] == OTHER

    def test_it_tells_of_the_plugins_that_ran(self, http: Any) -> None:
        file = {"type": "file", "file": {"file_data": "https://example.com/x.pdf"}}
        fields = {"messages": [{"role": "user", "content": [file]}]}
        for more, name in (
            ({"plugins": [{"id": "web"}]}, "web-search"),
            ({"tools": [{"type": "openrouter:web_search"}]}, "server-tools"),
        ):
            metadata = http.ask_with(TOLD, **fields, **more).json()["openrouter_metadata"]
            assert [stage["name"] for stage in metadata["pipeline"]] == [name, "file-parser"]

    @pytest.mark.parametrize("status", [402, 403, 502, 503, 529])
    def test_an_error_has_it_beside_and_nobody_selected(self, serve: Serve, status: int) -> None:
        _, http = serve(faults={MODEL: [Fault(status=status)]})
        body = http.ask_with(TOLD).json()
        metadata = body["openrouter_metadata"]
        assert "openrouter_metadata" not in body["error"]
        assert metadata["attempt"] == 1
        assert metadata["attempts"][0]["status"] == status
        assert not any(one["selected"] for one in metadata["endpoints"]["available"])

    @pytest.mark.parametrize("status", [401, 429, 500])
    def test_some_errors_keep_it_to_themselves(self, serve: Serve, status: int) -> None:
        _, http = serve(faults={MODEL: [Fault(status=status)]})
        assert "openrouter_metadata" not in http.ask_with(TOLD).json()

    def test_who_reached_no_provider_made_no_attempt(self, http: Any) -> None:
        metadata = http.ask_with(TOLD, model=RETIRED).json()["openrouter_metadata"]
        assert metadata["attempt"] == 0
        assert "attempts" not in metadata

    def test_an_invalid_request_never_came_so_far(self, http: Any) -> None:
        assert "openrouter_metadata" not in http.ask_with(TOLD, max_tokens=0).json()

    def test_a_broken_stream_has_it_with_the_error(self, serve: Serve, chunks_of: Any) -> None:
        _, http = serve(faults={MODEL: [Fault(kind="midstream")]})
        last = chunks_of(http.ask_with(TOLD, stream=True).text.splitlines())[-1]
        [endpoint] = last["openrouter_metadata"]["endpoints"]["available"]
        assert not endpoint["selected"]


INSISTING: dict[str, Any] = {
    "provider": {"require_parameters": True},
    "top_a": 0.5,
    "verbosity": "low",
}
DEBUG: dict[str, Any] = {"debug": {"echo_upstream_body": True}}


class TestWhatCannotBeRouted:
    def test_required_parameters_that_nobody_has(self, http: Any) -> None:
        answer = http.ask(**INSISTING)
        error = answer.json()["error"]
        assert answer.status_code == error["http_status"] == 404
        assert "code" not in error
        assert error["availability"]["code"] == "constraint_filtered"
        assert error["availability"]["excluded_by"] == ["require_parameters"]
        assert error["availability"]["constraint"]["detail"] == "top_a, verbosity"

    def test_without_the_wish_they_are_ignored(self, http: Any) -> None:
        assert http.ask(**INSISTING | {"provider": {}}).status_code == 200

    def test_supported_ones_pass(self, http: Any) -> None:
        fields = {"temperature": 1, "tools": [], "reasoning": {}, "max_tokens": 90}
        answer = http.ask(provider={"require_parameters": True}, **fields)
        assert answer.status_code == 200

    def test_the_listed_parameters_are_the_supported_ones(self, http: Any) -> None:
        [listed] = {str(m["supported_parameters"]) for m in http.get("/models").json()["data"]}
        assert "'reasoning'" in listed
        assert "top_a" not in listed


class TestTiersAndKeys:
    @pytest.mark.parametrize(
        ("asked", "served"),
        [
            ("auto", "default"), ("default", "default"), ("scale", "default"),
            ("fast", "priority"), ("priority", "priority"), ("flex", "flex"),
        ],
    )  # fmt: skip
    def test_the_tier_that_served_is_told(self, http: Any, asked: str, served: str) -> None:
        body = http.ask(service_tier=asked).json()
        assert body["service_tier"] == served
        record = http.get("/generation", params={"id": body["id"]}).json()["data"]
        assert record["service_tier"] == served
        chunks = http.chunks(service_tier=asked)
        assert chunks[-1]["service_tier"] == served
        assert not any("service_tier" in chunk for chunk in chunks[:-1])

    def test_nobody_hears_of_it_unasked(self, http: Any) -> None:
        assert "service_tier" not in http.ask().json()

    def test_who_asks_with_a_seed_gets_a_fingerprint(self, http: Any) -> None:
        first, second, other = (
            http.ask(seed=seed).json()["system_fingerprint"] for seed in (1, 1, 2)
        )
        assert first == second != other
        assert {chunk["system_fingerprint"] for chunk in http.chunks(seed=1)} == {first}
        assert http.ask().json()["system_fingerprint"] is None

    def test_with_the_callers_own_key_openrouter_charges_nothing(self, serve: Serve) -> None:
        _, http = serve(byok=True)
        body = http.ask_with(TOLD).json()
        usage = body["usage"]
        assert (usage["is_byok"], usage["cost"]) == (True, 0)
        upstream = usage["cost_details"]["upstream_inference_cost"]
        assert upstream > 0
        assert body["openrouter_metadata"]["is_byok"] is True
        record = http.get("/generation", params={"id": body["id"]}).json()["data"]
        assert (record["is_byok"], record["total_cost"]) == (True, 0)
        assert record["upstream_inference_cost"] == upstream

    def test_the_upstream_cost_is_the_sum_of_its_parts(self, http: Any) -> None:
        costs = http.ask().json()["usage"]["cost_details"]
        whole = costs.pop("upstream_inference_cost")
        assert len(costs) == 2
        assert whole == pytest.approx(sum(costs.values()))


class TestDebug:
    def test_a_stream_begins_with_the_body_that_the_provider_got(self, http: Any) -> None:
        first, second, *_ = http.chunks(**DEBUG, max_tokens=2)
        assert first["choices"] == []
        assert first["debug"]["echo_upstream_body"]["max_tokens"] == 2
        assert first["id"] == second["id"]
        assert "debug" not in second

    def test_a_whole_answer_ignores_it(self, http: Any) -> None:
        assert "debug" not in http.ask(**DEBUG).json()


class TestHowAStreamEnds:
    @pytest.mark.parametrize(
        ("usage_chunk", "choices"),
        [("repeated", ["stop"]), ("null", [None]), ("empty", [])],
    )
    def test_the_usage_chunk_can_be_chosen(
        self, serve: Serve, usage_chunk: str, choices: list[str | None]
    ) -> None:
        _, http = serve(usage_chunk=usage_chunk)
        *_, finished, last = http.chunks()
        assert finished["choices"][0]["finish_reason"] == "stop"
        assert [choice["finish_reason"] for choice in last["choices"]] == choices
        assert last["usage"]["total_tokens"] > 0

    def test_padding_can_be_left_out(self, serve: Serve) -> None:
        for padded in (True, False):
            _, http = serve(padded=padded)
            assert http.ask().text.startswith("\n") is padded
            assert http.ask(stream=True).text.startswith(": OPENROUTER") is padded


class TestOneModel:
    @pytest.mark.parametrize("slug", [MODEL, "openai/gpt-4o-mini:nitro", "openrouter/auto"])
    def test_it_is_described(self, http: Any, slug: str) -> None:
        http.headers.pop("Authorization")
        answer = http.get(f"/model/{slug}")
        assert (answer.status_code, answer.json()["data"]["id"]) == (200, slug)

    @pytest.mark.parametrize("slug", ["no/body", RETIRED])
    def test_one_that_is_unknown_or_retired_is_not_found(self, http: Any, slug: str) -> None:
        answer = http.get(f"/model/{slug}")
        assert answer.status_code == answer.json()["error"]["code"] == 404
