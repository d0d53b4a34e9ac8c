"""One logical call: its models, its walk through them, and a run for each attempt."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Self

from langchain_core.exceptions import ModelNotFoundError

from langchain_tale.catalogue import OpenRouterModel, known_model
from langchain_tale.resilience.attempts import Contender
from langchain_tale.resilience.breaker import shared_circuits
from langchain_tale.resilience.composing import HasSiblings
from langchain_tale.resilience.members import Member
from langchain_tale.resilience.reporting import ToldWalk
from langchain_tale.resilience.revising import asked_after, whole_after
from langchain_tale.resilience.runs import Answer, AttemptRun
from langchain_tale.telemetry.events import ModelRetired
from langchain_tale.telemetry.scopes import Scope

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage

    from langchain_tale.errors import RefusedReplyError
    from langchain_tale.resilience.attempts import Timing
    from langchain_tale.resilience.policy import BreakerPolicy, RetryPolicy
    from langchain_tale.resilience.revising import Revising
    from langchain_tale.resilience.runs import Parent

_lamented: Final[set[str]] = set()
"""The models that this process has warned about."""


class Call:
    """What one logical call knows. As a context manager it tells LangChain's handlers, last.

    Args:
        models: The models, best first, each with the arguments that only it is called with.
        retry: The policy.
        parent: Its run.
        messages: What is asked.
        within: The call of which this one is an attempt, if it is.
        is_step: Whether something larger tells of success.
        breaker: When a model is left alone; None for never.
        revising: How refused answers are asked for again.
        timing: Time and chance.

    Attributes:
        scope: Who is told.
        walk: Whose turn it is.
    """

    __slots__ = (
        "_circuits",
        "_members",
        "_messages",
        "_parent",
        "_retry",
        "_revising",
        "scope",
        "walk",
    )

    walk: ToldWalk

    def __init__(
        self,
        models: Iterable[tuple[BaseChatModel, dict[str, Any]]],
        retry: RetryPolicy,
        parent: Parent | None,
        messages: list[BaseMessage],
        *,
        within: Scope | None = None,
        is_step: bool = False,
        breaker: BreakerPolicy | None = None,
        revising: Revising | None = None,
        timing: Timing,
    ) -> None:
        self.scope = scope = Scope.of(parent, within=within)
        self._members = [Member(model, kwargs, scope) for model, kwargs in models]
        self._retry = retry
        self._parent = parent
        self._messages = messages
        self._circuits = None if breaker is None else shared_circuits(breaker)
        self._revising = revising
        self.walk = walk = ToldWalk([self._contender(m) for m in self._members], retry, timing)
        walk.tells(scope, is_nested=within is not None, is_step=is_step)
        walk.max_revisions = None if revising is None else revising.max_revisions

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self.scope.claim(error)
        if self.scope.pending:
            self.scope.flush()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self.scope.claim(error)
        if self.scope.pending:
            await self.scope.aflush()

    def asked(self, member: Member) -> list[BaseMessage]:
        """What to ask in this attempt: after a refusal, with the reason."""
        if self._revising is None:
            return list(self._messages)
        return asked_after(
            self._refusal,
            self._messages,
            self._revising,
            continues_prefill=member.continues_prefill,
        )

    def whole(self, message: BaseMessage) -> BaseMessage:
        """The answer with the beginning that it continues, if it continues one."""
        if self._revising is None:
            return message
        return whole_after(self._refusal, message, self._revising)

    @property
    def _refusal(self) -> RefusedReplyError | None:
        """The last one."""
        refusals = self.walk.refusals if self.walk.log else ()
        return refusals[-1] if refusals else None

    def attempt(self) -> _NextAttempt:
        """The next attempt, as a run: whom to ask, and where to leave the answer."""
        return _NextAttempt(self)

    def turn(self) -> tuple[Member, AttemptRun | None]:
        """Start the next turn: whose it is, and the run that it will be, if anybody listens."""
        turn = self.walk.begin()
        member, parent = self._members[turn.model_index], self._parent
        is_heard = parent is not None and parent.is_listened_to
        run = AttemptRun(parent, member.name, turn.number) if parent and is_heard else None
        return member, run

    def ended(self, member: Member, error: BaseException) -> None:
        """An attempt was ended by an error: who might stand in, if the model is gone?"""
        self.walk.left(error)
        if not isinstance(error, ModelNotFoundError):
            return
        if self._retry.follow_successors and isinstance(member.model, HasSiblings):
            self._add(successors_of(member.name, error), member, member.model)

    def _contender(self, member: Member) -> Contender:
        name, circuits = member.name, self._circuits
        return Contender(name, None if circuits is None else circuits.of(member.address, name))

    def _add(self, slugs: list[str], gone: Member, kin: HasSiblings) -> None:
        known = {member.name for member in self._members}
        new = [replace(gone, model=kin.for_model(slug)) for slug in slugs if slug not in known]
        for member in new:
            self._members.append(member)
            self.walk.add(self._contender(member))
        if new and gone.name not in _lamented:
            _lamented.add(gone.name)
            names = ", ".join(member.name for member in new)
            self.scope.tell(ModelRetired, model=gone.name, successors=names)


class _NextAttempt(Answer):
    """A context manager around one attempt, sync or async; and the place for its answer."""

    __slots__ = ("_call", "_member", "_run")

    def __init__(self, call: Call) -> None:
        super().__init__()
        self._call = call

    def __enter__(self) -> tuple[Member, Answer]:
        self._member, self._run = self._call.turn()
        try:
            if self._call.scope.pending:
                self._call.scope.flush()
            if self._run is not None:
                self._run.start(self._call.asked(self._member))
        except BaseException as error:
            self._call.ended(self._member, error)
            raise
        return self._member, self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        try:
            if self._run is not None:
                self._run.end(self, error)
        except BaseException as raised:
            self._call.ended(self._member, raised)
            raise
        if error is not None:
            self._call.ended(self._member, error)

    async def __aenter__(self) -> tuple[Member, Answer]:
        self._member, self._run = self._call.turn()
        try:
            if self._call.scope.pending:
                await self._call.scope.aflush()
            if self._run is not None:
                await self._run.astart(self._call.asked(self._member))
        except BaseException as error:
            self._call.ended(self._member, error)
            raise
        return self._member, self

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        try:
            if self._run is not None:
                await self._run.aend(self, error)
        except BaseException as raised:
            self._call.ended(self._member, raised)
            raise
        if error is not None:
            self._call.ended(self._member, error)


def successors_of(name: str, error: Exception) -> list[str]:
    """The models that may stand in for one that is gone, by the server's word or our catalogue."""
    suggested = list(getattr(error, "fallback_models", ()))
    model = known_model(name)
    if suggested or not isinstance(model, OpenRouterModel):
        return suggested
    return [model.info.successor.value] if model.info.successor else []
