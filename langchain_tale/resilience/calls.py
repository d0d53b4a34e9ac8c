"""One logical call: its models, its walk through them, and a run for each attempt."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Self

from langchain_core.exceptions import ModelNotFoundError

from langchain_tale.catalogue import OpenRouterModel, known_model
from langchain_tale.resilience.attempts import Contender, Timing
from langchain_tale.resilience.breaker import Circuits, shared_circuits
from langchain_tale.resilience.composing import HasSiblings
from langchain_tale.resilience.members import Member
from langchain_tale.resilience.reporting import ToldWalk
from langchain_tale.resilience.revising import asked_after, whole_after
from langchain_tale.resilience.runs import Answer, Parent, aattempt_run, attempt_run
from langchain_tale.telemetry.events import ModelRetired
from langchain_tale.telemetry.scopes import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage

    from langchain_tale.errors import RefusedReplyError
    from langchain_tale.resilience.attempts import Circuit
    from langchain_tale.resilience.policy import BreakerPolicy, RetryPolicy
    from langchain_tale.resilience.revising import Revising

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

    Attributes:
        walk: Whose turn it is.
    """

    walk: ToldWalk

    def __init__(
        self,
        models: Iterable[tuple[BaseChatModel, dict[str, Any]]],
        retry: RetryPolicy,
        parent: Parent | None,
        messages: list[BaseMessage],
        within: Scope | None = None,
        *,
        is_step: bool = False,
    ) -> None:
        self._scope = Scope.of(parent, within=within)
        self._place = {"is_nested": within is not None, "is_step": is_step}
        self._members = [Member(model, kwargs, self._scope) for model, kwargs in models]
        self._retry = retry
        self._parent = parent
        self._messages = messages
        self._circuits: Circuits | None = None
        self._revising: Revising | None = None

    def begun(self, breaker: BreakerPolicy | None, timing: Timing) -> Self:
        """Start its clock."""
        self._circuits = None if breaker is None else shared_circuits(breaker)
        contenders = [Contender(member.name, self._circuit(member)) for member in self._members]
        self.walk = ToldWalk(contenders, self._retry, timing, scope=self._scope, **self._place)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._scope.claim(error)
        self._scope.flush()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._scope.claim(error)
        await self._scope.aflush()

    def revised_by(self, revising: Revising | None) -> Self:
        """Let refused answers be asked for again as `revising` says."""
        self._revising = revising
        self.walk.max_revisions = None if revising is None else revising.max_revisions
        return self

    def asked(self, member: Member) -> list[BaseMessage]:
        """What to ask in this attempt: after a refusal, with the reason."""
        return asked_after(
            self._refusal,
            self._messages,
            self._revising,
            continues_prefill=member.continues_prefill,
        )

    def whole(self, message: BaseMessage) -> BaseMessage:
        """The answer with the beginning that it continues, if it continues one."""
        return whole_after(self._refusal, message, self._revising)

    @property
    def _refusal(self) -> RefusedReplyError | None:
        """The last one."""
        refusals = self.walk.refusals if self.walk.log else ()
        return refusals[-1] if refusals else None

    @contextmanager
    def attempt(self) -> Iterator[tuple[Member, Answer]]:
        """The next attempt, as a run: whom to ask, and where to leave the answer."""
        turn = self.walk.begin()
        self._scope.flush()
        member = self._members[turn.model_index]
        try:
            with attempt_run(self._parent, member.name, turn.number, self.asked(member)) as answer:
                yield member, answer
        except BaseException as error:
            self._ended(member, error)
            raise

    @asynccontextmanager
    async def aattempt(self) -> AsyncIterator[tuple[Member, Answer]]:
        """The twin of `attempt`."""
        turn = self.walk.begin()
        await self._scope.aflush()
        member = self._members[turn.model_index]
        try:
            run = aattempt_run(self._parent, member.name, turn.number, self.asked(member))
            async with run as answer:
                yield member, answer
        except BaseException as error:
            self._ended(member, error)
            raise

    def _ended(self, member: Member, error: BaseException) -> None:
        """An attempt was ended by an error: who might stand in, if the model is gone?"""
        self.walk.left(error)
        if not isinstance(error, ModelNotFoundError):
            return
        if self._retry.follow_successors and isinstance(member.model, HasSiblings):
            self._add(successors_of(member.name, error), member, member.model)

    def _circuit(self, member: Member) -> Circuit | None:
        if self._circuits is None:
            return None
        return self._circuits.of(member.address, member.name)

    def _add(self, slugs: list[str], gone: Member, kin: HasSiblings) -> None:
        known = {member.name for member in self._members}
        new = [replace(gone, model=kin.for_model(slug)) for slug in slugs if slug not in known]
        for member in new:
            self._members.append(member)
            self.walk.add(member.name, self._circuit(member))
        if new and gone.name not in _lamented:
            _lamented.add(gone.name)
            names = ", ".join(member.name for member in new)
            self._scope.tell(ModelRetired, model=gone.name, successors=names)


def successors_of(name: str, error: Exception) -> list[str]:
    """The models that may stand in for one that is gone, by the server's word or our catalogue."""
    suggested = list(getattr(error, "fallback_models", ()))
    model = known_model(name)
    if suggested or not isinstance(model, OpenRouterModel):
        return suggested
    return [model.info.successor.value] if model.info.successor else []
