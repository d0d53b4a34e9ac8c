"""On whose behalf something happens: a logical call, its request id and its LangChain run.

Events reach the log and the listeners at once. LangChain's handlers may be coroutines, while
the loop's arithmetic is not: what they are to hear waits until `flush` or `aflush`, which the
call does whenever it may wait anyway.
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol
from uuid import UUID  # noqa: TC003 (a protocol's fields)

from langchain_core.callbacks import (
    AsyncCallbackHandler,
    AsyncCallbackManager,
    BaseCallbackHandler,
    CallbackManager,
)

from langchain_tale.errors import ExternalServiceError
from langchain_tale.telemetry.context import (
    current_request_id,
    given_request_id,
    new_request_id,
)
from langchain_tale.telemetry.emitting import emit, is_heard

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from langchain_core.runnables import RunnableConfig

    from langchain_tale.telemetry.events import Event


class Run(Protocol):
    """A LangChain run, as far as events need it."""

    @property
    def run_id(self) -> UUID:
        """Its id."""

    @property
    def handlers(self) -> Sequence[BaseCallbackHandler]:
        """Who is to hear of it."""

    @property
    def tags(self) -> Sequence[str]:
        """Its tags."""

    @property
    def metadata(self) -> dict[str, Any]:
        """Its metadata, of which `request_id` counts."""


class Scope:
    """What belongs together: one request id, and one run where there is one.

    Args:
        request_id: The caller's id, or None where one is to be made once it is asked for.
        run_id: LangChain's id of the run, or None.
        handlers: Who may want to hear of what happens.
        tags: Of the run.
        metadata: Of the run.

    Attributes:
        run_id: LangChain's id of the run, or None.
        time_to_first_token_s: Of the attempt under way, once there was content.
        pending: What LangChain's handlers have not heard yet, if there is anything; who is in a
            hurry looks here before a `flush`.
    """

    __slots__ = (
        "_handlers",
        "_metadata",
        "_request_id",
        "_run_word",
        "_tags",
        "pending",
        "run_id",
        "time_to_first_token_s",
    )

    def __init__(
        self,
        request_id: str | None,
        run_id: UUID | None = None,
        *,
        handlers: Sequence[BaseCallbackHandler] = (),
        tags: Sequence[str] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self._request_id = request_id
        self._run_word: str | None = None
        self.run_id = run_id
        self.time_to_first_token_s: float | None = None
        hearing = [each for each in handlers if _hears(each)] if handlers and run_id else ()
        self._handlers: Sequence[BaseCallbackHandler] = hearing
        self._tags = tags
        self._metadata = metadata
        self.pending: list[Event] | None = None

    @classmethod
    def of(cls, run: Run | None, *, within: Scope | None = None, to_handlers: bool = True) -> Self:
        """The scope of a run.

        Args:
            run: The run, or None where nobody traces.
            within: The scope around it, whose request id it shares.
            to_handlers: Whether the run's handlers hear of what happens.
        """
        metadata = None if run is None else run.metadata
        known = given_request_id(metadata) if within is None else within.request_id
        if run is None:
            return cls(known)
        handlers = run.handlers if to_handlers else ()
        return cls(known, run.run_id, handlers=handlers, tags=run.tags, metadata=run.metadata)

    @classmethod
    def of_step(cls, config: RunnableConfig) -> Self:
        """The scope of the step of a chain that was given `config`."""
        manager: Any = config.get("callbacks")  # a manager, as langchain-core gives it to a step
        known = given_request_id(config.get("metadata")) or new_request_id()
        if not isinstance(manager, CallbackManager | AsyncCallbackManager):
            return cls(known)
        return cls(
            known,
            manager.parent_run_id,
            handlers=manager.handlers,
            tags=manager.tags,
            metadata=manager.metadata,
        )

    @property
    def request_id(self) -> str:
        """The caller's id, or the one that was made: of the run's, where there is one.

        That is read backwards: a run's id begins with the time, and people are shown the first
        eight digits.
        """
        if self._request_id is None:
            run_id = self.run_word
            made = new_request_id() if run_id is None else run_id.replace("-", "")[::-1]
            self._request_id = made
        return self._request_id

    @property
    def run_word(self) -> str | None:
        """The id of the run as a word."""
        if self._run_word is None and self.run_id is not None:
            self._run_word = str(self.run_id)
        return self._run_word

    def is_heard(self, kind: type[Event]) -> bool:
        """Whether anybody hears events of a kind; else their facts need not be gathered."""
        return bool(self._handlers and kind.is_custom) or is_heard(kind)

    def tell(self, kind: type[Event], cause: BaseException | None = None, /, **facts: Any) -> None:
        """Emit an event of a kind, if anybody hears it.

        Args:
            kind: What happened.
            cause: The exception that it tells of.
            **facts: The event's own fields.
        """
        if self.is_heard(kind):
            self.emit(kind(request_id=self.request_id, run_id=self.run_word, **facts), cause)

    def emit(self, event: Event, cause: BaseException | None = None) -> None:
        """Emit an event that is made, to everybody who hears it."""
        emit(event, error=cause)
        if self._handlers and event.is_custom:
            self.pending = [*(self.pending or ()), event]

    def claim(self, error: BaseException | None) -> None:
        """Note the request id on an error that leaves the call."""
        if isinstance(error, ExternalServiceError):
            error.client_request_id = error.client_request_id or self.request_id

    def flush(self) -> None:
        """Hand LangChain's handlers what they have not heard yet."""
        if not self.pending:
            return
        manager = CallbackManager(**self._manager_arguments())
        for event in self._taken():
            manager.on_custom_event(event.custom_name, event.to_dict(), run_id=self.run_id)

    async def aflush(self) -> None:
        """The twin of `flush`: handlers that are coroutines are awaited."""
        if not self.pending:
            return
        manager = AsyncCallbackManager(**self._manager_arguments())
        for event in self._taken():
            await manager.on_custom_event(event.custom_name, event.to_dict(), run_id=self.run_id)

    def _taken(self) -> list[Event]:
        taken, self.pending = self.pending, None
        return taken or []

    def _manager_arguments(self) -> dict[str, Any]:
        return {
            "handlers": self._handlers,
            "tags": list(self._tags),
            "metadata": dict(self._metadata or {}),
        }


