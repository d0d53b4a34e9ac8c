"""Events as lines, for machines and for people."""

from __future__ import annotations

import io
import json
import logging
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

import langchain_tale
from langchain_tale.errors import ConfigurationError, ExternalServiceError
from langchain_tale.resilience.policy import RetryPolicy
from langchain_tale.sandbox import Fault, Sandbox
from langchain_tale.story.chain import create_story_chain
from langchain_tale.telemetry.chains import chain_text
from langchain_tale.telemetry.context import request_id
from langchain_tale.telemetry.disclosure import MAX_PROMPT_CHARS
from langchain_tale.telemetry.emitting import LOGGER
from langchain_tale.telemetry.logs import configure_logging
from tests.conftest import chat_model
from tests.telemetry.conftest import QUICK, Lines, logged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_tale.sandbox.pytest_plugin import StartSandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """One for all: it does not fail."""
    with Sandbox(engine="scripted", lateness_s=0.0) as running:
        yield running


RETRIED = RetryPolicy(max_retries=1, retry_delay=0.0)


def fallen_back(faulty: StartSandbox) -> None:
    """A story that the second model told, after the first was limited."""
    named = {"error_type": "rate_limit_exceeded", "provider_name": "Sandbox"}
    headers = {"x-request-id": "req-of-the-server"}
    sandbox = faulty({"a/b": [Fault(status=429, metadata=named, headers=headers)]})
    address: dict[str, Any] = {"api_key": sandbox.api_key, "base_url": sandbox.base_url}
    with request_id("night-42"):
        create_story_chain(["a/b", "c/d"], retry=QUICK, **address).invoke("a fox")


def failed(faulty: StartSandbox) -> None:
    """A call for which no attempt was left."""
    sandbox = faulty({"a/b": [Fault(kind="hangup"), Fault(status=503)]})
    with suppress(ExternalServiceError), request_id("night-42"):
        chat_model(sandbox, "a/b").with_retry(RETRIED).invoke("Hello")


# ── JSON ────────────────────────────────────────────────────────────────────


def test_it_is_public() -> None:
    assert langchain_tale.configure_logging is configure_logging


def test_each_line_is_one_flat_object(faulty: StartSandbox) -> None:
    lines = logged()

    fallen_back(faulty)

    assert [row["event"] for row in lines.rows] == [
        "attempt.started",
        "api.called",
        "attempt.failed",
        "retry.scheduled",
        "model.fell_back",
        "attempt.started",
        "api.called",
        "attempt.succeeded",
        "story.told",
    ]
    for row in lines.rows:
        assert list(row)[:5] == ["timestamp", "level", "event", "message", "request_id"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row["timestamp"])
        assert row["request_id"] == "night-42"
        assert not any(isinstance(value, dict | list) for value in row.values())


def test_a_failure_says_what_and_whose_word_it_is(faulty: StartSandbox) -> None:
    lines = logged()

    fallen_back(faulty)

    [row] = lines.of("attempt.failed")
    assert row["level"] == "DEBUG"
    assert (row["model"], row["provider"], row["attempt"]) == ("a/b", "Sandbox", 1)
    assert (row["status"], row["error_type"]) == (429, "RateLimitError")
    assert row["server_error_type"] == "rate_limit_exceeded"
    assert row["server_request_id"] == "req-of-the-server"
    assert row["error_message"].startswith("a/b is rate limited (429)")
    assert row["latency_s"] >= 0
    [row] = lines.of("retry.scheduled")
    assert row["level"] == "WARNING"
    assert row["message"].startswith("attempt 1 of 4 failed (a/b: RateLimitError 429); ")
    assert row["wait_s"] == 0.0


def test_success_says_what_it_took(faulty: StartSandbox) -> None:
    lines = logged("INFO")

    fallen_back(faulty)

    [story] = lines.of("story.told")
    says_what_it_took(story)
    assert story["content_words"] > 0
    assert lines.of("attempt.succeeded") == lines.of("api.called") == []


def test_an_answer_that_is_no_story_says_so_too(faulty: StartSandbox) -> None:
    lines = logged("INFO")

    chat_model(faulty({})).with_retry().invoke("x")

    [answer] = lines.rows
    assert answer["event"] == "attempt.succeeded"
    says_what_it_took(answer)
    assert answer["run_id"]


