"""The one loop: whose turn it is, how long to wait, when to stop; and the log of it.

Each model rests after its failure: as long as the policy's backoff for that model, or as long
as the server asks. The next turn belongs to the model that is ready soonest, so a model that
has not been tried yet is asked at once, and a model is waited for only when no other is left.
tenacity drives the loop, sync and async; everything else here is arithmetic.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable  # noqa: TC003 (pydantic reads Timing)
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeVar

from tenacity import (
    AsyncRetrying,
    Retrying,
    retry_if_exception,
    retry_if_result,
    stop_after_attempt,
)

from langchain_tale.errors import AllModelsFailedError, Attempt
from langchain_tale.resilience.verdict import verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tale.resilience.policy import RetryPolicy

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Time and chance, as arguments.

    Attributes:
        clock: Seconds on a clock that never goes back.
        sleep: Waits that many seconds.
        asleep: The same for coroutines.
        uniform: A random number between its two arguments.
    """

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    asleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    uniform: Callable[[float, float], float] = random.uniform


@dataclass(frozen=True, slots=True)
class Turn:
    """One try: its number from 1, which model, and the seconds to wait before it."""

    number: int
    model_index: int
    wait_s: float


@dataclass(slots=True)
class _Model:
    """What one call has learnt of one model."""

    name: str
    failures: int = 0
    ready_at: float = -math.inf
    """On the walk's clock; `math.inf` when asking again cannot help."""


@dataclass(slots=True)
class Walk:
    """The way of one logical call through its models.

    Attributes:
        names: What the models are called in the log, best first.
        policy: The limits.
        timing: Time and chance.
        log: Every attempt so far.
    """

    names: Sequence[str]
    policy: RetryPolicy
    timing: Timing = field(default_factory=Timing)
    log: list[Attempt] = field(default_factory=list)
    turn: Turn = field(default=Turn(1, 0, 0.0))
    _models: list[_Model] = field(init=False)
    _started_at: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._models = [_Model(name) for name in self.names]

    def retrying(self) -> Retrying:
        """The loop of tenacity over this walk, for functions that block."""
        return Retrying(sleep=self.timing.sleep, **self._rules())

    def aretrying(self) -> AsyncRetrying:
        """The loop of tenacity over this walk, for coroutines."""
        return AsyncRetrying(sleep=self.timing.asleep, **self._rules())

    def _rules(self) -> dict[str, Any]:
        return {
            "retry": retry_if_exception(self.has_another_turn_after),
            "wait": lambda _state: self.turn.wait_s,
            "reraise": True,
        }

    def begin(self) -> Turn:
        """Start the clock of the current turn."""
        self._started_at = self.timing.clock()
        return self.turn

    def succeeded(self, **facts: Any) -> None:
        """Log the current turn as the one that gave the answer."""
        self._note(**facts)

    def failed(self, error: Exception) -> None:
        """Log the current turn as one that gave none."""
        self._note(error=error, provider_name=getattr(error, "provider_name", None))

    def has_another_turn_after(self, error: BaseException) -> bool:
        """Log the failure, and move on to the next turn if there is one."""
        if not isinstance(error, Exception):
            return False
        self.failed(error)
        following = self._after(error)
        if following is not None:
            self.turn = following
        return following is not None

    def outcome(self, error: Exception) -> Exception:
        """What to raise: the error itself after one try, or all of them after several."""
        if len(self.log) <= 1:
            return error
        return AllModelsFailedError(
            _told(self.log), attempts=self.log, partial_text=getattr(error, "partial_text", None)
        )

    def _note(self, **facts: Any) -> None:
        self.log.append(
            Attempt(
                number=self.turn.number,
                model=self._models[self.turn.model_index].name,
                waited_s=self.turn.wait_s,
                latency_s=self.timing.clock() - self._started_at,
                **facts,
            )
        )

    def _after(self, error: Exception) -> Turn | None:
        if self.turn.number >= self.policy.max_attempts:
            return None
        if not isinstance(error, self.policy.retry_if_exception_type):
            return None
        now = self.timing.clock()
        help_ = verdict(error)
        self._rest(
            self.turn.model_index, help_.retry_after_s if help_.same_model else math.inf, now
        )
        chosen = self._ready_soonest() if help_.other_model else self.turn.model_index
        ready_at = self._models[chosen].ready_at
        if ready_at == math.inf:
            return None
        return Turn(self.turn.number + 1, chosen, max(0.0, ready_at - now))

    def _rest(self, index: int, retry_after_s: float | None, now: float) -> None:
        model = self._models[index]
        model.failures += 1
        wait_s = self.policy.backoff_s(model.failures)
        wait_s += self.timing.uniform(0.0, self.policy.jitter * wait_s)
        asked_s = (retry_after_s or 0.0) if self.policy.respect_retry_after else 0.0
        if retry_after_s == math.inf or asked_s > self.policy.max_delay_s:
            model.ready_at = math.inf
        else:
            model.ready_at = now + max(wait_s, asked_s)

    def _ready_soonest(self) -> int:
        return min(range(len(self._models)), key=lambda i: (self._models[i].ready_at, i))


def _told(log: Sequence[Attempt]) -> str:
    said = []
    for message, group in groupby(log, key=lambda attempt: str(attempt.error).rstrip(".")):
        numbers = [attempt.number for attempt in group]
        label = str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}"
        said.append(f"({label}) {message}")
    return f"No model answered in {len(log)} tries: {'; '.join(said)}."


_LATENESS: dict[str, Any] = {
    "retry": retry_if_result(lambda found: found is None),
    "wait": lambda state: min(0.25 * 2 ** (state.attempt_number - 1), 2.0),
    "stop": stop_after_attempt(6),
    "retry_error_callback": lambda state: state.outcome.result(),
}


def ask_until_found(ask: Callable[[], T | None], timing: Timing) -> T | None:
    """Ask for what is known to be briefly late, up to six times within about six seconds."""
    return Retrying(sleep=timing.sleep, **_LATENESS)(ask)


async def aask_until_found(ask: Callable[[], Awaitable[T | None]], timing: Timing) -> T | None:
    """The twin of `ask_until_found`."""

    async def asking() -> T | None:  # tenacity awaits only what is declared a coroutine function
        return await ask()

    return await AsyncRetrying(sleep=timing.asleep, **_LATENESS)(asking)
