"""How long a run on many machines takes and what it costs, before it is begun; pure and seeded.

`python -m langchain_tale.bulk.cluster.simulation --requests-per-minute 3000` prints a table.

The model, one event for each request:

- A worker takes a batch when it has none, and has so many stories of it under way at once. Its
  next batch comes once all stories of this one have ended: the last ones leave room unused.
- A story takes CPU of its worker, one story at a time, before its first request.
- A request waits for its turn among those of all workers, which come at even intervals.
- An answer takes a time that is log-normal, given by its median and its 95th percentile. A share
  of the requests fail, each for itself, after as long as any other takes.
- A story whose request failed asks again after the policy's backoff, and fails after the last.
- Answers cost a fixed amount, failures nothing.

Left out: `Retry-After`, outages, circuits, several models, workers that die, the start of Ray,
and that a service may be slower the more is asked of it. So it is the best that can be hoped for.
"""

from __future__ import annotations

import argparse
import heapq
import random
from dataclasses import dataclass, field
from math import ceil, log
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from langchain_tale.bulk.progress import duration
from langchain_tale.errors import one_sentence
from langchain_tale.resilience.policy import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_Z95: Final = 1.6449
"""Standard deviations from the median of a normal distribution to its 95th percentile."""
_ENDED: Final = 0
"""The number of a try that is none: the story has ended."""
SIZES: Final = (1_000, 10_000, 100_000, 1_000_000)
COLUMNS: Final = (
    "stories",
    "takes",
    "stories/min",
    "of the rate limit",
    "requests",
    "failed",
    "USD",
)


class Scenario(BaseModel):
    """What a run is like.

    Attributes:
        stories: How many, at least 1.
        workers: How many processes tell them.
        concurrency: Stories under way at once in each.
        batch: Stories of a batch, if each worker has as many to tell.
        requests_per_minute: How many may start, in all workers together; None for any number.
        median_s: Half of the answers take no longer, in seconds.
        p95_s: 95 % take no longer; at least `median_s`.
        failure_rate: Share of requests that fail, 0 to 1.
        cost_usd: What an answer costs.
        cpu_s: CPU of a worker that a story takes, in seconds.
        retry: How often and after how long a story is asked for again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stories: Annotated[int, Field(ge=1)] = 1_000
    workers: Annotated[int, Field(ge=1)] = 2
    concurrency: Annotated[int, Field(ge=1)] = 32
    batch: Annotated[int, Field(ge=1)] = 5_000
    requests_per_minute: Annotated[float, Field(gt=0)] | None = None
    median_s: Annotated[float, Field(gt=0)] = 6.0
    p95_s: Annotated[float, Field(gt=0)] = 15.0
    failure_rate: Annotated[float, Field(ge=0, le=1)] = 0.02
    cost_usd: Annotated[float, Field(ge=0)] = 0.0003
    cpu_s: Annotated[float, Field(ge=0)] = 0.02
    retry: RetryPolicy = RetryPolicy()

    @property
    def share(self) -> int:
        """Stories of a batch: no more than leave one for each worker."""
        return min(self.batch, ceil(self.stories / self.workers))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a simulated run comes to.

    Attributes:
        scenario: What was simulated.
        takes_s: Seconds from its first request to its last answer.
        told: Stories.
        failed: Requests without one.
        requests: What was sent to models.
        under_way_s: Seconds of all requests together, for the mean number at once.
    """

    scenario: Scenario
    takes_s: float
    told: int
    failed: int
    requests: int
    under_way_s: float

    @property
    def per_minute(self) -> float:
        """Stories told per minute."""
        return 60 * self.told / self.takes_s

    @property
    def used(self) -> float | None:
        """Share of the rate limit that was used; None without one."""
        limit = self.scenario.requests_per_minute
        return None if limit is None else 60 * self.requests / self.takes_s / limit

    @property
    def cost_usd(self) -> float:
        """What it costs."""
        return self.told * self.scenario.cost_usd

    def row(self) -> str:
        """A row of the table."""
        cells = (
            f"{self.scenario.stories:,}",
            duration(self.takes_s),
            f"{self.per_minute:,.0f}",
            "" if self.used is None else f"{self.used:.0%}",
            f"{self.requests:,}",
            f"{self.failed:,}",
            f"{self.cost_usd:,.2f}",
        )
        return f"| {' | '.join(cells)} |"


@dataclass(slots=True)
class _Worker:
    """A worker: what is left of its batch, and when its CPU is free."""

    waiting: int = 0
    open: int = 0
    free_at: float = 0.0


