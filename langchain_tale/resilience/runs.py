"""Each attempt as a child run of the logical call, for callbacks and traces.

An attempt is a chat-model run named after its model and tagged `attempt:N`. Its tokens are
left to the parent run, which reports the same answer: a handler that adds up usage or prints
tokens sees each of them once. A handler that has nothing to learn from attempts says so by an
attribute `ignores_attempts = True`; where no other handler listens, there are no child runs.

langchain-core tells `_generate` which run it belongs to, but not `_stream`; a context variable
carries it there.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.callbacks import (
        AsyncCallbackManagerForLLMRun,
        BaseCallbackHandler,
        CallbackManagerForLLMRun,
    )
    from langchain_core.runnables import RunnableConfig


@dataclass(slots=True, kw_only=True)
class Parent:
    """The run of the logical call, and what its children inherit."""

    run_id: UUID
    handlers: Sequence[BaseCallbackHandler]
    tags: Sequence[str] = ()
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def is_listened_to(self) -> bool:
        """Whether attempts are made known to anybody."""
        for handler in self.handlers:  # noqa: SIM110 (a generator takes twice as long)
            if not getattr(handler, "ignores_attempts", False):
                return True
        return False

    @property
    def listeners(self) -> list[BaseCallbackHandler]:
        """The handlers that attempts are made known to."""
        return [h for h in self.handlers if not getattr(h, "ignores_attempts", False)]

    def for_child(self, number: int) -> dict[str, Any]:
        """The arguments of the callback manager for attempt `number`."""
        return {
            "handlers": self.listeners,
            "inheritable_handlers": self.listeners,
            "parent_run_id": self.run_id,
            "tags": [*self.tags, f"attempt:{number}"],
            "inheritable_tags": list(self.tags),
            "metadata": dict(self.metadata),
            "inheritable_metadata": dict(self.metadata),
        }


_CURRENT: Final[ContextVar[Parent | None]] = ContextVar("langchain_tale_parent_run", default=None)


def parent_of(
    run_manager: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None,
) -> Parent | None:
    """The parent that langchain-core named, else the one that `parent_is` did; each once."""
    current = _CURRENT.get()
    _CURRENT.set(None)
    if run_manager is None:
        return current
    if current is not None and current.metadata is run_manager.inheritable_metadata:
        return current  # made of it before
    return Parent(
        run_id=run_manager.run_id,
        handlers=run_manager.inheritable_handlers,
        tags=run_manager.inheritable_tags,
        metadata=run_manager.inheritable_metadata,
    )


class parent_is:  # noqa: N801 (used as a function; a generator would take twice as long)
    """Whatever starts to stream inside belongs to a parent."""

    __slots__ = ("_parent", "_token")

    def __init__(self, parent: Parent | None) -> None:
        self._parent = parent

    def __enter__(self) -> None:
        self._token = _CURRENT.set(self._parent)

    def __exit__(self, *_: object) -> None:
        _CURRENT.reset(self._token)


def announced(
    config: RunnableConfig, kind: type[CallbackManager | AsyncCallbackManager]
) -> tuple[RunnableConfig, Parent]:
    """A config whose run is known before it starts, and that run as a parent.

    Args:
        config: What `stream` or `astream` was called with.
        kind: The class of callback manager that langchain-core will make of it.

    Returns:
        The config with a run id and the very handlers that the children will have.
    """
    run_id = config.get("run_id") or uuid4()
    manager = kind.configure(inheritable_callbacks=config.get("callbacks"))
    parent = Parent(
        run_id=run_id,
        handlers=manager.inheritable_handlers,
        tags=[*manager.inheritable_tags, *(config.get("tags") or ())],
        metadata={**manager.inheritable_metadata, **(config.get("metadata") or {})},
    )
    return {**config, "run_id": run_id, "callbacks": manager}, parent


def named(config: RunnableConfig) -> tuple[RunnableConfig, Parent]:
    """The same for a run without children: who will hear of it need not be found out."""
    run_id = config.get("run_id") or uuid4()
    parent = Parent(run_id=run_id, handlers=(), metadata=config.get("metadata") or {})
    return {**config, "run_id": run_id}, parent


class Answer:
    """Where the body of an attempt leaves the message that its run ends with."""

    __slots__ = ("message",)

    def __init__(self) -> None:
        self.message: BaseMessage | None = None

    def as_result(self) -> LLMResult:
        """The answer without its usage, which the parent run reports."""
        if self.message is None:
            return LLMResult(generations=[])
        message = AIMessage(
            content=self.message.content, response_metadata=self.message.response_metadata
        )
        return LLMResult(generations=[[ChatGeneration(message=message)]])


class AttemptRun:
    """Attempt `number` of `parent` as a run: callbacks see it start, end or fail.

    Args:
        parent: The run of the logical call, which has listeners.
        name: The model's.
        number: Counts from 1.
    """

    __slots__ = ("_arguments", "_name", "_run")

    def __init__(self, parent: Parent, name: str, number: int) -> None:
        self._arguments = parent.for_child(number)
        self._name = name
        self._run: Any = None

    def start(self, asked: list[BaseMessage]) -> None:
        """It begins."""
        manager = CallbackManager(**self._arguments)
        (self._run,) = manager.on_chat_model_start({}, [asked], name=self._name)

    def end(self, answer: Answer, error: BaseException | None) -> None:
        """It ends with an answer or an error."""
        if error is None:
            self._run.on_llm_end(answer.as_result())
        else:
            self._run.on_llm_error(error, response=LLMResult(generations=[]))

    async def astart(self, asked: list[BaseMessage]) -> None:
        """The twin of `start`."""
        manager = AsyncCallbackManager(**self._arguments)
        (self._run,) = await manager.on_chat_model_start({}, [asked], name=self._name)

    async def aend(self, answer: Answer, error: BaseException | None) -> None:
        """The twin of `end`."""
        if error is None:
            await self._run.on_llm_end(answer.as_result())
        else:
            await self._run.on_llm_error(error, response=LLMResult(generations=[]))