# ── what happens deep below a call ──────────────────────────────────────────

ACTING_FOR: Final[ContextVar[Scope | None]] = ContextVar("langchain_tale_scope", default=None)
"""See `on_behalf_of`; set by hand it takes half the time, where a call is in a hurry."""


class on_behalf_of:  # noqa: N801 (used as a function; a generator would take twice as long)
    """What `tell` tells inside belongs to a scope. Nothing may be yielded inside."""

    __slots__ = ("_scope", "_token")

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def __enter__(self) -> None:
        self._token = ACTING_FOR.set(self._scope)

    def __exit__(self, *_: object) -> None:
        ACTING_FOR.reset(self._token)


def tell(kind: type[Event], /, **facts: Any) -> None:
    """Emit an event on behalf of the call around us, or of nobody in particular."""
    scope = ACTING_FOR.get()
    if scope is not None:
        scope.tell(kind, **facts)
    elif is_heard(kind):
        emit(kind(request_id=current_request_id(), **facts))


# ── who hears ───────────────────────────────────────────────────────────────

_DEAF: Final = (BaseCallbackHandler.on_custom_event, AsyncCallbackHandler.on_custom_event)


def _hears(handler: BaseCallbackHandler) -> bool:
    """Whether a handler does anything with custom events; most do not."""
    kind: Any = type(handler)
    is_deaf = _is_deaf(kind) and "on_custom_event" not in vars(handler)
    return not is_deaf and not handler.ignore_custom_event


@lru_cache(maxsize=256)
def _is_deaf(kind: type[BaseCallbackHandler]) -> bool:
    return getattr(kind, "on_custom_event", None) in _DEAF