@dataclass(slots=True)
class _Cluster:
    """All workers, amid a run. An event is when, its number, whose, and which try or `_ENDED`."""

    scenario: Scenario
    chance: random.Random
    left: int = 0
    next_turn: float = 0.0
    ends_at: float = 0.0
    failed: int = 0
    requests: int = 0
    under_way_s: float = 0.0
    events: list[tuple[float, int, int, int]] = field(default_factory=list)
    workers: list[_Worker] = field(default_factory=list)
    numbered: int = 0

    def push(self, at: float, whose: int, attempt: int) -> None:
        heapq.heappush(self.events, (at, self.numbered, whose, attempt))
        self.numbered += 1

    def take_batch(self, now: float, whose: int) -> None:
        worker, size = self.workers[whose], min(self.scenario.share, self.left)
        self.left -= size
        worker.waiting = worker.open = size
        for _ in range(min(self.scenario.concurrency, size)):
            self.begin_story(now, whose)

    def begin_story(self, now: float, whose: int) -> None:
        worker = self.workers[whose]
        worker.waiting -= 1
        worker.free_at = max(now, worker.free_at) + self.scenario.cpu_s
        self.push(worker.free_at, whose, 1)

    def ask(self, now: float, whose: int, attempt: int) -> None:
        begins_at = max(now, self.next_turn)
        if self.scenario.requests_per_minute is not None:
            self.next_turn = begins_at + 60 / self.scenario.requests_per_minute
        took_s = self.latency_s()
        self.requests += 1
        self.under_way_s += took_s
        has_failed = self.chance.random() < self.scenario.failure_rate
        if has_failed and attempt < self.scenario.retry.max_attempts:
            self.push(begins_at + took_s + self.backoff_s(attempt), whose, attempt + 1)
            return
        self.failed += has_failed
        self.push(begins_at + took_s, whose, _ENDED)

    def end_story(self, now: float, whose: int) -> None:
        worker = self.workers[whose]
        worker.open -= 1
        self.ends_at = now
        if worker.waiting:
            self.begin_story(now, whose)
        elif not worker.open and self.left:
            self.take_batch(now, whose)

    def latency_s(self) -> float:
        scenario = self.scenario
        spread = log(max(scenario.p95_s, scenario.median_s) / scenario.median_s) / _Z95
        return self.chance.lognormvariate(log(scenario.median_s), spread)

    def backoff_s(self, attempt: int) -> float:
        retry = self.scenario.retry
        return retry.backoff_s(attempt) * (1 + self.chance.uniform(0, retry.jitter))


def simulate(scenario: Scenario, *, seed: int = 0) -> Outcome:
    """What a run would come to; the same for the same seed.

    Example:
        >>> one = simulate(Scenario(stories=600, requests_per_minute=600, failure_rate=0))
        >>> round(one.takes_s / 60) == 1 and one.told == 600
        True
    """
    cluster = _Cluster(scenario, random.Random(seed), left=scenario.stories)  # noqa: S311 (no secret)
    for whose in range(scenario.workers):
        cluster.workers.append(_Worker())
        cluster.take_batch(0.0, whose)
    while cluster.events:
        now, _, whose, attempt = heapq.heappop(cluster.events)
        if attempt == _ENDED:
            cluster.end_story(now, whose)
        else:
            cluster.ask(now, whose, attempt)
    return Outcome(
        scenario=scenario,
        takes_s=cluster.ends_at,
        told=scenario.stories - cluster.failed,
        failed=cluster.failed,
        requests=cluster.requests,
        under_way_s=cluster.under_way_s,
    )


def table(scenarios: Iterable[Scenario], *, seed: int = 0) -> str:
    """A Markdown table, with a row for each run."""
    head = [f"| {' | '.join(COLUMNS)} |", f"|{' --- |' * len(COLUMNS)}"]
    return "\n".join([*head, *(simulate(one, seed=seed).row() for one in scenarios)])


_OPTIONS: Final[dict[str, tuple[Callable[[str], int | float], str]]] = {
    "workers": (int, "processes"),
    "concurrency": (int, "stories under way at once in each"),
    "batch": (int, "stories of a batch, where there are so many for each worker"),
    "requests_per_minute": (float, "of all workers together; without it there is no limit"),
    "median_s": (float, "half of the answers take no longer"),
    "p95_s": (float, "95 %% of the answers take no longer"),
    "failure_rate": (float, "share of the requests that fail"),
    "cost_usd": (float, "of an answer"),
    "cpu_s": (float, "of a worker, for a story"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table of what the command line says."""
    parser = argparse.ArgumentParser(description="How long, and how dear, so many stories are.")
    for name, (kind, says) in _OPTIONS.items():
        usual = Scenario.model_fields[name].default
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=kind, default=usual, help=f"{says} (default {usual})")
    parser.add_argument("--stories", type=int, nargs="+", default=SIZES, help="one row for each")
    parser.add_argument("--seed", type=int, default=0)
    given = vars(parser.parse_args(arguments))
    sizes, seed = given.pop("stories"), given.pop("seed")
    try:
        scenarios = [Scenario(stories=size, **given) for size in sizes]
    except ValidationError as error:
        parser.error(one_sentence(error, of="Scenario"))
    print(table(scenarios, seed=seed))  # noqa: T201 (its result)


if __name__ == "__main__":
    main()
