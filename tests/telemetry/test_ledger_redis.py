"""A budget that processes share, over Debian's real redis-server on loopback."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from langchain_tale import Budget, BudgetSpentError, RedisLedger, SharedStateError
from langchain_tale.telemetry.ledger import Spent
from tests.conftest import chat_model
from tests.resilience.test_breaker_redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_tale.sandbox import Sandbox

SLOW = pytest.mark.slow  # they need redis-server, which not every machine has


@pytest.fixture
def server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    if server.process.returncode is None:
        server.kill()


@SLOW
def test_many_at_once_lose_nothing(server: RedisServer) -> None:
    ledgers = [RedisLedger(server.url, "night") for _ in range(4)]
    cost = Decimal("0.000000123456")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: ledgers[n % 4].add(cost, 3), range(1_000)))

    assert ledgers[0].spent() == Spent(1_000 * cost, 3_000)
    assert RedisLedger(server.url, "day").spent() == Spent(Decimal(0), 0)
    ledgers[0].forget()
    assert ledgers[1].spent() == Spent(Decimal(0), 0)


@SLOW
def test_budgets_over_one_ledger_are_one_budget(server: RedisServer, sandbox: Sandbox) -> None:
    ours, theirs = (Budget(tokens=1, ledger=RedisLedger(server.url, "night")) for _ in range(2))
    model = chat_model(sandbox, "a/b")
    model.invoke("Hi", config={"callbacks": [ours]})

    with pytest.raises(BudgetSpentError):
        model.invoke("Hi", config={"callbacks": [theirs]})

    assert theirs.spent_usd == ours.spent_usd > 0
    copy = pickle.loads(pickle.dumps(theirs))  # noqa: S301 (our own)
    assert copy.spent_tokens == ours.spent_tokens
    assert sandbox.requests == {"a/b": 1}


@SLOW
def test_what_was_spent_while_redis_was_away_is_counted_later(server: RedisServer) -> None:
    ledger = RedisLedger(server.url, "night")
    ledger.add(Decimal(1), 10)
    server.kill()
    ledger.add(Decimal(2), 20)
    with pytest.raises(SharedStateError):
        ledger.spent()
    server.start()  # with nothing in it

    assert ledger.spent() == RedisLedger(server.url, "night").spent() == Spent(Decimal(2), 20)


def test_while_redis_is_away_nothing_is_sent(sandbox: Sandbox) -> None:
    ledger = RedisLedger("redis://:hush-hush@127.0.0.1:9/0", "night")
    model = chat_model(sandbox, "a/b").with_retry()

    with pytest.raises(SharedStateError, match="nothing was sent") as caught:
        model.invoke("Hi", config={"callbacks": [Budget(usd=1, ledger=ledger)]})

    assert "hush" not in f"{caught.value} {ledger!r}"
    assert sandbox.requests == {}
