"""The audit of real calls: a line for each request, in the file before the call returns."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from langchain_tale import (
    AllModelsFailedError,
    AuditLog,
    ChatOpenRouter,
    OpenRouterClient,
    OpenRouterModel,
    RetryPolicy,
    StoryRequest,
    create_story_chain,
)
from langchain_tale.errors import AuthenticationError, ConnectionFailedError
from langchain_tale.sandbox import Fault, Sandbox
from langchain_tale.telemetry.context import request_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from langchain_tale.sandbox.pytest_plugin import StartSandbox

MINI, HAIKU = OpenRouterModel.GPT_4O_MINI, OpenRouterModel.CLAUDE_3_HAIKU
PROMPT = "Tell me of a fox called Mia."
FAST = RetryPolicy(max_retries=3, retry_delay=0)


@pytest.fixture
def audit(tmp_path: Path) -> Iterator[AuditLog]:
    with AuditLog(tmp_path / "audit.jsonl") as log:
        yield log


def lines(audit: AuditLog) -> list[dict[str, Any]]:
    return [json.loads(line) for line in audit.path.read_text(encoding="utf-8").splitlines()]


def test_an_answer_is_one_line_with_its_facts(faulty: StartSandbox, audit: AuditLog) -> None:
    sandbox = faulty()
    with request_id("night-42"):
        answer = ChatOpenRouter(model=MINI).invoke(PROMPT)

    (line,) = lines(audit)
    assert line["request_id"] == "night-42"
    assert line["key_hint"] == sandbox.api_key[-4:]
    assert line["model"] == line["answered_by"] == MINI
    assert line["provider_name"] == answer.response_metadata["provider_name"]
    assert line["generation_id"] == answer.response_metadata["id"]
    assert (line["outcome"], line["status_code"]) == ("succeeded", 200)
    assert answer.usage_metadata is not None
    assert line["input_tokens"] == answer.usage_metadata["input_tokens"]
    assert line["output_tokens"] == answer.usage_metadata["output_tokens"]
    assert line["cost_usd"] == answer.response_metadata["cost"] > 0
    assert line["latency_s"] > 0
    assert line["is_streamed"] is False


async def test_every_way_of_asking_is_audited(faulty: StartSandbox, audit: AuditLog) -> None:
    faulty()
    llm = ChatOpenRouter(model=MINI)
    llm.invoke(PROMPT)
    await llm.ainvoke(PROMPT)
    list(llm.stream(PROMPT))
    async for _ in llm.astream(PROMPT):
        pass
    llm.batch([PROMPT] * 3)
    await llm.abatch([PROMPT] * 3)
    OpenRouterClient().generate_story(PROMPT)

    found = lines(audit)
    assert len(found) == 11
    assert {line["outcome"] for line in found} == {"succeeded"}
    assert len({line["generation_id"] for line in found}) == 11
    assert [line["is_streamed"] for line in found[:4]] == [False, False, True, True]
    assert all(line["output_tokens"] > 0 and line["cost_usd"] > 0 for line in found)


def test_every_attempt_is_a_line_of_one_request_id(faulty: StartSandbox, audit: AuditLog) -> None:
    sandbox = faulty({MINI: [Fault(status=503), Fault(kind="reset"), Fault(status=503)] * 9})
    chain = create_story_chain([MINI, HAIKU], retry=FAST)

    result = chain.invoke(StoryRequest(theme="a fox", child_name="Mia", age=5))

    found = lines(audit)
    assert len(found) == len(result.attempts) == sum(sandbox.requests.values()) == 2
    assert len({line["request_id"] for line in found}) == 1
    assert [line["model"] for line in found] == [MINI, HAIKU]
    assert [line["outcome"] for line in found] == ["UnavailableError", "succeeded"]
    assert [line["status_code"] for line in found] == [503, 200]
    assert found[-1]["cost_usd"] == result.cost_usd


def test_requests_that_all_fail_are_lines_too(faulty: StartSandbox, audit: AuditLog) -> None:
    sandbox = faulty({MINI: [Fault(status=503), Fault(kind="reset"), Fault(kind="empty")] * 9})
    llm = ChatOpenRouter(model=MINI).with_retry(FAST)
    with pytest.raises(AllModelsFailedError):
        llm.invoke(PROMPT)

    found = lines(audit)
    assert len(found) == sandbox.requests[MINI] == 4
    assert [line["outcome"] for line in found] == [
        "UnavailableError",
        "ConnectionFailedError",
        "EmptyReplyError",
        "UnavailableError",
    ]
    assert [line["status_code"] for line in found] == [503, None, 200, 503]


def test_retries_by_the_sdk_are_lines_too(
    faulty: StartSandbox, audit: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "openai._base_client.BaseClient._calculate_retry_timeout", lambda *_, **__: 0
    )
    sandbox = faulty({MINI: [Fault(status=503), Fault(status=503)]})
    ChatOpenRouter(model=MINI, max_retries=2).invoke(PROMPT)

    found = lines(audit)
    assert len(found) == sandbox.requests[MINI] == 3
    assert [line["status_code"] for line in found] == [503, 503, 200]


def test_which_key_stopped_working(faulty: StartSandbox, audit: AuditLog) -> None:
    sandbox = faulty()
    old = "sk-or-v1-0123456789abcdef"
    ChatOpenRouter(model=MINI, api_key=[old, sandbox.api_key]).invoke(PROMPT)

    found = [(line["key_hint"], line["outcome"]) for line in lines(audit)]
    assert found == [("cdef", "AuthenticationError"), (sandbox.api_key[-4:], "succeeded")]


def test_a_stream_that_is_left_is_cancelled(faulty: StartSandbox, audit: AuditLog) -> None:
    faulty()
    stream = ChatOpenRouter(model=MINI).stream(PROMPT)
    next(stream)
    stream.close()  # type: ignore[attr-defined]  # it is a generator

    assert [line["outcome"] for line in lines(audit)] == ["cancelled"]


def test_a_server_that_is_gone_is_a_line(audit: AuditLog) -> None:
    with Sandbox("scripted") as gone:
        pass
    llm = ChatOpenRouter(model=MINI, api_key=gone.api_key, base_url=gone.base_url, max_retries=0)
    with pytest.raises(ConnectionFailedError):
        llm.invoke(PROMPT)

    (line,) = lines(audit)
    assert (line["outcome"], line["status_code"]) == ("ConnectionFailedError", None)


def test_no_prompt_no_name_no_key_no_story(faulty: StartSandbox, audit: AuditLog) -> None:
    key = "sk-or-v1-0123456789abcdef"
    faulty(api_key=key)
    told = create_story_chain([MINI]).invoke(
        StoryRequest(theme="a hedgehog", child_name="Ludmilla", age=5)
    )
    with pytest.raises(AuthenticationError):
        ChatOpenRouter(model=MINI, api_key=f"{key}xyz9", max_retries=0).invoke("Ludmilla")
    list(ChatOpenRouter(model=MINI).stream("Of Ludmilla and a hedgehog"))

    text = audit.path.read_text(encoding="utf-8")
    assert text.count("\n") == 3
    for secret in ("Ludmilla", "hedgehog", key, key[-5:], told.content[:20]):
        assert secret not in text


def test_calls_go_on_without_a_disk(faulty: StartSandbox, tmp_path: Path) -> None:
    faulty()
    folder = tmp_path / "logs"
    folder.mkdir()
    with AuditLog(folder / "audit.jsonl") as log:
        log.path.unlink()
        folder.rmdir()
        llm = ChatOpenRouter(model=MINI)
        assert llm.invoke(PROMPT).text
        folder.mkdir()
        answer = llm.invoke(PROMPT)
        assert [line["generation_id"] for line in lines(log)] == [answer.response_metadata["id"]]


# ── a process that is killed ────────────────────────────────────────────────

CALLER = """
import itertools, os, sys, threading
from langchain_tale import AuditLog
{prepare}
AuditLog(sys.argv[1], max_bytes=20_000)
numbers = itertools.count()
def ask():
    for number in numbers:
        os.write(1, one(number).encode() + b"\\n")
