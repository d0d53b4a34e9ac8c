"""Counts that travel: pickles, JSON, other processes."""

from __future__ import annotations

import copy
import json
import pickle
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from langchain_tale import StoryMetrics
from langchain_tale.errors import Attempt, ConfigurationError, RateLimitError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Clock:
    """Says what it is set to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def answer(model: str, latency_s: float, *, n_failed: int = 0) -> LLMResult:
    """What the run of a call ends with that was answered after so many failures."""
    slow = RateLimitError("slow down", raw={"usage": {"cost": 0.25, "completion_tokens": 3}})
    failed = [
        Attempt(number=n + 1, model="x/busy", error=slow, cost_usd=0.25) for n in range(n_failed)
    ]
    last = Attempt(number=n_failed + 1, model=model, latency_s=latency_s, cost_usd=0.5)
    message = AIMessage(
        "a story of Mia",
        usage_metadata={"input_tokens": 10, "output_tokens": 5, "total_tokens": 15},
        response_metadata={
            "model_name": model,
            "attempts": [attempt.to_dict() for attempt in [*failed, last]],
        },
    )
    return LLMResult(generations=[[ChatGeneration(message=message)]])


def observe(metrics: StoryMetrics, clock: Clock, calls: Sequence[tuple[str, float, int]]) -> None:
    for model, latency_s, n_failed in calls:
        run_id = uuid4()
        metrics.on_chat_model_start({}, [], run_id=run_id, metadata={"ls_model_name": model})
        clock.now += latency_s
        metrics.on_llm_end(answer(model, latency_s, n_failed=n_failed), run_id=run_id)


def some_calls(seed: int, n: int) -> list[tuple[str, float, int]]:
    rng = random.Random(seed)  # noqa: S311 (no secret)
    return [
        (rng.choice(["a/b", "c/d"]), rng.lognormvariate(0, 1), rng.choice([0, 0, 0, 1, 2]))
        for _ in range(n)
    ]


def counted(calls: Sequence[tuple[str, float, int]]) -> StoryMetrics:
    clock = Clock()
    metrics = StoryMetrics(otel=False, clock=clock)
    observe(metrics, clock, calls)
    return metrics


def facts_of(metrics: StoryMetrics) -> Any:
    """Everything it says, sums rounded: the order in which floats are added tells."""
    return json.loads(
        json.dumps(metrics.snapshot().to_dict()), parse_float=lambda text: round(float(text), 6)
    )


def test_the_parts_add_up_to_the_whole_in_any_order() -> None:
    parts = [some_calls(seed, 50) for seed in range(4)]
    whole = counted([call for part in parts for call in part])
    forwards, backwards = counted([]), counted([])
    for part in parts:
        forwards.merge(counted(part))
    for part in reversed(parts):
        backwards.merge(counted(part))

    assert facts_of(forwards) == facts_of(backwards)
    for name, record in whole.snapshot().models.items():
        merged = forwards.snapshot().models[name]
        assert merged.latency.p95_s == record.latency.p95_s
        assert (merged.calls, merged.retries, merged.errors) == (
            record.calls,
            record.retries,
            record.errors,
        )
    assert forwards.snapshot().overall.calls == 200
    assert forwards.snapshot().overall.cost_usd == pytest.approx(whole.snapshot().overall.cost_usd)


def test_merging_leaves_the_other_as_it_was() -> None:
    one, other = counted(some_calls(1, 10)), counted(some_calls(2, 10))
    before = facts_of(other)

    one.merge(other)
    one.merge(other)

    assert facts_of(other) == before
    assert one.snapshot().overall.calls == 30


def test_it_can_be_merged_with_itself() -> None:
    metrics = counted(some_calls(1, 10))

    metrics.merge(metrics)

    assert metrics.snapshot().overall.calls == 20


@pytest.mark.parametrize(
    "carry",
    [
        lambda metrics: pickle.loads(pickle.dumps(metrics)),  # noqa: S301 (our own)
        lambda metrics: StoryMetrics.from_dict(json.loads(json.dumps(metrics.to_dict()))),
        copy.deepcopy,
    ],
    ids=["pickle", "json", "deepcopy"],
)
def test_a_copy_knows_the_same_and_goes_on(carry: Any) -> None:
    metrics = counted(some_calls(3, 40))

    twin = carry(metrics)

    assert facts_of(twin) == facts_of(metrics)
    run_id = uuid4()
    twin.on_chat_model_start({}, [], run_id=run_id, metadata={})
    twin.on_llm_end(answer("a/b", 1.0), run_id=run_id)
    assert twin.snapshot().overall.calls == 41
    assert metrics.snapshot().overall.calls == 40


def test_calls_under_way_stay_where_they_are() -> None:
    metrics = counted([])
    run_id = uuid4()
    metrics.on_chat_model_start({}, [], run_id=run_id, metadata={})

    twin = pickle.loads(pickle.dumps(metrics))  # noqa: S301 (our own)
    twin.on_llm_end(answer("a/b", 1.0), run_id=run_id)

    assert twin.snapshot().overall.calls == 0


ELSEWHERE = """
import pickle, sys
from langchain_tale import StoryMetrics
metrics = pickle.load(sys.stdin.buffer)
metrics.merge(StoryMetrics.from_dict(metrics.to_dict()))
sys.stdout.buffer.write(pickle.dumps(metrics))
"""


def test_another_process_takes_it_over_and_gives_it_back() -> None:
    metrics = counted(some_calls(5, 30))

    done = subprocess.run(  # noqa: S603 (our own interpreter)
        [sys.executable, "-c", ELSEWHERE],
        input=pickle.dumps(metrics),
        capture_output=True,
        check=True,
        timeout=60,
    )
    metrics.merge(pickle.loads(done.stdout))  # noqa: S301 (our own)

    assert metrics.snapshot().overall.calls == metrics.snapshot().overall.latency.count == 90


def test_threads_lose_no_count_while_others_read() -> None:
    metrics = StoryMetrics(otel=False)

    def work(seed: int) -> None:
        observe(metrics, Clock(), some_calls(seed, 100))
        metrics.snapshot()
        pickle.dumps(metrics)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(16)))

    overall = metrics.snapshot().overall
    assert overall.calls == overall.latency.count == 1600
    assert overall.output_tokens == 1600 * 5
    assert overall.attempts == 1600 + overall.errors["RateLimitError"]
    assert overall.cost_usd == 1600 * 0.5 + overall.errors["RateLimitError"] * 0.25


FORMAT = "langchain_tale.StoryMetrics/1"


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"format": FORMAT},
        {**counted([]).to_dict(), "format": "langchain_tale.StoryMetrics/0"},
        {"format": FORMAT, "overall": {}, "models": {}},
        {"format": FORMAT, "overall": None, "models": None},
        None,
        [],
    ],
    ids=["empty", "nothing", "other version", "empty counts", "null", "none", "list"],
)
def test_what_is_no_metrics_is_refused(facts: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"from_dict takes what StoryMetrics\.to_dict"):
        StoryMetrics.from_dict(facts)


def test_spoilt_counts_are_refused() -> None:
    facts = counted(some_calls(1, 5)).to_dict()
    facts["overall"]["answered"] = "five"

    with pytest.raises(ConfigurationError):
        StoryMetrics.from_dict(facts)


def test_it_keeps_no_words() -> None:
    metrics = counted(some_calls(4, 20))

    kept = json.dumps(metrics.to_dict()) + repr(vars(metrics)) + metrics.to_prometheus()

    assert "Mia" not in kept
    assert b"Mia" not in pickle.dumps(metrics)
    assert "slow down" not in kept


def test_what_becomes_of_an_answer_afterwards_changes_no_count() -> None:
    metrics, clock = StoryMetrics(), Clock()
    metrics._clock = clock
    run_id, said = uuid4(), answer("a/b", 1.0)
    metrics.on_chat_model_start({}, [], run_id=run_id, metadata={"ls_model_name": "a/b"})
    metrics.on_llm_end(said, run_id=run_id)

    message: Any = said.generations[0][0].message  # type: ignore[union-attr]
    message.usage_metadata |= {"input_tokens": 99, "total_cost": 0}
    message.response_metadata["attempts"] = [{}, None]

    overall = metrics.snapshot().overall
    assert (overall.calls, overall.cached, overall.input_tokens) == (1, 0, 10)


def test_where_langchains_count_is_no_number_the_servers_is_taken() -> None:
    metrics, run_id, said = StoryMetrics(), uuid4(), answer("a/b", 1.0)
    message: Any = said.generations[0][0].message  # type: ignore[union-attr]
    message.usage_metadata |= {"input_tokens": "many"}
    message.response_metadata |= {"cost": 0.5, "token_usage": {"prompt_tokens": 7}}
    metrics.on_chat_model_start({}, [], run_id=run_id, metadata={"ls_model_name": "a/b"})

    metrics.on_llm_end(said, run_id=run_id)

    assert metrics.snapshot().overall.input_tokens == 7


def test_an_odd_log_of_attempts_is_one_attempt() -> None:
    metrics, run_id, said = StoryMetrics(), uuid4(), answer("a/b", 1.0)
    said.generations[0][0].message.response_metadata["attempts"] = [{}, None]  # type: ignore[union-attr]
    metrics.on_chat_model_start({}, [], run_id=run_id, metadata={"ls_model_name": "a/b"})

    metrics.on_llm_end(said, run_id=run_id)

    assert metrics.snapshot().overall.attempts == 1


def test_ids_may_be_words() -> None:
    metrics, run_id = StoryMetrics(), str(uuid4())
    odd: Any = run_id
    metrics.on_chat_model_start({}, [], run_id=odd, metadata={"ls_model_name": "a/b"})
    metrics.on_llm_end(answer("a/b", 1.0), run_id=odd)

    assert metrics.snapshot().overall.calls == 1
