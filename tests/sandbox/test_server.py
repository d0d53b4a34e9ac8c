"""The HTTP side over real HTTP: who may ask, what is refused, how answers are told and end."""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import httpx2
import pytest

from langchain_tale.catalogue import OpenRouterModel
from langchain_tale.sandbox import LOCAL_MODEL, SANDBOX_KEY, Sandbox, SandboxError, telling
from langchain_tale.sandbox.engines import EngineError

MODEL = "openai/gpt-4o-mini"
OTHER = "anthropic/claude-3-haiku"
RETIRED = OpenRouterModel.CLAUDE_3_5_SONNET

Serve = Callable[..., tuple[Any, Any]]
ChunksOf = Callable[[list[str]], list[dict[str, Any]]]


def error_of(answer: httpx2.Response) -> tuple[int, int, str | None]:
    """Status, code and type of an error."""
    error = answer.json()["error"]
    return answer.status_code, error["code"], error.get("metadata", {}).get("error_type")


class TestWhoMayAsk:
    @pytest.mark.parametrize("header", [None, "", "Bearer", f"Basic {SANDBOX_KEY}"])
    @pytest.mark.parametrize("path", ["/chat/completions", "/key", "/generation?id=x"])
    def test_without_a_key_nobody(self, http: Any, path: str, header: str | None) -> None:
        http.headers.pop("Authorization")
        headers = {} if header is None else {"Authorization": header}
        method = "POST" if path == "/chat/completions" else "GET"
        answer = http.request(method, path, headers=headers)
        assert error_of(answer) == (401, 401, "authentication")
        assert "Missing" in answer.json()["error"]["message"]

    def test_with_a_wrong_key_nobody(self, http: Any) -> None:
        http.headers["Authorization"] = "Bearer sk-or-v1-wrong"
        assert error_of(http.ask()) == (401, 401, "authentication")

    def test_the_key_can_be_chosen(self, serve: Serve) -> None:
        sandbox, http = serve(api_key="sk-or-v1-mine")
        assert sandbox.api_key == "sk-or-v1-mine"
        assert http.ask().status_code == 200

    def test_the_catalogue_is_open(self, http: Any) -> None:
        http.headers.pop("Authorization")
        assert http.get("/models").status_code == 200
        assert http.get(f"/models/{MODEL}/endpoints").status_code == 200