def test_the_answer_that_became_a_story_is_told_at_debug(faulty: StartSandbox) -> None:
    lines = logged("DEBUG")

    fallen_back(faulty)

    [answer] = lines.of("attempt.succeeded")
    assert answer["level"] == "DEBUG"


def says_what_it_took(row: dict[str, Any]) -> None:
    assert row["level"] == "INFO"
    assert row["tokens"] == row["input_tokens"] + row["output_tokens"] > 0
    assert row["cost_usd"] > 0
    assert row["content_chars"] > 0


def test_a_call_that_fails_has_the_whole_chain(faulty: StartSandbox) -> None:
    lines = logged("ERROR")

    failed(faulty)

    [row] = lines.rows
    assert (row["event"], row["level"]) == ("call.failed", "ERROR")
    assert (row["error_type"], row["last_error_type"]) == (
        "AllModelsFailedError",
        "UnavailableError",
    )
    assert row["attempts"] == 2
    first, joint, last = row["exception"].partition("direct cause of the following exception")
    assert "langchain_tale.errors.UnavailableError: a/b is unavailable (503)" in first
    assert "Traceback (most recent call last):" in first
    assert joint
    assert "langchain_tale.errors.AllModelsFailedError: No model answered in 2 tries" in last
    assert "(1) No connection to OpenRouter" in row["error_message"]


def test_other_lines_of_the_logger_are_rows_too() -> None:
    lines = logged()

    logging.getLogger("langchain_tale.of.somebody").info("so %s", "it goes")

    [row] = lines.rows
    assert (row["event"], row["message"], row["level"]) == (
        "langchain_tale.of.somebody",
        "so it goes",
        "INFO",
    )


def test_what_is_no_json_becomes_text() -> None:
    lines = logged()

    try:
        dict[str, str]()["a value that it quotes"]
    except KeyError:
        LOGGER.exception("It failed.")

    [row] = lines.rows
    assert row["exception"].endswith("\nKeyError")
    assert row["error_message"] == ""
    assert "quotes" not in row["exception"].splitlines()[-1]


# ── for people ──────────────────────────────────────────────────────────────


def test_lines_to_read_have_time_level_sentence_and_id(faulty: StartSandbox) -> None:
    lines = logged("INFO", json=False)

    fallen_back(faulty)

    first = lines.getvalue().splitlines()[0]
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d\.\d{3} WARNING attempt 1 of 4 failed \(a/b: RateLimitError 429\); "
        r"asking c/d at once  \[night-42\]",
        first,
    )


def test_a_failure_to_read_has_each_error_in_a_few_lines(faulty: StartSandbox) -> None:
    lines = logged("ERROR", json=False)

    failed(faulty)

    told = lines.getvalue()
    assert "ERROR   all 2 attempts failed; last: UnavailableError 503 of a/b" in told
    assert "\n    AllModelsFailedError: No model answered in 2 tries" in told
    assert "\n    UnavailableError: a/b is unavailable" in told
    assert "Traceback" not in told


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "json_", "is_json"),
    [
        (Terminal(), None, False),
        (Terminal(), True, True),
        (Lines(), None, True),
        (Lines(), False, False),
    ],
)
def test_a_terminal_gets_lines_to_read_unless_told_otherwise(
    stream: io.StringIO, json_: Any, *, is_json: bool
) -> None:
    configure_logging("INFO", json_, stream)

    LOGGER.info("Hello")

    assert stream.getvalue().startswith("{") is is_json


