from __future__ import annotations

import json
from threading import Barrier, Lock
from typing import Any

import httpx2
import pytest

from langchain_tale.resilience.batching import MOST_AT_ONCE
from langchain_tale.story.chain import create_story_chain
from tests.openrouter.replies import Wire, reply

AT_ONCE = 40
"""More than langchain-core asks at once on any machine, which is 32 at most."""


class Meeting:
    """Answers once so many have asked."""

    def __init__(self, size: int) -> None:
        self.barrier = Barrier(size)

    def __call__(self, _request: httpx2.Request) -> httpx2.Response:
        self.barrier.wait(timeout=60)
        return httpx2.Response(200, json=reply({"content": "Once"}))


class Counting:
    """Counts how many ask at once, at most."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.lock = Lock()

    def __call__(self, _request: httpx2.Request) -> httpx2.Response:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        content = json.dumps(reply({"content": "Once"}))
        with self.lock:
            self.now -= 1
        return httpx2.Response(200, content=content)


@pytest.mark.parametrize("is_policy", [False, True], ids=["the model", "below a policy"])
@pytest.mark.parametrize("config", [None, {"tags": ["x"]}, [{"tags": ["x"]}] * AT_ONCE])
def test_a_batch_has_many_calls_under_way(is_policy: bool, config: Any) -> None:  # noqa: FBT001 (a case)
    plain = Wire(Meeting(AT_ONCE)).llm()
    llm = plain.with_retry() if is_policy else plain

    assert [one.text for one in llm.batch(["x"] * AT_ONCE, config)] == ["Once"] * AT_ONCE


def test_so_has_one_that_is_told_as_it_comes() -> None:
    llm = Wire(Meeting(AT_ONCE)).llm()

    assert sorted(place for place, _ in llm.batch_as_completed(["x"] * AT_ONCE)) == [
        *range(AT_ONCE)
    ]


@pytest.mark.parametrize("config", [{"max_concurrency": 1}, [{"max_concurrency": 1}] * 20])
def test_max_concurrency_is_heeded(config: Any) -> None:
    counting = Counting()

    Wire(counting).llm().batch(["x"] * 20, config)

    assert counting.most == 1


def test_a_story_chain_tells_many_at_once_too() -> None:
    chain = create_story_chain([Wire(Meeting(AT_ONCE)).llm()], checks=False)

    stories = chain.batch(["a fox"] * AT_ONCE)

    assert [story.content for story in stories] == ["Once"] * AT_ONCE


def test_an_empty_batch_is_empty() -> None:
    assert Wire().llm().batch([], []) == []
    assert MOST_AT_ONCE == 64