class TestWhatIsRefused:
    def test_a_body_that_is_no_json(self, http: Any) -> None:
        answer = http.post("/chat/completions", content=b"{")
        assert error_of(answer) == (400, 400, "invalid_request")

    @pytest.mark.parametrize(
        "fields",
        [
            pytest.param({"messages": []}, id="no messages"),
            pytest.param({"messages": "fox"}, id="messages no array"),
            pytest.param({"messages": ["fox"]}, id="message no object"),
            pytest.param({"messages": [{"content": "fox"}]}, id="message without role"),
            pytest.param({"messages": [{"role": "user", "content": 5}]}, id="content a number"),
            pytest.param({"messages": [{"role": "user", "content": ["x"]}]}, id="part no object"),
            pytest.param({"model": None}, id="no model"),
            pytest.param({"model": 5}, id="model a number"),
            pytest.param({"models": "a/b"}, id="models a string"),
            pytest.param({"models": [5]}, id="models of numbers"),
            pytest.param({"max_tokens": 0}, id="max_tokens 0"),
            pytest.param({"max_tokens": True}, id="max_tokens true"),
            pytest.param({"max_completion_tokens": 0}, id="max_completion_tokens 0"),
            pytest.param({"tools": 5}, id="tools a number"),
            pytest.param({"tools": ["fox"]}, id="tool no object"),
            pytest.param({"response_format": "json"}, id="response_format a string"),
            pytest.param({"model": "gpt-4o"}, id="model without an author"),
        ],
    )
    def test_a_bad_body(self, http: Any, fields: dict[str, Any]) -> None:
        assert error_of(http.ask(**fields)) == (400, 400, "invalid_request")

    def test_a_body_that_is_no_object(self, http: Any) -> None:
        assert error_of(http.post("/chat/completions", json=[])) == (400, 400, "invalid_request")

    @pytest.mark.parametrize(
        ("method", "path"), [("GET", "/nothing"), ("GET", "/chat/completions")]
    )
    def test_an_unknown_path_or_method(self, http: Any, method: str, path: str) -> None:
        answer = http.request(method, path)
        assert error_of(answer) == (404, 404, "not_found")
        assert answer.headers["server"].startswith("langchain-tale-sandbox/")

    def test_the_endpoints_of_an_unknown_model(self, http: Any) -> None:
        assert error_of(http.get("/models/no/body/endpoints")) == (404, 404, "not_found")

    @pytest.mark.parametrize(
        ("model", "code"),
        [(RETIRED, "model_deprecated"), (OpenRouterModel.GEMINI_20_FREE, "free_variant_ended")],
    )
    def test_a_retired_model_names_its_successor(
        self, http: Any, model: OpenRouterModel, code: str
    ) -> None:
        answer = http.ask(model=model)
        error = answer.json()["error"]
        assert answer.status_code == error["http_status"] == 404
        assert (error["error_type"], "code" in error) == ("not_found", False)
        assert error["availability"]["code"] == code
        assert error["availability"]["retryable"] is False
        assert error["availability"]["requested_models"] == [model]
        assert error["availability"]["fallback_models"] == [model.info.successor]

    def test_a_broken_engine_is_a_masked_500_and_the_connection_lives(
        self, serve: Serve, broken: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        _, http = serve(broken(LookupError("a secret of ours")))
        for _ in range(2):
            answer = http.ask()
            assert error_of(answer) == (500, 500, "server")
            assert "secret" not in answer.text
        assert "a secret of ours" in caplog.text


class TestWhoAnswers:
    def test_models_are_tried_in_order_and_the_answer_names_its_own(self, http: Any) -> None:
        answer = http.ask(model=RETIRED, models=[RETIRED, OTHER, MODEL])
        assert answer.json()["model"] == OTHER

    def test_models_can_stand_alone(self, http: Any) -> None:
        assert http.ask(model=None, models=[RETIRED, OTHER]).json()["model"] == OTHER

    def test_when_all_models_are_gone_the_last_refusal_is_the_answer(self, http: Any) -> None:
        answer = http.ask(models=[OpenRouterModel.GEMINI_20_FREE], model=RETIRED)
        requested = answer.json()["error"]["availability"]["requested_models"]
        assert requested == [OpenRouterModel.GEMINI_20_FREE]

    @pytest.mark.parametrize("model", [m for m in OpenRouterModel if m.info.status == "route"])
    def test_a_route_answers_as_a_concrete_model(self, http: Any, model: OpenRouterModel) -> None:
        answered = http.ask(model=model).json()["model"]
        assert answered != model
        assert not answered.startswith(("~", "openrouter/"))

    def test_the_record_keeps_the_router(self, http: Any) -> None:
        generation_id = http.ask(model="openrouter/auto").json()["id"]
        record = http.get("/generation", params={"id": generation_id}).json()["data"]
        assert (record["router"], record["model"]) == ("openrouter/auto", LOCAL_MODEL)

    def test_any_other_slug_is_served(self, http: Any) -> None:
        assert http.ask(model="qwen/qwen-max").json()["model"] == "qwen/qwen-max"


class TestHowAnswersAreTold:
    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
    def test_the_header_has_the_generation_id(
        self, http: Any, chunks_of: ChunksOf, *, stream: bool
    ) -> None:
        answer = http.ask(stream=stream)
        bodies = chunks_of(answer.text.splitlines()) if stream else [answer.json()]
        assert {body["id"] for body in bodies} == {answer.headers["X-Generation-Id"]}

    def test_ids_are_unique(self, http: Any) -> None:
        assert len({http.ask().json()["id"] for _ in range(5)}) == 5

    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
    def test_the_server_header_says_that_this_is_no_openrouter(
        self, http: Any, *, stream: bool
    ) -> None:
        servers = http.ask(stream=stream).headers.get_list("server")
        assert [name.partition("/")[0] for name in servers] == ["langchain-tale-sandbox"]

    def test_a_stream_begins_with_a_comment_and_ends_with_done(self, http: Any) -> None:
        answer = http.ask(stream=True)
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in answer.text.splitlines() if line]
        assert lines[0] == ": OPENROUTER PROCESSING"
        assert lines[-1] == "data: [DONE]"
        assert all(line.startswith("data: {") for line in lines[1:-1])

    def test_usage_comes_once_with_the_finish_reason_repeated(
        self, http: Any, chunks_of: ChunksOf
    ) -> None:
        chunks = chunks_of(http.events())
        reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
        assert reasons[-2:] == ["stop", "stop"]
        assert not any(reasons[:-2])
        assert [index for index, chunk in enumerate(chunks) if "usage" in chunk] == [
            len(chunks) - 1
        ]

    def test_a_stream_says_the_same_as_a_whole_answer(self, http: Any, chunks_of: ChunksOf) -> None:
        chunks = chunks_of(http.events("A fox."))
        told = "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks)
        assert told == http.ask("A fox.").json()["choices"][0]["message"]["content"]

    @pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
    def test_a_limit_cuts_and_says_so(self, http: Any, name: str) -> None:
        body = http.ask(**{name: 3}).json()
        assert body["choices"][0]["finish_reason"] == "length"
        assert body["usage"]["completion_tokens"] == 3

    @pytest.mark.parametrize("model", [MODEL, LOCAL_MODEL])
    def test_the_cost_is_tokens_times_the_listed_price(self, http: Any, model: str) -> None:
        listed = {item["id"]: item["pricing"] for item in http.get("/models").json()["data"]}
        usage = http.ask(model=model).json()["usage"]
        cost = usage["prompt_tokens"] * float(listed[model]["prompt"])
        cost += usage["completion_tokens"] * float(listed[model]["completion"])
        assert usage["cost"] == pytest.approx(cost)
        assert (cost > 0) is (model == MODEL)
        assert http.get("/key").json()["data"]["usage"] == pytest.approx(cost)

    def test_a_slow_answer_keeps_its_connection_alive(
        self, serve: Serve, stuck: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(telling, "KEEPALIVE_S", 0.001)
        _, http = serve(stuck())
        body = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "stream": True}
        with http.stream("POST", "/chat/completions", json=body) as answer:
            lines = answer.iter_lines()
            seen = [next(lines) for _ in range(6)]
        assert seen == [": OPENROUTER PROCESSING", ""] * 3

    @pytest.mark.parametrize("error", [EngineError(502, "Gone.", "server"), None, KeyError("k")])
    def test_an_engine_that_fails_late_is_an_error_inside_the_200(
        self, serve: Serve, broken: Any, chunks_of: ChunksOf, error: Exception | None
    ) -> None:
        sandbox, http = serve(broken(error, "Once", " upon"))
        code = 502 if isinstance(error, EngineError) else 500
        streamed = http.events()
        assert streamed[-1] != "data: [DONE]"
        assert chunks_of(streamed)[-1]["error"]["code"] == code
        assert error_of(http.ask()) == (200, code, "server")
        assert sandbox.cancelled == 0

    def test_several_are_answered_at_once(self, serve: Serve, stuck: Any) -> None:
        engine = stuck("Once", " upon")
        sandbox, http = serve(engine)
        with ThreadPoolExecutor(8) as threads:
            ids = set(threads.map(lambda _: http.leave_after(3), range(8)))
        assert len(ids) == 8
        http.until(lambda: sandbox.cancelled == 8)
        assert (engine.started, engine.stopped) == (8, 8)