def test_stderr_is_where_it_goes(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()

    LOGGER.info("Hello")

    printed = capsys.readouterr()
    assert json.loads(printed.err)["message"] == "Hello"
    assert printed.out == ""


# ── configuring ─────────────────────────────────────────────────────────────


def test_configuring_again_replaces() -> None:
    first, second = logged("DEBUG"), logged("WARNING")

    LOGGER.info("Hello")
    LOGGER.warning("Mind the gap")

    assert first.rows == []
    assert [row["message"] for row in second.rows] == ["Mind the gap"]


def test_nothing_but_our_logger_is_touched() -> None:
    root = logging.getLogger()
    before = (list(root.handlers), root.level, logging.getLogger("openai").level)

    logged("DEBUG")

    assert (list(root.handlers), root.level, logging.getLogger("openai").level) == before


def test_a_handler_of_the_callers_own_stays() -> None:
    own = logging.NullHandler()
    LOGGER.addHandler(own)
    try:
        logged()
        logged()
        assert own in LOGGER.handlers
        assert len(LOGGER.handlers) == 2
    finally:
        LOGGER.removeHandler(own)


@pytest.mark.parametrize("level", ["debug", "DEBUG", 10])
def test_a_level_has_a_name_or_a_number(level: Any) -> None:
    configure_logging(level, stream=Lines())

    assert LOGGER.level == logging.DEBUG


@pytest.mark.parametrize("level", ["LOUD", "", None, True, 1.5])
def test_what_is_no_level_is_refused(level: Any) -> None:
    with pytest.raises(ConfigurationError, match="level must be DEBUG"):
        configure_logging(level)


# ── what is private ─────────────────────────────────────────────────────────


async def ask_in_every_way(llm: Any, prompt: str) -> None:
    llm.invoke(prompt)
    await llm.ainvoke(prompt)
    list(llm.stream(prompt))
    _ = [chunk async for chunk in llm.astream(prompt)]


@pytest.mark.parametrize("json_", [True, False])
async def test_prompts_are_logged_on_request_and_cut(sandbox: Sandbox, *, json_: bool) -> None:
    prompt = "A wombat called Ottoline. " + "And then? " * 100
    lines = logged("INFO", json=json_, log_prompts=True)

    await ask_in_every_way(chat_model(sandbox), prompt)

    told = [line for line in lines.getvalue().splitlines() if "Ottoline" in line]
    assert len(told) == 4
    assert all(len(line) < MAX_PROMPT_CHARS + 300 for line in told)
    if json_:
        rows = lines.of("prompt.sent")
        assert len(rows) == 4
        assert all(len(row["prompt"]) == MAX_PROMPT_CHARS + 1 for row in rows)
        assert all(row["request_id"] and row["model"] for row in rows)


async def test_whole_answers_are_logged_on_request_at_debug(sandbox: Sandbox) -> None:
    lines = logged("DEBUG", log_responses=True)
    llm = chat_model(sandbox)
    last_words = llm.invoke("Tell me of a fox.").text.splitlines()[-1]
    lines.truncate(0)
    lines.seek(0)

    await ask_in_every_way(llm, "Tell me of a fox.")

    rows = lines.of("response.received")
    assert len(rows) == 4
    assert all(last_words in row["response"] for row in rows)
    assert {row["level"] for row in rows} == {"DEBUG"}


def test_a_body_that_says_what_failed_is_logged_on_request(faulty: StartSandbox) -> None:
    sandbox = faulty({"a/b": [Fault(status=400, message="what the server said")]})
    lines = logged("DEBUG", log_responses=True)

    with pytest.raises(ExternalServiceError):
        chat_model(sandbox, "a/b").invoke("Hello")

    [row] = lines.of("response.received")
    assert json.loads(row["response"])["error"]["message"] == "what the server said"


@pytest.mark.parametrize(
    ("level", "options"),
    [("DEBUG", {}), ("INFO", {"log_responses": True}), ("WARNING", {"log_prompts": True})],
)
def test_without_both_the_wish_and_the_level_there_is_none(
    sandbox: Sandbox, level: str, options: dict[str, bool]
) -> None:
    lines = logged(level, **options)

    chat_model(sandbox).invoke("Tell me of a fox.")

    assert lines.of("prompt.sent") == lines.of("response.received") == []


# ── chains ──────────────────────────────────────────────────────────────────


def test_a_chain_has_what_was_being_handled_too() -> None:
    def fail_while_handling() -> None:
        try:
            open("/nowhere/at/all")  # noqa: PTH123, SIM115 (it fails)
        except OSError:
            int("a value that it quotes")

    with pytest.raises(ValueError, match="quotes") as caught:
        fail_while_handling()

    told = chain_text(caught.value)
    assert "FileNotFoundError: [Errno 2] No such file or directory: '/nowhere/at/all'" in told
    assert "During handling of the above exception, another exception occurred" in told
    assert told.endswith("\nValueError")


def test_a_chain_that_goes_in_a_circle_ends() -> None:
    one, other = ExternalServiceError("one"), ExternalServiceError("other")
    one.__cause__, other.__cause__ = other, one

    assert chain_text(one).count("ExternalServiceError: one") == 1
