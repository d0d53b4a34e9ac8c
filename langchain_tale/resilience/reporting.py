"""The walk of a call as events: the loop decides, and this tells what it decided."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from langchain_tale.errors import RefusedReplyError
from langchain_tale.resilience.attempts import Turn, Walk
from langchain_tale.resilience.members import facts_of
from langchain_tale.telemetry.events import (
    ALL_OPEN,
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    CallFailed,
    ModelFellBack,
    RetryScheduled,
    StoryRefused,
)
from langchain_tale.telemetry.facts import failure_facts, totals
from langchain_tale.telemetry.scopes import ACTING_FOR, on_behalf_of

if TYPE_CHECKING:
    from langchain_tale.telemetry.scopes import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class _StepSucceeded(AttemptSucceeded):
    """The answer to a call that is a step of something larger, whose success is told by that."""

    level: ClassVar[int] = logging.DEBUG


class ToldWalk(Walk):
    """A walk that tells a scope of every step, once it knows whom."""

    __slots__ = ("_is_nested", "_scope", "_success")

    def tells(self, scope: Scope, *, is_nested: bool, is_step: bool) -> None:
        """Learn whom to tell.

        Args:
            scope: Who is told.
            is_nested: Whether the call is itself an attempt of another policy, which tells how
                it ended.
            is_step: Whether something larger tells of success.
        """
        self._success = _StepSucceeded if is_step else AttemptSucceeded
        self._scope = scope
        self._is_nested = is_nested

    # ── a turn ──────────────────────────────────────────────────────────────

    def begin(self) -> Turn:
        """Start the current turn, and tell of it."""
        scope = self._scope
        before = self.log[-1].model if self.log else self._name
        token = ACTING_FOR.set(scope)
        try:
            turn = super().begin()
        finally:
            ACTING_FOR.reset(token)
        name = self._name
        if name != before:
            error = type(self.log[-1].error).__name__ if self.log else ALL_OPEN
            facts = {"model": name, "from_model": before, "error": error}
            scope.tell(ModelFellBack, attempt=turn.number, **facts)
        scope.time_to_first_token_s = None
        if scope.is_heard(AttemptStarted):
            self._tell(AttemptStarted, model=name, wait_s=turn.wait_s)
        return turn

    def answered(
        self, metadata: dict[str, Any], usage: Any, *, content_chars: int, is_streamed: bool
    ) -> None:
        """Log the current turn as the one that gave the answer, and tell of it.

        Args:
            metadata: The answer's `response_metadata`.
            usage: Its `usage_metadata`.
            content_chars: Length of its text.
            is_streamed: Whether it came in chunks.
        """
        token = ACTING_FOR.set(self._scope)
        try:
            self.succeeded(**facts_of(metadata))
        finally:
            ACTING_FOR.reset(token)
        if not self._is_nested and self._scope.is_heard(self._success):
            self._tell_of_answer(metadata, usage or {}, content_chars, is_streamed=is_streamed)

    def _tell_of_answer(
        self, metadata: dict[str, Any], usage: Any, content_chars: int, *, is_streamed: bool
    ) -> None:
        """Tell of it at one go: each answer is told of, and others are in a hurry."""
        attempt, scope = self.log[-1], self._scope
        total_s, total_usd = totals(self.log)
        scope.emit(
            self._success(
                request_id=scope.request_id,
                run_id=scope.run_word,
                model=attempt.model,
                answered_by=attempt.answered_by,
                provider_name=attempt.provider_name,
                attempt=attempt.number,
                max_attempts=self.policy.max_attempts,
                generation_id=metadata.get("id"),
                latency_s=attempt.latency_s,
                time_to_first_token_s=scope.time_to_first_token_s,
                input_tokens=usage.get("input_tokens"),
                output_tokens=usage.get("output_tokens"),
                cost_usd=attempt.cost_usd,
                total_cost_usd=total_usd,
                total_latency_s=total_s,
                content_chars=content_chars,
                is_streamed=is_streamed,
            )
        )

    def failed(self, error: Exception) -> None:
        """Log the current turn as one that gave none, and tell of it."""
        with on_behalf_of(self._scope):
            super().failed(error)
        self._scope.claim(error)
        if not self._scope.is_heard(StoryRefused):
            return
        attempt = self.log[-1]
        known: dict[str, Any] = {
            "model": attempt.model,
            "provider_name": attempt.provider_name,
            "cost_usd": attempt.cost_usd,
        }
        if isinstance(error, RefusedReplyError):
            said: dict[str, Any] = {
                "generation_id": error.generation_id,
                "reason": error.told_reason,
                "content_chars": len(error.partial_text or ""),
            }
            self._tell(StoryRefused, **known, **said)
        self._tell(
            AttemptFailed, error, **known, latency_s=attempt.latency_s, **failure_facts(error)
        )

    def pause(self) -> None:
        """Wait for the current turn; whoever listens hears of it before."""
        self._scope.flush()
        super().pause()

    async def apause(self) -> None:
        """The twin of `pause`."""
        await self._scope.aflush()
        await super().apause()

    # ── the next turn ───────────────────────────────────────────────────────

    def has_another_turn_after(self, error: BaseException) -> bool:
        """Log the failure, and move on to the next turn if there is one; tell of both."""
        turn, name, tries = self.turn, self._name, len(self.log)
        has_another = super().has_another_turn_after(error)
        is_news = len(self.log) > tries or not turn.waited_s  # else it waits on, as told before
        if has_another and is_news:
            self._scope.tell(
                RetryScheduled,
                model=name,
                attempt=turn.number,
                max_attempts=self.policy.max_attempts,
                error=type(error).__name__,
                status_code=getattr(error, "status_code", None),
                next_model=self._name,
                wait_s=self.turn.wait_s,
            )
        return has_another

    def outcome(self, error: Exception) -> Exception:
        """What to raise, once it is told."""
        final = super().outcome(error)
        self._scope.claim(final)
        if final is not error:
            final.__cause__ = error  # as `raise … from` will do, after it was told
        if not self._is_nested and self._scope.is_heard(CallFailed):
            self._tell_of_failure(final)
        return final

    def _tell_of_failure(self, final: Exception) -> None:
        last = (self.log[-1].error if self.log else None) or final
        facts, (total_s, total_usd) = failure_facts(last), totals(self.log)
        self._scope.tell(
            CallFailed,
            final,
            model=self.log[-1].model if self.log else getattr(final, "model", None),
            attempts=len(self.log),
            error=type(final).__name__,
            last_error=facts["error"],
            error_type=facts["error_type"],
            status_code=facts["status_code"],
            latency_s=total_s,
            cost_usd=total_usd,
        )

    @property
    def _name(self) -> str:
        """Whose turn it is."""
        return self._models[self.turn.model_index].name

    def _tell(self, kind: Any, cause: Exception | None = None, **facts: Any) -> None:
        """Tell of the current turn."""
        numbers = {"attempt": self.turn.number, "max_attempts": self.policy.max_attempts}
        self._scope.tell(kind, cause, **numbers, **facts)
