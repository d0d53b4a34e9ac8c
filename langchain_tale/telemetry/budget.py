"""`Budget`: a callback handler that refuses the next request once enough is spent."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Self

from langchain_core.callbacks import BaseCallbackHandler

from langchain_tale.cards.wording import dollars_in_full
from langchain_tale.errors import BudgetSpentError, ConfigurationError
from langchain_tale.telemetry.ledger import Ledger, LocalLedger, Spent
from langchain_tale.telemetry.open_runs import OpenRuns
from langchain_tale.telemetry.readings import Ending, Tried, read_answer, read_error

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from langchain_core.outputs import LLMResult

_NOTHING: Final = Spent(Decimal(0), 0)
_CORES_LOG: Final = logging.getLogger("langchain_core.callbacks.manager")


_BUDGETS: Final[set[str]] = set()
"""What the classes of budgets are called."""


def _is_news(record: logging.LogRecord) -> bool:
    """Whether langchain-core's log says more than the exception that the caller gets anyway."""
    said = record.args[:2] if isinstance(record.args, tuple) else ()
    return said not in {(name, "on_chat_model_start") for name in _BUDGETS}


@dataclass(slots=True)
class _Run:
    """A run under way: a call or an attempt of one.

    Attributes:
        call: The call that an attempt belongs to.
        counted: What the attempts of a call have counted.
        counted_last: What the last of them has.
    """

    call: _Run | None = None
    counted: Spent = _NOTHING
    counted_last: Spent = _NOTHING