class TestTheRecord:
    def test_is_late(self, serve: Serve) -> None:
        _, http = serve(lateness_s=3600.0)
        answer = http.get("/generation", params={"id": http.ask().json()["id"]})
        assert error_of(answer) == (404, 404, None)

    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
    def test_says_what_the_answer_said(self, http: Any, *, stream: bool) -> None:
        answer = http.ask(stream=stream)
        generation_id = answer.headers["X-Generation-Id"]
        record = http.get("/generation", params={"id": generation_id}).json()["data"]
        assert record["id"] == generation_id
        assert record["streamed"] is stream
        assert record["cancelled"] is False
        assert record["finish_reason"] == "stop"
        assert f'"completion_tokens": {record["tokens_completion"]},' in answer.text
        assert 0 <= record["latency"] <= record["generation_time"]

    def test_is_there_as_soon_as_the_last_words_are(self, http: Any) -> None:
        body = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "stream": True}
        with http.stream("POST", "/chat/completions", json=body) as answer:
            assert any(line == "data: [DONE]" for line in answer.iter_lines())
            params = {"id": answer.headers["X-Generation-Id"]}
            assert http.get("/generation", params=params).status_code == 200

    @pytest.mark.parametrize("params", [{}, {"id": "gen-nothing"}], ids=["no id", "unknown id"])
    def test_of_nothing_is_not_found(self, http: Any, params: dict[str, str]) -> None:
        assert error_of(http.get("/generation", params=params)) == (404, 404, None)

    def test_only_the_latest_are_kept(self, http: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(telling, "REMEMBERED_GENERATIONS", 2)
        ids = [http.ask().json()["id"] for _ in range(3)]
        found = [http.get("/generation", params={"id": id_}).status_code for id_ in ids]
        assert found == [404, 200, 200]


class TestClientsThatLeave:
    def test_a_stream_that_is_left_is_stopped_counted_and_recorded(
        self, serve: Serve, stuck: Any
    ) -> None:
        engine = stuck("Once", " upon")
        sandbox, http = serve(engine)
        generation_id = http.leave_after(3)
        http.until(lambda: sandbox.cancelled == 1)
        assert engine.stopped == 1
        record = http.get("/generation", params={"id": generation_id}).json()["data"]
        assert (record["cancelled"], record["finish_reason"]) == (True, None)

    @pytest.mark.parametrize("stream", ["false", "true"], ids=["whole", "streamed"])
    def test_one_who_leaves_before_the_first_word_is_noticed(
        self, serve: Serve, stuck: Any, monkeypatch: pytest.MonkeyPatch, stream: str
    ) -> None:
        engine = stuck()
        sandbox, http = serve(engine)
        monkeypatch.setattr(telling, "KEEPALIVE_S", 0.05)
        body = f'{{"model":"{MODEL}","stream":{stream},"messages":[{{"role":"user"}}]}}'
        with socket.create_connection(("127.0.0.1", sandbox.port)) as raw:
            raw.sendall(
                b"POST /api/v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
                + f"Authorization: Bearer {sandbox.api_key}\r\n".encode()
                + f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            http.until(lambda: engine.started == 1)
        http.until(lambda: sandbox.cancelled == 1)
        assert engine.stopped == 1

    def test_an_answer_that_was_read_is_no_cancellation(self, sandbox: Sandbox, http: Any) -> None:
        http.ask()
        http.ask(stream=True)
        assert sandbox.cancelled == 0


class TestLife:
    def test_it_listens_on_loopback_only(self, sandbox: Sandbox) -> None:
        assert sandbox.base_url == f"http://127.0.0.1:{sandbox.port}/api/v1"
        assert sandbox._socket.getsockname()[0] == "127.0.0.1"

    def test_a_taken_port_is_said_in_one_sentence(self, sandbox: Sandbox) -> None:
        with pytest.raises(SandboxError, match=f"^Port {sandbox.port} cannot be used .*[.]$"):
            Sandbox(engine="scripted", port=sandbox.port)

    def test_an_impossible_port_is_said_too(self) -> None:
        with pytest.raises(SandboxError, match=r"^Port 70000 cannot be used"):
            Sandbox(engine="scripted", port=70000)

    def test_an_unknown_engine_is_refused_and_leaves_no_socket(self) -> None:
        engine: Any = "steam"
        with pytest.raises(SandboxError, match="steam"):
            Sandbox(engine=engine)

    def test_a_port_is_free_again_after_the_end(self, serve: Serve) -> None:
        with Sandbox(engine="scripted") as first:
            port = first.port
        _, http = serve(port=port)
        assert http.ask().status_code == 200

    def test_stopping_twice_or_before_the_start_is_harmless(self) -> None:
        sandbox = Sandbox(engine="scripted")
        sandbox.stop()
        sandbox = Sandbox(engine="scripted").start()
        sandbox.stop()
        sandbox.stop()
        sandbox.wait()
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(sandbox.base_url)

    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
    def test_what_is_being_told_ends_with_an_error_when_it_stops(
        self, serve: Serve, stuck: Any, *, stream: bool
    ) -> None:
        engine = stuck("Once", " upon")
        sandbox, http = serve(engine)
        with ThreadPoolExecutor(1) as thread:
            answer = thread.submit(http.ask, stream=stream)
            http.until(lambda: engine.started == 1 and http.get("/models").is_success)
            sandbox.stop()
            assert "The sandbox stops." in answer.result().text
        assert engine.stopped == 1

    def test_it_closes_its_engine(self, stuck: Any) -> None:
        engine = stuck()
        closed: list[bool] = []
        engine.close = lambda: closed.append(True)
        with Sandbox(engine=engine):
            assert not closed
        assert closed == [True]

    def test_a_body_that_raises_leaves_it_stopped(self) -> None:
        sandbox = Sandbox(engine="scripted")
        with suppress(KeyError), sandbox:
            raise KeyError
        assert not sandbox._thread.is_alive()
