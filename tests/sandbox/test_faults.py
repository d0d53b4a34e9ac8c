"""Each kind of fault over real HTTP, in the order that was asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from langchain_tale.sandbox import Fault

if TYPE_CHECKING:
    import httpx2

MODEL = "openai/gpt-4o-mini"
OTHER = "anthropic/claude-3-haiku"

Serve = Callable[..., tuple[Any, Any]]


def events(client: Any, **fields: Any) -> list[str]:
    return list(client.events(**fields))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
class TestFaultsInPlaceOfTheAnswer:
    def test_an_http_fault_has_its_status_and_words(self, serve: Serve, *, stream: bool) -> None:
        fault = Fault(status=429, message="Slow down.", error_type="rate_limit_exceeded")
        _, http = serve(faults={MODEL: [fault]})
        answer = http.ask(stream=stream)
        assert answer.status_code == 429
        assert answer.json() == {
            "error": {
                "code": 429,
                "message": "Slow down.",
                "metadata": {"error_type": "rate_limit_exceeded"},
            }
        }

    def test_its_headers_are_sent_along(self, serve: Serve, *, stream: bool) -> None:
        _, http = serve(faults={MODEL: [Fault(headers={"Retry-After": "2"})]})
        answer = http.ask(stream=stream)
        assert answer.headers["Retry-After"] == "2"
        assert answer.headers["X-Generation-Id"].startswith("gen-")

    def test_a_body_fault_is_an_error_inside_a_200(self, serve: Serve, *, stream: bool) -> None:
        _, http = serve(faults={MODEL: [Fault(kind="body", status=502, message="Upstream.")]})
        answer = http.ask(stream=stream)
        assert answer.status_code == 200
        assert answer.json() == {"error": {"code": 502, "message": "Upstream."}}


class TestFaultsInsideAStream:
    def test_midstream_is_an_error_event_after_so_many_with_content(
        self, serve: Serve, chunks_of: Callable[[list[str]], list[dict[str, Any]]]
    ) -> None:
        fault = Fault(kind="midstream", status=502, error_type="server", after_chunks=3)
        _, http = serve(faults={MODEL: [fault]})
        lines = events(http)
        *told, failed = chunks_of(lines)
        assert len(told) == 3
        assert all(chunk["choices"][0]["delta"]["content"] for chunk in told)
        assert failed["error"]["code"] == 502
        assert failed["error"]["metadata"] == {"error_type": "server"}
        assert failed["choices"][0]["finish_reason"] == "error"
        assert lines[-1] != "data: [DONE]"

    def test_cut_ends_without_a_finish_reason(
        self, serve: Serve, chunks_of: Callable[[list[str]], list[dict[str, Any]]]
    ) -> None:
        _, http = serve(faults={MODEL: [Fault(kind="cut", after_chunks=3)]})
        lines = events(http)
        told = chunks_of(lines)
        assert len(told) == 3
        assert not any(chunk["choices"][0]["finish_reason"] for chunk in told)
        assert lines[-1] != "data: [DONE]"

    @pytest.mark.parametrize("kind", ["midstream", "cut"])
    def test_an_answer_shorter_than_the_fault_expects_fails_at_its_end(
        self, serve: Serve, kind: Any
    ) -> None:
        _, http = serve(faults={MODEL: [Fault(kind=kind, after_chunks=50)]})
        lines = events(http, max_tokens=2)
        assert lines[-1] != "data: [DONE]"
        assert ('"finish_reason": "error"' in lines[-1]) is (kind == "midstream")

    @pytest.mark.parametrize("kind", ["midstream", "cut"])
    def test_without_a_stream_it_is_a_502(self, serve: Serve, kind: Any) -> None:
        _, http = serve(faults={MODEL: [Fault(kind=kind, message="Broken.")]})
        answer: httpx2.Response = http.ask()
        assert answer.status_code == 502
        assert answer.json()["error"]["message"] == "Broken."

    @pytest.mark.parametrize("kind", ["midstream", "cut"])
    def test_it_is_no_cancellation_and_costs_nothing(self, serve: Serve, kind: Any) -> None:
        sandbox, http = serve(faults={MODEL: [Fault(kind=kind)]})
        generation_id = http.ask(stream=True).headers["X-Generation-Id"]
        record = http.get("/generation", params={"id": generation_id}).json()["data"]
        assert (record["finish_reason"], record["cancelled"]) == ("error", False)
        assert record["total_cost"] == 0
        assert sandbox.cancelled == 0


class TestSequences:
    def test_faults_come_in_order_and_none_is_a_healthy_answer(self, serve: Serve) -> None:
        _, http = serve(faults={MODEL: [Fault(status=503), None, Fault(status=500)]})
        assert [http.ask().status_code for _ in range(5)] == [503, 200, 500, 200, 200]

    @pytest.mark.parametrize("given", [[False], lambda _request: False], ids=["listed", "said"])
    def test_what_is_no_fault_is_said_in_one_sentence(self, serve: Serve, given: Any) -> None:
        _, http = serve(faults={MODEL: given})
        answer = http.ask()
        said = f"The faults of {MODEL} gave False; each must be a Fault, or None."
        assert (answer.status_code, answer.json()["error"]["message"]) == (400, said)

    def test_an_endless_sequence_never_heals(self, serve: Serve) -> None:
        _, http = serve(faults={MODEL: iter(lambda: Fault(status=529), None)})
        assert {http.ask().status_code for _ in range(5)} == {529}

    def test_each_model_has_its_own(self, serve: Serve) -> None:
        _, http = serve(faults={MODEL: [Fault(status=503)]})
        assert http.ask(model=OTHER).status_code == 200
        assert http.ask(model=MODEL).status_code == 503

    def test_every_request_is_counted_by_its_model(self, serve: Serve) -> None:
        sandbox, http = serve(faults={MODEL: [Fault(), Fault(kind="body")]})
        for model in (MODEL, MODEL, MODEL, OTHER):
            http.ask(model=model)
        assert sandbox.requests == {MODEL: 3, OTHER: 1}

    def test_refused_bodies_and_strangers_are_not_counted(self, serve: Serve) -> None:
        sandbox, http = serve(faults={MODEL: [Fault(status=529)]})
        http.ask(max_tokens=0)
        http.headers["Authorization"] = "Bearer wrong"
        http.ask()
        assert sandbox.requests == {}
        http.headers["Authorization"] = f"Bearer {sandbox.api_key}"
        assert http.ask().status_code == 529

    def test_the_server_falls_back_past_a_fault(self, serve: Serve) -> None:
        sandbox, http = serve(faults={MODEL: [Fault(status=503)]})
        answer = http.ask(models=[OTHER])
        assert (answer.status_code, answer.json()["model"]) == (200, OTHER)
        assert sandbox.requests == {MODEL: 1, OTHER: 1}

    def test_when_all_fail_the_last_error_is_the_answer(self, serve: Serve) -> None:
        _, http = serve(faults={MODEL: [Fault(status=503)], OTHER: [Fault(status=529)]})
        assert http.ask(models=[OTHER]).status_code == 529
