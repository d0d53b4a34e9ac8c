"""Runs by OpenRouter's batch API, over real HTTP to the sandbox; OpenRouter's own is not asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.language_models import FakeListChatModel

from langchain_tale import ChatOpenRouter, ConfigurationError, RetryPolicy, atell_all, tell_all
from langchain_tale.bulk.batching.letters import Batching
from langchain_tale.bulk.rows import COLUMNS
from langchain_tale.sandbox import Sandbox
from tests.bulk.batching.stories import right, tell, told
from tests.bulk.stories import MODEL, fast_timing, rows, themes, written

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from langchain_tale.bulk.progress import Progress
    from langchain_tale.sandbox import Sandbox
    from langchain_tale.sandbox.pytest_plugin import StartSandbox


def test_a_batch_asks_what_calls_ask_and_writes_what_they_write(
    openrouter_sandbox: StartSandbox, tmp_path: Path
) -> None:
    asked: list[Mapping[str, Any]] = []
    requests = [
        {"id": "mia", "theme": "a fox", "child_name": "Mia", "age": 5},
        {"id": "ru", "theme": "лиса", "language": "ru", "words": 1500},
        "an owl",
    ]

    def note(body: Mapping[str, Any]) -> None:
        asked.append({name: value for name, value in body.items() if name != "stream"})

    openrouter_sandbox({"*": note})
    called, posted = tmp_path / "called.jsonl", tmp_path / "posted.jsonl"
    assert tell(requests, called, via="calls").is_complete
    by_call, asked[:] = sorted(asked, key=str), []
    assert tell(requests, posted).is_complete

    assert sorted(asked, key=str) == by_call
    denied = [body["provider"]["data_collection"] for body in asked if "Mia" in str(body)]
    assert denied == ["deny"]
    for one, other in zip(
        *(sorted(rows(p), key=lambda row: row["line"]) for p in (called, posted)), strict=True
    ):
        assert one.keys() == other.keys() > COLUMNS.keys()
        own = {"latency_s", "generation_id", "cost_usd", "spent_usd", "attempts"}
        assert [one[n] for n in one if n not in own] == [other[n] for n in one if n not in own]
        assert other["cost_usd"] == pytest.approx(one["cost_usd"] / 2)
        assert [tried["answered_by"] for tried in other["attempts"]] == [MODEL]


def test_no_batch_is_larger_than_it_may_be(start: Callable[..., Sandbox], out: Path) -> None:
    sandbox = start()

    assert tell(themes(10), out, via=Batching(size=4, first_look_s=2)).is_complete

    assert max(sandbox.batch_sizes) == 4
    assert sum(sandbox.batch_sizes) == 10
    assert told(out) == right(10)


def test_at_the_end_no_file_of_batches_is_left(
    start: Callable[..., Sandbox], out: Path, register: Path
) -> None:
    start()
    seen: list[Progress] = []

    def look(progress: Progress) -> None:
        seen.append(progress)

    summary = tell(themes(3), out, on_progress=look)

    assert (summary.told, summary.stopped, summary.doubtful) == (3, None, 0)
    assert any("1 batch: " in str(progress) for progress in seen)
    assert not register.exists()


async def test_the_twin(start: Callable[..., Sandbox], out: Path) -> None:
    start(looks=1)

    summary = await atell_all(themes(2), out=out, models=MODEL, via="batch", timing=fast_timing())

    assert summary.is_complete


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"concurrency": 8}, "no concurrency"),
        ({"out": None}, "needs out"),
        ({"models": None, "chain": FakeListChatModel(responses=[])}, "makes its own chain"),
        ({"retry": RetryPolicy(deadline_s=60)}, "leave attempt_timeout_s and deadline_s out"),
        ({"models": [MODEL, FakeListChatModel(responses=[])]}, "another vendor's"),
        ({"via": "pigeon"}, 'via must be "calls", "batch" or a Batching'),
    ],
    ids=["concurrency", "memory", "chain", "deadline", "vendor", "pigeon"],
)
def test_what_makes_no_sense_by_batch_is_said_in_a_sentence(
    start: Callable[..., Sandbox], out: Path, register: Path, options: dict[str, Any], why: str
) -> None:
    sandbox = start()
    given = {"models": MODEL, "via": "batch", "out": out, **options}
    if "chain" not in given:
        given.setdefault("retry", RetryPolicy())

    with pytest.raises(ConfigurationError, match=why):
        tell_all(themes(1), **given)

    assert sandbox.batch_sizes == []
    assert not register.exists()


@pytest.mark.parametrize(
    "options", [{"size": 0}, {"size": 50_001}, {"at_once": 0}, {"gather_s": -1}]
)
def test_a_batching_within_its_ranges(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Batching(**options)


def test_chat_models_keep_their_settings(start: Callable[..., Sandbox], out: Path) -> None:
    seen: list[Mapping[str, Any]] = []

    def note(body: Mapping[str, Any]) -> None:
        seen.append(body)

    start({MODEL: note})
    llm = ChatOpenRouter(model=MODEL, temperature=0.25, max_tokens=77, sends_request_id=True)

    assert tell(["fox 1"], out, models=llm.with_retry(RetryPolicy()), retry=None).is_complete

    assert [(body["temperature"], body["max_tokens"]) for body in seen] == [(0.25, 77)]
    assert seen[0]["trace"]["trace_id"]


def test_a_file_of_requests(start: Callable[..., Sandbox], out: Path, tmp_path: Path) -> None:
    start()
    requests = written(tmp_path / "r.jsonl", [*themes(3), {"theme": 7}])

    summary = tell(requests, out, ordered=True)

    assert (summary.requested, summary.told, summary.failed) == (4, 3, 1)
    assert told(out) == right(3)