class Budget(BaseCallbackHandler):
    """What may be spent, by any number of chains, threads and tasks together.

    Give it to `create_story_chain(budget=…)`, or to any LangChain call as
    `config={"callbacks": [budget]}`. It adds up what OpenRouter reports, failed attempts
    included, and once that reaches a limit, the next request is refused with
    `BudgetSpentError`: a call, and a retry or fallback inside one. What is under way is let
    finish, so more may be spent than the limit, by at most what was under way when it was
    reached. A stream that is cancelled before its last chunk reports no cost, and what
    LangChain's cache answers has none. Tokens are counted for any vendor's chat models, USD for
    those that report them.

    As `callbacks=` of a chat model, rather than of a call, it refuses whole calls only:
    LangChain keeps a model's own handlers from the runs below. The retries of a bare model's
    own SDK are part of its call, and not refused either. langchain-core's log would call each
    refusal an "Error in Budget.on_chat_model_start callback"; a filter leaves that line out.

    A copy, deep or not, is the same budget. A pickled copy goes on by itself, unless the
    ledger is shared.

    Args:
        usd: The limit in USD, more than 0; None for no limit.
        tokens: The limit in tokens, read and written together, at least 1; None for no limit.
        ledger: Where to keep count; None for this process alone.

    Raises:
        ConfigurationError: No limit at all, or one that is none.

    Example:
        ```python
        budget = Budget(usd=0.50)
        chain = create_story_chain(budget=budget)
        budget.left_usd
        ```
    """

    raise_error: bool = True
    """What it raises ends the run that it refuses."""
    run_inline: bool = True

    def __init__(
        self,
        *,
        usd: float | Decimal | None = None,
        tokens: int | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        if usd is None and tokens is None:
            msg = "Budget needs a limit: usd=0.50, tokens=100_000 or both."
            raise ConfigurationError(msg)
        self._limit_usd = None if usd is None else _usd(usd)
        self._limit_tokens = None if tokens is None else _tokens(tokens)
        self._ledger: Ledger = LocalLedger() if ledger is None else ledger
        self._begin()

    def _begin(self) -> None:
        self._open: OpenRuns[_Run] = OpenRuns()
        _BUDGETS.add(type(self).__name__)
        _CORES_LOG.addFilter(_is_news)  # again is harmless

    # ── what it says ────────────────────────────────────────────────────────

    @property
    def limit_usd(self) -> float | None:
        """What may be spent in USD, or None for no limit."""
        return None if self._limit_usd is None else float(self._limit_usd)

    @property
    def limit_tokens(self) -> int | None:
        """What may be spent in tokens, or None for no limit."""
        return self._limit_tokens

    @property
    def spent_usd(self) -> float:
        """What was spent so far, in USD."""
        return float(self._ledger.spent().usd)

    @property
    def spent_tokens(self) -> int:
        """What was spent so far, in tokens."""
        return self._ledger.spent().tokens

    @property
    def left_usd(self) -> float | None:
        """What may still be spent in USD, at least 0, or None for no limit."""
        if self._limit_usd is None:
            return None
        return float(max(Decimal(0), self._limit_usd - self._ledger.spent().usd))

    @property
    def left_tokens(self) -> int | None:
        """What may still be spent in tokens, at least 0, or None for no limit."""
        if self._limit_tokens is None:
            return None
        return max(0, self._limit_tokens - self._ledger.spent().tokens)

    @property
    def is_spent(self) -> bool:
        """Whether the next request is refused."""
        return self._is_spent(self._ledger.spent())

    def _is_spent(self, spent: Spent) -> bool:
        is_out_of_usd = self._limit_usd is not None and spent.usd >= self._limit_usd
        is_out_of_tokens = self._limit_tokens is not None and spent.tokens >= self._limit_tokens
        return is_out_of_usd or is_out_of_tokens

    def __repr__(self) -> str:
        limits = {"usd": self.limit_usd, "tokens": self.limit_tokens}
        given = ", ".join(f"{name}={value}" for name, value in limits.items() if value is not None)
        spent = self._ledger.spent()
        return f"Budget({given}; spent {dollars_in_full(spent.usd)}, {spent.tokens} tokens)"

    # ── what langchain-core tells ───────────────────────────────────────────

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],  # noqa: ARG002 (langchain-core's signature)
        messages: Any,  # noqa: ARG002 (they are nobody's business here)
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **_: Any,
    ) -> None:
        """A call, or an attempt of one, begins unless the budget is spent.

        Raises:
            BudgetSpentError: It is.
        """
        spent = self._ledger.spent()
        if self._is_spent(spent):
            raise self._refusal(spent, run_id)
        call = self._open.get(parent_run_id)
        if call is not None:
            call.counted_last = _NOTHING
        self._open.begin(run_id, _Run(call))

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **_: Any) -> None:
        """Count what an answer cost."""
        self._settle(run_id, read_answer(response))

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Count what a failure cost."""
        self._settle(run_id, read_error(error, kwargs.get("response")))

    def _settle(self, run_id: UUID, ending: Ending) -> None:
        """Count a run once: of a call, what its attempts have not counted already."""
        run = self._open.pop(run_id, None)
        if run is None:
            return
        told = _sum(ending.tried)
        if run.call is not None:  # whose attempts come one after another
            run.call.counted = _added(run.call.counted, told)
            run.call.counted_last = told
        known = run.counted if ending.is_logged else run.counted_last
        usd = max(Decimal(0), told.usd - known.usd)
        tokens = max(0, told.tokens - known.tokens)
        if usd or tokens:
            self._ledger.add(usd, tokens)

    def _refusal(self, spent: Spent, run_id: UUID) -> BudgetSpentError:
        limits = (
            None if self._limit_usd is None else dollars_in_full(self._limit_usd),
            None if self._limit_tokens is None else f"{self._limit_tokens} tokens",
        )
        limit = " and ".join(filter(None, limits))
        so_far = f"{dollars_in_full(spent.usd)}, {spent.tokens} tokens"
        msg = (
            f"The budget of {limit} is spent ({so_far}), "
            "so nothing was sent; go on with a new Budget."
        )
        error = BudgetSpentError(
            msg,
            spent_usd=float(spent.usd),
            spent_tokens=spent.tokens,
            limit_usd=self.limit_usd,
            limit_tokens=self.limit_tokens,
        )
        error.run_id = run_id
        return error

    # ── copies ──────────────────────────────────────────────────────────────

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_open": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._begin()


def _sum(tried: Iterable[Tried]) -> Spent:
    usd, tokens = _NOTHING
    for attempt in tried:
        usd += Decimal(repr(attempt.cost_usd))
        tokens += attempt.input_tokens + attempt.output_tokens
    return Spent(usd, tokens)


def _added(one: Spent, other: Spent) -> Spent:
    return Spent(one.usd + other.usd, one.tokens + other.tokens)


def _usd(amount: Any) -> Decimal:
    is_amount = isinstance(amount, int | float | Decimal) and not isinstance(amount, bool)
    if not is_amount or not math.isfinite(amount) or amount <= 0:
        msg = "Budget.usd must be an amount in USD, more than 0."
        raise ConfigurationError(msg)
    return Decimal(str(amount))


def _tokens(number: Any) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        msg = "Budget.tokens must be a whole number of tokens, at least 1."
        raise ConfigurationError(msg)
    return number
