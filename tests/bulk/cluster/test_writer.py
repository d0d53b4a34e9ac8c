"""Workers in threads of one process, over Debian's real redis-server on loopback; without Ray."""

from __future__ import annotations

import logging
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from langchain_tale import (
    ConfigurationError,
    RetryPolicy,
    SharedRun,
    SharedStateError,
    StoryWriter,
)
from langchain_tale.sandbox import Fault
from tests.bulk.stories import Storyteller, story_of, themes
from tests.resilience.test_breaker_redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from langchain_tale.sandbox.pytest_plugin import StartSandbox

    MakeWriter = Callable[..., StoryWriter]

SLOW = pytest.mark.slow  # they need redis-server, which not every machine has
RUN = "night"


@pytest.fixture(scope="module")
def running() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.kill()


@pytest.fixture
def redis_server(running: RedisServer) -> RedisServer:
    with running.client() as client:
        client.flushall()
    return running


@pytest.fixture
def teller() -> Storyteller:
    return Storyteller()


@pytest.fixture
def make(
    redis_server: RedisServer,
    teller: Storyteller,
    openrouter_sandbox: StartSandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[MakeWriter]:
    """A function that makes workers of one run."""
    started: list[Any] = []
    writers: list[StoryWriter] = []

    def making(faults: Any = None, key: str | None = None, **options: Any) -> StoryWriter:
        if not started:
            started.append(openrouter_sandbox(faults, engine=teller))
        sandbox = started[0]
        monkeypatch.setenv("OPENROUTER_API_KEY", key or sandbox.api_key)
        monkeypatch.setenv("OPENROUTER_API_BASE", sandbox.base_url)
        given: dict[str, Any] = {
            "run": RUN,
            "redis_url": redis_server.url,
            "models": "a/b",
            "concurrency": 8,
        }
        writer = StoryWriter(**given | {"retry": RetryPolicy(max_retries=0)} | options)
        writer.sandbox = sandbox  # type: ignore[attr-defined]  # for what it counts
        writers.append(writer)
        return writer

    yield making
    for writer in writers:
        writer.close()


def batch(names: Sequence[str]) -> dict[str, list[str]]:
    return {"id": list(names), "theme": list(names)}


def rows(table: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = table.to_pylist()
    return found


@SLOW
def test_rows_come_out_in_the_order_of_the_requests(make: MakeWriter) -> None:
    names = themes(30)

    told = rows(make()(batch(names)))

    assert [(row["id"], row["content"], row["status"]) for row in told] == [
        (name, story_of(name), "told") for name in names
    ]


@SLOW
def test_what_one_worker_has_told_another_reads_back(make: MakeWriter, teller: Storyteller) -> None:
    first = rows(make()(batch(themes(10))))

    again = rows(make()(batch(themes(12))))

    assert again[:10] == first
    assert len(teller.themes) == 12


@SLOW
def test_two_workers_with_the_same_requests_tell_each_once(
    make: MakeWriter, teller: Storyteller
) -> None:
    workers = [make(), make()]

    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(lambda worker: rows(worker(batch(themes(60)))), workers)

    assert one == other
    assert sorted(teller.themes) == sorted(themes(60))


@SLOW
def test_the_same_id_twice_in_a_batch_is_one_story(make: MakeWriter, teller: Storyteller) -> None:
    told = rows(make()(batch(["fox 1", "fox 1"])))

    assert told[0] == told[1]
    assert teller.themes == ["fox 1"]


@SLOW
def test_what_a_dead_worker_had_begun_is_taken_over(
    make: MakeWriter, redis_server: RedisServer
) -> None:
    from langchain_tale.bulk.asked import key_of

    dead = SharedRun(redis_server.url, RUN, worker="dead", lease_s=1)
    key = key_of("fox 1", 1).hex()
    assert dead.claim([key]) == [True]
    other = SharedRun(redis_server.url, RUN, worker="other")
    assert other.claim([key]) == [False]

    [row] = rows(make()(batch(["fox 1"])))

    assert row["status"] == "told"


@SLOW
def test_a_lease_that_is_renewed_lasts(redis_server: RedisServer) -> None:
    living = SharedRun(redis_server.url, RUN, worker="living", lease_s=100)
    brief = SharedRun(redis_server.url, RUN, worker="living", lease_s=1)
    brief.claim(["x"])
    living.renew(["x"], [])

    with redis_server.client() as client:
        [lease] = client.keys("*lease*")
        assert client.pttl(lease) > 1_000
    living.release(["x"])
    assert SharedRun(redis_server.url, RUN, worker="other").claim(["x"]) == [True]


@SLOW
def test_of_two_stories_the_first_that_was_kept_counts(redis_server: RedisServer) -> None:
    run = SharedRun(redis_server.url, RUN, worker="w")

    assert run.keep("k", {"content": "one"}, is_told=True) == {"content": "one"}
    assert run.keep("k", {"content": "two"}, is_told=True) == {"content": "one"}
    assert run.keep("k", {"error": "late"}, is_told=False) == {"content": "one"}
    assert (run.told, run.failed) == (1, 0)


@SLOW
def test_a_bad_request_is_a_row_among_the_others(make: MakeWriter) -> None:
    table = make()(
        {"id": ["a", "b", None], "theme": ["fox 1", "fox 2", "fox 3"], "age": [5, 99, 5]}
    )

    assert table["status"].to_pylist() == ["told", "failed", "failed"]
    assert table["error"].to_pylist() == [None, "ConfigurationError", "ConfigurationError"]
    assert table["message"].to_pylist()[1].startswith("StoryRequest.age")


@SLOW
def test_what_has_failed_is_not_asked_again_unless_wished(make: MakeWriter) -> None:
    broken = {"a/b": [Fault(status=400, message="no")]}
    [row] = rows(make(broken)(batch(["fox 1"])))
    assert (row["status"], row["status_code"]) == ("failed", 400)

    assert rows(make()(batch(["fox 1"]))) == [row]
    [told] = rows(make(retry_failed=True)(batch(["fox 1"])))
    assert told["status"] == "told"
    assert rows(make()(batch(["fox 1"]))) == [told]


@SLOW
def test_a_refused_key_stops_each_worker_and_is_said_once(
    make: MakeWriter, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    workers = [make(key="sk-or-v1-revoked") for _ in range(2)]

    with caplog.at_level(logging.WARNING, "langchain_tale.bulk"):
        found = [row for worker in workers for row in rows(worker(batch(themes(50))))]

    assert {row["status"] for row in found} == {"untold"}
    assert sum(said.startswith("the run night has stopped") for said in caplog.messages) == 1
    assert "revoked" not in f"{caplog.messages} {found}"
    assert rows(make()(batch(["fox 1"])))[0]["status"] == "told"  # nothing is left of it


@SLOW
def test_one_budget_holds_for_all_workers_and_jobs(
    make: MakeWriter, redis_server: RedisServer
) -> None:
    price_usd = rows(make(run="price")(batch(["fox 1"])))[0]["cost_usd"]
    workers = [make(budget_usd=20 * price_usd) for _ in range(2)]

    with ThreadPoolExecutor(2) as threads:
        halves = [batch([f"hen {n}" for n in range(50)]), batch([f"owl {n}" for n in range(50)])]
        found = [
            row for half in threads.map(lambda w, b: rows(w(b)), workers, halves) for row in half
        ]

    told = [row for row in found if row["status"] == "told"]
    assert 15 <= len(told) <= 20 + 2 * 8  # and what was under way
    assert {row["status"] for row in found} == {"told", "untold"}
    assert any("budget" in (row["message"] or "") for row in found)
    run = SharedRun(redis_server.url, RUN)
    assert run.spent_usd == pytest.approx(sum(row["cost_usd"] for row in told))
    assert rows(make(budget_usd=1)(batch(["hen 49"])))[0]["status"] == "told"


@SLOW
def test_so_many_at_once_in_all_workers_together(
    make: MakeWriter, redis_server: RedisServer
) -> None:
    workers = [make(at_once=3) for _ in range(2)]
    halves = [batch([f"hen {n}" for n in range(20)]), batch([f"owl {n}" for n in range(20)])]

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda worker, half: worker(half), workers, halves))

    assert workers[0].sandbox.most_at_once <= 3  # type: ignore[attr-defined]  # see `make`
    assert SharedRun(redis_server.url, RUN).told == 40


@SLOW
def test_a_retry_after_that_one_worker_heard_is_kept_by_all(make: MakeWriter) -> None:
    crowded = {"a/b": [Fault(status=429, headers={"Retry-After": "300"})]}
    options = {"models": ["a/b", "c/d"], "retry": RetryPolicy(max_retries=1), "concurrency": 1}

    ours, theirs = (make(crowded, **options) for _ in range(2))
    told = rows(ours(batch(["fox 1", "fox 2"]))) + rows(theirs(batch(["fox 3"])))

    assert {row["model"] for row in told} == {"c/d"}
    assert ours.sandbox.requests == {"a/b": 1, "c/d": 3}  # type: ignore[attr-defined]  # see `make`


@SLOW
def test_every_request_of_every_worker_takes_its_turn(
    make: MakeWriter, redis_server: RedisServer
) -> None:
    for names in (["fox 1"], ["fox 2"]):
        make(requests_per_minute=60_000, judge="c/d")(batch(names))

    with redis_server.client() as client:
        assert client.keys("langchain_tale|rate|*") == [b"langchain_tale|rate|run|night"]


@SLOW
def test_metrics_of_all_workers_are_one(make: MakeWriter, redis_server: RedisServer) -> None:
    for worker, names in ((make(), ["hen 1", "hen 2"]), (make(), ["owl 1"])):
        worker(batch(names))

    overall = SharedRun(redis_server.url, RUN).metrics().snapshot().overall

    assert (overall.calls, overall.answered) == (3, 3)


@SLOW
def test_after_it_is_forgotten_nothing_is_left(make: MakeWriter, redis_server: RedisServer) -> None:
    make(requests_per_minute=60_000)(batch(["fox 1"]))
    run = SharedRun(redis_server.url, RUN)

    run.forget()

    assert (run.told, run.failed, run.spent_usd) == (0, 0, 0.0)
    with redis_server.client() as client:
        left = [key for key in client.keys("langchain_tale|run|*") if client.pttl(key) < 0]
    assert left == []  # what is left ends by itself


@SLOW
def test_a_story_that_cannot_be_kept_is_in_the_batch(
    make: MakeWriter, teller: Storyteller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> Any:
        raise SharedStateError

    writer = make()
    monkeypatch.setattr(writer._shared, "keep", away)

    assert rows(writer(batch(["fox 1"])))[0]["status"] == "told"


# ── without a Redis ─────────────────────────────────────────────────────────


NOWHERE = "redis://:hush-hush@127.0.0.1:9/0"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"api_key": "k"}, "takes no api_key: set OPENROUTER_API_KEY in the workers' environment"),
        ({"budget": 1}, "takes no budget: say budget_usd"),
        ({"concurrency": 0}, "concurrency must be from 1 to 10,000"),
        ({"at_once": 0}, "at_once must be at least 1"),
        ({"patience_s": -1}, "patience_s must not be negative"),
        ({"lease_s": 0}, "lease_s must be at least 1"),
        ({"run": ""}, "run must be a name of 1 to 100 characters"),
        ({"redis_url": "nowhere"}, "redis_url is no Redis URL"),
        ({"requests_per_minute": 0}, "requests_per_minute must be above 0"),
    ],
)
def test_a_wrong_argument_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], sentence: str
) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-x")

    with pytest.raises(ConfigurationError, match=sentence):
        StoryWriter(**{"run": RUN, "redis_url": NOWHERE, "models": "a/b"} | options)


def test_without_a_key_no_worker_begins() -> None:
    with pytest.raises(ConfigurationError, match="OPENROUTER_API_KEY"):
        StoryWriter(RUN, NOWHERE, "a/b")


def test_a_redis_that_is_gone_is_waited_for_and_then_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-x")
    writer = StoryWriter(RUN, NOWHERE, "a/b", patience_s=0)

    with pytest.raises(SharedStateError, match=r"The Redis of the run does not answer") as caught:
        writer(batch(["fox 1"]))
    writer.close()
    assert "hush" not in f"{caught.value} {writer._shared!r}"


def test_the_class_travels_to_workers_by_name() -> None:
    assert pickle.loads(pickle.dumps(StoryWriter)) is StoryWriter  # noqa: S301 (our own)
