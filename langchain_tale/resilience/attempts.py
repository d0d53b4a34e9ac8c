"""The one loop: whose turn it is, how long to wait, when to stop; and the log of it.

Each model rests after its failure: as long as the policy's backoff for that model, or as long
as the server asks. The next turn belongs to the model that is ready soonest, so a model that
has not been tried yet is asked at once, and a model is waited for only when no other is left.
A model whose circuit is open is passed over. When all are open, the soonest is waited for if the
policy by itself would go on for as long; where there is only one, the policy alone decides.
The loop is six lines, sync and async, which tenacity's cannot match where nothing fails
(measured: 40 µs a call); everything else here is arithmetic.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable  # noqa: TC003 (pydantic reads Timing)
from dataclasses import InitVar, dataclass, field, replace
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

from langchain_tale.errors import (
    AllModelsFailedError,
    Attempt,
    BudgetSpentError,
    CircuitOpenError,
    RefusedReplyError,
    RequestTimeoutError,
)
from langchain_tale.resilience.outcome import told_of
from langchain_tale.resilience.verdict import Verdict, verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tale.resilience.policy import RetryPolicy

T = TypeVar("T")
P = ParamSpec("P")


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


class Permit(Protocol):
    """Leave to send one request, and what became of it; see `breaker`."""

    def succeeded(self) -> None:
        """The model answered."""

    def failed(self) -> None:
        """The model is unwell."""

    def abandoned(self) -> None:
        """Nothing is known of the model's health."""


class Circuit(Protocol):
    """What all calls together know of a model's health; see `breaker`."""

    def admit(self) -> Permit | None:
        """Leave to send one request, or None."""

    def reopens_in_s(self) -> float:
        """Seconds until leave may be given."""


@dataclass(slots=True)
class Contender:
    """A model, and what one call has learnt of it.

    Attributes:
        name: What the log calls it.
        circuit: Its circuit, if it has one.
        rank: Its place where several are ready at once; lower is asked first.
        failures: Failures that have waits behind them.
        ready_at: On the walk's clock; `math.inf` when asking again cannot help.
    """

    name: str
    circuit: Circuit | None = None
    rank: float = 0.0
    failures: int = 0
    ready_at: float = -math.inf

    @property
    def is_free(self) -> bool:
        """Whether the account's limit for free models holds for it."""
        return self.name.endswith(":free")


@dataclass(frozen=True, slots=True)
class Turn:
    """One try: its number from 1, which model, and the seconds to wait before it.

    `waited_s` are those that it waited already for circuits that let somebody else through.
    """

    number: int
    model_index: int
    wait_s: float
    waited_s: float = 0.0


