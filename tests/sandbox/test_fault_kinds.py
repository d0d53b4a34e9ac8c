"""Every shape of failure that OpenRouter documents or that was recorded, over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from langchain_tale.sandbox import Fault

MODEL = "openai/gpt-4o-mini"
OTHER = "anthropic/claude-3-haiku"
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])

Serve = Callable[..., tuple[Any, Any]]


def failing(serve: Serve, fault: Fault) -> Any:
    """A client of a sandbox whose next answer fails."""
    return serve(faults={MODEL: [fault]})[1]


def words_of(chunks: list[dict[str, Any]]) -> str:
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    return "".join(delta.get("content") or "" for delta in deltas)


@BOTH
class TestBodies:
    def test_a_providers_own_error_in_the_older_shape(self, serve: Serve, *, stream: bool) -> None:
        previous = [{"code": 429, "message": "Busy."}]
        fault = Fault.provider_error(
            403, raw='{"e":1}', provider_name="xAI", previous_errors=previous
        )
        answer = failing(serve, fault).ask(stream=stream)
        assert answer.status_code == 403
        assert answer.json() == {
            "error": {
                "code": 403,
                "message": "Provider returned error",
                "metadata": {
                    "raw": '{"e":1}',
                    "provider_name": "xAI",
                    "previous_errors": previous,
                },
            },
            "user_id": "user_sandbox",
        }

    def test_moderation(self, serve: Serve, *, stream: bool) -> None:
        fault = Fault.moderated("violence", "hate", flagged_input="a wolf", model=MODEL)
        answer = failing(serve, fault).ask(stream=stream)
        error = answer.json()["error"]
        assert answer.status_code == error["code"] == 403
        assert error["metadata"] == {
            "reasons": ["violence", "hate"],
            "flagged_input": "a wolf",
            "provider_name": "Sandbox",
            "model_slug": MODEL,
        }

    def test_no_credit(self, serve: Serve, *, stream: bool) -> None:
        answer = failing(serve, Fault.no_credit(affordable_tokens=99)).ask(stream=stream)
        assert answer.status_code == 402
        assert "can only afford 99" in answer.json()["error"]["message"]

    def test_a_provider_that_limits_its_rate(self, serve: Serve, *, stream: bool) -> None:
        answer = failing(serve, Fault.rate_limited(retry_after_s=7)).ask(stream=stream)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
        assert answer.json()["error"]["metadata"] == {
            "error_type": "rate_limit_exceeded",
            "provider_code": "rate_limited",
        }

    def test_the_platform_that_limits_free_models(self, serve: Serve, *, stream: bool) -> None:
        fault = Fault.rate_limited(free_limit="per-day", reset_at_ms=1_790_000_000_000)
        answer = failing(serve, fault).ask(stream=stream)
        error = answer.json()["error"]
        assert "free-models-per-day" in error["message"]
        assert "Retry-After" not in answer.headers
        limits = error["metadata"]["headers"]
        assert limits["X-RateLimit-Reset"] == "1790000000000"
        assert {name: answer.headers[name] for name in limits} == limits

    @pytest.mark.parametrize(
        ("code", "status", "error_type"),
        [
            ("capacity_exhausted", 429, "rate_limit_exceeded"),
            ("temporarily_unavailable", 503, "provider_overloaded"),
            ("model_not_found", 400, "invalid_request"),
            ("no_endpoints", 404, "not_found"),
            ("privacy_restricted", 404, "not_found"),
            ("region_restricted", 403, "permission_denied"),
        ],
    )
    def test_availability_has_no_code(
        self, serve: Serve, code: str, status: int, error_type: str, *, stream: bool
    ) -> None:
        answer = failing(serve, Fault.unavailable(code, model=MODEL)).ask(stream=stream)
        error = answer.json()["error"]
        assert answer.status_code == error["http_status"] == status
        assert (error["error_type"], "code" in error) == (error_type, False)
        availability = error["availability"]
        assert (availability["code"], availability["retryable"]) == (code, status in {429, 503})
        assert availability["requested_models"] == [MODEL]

    def test_availability_has_its_hints(self, serve: Serve, *, stream: bool) -> None:
        fault = Fault.unavailable(
            "no_endpoints", retry_after_s=4, fallback_models=[OTHER], retryable=True
        )
        answer = failing(serve, fault).ask(stream=stream)
        availability = answer.json()["error"]["availability"]
        assert answer.headers["Retry-After"] == "4"
        assert availability["retry_after"] == 4
        assert availability["fallback_models"] == [OTHER]
        assert availability["retryable"] is True

    def test_a_prompt_that_is_too_long(self, serve: Serve, *, stream: bool) -> None:
        answer = failing(serve, Fault.context_exceeded()).ask(stream=stream)
        error = answer.json()["error"]
        assert answer.status_code == 400
        assert error["metadata"] == {"error_type": "context_length_exceeded"}

    def test_any_error_object_at_all(self, serve: Serve, *, stream: bool) -> None:
        fault = Fault(status=418, error={"message": "Tea."}, beside={"user_id": None})
        answer = failing(serve, fault).ask(stream=stream)
        assert answer.status_code == 418
        assert answer.json() == {"error": {"message": "Tea."}, "user_id": None}

    def test_any_code_and_metadata(self, serve: Serve, *, stream: bool) -> None:
        fault = Fault(
            kind="body", code="server_error", error_type="server", metadata={"provider_code": "x"}
        )
        answer = failing(serve, fault).ask(stream=stream)
        assert answer.status_code == 200
        assert answer.json()["error"] == {
            "code": "server_error",
            "message": "Provider returned error",
            "metadata": {"error_type": "server", "provider_code": "x"},
        }

    @pytest.mark.parametrize("status", [200, 502, 524])
    def test_a_page_of_the_edge(self, serve: Serve, status: int, *, stream: bool) -> None:
        fault = Fault(kind="html", status=status, message="A timeout occurred")
        answer = failing(serve, fault).ask(stream=stream)
        assert answer.status_code == status
        assert answer.headers["Content-Type"].startswith("text/html")
        assert answer.text.startswith("<!DOCTYPE html>")
        assert "X-Generation-Id" not in answer.headers

    def test_no_choices_and_no_error(self, serve: Serve, *, stream: bool) -> None:
        body = failing(serve, Fault(kind="choiceless")).ask(stream=stream).json()
        assert body["choices"] is None
        assert "error" not in body


class TestConnections:
    @BOTH
    def test_one_can_close_before_a_byte(self, serve: Serve, *, stream: bool) -> None:
        sandbox, http = serve(faults={MODEL: [Fault(kind="hangup")]})
        with pytest.raises(httpx2.RemoteProtocolError, match="without sending a response"):
            http.ask(stream=stream)
        assert http.ask().status_code == 200
        assert sandbox.requests == {MODEL: 2}

    @BOTH
    def test_one_can_be_lost_half_way(self, serve: Serve, *, stream: bool) -> None:
        sandbox, http = serve(faults={MODEL: [Fault(kind="drop", after_chunks=3)]})
        parts: list[bytes] = []
        body = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "stream": stream}
        with http.stream("POST", "/chat/completions", json=body) as answer:
            assert answer.status_code == 200
            with pytest.raises(httpx2.RemoteProtocolError, match="incomplete"):
                parts.extend(answer.iter_bytes())
        assert b"".join(parts).count(b"data: ") == (4 if stream else 0)
        assert stream or b"# The Tale" in b"".join(parts)
        assert http.ask().status_code == 200
        assert sandbox.cancelled == 0

    def test_one_hangs_up_on_nobody_else(self, serve: Serve, client: Any) -> None:
        sandbox, http = serve(faults={MODEL: [None, Fault(kind="hangup"), None]})
        with client(sandbox) as other:
            other.ask()
            with pytest.raises(httpx2.RemoteProtocolError):
                http.ask()
            assert other.ask().status_code == 200


class TestBrokenAnswers:
    def test_a_choice_with_an_error_keeps_its_partial_text(self, serve: Serve) -> None:
        fault = Fault(kind="choice", status=502, error_type="provider_unavailable", after_chunks=3)
        answer = failing(serve, fault).ask()
        [choice] = answer.json()["choices"]
        assert answer.status_code == 200
        assert choice["finish_reason"] == "error"
        assert choice["message"]["content"] == "# The Tale"
        assert choice["error"] == {
            "code": 502,
            "message": "Provider returned error",
            "metadata": {"error_type": "provider_unavailable"},
        }
        assert "error" not in answer.json()

    def test_so_does_one_in_a_stream(self, serve: Serve) -> None:
        chunks = failing(serve, Fault(kind="choice", after_chunks=3)).chunks()
        assert words_of(chunks) == "# The Tale"
        [failed] = [c for chunk in chunks for c in chunk["choices"] if "error" in c]
        assert (failed["error"]["code"], failed["finish_reason"]) == (503, "error")
        assert "usage" in chunks[-1]

    @BOTH
    def test_an_empty_answer(self, serve: Serve, *, stream: bool) -> None:
        http = failing(serve, Fault(kind="empty"))
        if stream:
            chunks = http.chunks()
            choice = chunks[-1]["choices"][0]
            assert words_of(chunks) == ""
        else:
            [choice] = http.ask().json()["choices"]
            assert choice["message"]["content"] is None
        assert choice["finish_reason"] == "stop"

    def test_an_empty_answer_can_have_a_blank_reason(self, serve: Serve) -> None:
        [choice] = failing(serve, Fault(kind="empty", finish_reason=None)).ask().json()["choices"]
        assert (choice["finish_reason"], choice["message"]["content"]) == (None, None)

    @BOTH
    @pytest.mark.parametrize("fields", [{}, {"reasoning": {"effort": "low"}}], ids=["", "asked"])
    def test_reasoning_that_eats_the_budget(
        self, serve: Serve, fields: dict[str, Any], *, stream: bool
    ) -> None:
        http = failing(serve, Fault(kind="starved"))
        if stream:
            chunks = http.chunks(**fields)
            assert words_of(chunks) == ""
            said = [chunk["choices"][0]["delta"].get("reasoning") for chunk in chunks]
            assert "".join(filter(None, said))
            choice, usage = chunks[-1]["choices"][0], chunks[-1]["usage"]
        else:
            body = http.ask(**fields).json()
            [choice], usage = body["choices"], body["usage"]
            assert choice["message"]["content"] is None
            assert choice["message"]["reasoning_details"]
        assert choice["finish_reason"] == "length"
        counted = usage["completion_tokens_details"]["reasoning_tokens"]
        assert counted == usage["completion_tokens"] > 0

    @BOTH
    def test_json_that_breaks_off(self, serve: Serve, *, stream: bool) -> None:
        http = failing(serve, Fault(kind="truncated", after_chunks=3))
        answer = http.ask(stream=stream)
        assert answer.status_code == 200
        if stream:
            *told, last = [line for line in answer.text.splitlines() if line]
            assert sum(line.startswith("data: ") for line in told) == 3
            text = last.removeprefix("data: ")
        else:
            text = answer.text
            assert "# The Tale" in text
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)

    @BOTH
    def test_an_answer_without_a_finish_reason(self, serve: Serve, *, stream: bool) -> None:
        http = failing(serve, Fault(kind="no_finish"))
        if stream:
            lines = http.events()
            chunks = [json.loads(line[6:]) for line in lines[1:-1]]
            assert lines[-1] == "data: [DONE]"
            assert "everyone" in words_of(chunks) or "basket" in words_of(chunks)
            assert {c["finish_reason"] for chunk in chunks for c in chunk["choices"]} == {None}
            assert "usage" in chunks[-1]
        else:
            [choice] = http.ask().json()["choices"]
            assert choice["finish_reason"] is None
            assert "basket" in choice["message"]["content"]

    def test_a_stream_without_its_last_mark(self, serve: Serve) -> None:
        lines = failing(serve, Fault(kind="no_done")).events()
        last = json.loads(lines[-1].removeprefix("data: "))
        assert last["choices"][0]["finish_reason"] == "stop"
        assert last["usage"]["completion_tokens"] > 0
        assert failing(serve, Fault(kind="no_done")).ask().json()["choices"]


class TestMidstream:
    def test_as_recorded_with_stop_and_a_usage_chunk_after_it(self, serve: Serve) -> None:
        fault = Fault(
            kind="midstream",
            status=502,
            metadata={"raw": "Malformed function call"},
            finish_reason="stop",
            native_finish_reason="MALFORMED_FUNCTION_CALL",
            followed_by="usage",
        )
        lines = failing(serve, fault).events()
        failed, after = (json.loads(line.removeprefix("data: ")) for line in lines[-2:])
        assert failed["error"] == {
            "code": 502,
            "message": "Provider returned error",
            "metadata": {"raw": "Malformed function call"},
        }
        [choice] = failed["choices"]
        assert choice["finish_reason"] == "stop"
        assert choice["native_finish_reason"] == "MALFORMED_FUNCTION_CALL"
        assert "error" not in after
        assert "usage" in after

    def test_with_a_string_for_a_code_and_done_after_it(self, serve: Serve) -> None:
        fault = Fault(kind="midstream", code="server_error", followed_by="done")
        lines = failing(serve, fault).events()
        failed = json.loads(lines[-2].removeprefix("data: "))
        assert failed["error"]["code"] == "server_error"
        assert failed["choices"][0]["finish_reason"] == "error"
        assert lines[-1] == "data: [DONE]"

    def test_with_no_finish_reason(self, serve: Serve) -> None:
        last = failing(serve, Fault(kind="midstream", finish_reason=None)).chunks()[-1]
        assert last["choices"][0]["finish_reason"] is None
        assert last["error"]["code"] == 503

    def test_amid_reasoning(self, serve: Serve) -> None:
        http = failing(serve, Fault(kind="midstream", after_chunks=3))
        *told, failed = http.chunks(reasoning={"effort": "high"})
        assert len(told) == 3
        assert all(chunk["choices"][0]["delta"]["reasoning"] for chunk in told)
        assert "error" in failed

    @pytest.mark.parametrize("kind", ["choice", "drop", "truncated"])
    @BOTH
    def test_what_breaks_costs_nothing(self, serve: Serve, kind: Any, *, stream: bool) -> None:
        sandbox, http = serve(faults={MODEL: [Fault(kind=kind)]})
        body = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "stream": stream}
        with http.stream("POST", "/chat/completions", json=body) as answer:
            try:
                answer.read()
            except httpx2.RemoteProtocolError:
                assert kind == "drop"
        params = {"id": answer.headers["X-Generation-Id"]}
        record = http.get("/generation", params=params).json()["data"]
        assert (record["finish_reason"], record["cancelled"]) == ("error", False)
        assert record["total_cost"] == 0
        assert sandbox.cancelled == 0


def test_every_kind_is_in_the_table() -> None:
    from typing import get_args

    from langchain_tale.sandbox import faults

    table = faults.__doc__ or ""
    assert all(f"| `{kind}` |" in table for kind in get_args(faults.Kind))