threads = [threading.Thread(target=ask) for _ in range(4)]
for thread in threads:
    thread.start()
"""
REAL_CALLS = """
from langchain_tale import ChatOpenRouter
llm = ChatOpenRouter(model="openai/gpt-4o-mini", max_retries=0)
def one(number):
    return llm.invoke("Tell me of a fox.").response_metadata["id"]
"""
EVENTS_ALONE = """
from langchain_tale.telemetry.emitting import emit
from langchain_tale.telemetry.events import ApiCalled
def one(number):
    emit(ApiCalled(model="a/b", outcome="succeeded", generation_id=f"gen-{number}"))
    return f"gen-{number}"
"""


def kill_amid_calls(prepare: str, path: Path, *, after: int) -> set[str]:
    """Kill a process amid its calls, once so many have returned; the ids of all that had."""
    program = CALLER.format(prepare=prepare)
    with subprocess.Popen(  # noqa: S603 (our own program)
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, cwd=path.parent
    ) as child:
        assert child.stdout is not None
        returned = [child.stdout.readline() for _ in range(after)]
        child.send_signal(signal.SIGKILL)
        returned += child.stdout.readlines()
        child.wait(timeout=60)
    assert child.returncode == -signal.SIGKILL
    return {line.decode().strip() for line in returned if line.endswith(b"\n")}


def recorded_after_mending(path: Path) -> Counter[str]:
    """The generations in the audit, after it has been opened again; every line must be whole."""
    with AuditLog(path):
        ids = Counter(record["generation_id"] for record in AuditLog.read(path))
    files = [each for each in path.parent.glob(f"{path.name}*") if each.suffix != ".torn"]
    assert sum(each.read_bytes().count(b"\n") for each in files) == ids.total()
    return ids


@pytest.mark.parametrize("after", [1, 300, 700])
def test_every_event_that_was_heard_before_a_kill_is_in_the_file(
    tmp_path: Path, after: int
) -> None:
    path = tmp_path / "audit.jsonl"
    returned = kill_amid_calls(EVENTS_ALONE, path, after=after)

    recorded = recorded_after_mending(path)
    assert len(returned) >= after
    assert returned <= recorded.keys()
    assert set(recorded.values()) == {1}


@pytest.mark.slow
def test_every_call_that_returned_before_a_kill_is_in_the_file(
    faulty: StartSandbox, tmp_path: Path
) -> None:
    sandbox = faulty()
    path = tmp_path / "audit.jsonl"
    returned = kill_amid_calls(REAL_CALLS, path, after=1_000)

    recorded = recorded_after_mending(path)
    assert len(returned) >= 1_000
    assert returned <= recorded.keys()
    assert set(recorded.values()) == {1}
    assert recorded.total() <= sandbox.requests[MINI]