@dataclass(slots=True)
class Walk:
    """The way of one logical call through its models.

    Args:
        contenders: The models, best first; strings stand for models without a circuit.

    Attributes:
        policy: The limits.
        timing: Time and chance.
        log: Every attempt so far.
        max_revisions: How many refused answers are asked for again besides the retries; None
            where they count as failures like any other.
    """

    contenders: InitVar[Sequence[Contender | str]]
    policy: RetryPolicy
    timing: Timing = field(default_factory=Timing)
    log: list[Attempt] = field(default_factory=list)
    max_revisions: int | None = None
    turn: Turn = field(default=Turn(1, 0, 0.0))
    _models: list[Contender] = field(init=False)
    _permit: Permit | None = field(init=False, default=None)
    _refusal: CircuitOpenError | None = field(init=False, default=None)
    _overdue: RequestTimeoutError | None = field(init=False, default=None)
    _idle_s: float = field(init=False, default=0.0)
    _started_at: float = field(init=False)
    _ends_at: float = field(init=False, default=math.inf)

    def __post_init__(self, contenders: Sequence[Contender | str]) -> None:
        self._models = [Contender(c) if isinstance(c, str) else c for c in contenders]
        for rank, model in enumerate(self._models):
            model.rank = rank
        self._started_at = self.timing.clock()
        if self.policy.deadline_s is not None:
            self._ends_at = self._started_at + self.policy.deadline_s

    def persist(self, ask: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `ask` for each turn, until it answers or there is none left; then its error."""
        while True:
            try:
                return ask(*args, **kwargs)
            except Exception as error:
                if not self.has_another_turn_after(error):
                    raise
            self.pause()

    async def apersist(
        self, ask: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The twin of `persist`."""
        while True:
            try:
                return await ask(*args, **kwargs)
            except Exception as error:
                if not self.has_another_turn_after(error):
                    raise
            await self.apause()

    # ── a turn ──────────────────────────────────────────────────────────────

    def begin(self) -> Turn:
        """Start the current turn, with the best model that may be asked at this moment.

        Raises:
            CircuitOpenError: None may.
        """
        now = self.timing.clock()
        self._permit = self._admitted(self._models[self.turn.model_index])
        if self._permit is None:
            self._begin_with_another(now)
        self._started_at = now
        return self.turn

    def _begin_with_another(self, now: float) -> None:
        """Give the turn to another model that may be asked, the one that is ready soonest."""
        others = [m for i, m in enumerate(self._models) if i != self.turn.model_index]
        ready = [model for model in others if model.ready_at <= now]
        for model in sorted(ready, key=lambda m: (m.ready_at, m.rank)):
            self._permit = self._admitted(model)
            if self._permit is not None:
                self.turn = replace(self.turn, model_index=self._models.index(model))
                return
        self._refusal = self._all_open()
        raise self._refusal

    def _admitted(self, model: Contender) -> Permit | None:
        if model.circuit is None:
            return _FREELY
        return model.circuit.admit() or (_FREELY if len(self._models) == 1 else None)

    def left(self, error: BaseException) -> None:
        """A request that was cancelled, or never sent, gives its permit back.

        Of any other `failed` will say what became of it.
        """
        if isinstance(error, BudgetSpentError) or not isinstance(error, Exception):
            self._settle(is_unwell=False)

    def left_s(self) -> float | None:
        """Seconds that the current attempt may still take, or None for no limit."""
        limit_s = self.policy.attempt_timeout_s or math.inf
        if self.has_deadline:
            limit_s = max(0.0, min(limit_s, self._ends_at - self.timing.clock()))
        return None if limit_s == math.inf else limit_s

    @property
    def has_deadline(self) -> bool:
        """Whether the time of the whole call is limited."""
        return self._ends_at < math.inf

    def check_deadline(self) -> None:
        """Raise `RequestTimeoutError` once the time of the whole call is over."""
        if self.has_deadline and self.timing.clock() >= self._ends_at:
            name = self._models[self.turn.model_index].name
            msg = f"{name} had not finished when the deadline was over; raise deadline_s."
            self._overdue = RequestTimeoutError(msg, model=name)
            raise self._overdue

    def pause(self) -> None:
        """Wait for the current turn."""
        self.timing.sleep(self.turn.wait_s)

    async def apause(self) -> None:
        """The twin of `pause`."""
        await self.timing.asleep(self.turn.wait_s)

    def succeeded(self, **facts: Any) -> None:
        """Log the current turn as the one that gave the answer."""
        permit, self._permit = self._permit, None
        if permit is not None:
            permit.succeeded()
        self._note(**facts)

    def failed(self, error: Exception) -> None:
        """Log the current turn as one that gave none."""
        is_unwell = verdict(error).is_unwell and error is not self._overdue
        self._settle(is_unwell=is_unwell)
        self._note(
            error=error,
            provider_name=getattr(error, "provider_name", None),
            cost_usd=getattr(error, "cost_usd", None),
            input_tokens=getattr(error, "input_tokens", None),
            output_tokens=getattr(error, "output_tokens", None),
        )

    def add(self, contender: Contender) -> None:
        """Let another model take part, after all that the caller named."""
        contender.rank = len(self._models)
        self._models.append(contender)

    def _settle(self, *, is_unwell: bool) -> None:
        """Say of the turn's permit that no answer came of it."""
        permit, self._permit = self._permit, None
        if permit is not None:
            (permit.failed if is_unwell else permit.abandoned)()

    def _note(self, **facts: Any) -> None:
        self.log.append(
            Attempt(
                number=self.turn.number,
                model=self._models[self.turn.model_index].name,
                waited_s=self.turn.waited_s + self.turn.wait_s,
                latency_s=self.timing.clock() - self._started_at,
                **facts,
            )
        )

    # ── the next turn ───────────────────────────────────────────────────────

    def has_another_turn_after(self, error: BaseException) -> bool:
        """Log the failure, and move on to the next turn if there is one."""
        if not isinstance(error, Exception) or isinstance(error, BudgetSpentError):
            return False
        if error is self._refusal:
            following = self._when_a_circuit_reopens()
        else:
            self.failed(error)
            following = self._after(error)
        if following is not None:
            self.turn = following
        return following is not None

    def outcome(self, error: Exception) -> Exception:
        """What to raise: the error itself after one try, or all of them after several.

        A budget that is spent has the last word: it is the caller's, and `attempts` has the tries.
        """
        if isinstance(error, BudgetSpentError):
            error.attempts = tuple(self.log)
            return error
        if len(self.log) <= 1:
            only = self.log[0].error if self.log else None
            if isinstance(error, RefusedReplyError):
                error.attempts = tuple(self.log)
            return only if only is not None and error is self._refusal else error
        return AllModelsFailedError(
            told_of(self.log), attempts=self.log, partial_text=getattr(error, "partial_text", None)
        )

    def _after(self, error: Exception) -> Turn | None:
        if self.turn.number >= self._max_attempts or self._has_cost_enough():
            return None
        if isinstance(error, RefusedReplyError) and self._has_revised_enough:
            return None
        if not isinstance(error, self.policy.retry_if_exception_type):
            return None
        now = self.timing.clock()
        help_ = verdict(error)
        current = self._models[self.turn.model_index]
        self._rest(current, help_, now)
        if help_.paid_model:
            self._leave_out_free_models_but(current)
        able = self._models if help_.other_model else [current]
        found = self._soonest(able, now, patience_s=self._patience_s(self.turn.number + 1))
        return found and Turn(self.turn.number + 1, *found)

    def _when_a_circuit_reopens(self) -> Turn | None:
        """The same turn, later; nothing was sent, so that no try is spent."""
        patience_s = self._patience_s(self.turn.number)
        found = self._soonest(self._models, self.timing.clock(), patience_s=patience_s)
        waited_s = self.turn.waited_s + self.turn.wait_s
        return found and Turn(self.turn.number, *found, waited_s)

    def _soonest(
        self, able: Sequence[Contender], now: float, *, patience_s: float
    ) -> tuple[int, float] | None:
        """Who may be asked next, and after how many seconds; None if nobody in time."""
        ready_at = {id(m): self._ready_at(m, now, patience_s) for m in able}
        chosen = min(able, key=lambda m: (ready_at[id(m)], m.rank))
        wait_s = max(0.0, ready_at[id(chosen)] - now)
        if wait_s == math.inf or now + wait_s >= self._ends_at:
            return None
        self._idle_s += max(0.0, wait_s - max(0.0, chosen.ready_at - now))
        return self._models.index(chosen), wait_s

    def _patience_s(self, number: int) -> float:
        """How long the policy would go on from turn `number` if there were no circuits.

        Its waits between one round of the models and the next, less what was spent of them
        on waiting for circuits.
        """
        able = [model for model in self._models if model.ready_at < math.inf]
        rounds = (self._max_attempts - number + 1) // max(1, len(able))
        failures = min((model.failures for model in able), default=0)
        waits = (self.policy.backoff_s(n) for n in range(max(1, failures), failures + rounds))
        return sum(waits) - self._idle_s

    @property
    def refusals(self) -> list[RefusedReplyError]:
        """The answers that were refused, in order."""
        return [a.error for a in self.log if isinstance(a.error, RefusedReplyError)]

    @property
    def _max_attempts(self) -> int:
        """Requests that the call may send: a revision takes no retry away."""
        revisions = min(len(self.refusals), self.max_revisions or 0)
        return self.policy.max_attempts + revisions

    @property
    def _has_revised_enough(self) -> bool:
        return self.max_revisions is not None and len(self.refusals) > self.max_revisions

    def _has_cost_enough(self) -> bool:
        limit = self.policy.max_cost_usd
        spent = sum(attempt.cost_usd or 0.0 for attempt in self.log)
        return limit is not None and spent >= limit

    def _rest(self, model: Contender, help_: Verdict, now: float) -> None:
        if help_.other_key:
            model.ready_at = now
            return
        if not help_.same_model:
            model.ready_at = math.inf
            return
        asked_s = (help_.retry_after_s or 0.0) if self.policy.respect_retry_after else 0.0
        if asked_s > self.policy.max_delay_s:
            model.ready_at = math.inf
            return
        model.ready_at = now + max(0.0 if help_.at_once else self._backoff_s(model), asked_s)

    def _backoff_s(self, model: Contender) -> float:
        model.failures += 1
        wait_s = self.policy.backoff_s(model.failures)
        return wait_s + self.timing.uniform(0.0, self.policy.jitter * wait_s)

    def _leave_out_free_models_but(self, current: Contender) -> None:
        """The account's limit for free models holds for all of them alike."""
        for model in self._models:
            if model.is_free and model is not current:
                model.ready_at = math.inf

    def _ready_at(self, model: Contender, now: float, patience_s: float) -> float:
        """When a model may be asked; an open circuit is waited for as long as there is patience."""
        if model.circuit is None or len(self._models) == 1:
            return model.ready_at
        reopens_in_s = model.circuit.reopens_in_s()
        if reopens_in_s > patience_s:
            return math.inf
        return max(model.ready_at, now + reopens_in_s if reopens_in_s else -math.inf)

    def _all_open(self) -> CircuitOpenError:
        able = [model for model in self._models if model.ready_at < math.inf]
        waits = [model.circuit.reopens_in_s() for model in able if model.circuit]
        wait_s = min(waits, default=0.0)
        names = ", ".join(model.name for model in able)
        msg = (
            f"{names} failed too often and will not be asked for {wait_s:.0f} s; ask another model."
        )
        return CircuitOpenError(msg, model=able[0].name if able else None, retry_after_s=wait_s)


class _Freely:
    """The permit of a model without a circuit."""

    def succeeded(self) -> None:
        """Nobody keeps count."""

    failed = abandoned = succeeded


_FREELY = _Freely()
