"""The caller's own check of an answer, inside the loop."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from langchain_core.messages import AIMessage

from langchain_tale.errors import ConfigurationError, RefusedReplyError

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import ChatResult

Word = bool | str | None
Accept = Callable[[AIMessage], Word | Awaitable[Word]]
AcceptBeginning = Callable[[str], bool]


def message_of(result: ChatResult) -> BaseMessage:
    """The message of an answer."""
    return result.generations[0].message


def both(first: Accept | None, second: Accept) -> Accept:
    """A check that both pass; of a coroutine function, the sentence is awaited."""
    return second if first is None else _Both(first, second)


@dataclass(frozen=True, slots=True)
class _Both:
    """Two checks, one after the other."""

    first: Accept
    second: Accept

    def __call__(self, message: AIMessage) -> Any:
        word = self.first(message)
        if inspect.isawaitable(word):
            return self._then(word, self.second, message)
        return self.second(message) if word is None or word is True else word

    def awaited(self, message: AIMessage) -> Any:
        """The same, by the twins of both."""
        word = awaited(self.first)(message)
        if inspect.isawaitable(word):
            return self._then(word, awaited(self.second), message)
        return awaited(self.second)(message) if word is None or word is True else word

    @staticmethod
    async def _then(word: Awaitable[Word], second: Accept, message: AIMessage) -> Any:
        said = await word
        if not (said is None or said is True):
            return said
        other = second(message)
        return await other if inspect.isawaitable(other) else other


def awaited(accept: Accept) -> Accept:
    """The twin of a check for coroutines, where it has one as its attribute `awaited`."""
    twin: Accept = getattr(accept, "awaited", accept)
    return twin


def check(accept: Accept | None, message: BaseMessage, model: str) -> None:
    """Raise unless the answer will do.

    Raises:
        RefusedReplyError: It will not; `reason` says why.
        ConfigurationError: The check is a coroutine function, and this is no coroutine.
    """
    if accept is None:
        return
    word = _asked(accept, message, model)
    if inspect.isawaitable(word):
        _drop(word)
        msg = "accept is a coroutine function: call ainvoke, abatch or astream, or pass a function."
        raise ConfigurationError(msg)
    _obey(word, message, model)


async def acheck(accept: Accept | None, message: BaseMessage, model: str) -> None:
    """The twin of `check`; the check may be a coroutine function, or have one as its `awaited`."""
    if accept is None:
        return
    word = _asked(awaited(accept), message, model)
    if inspect.isawaitable(word):
        try:
            word = await word
        except ValueError as error:
            _refuse(str(error), message, model, told=_told(error))
    _obey(word, message, model)


def _asked(accept: Accept, message: BaseMessage, model: str) -> Any:
    try:
        return accept(message)  # type: ignore[arg-type]  # what a chat model answers is one
    except ValueError as error:  # so do parsers refuse
        _refuse(str(error), message, model, told=_told(error))


def _told(error: ValueError) -> str:
    """What may be told of an exception: parsers' own quote the answer, and so the child's name."""
    return str(error) if type(error) is ValueError else type(error).__name__


def _obey(word: Any, message: BaseMessage, model: str) -> None:
    if isinstance(word, str) and word:
        _refuse(word, message, model)
    if word is False:
        _refuse("the check said no", message, model)


def _refuse(reason: str, message: BaseMessage, model: str, *, told: str | None = None) -> NoReturn:
    metadata = message.response_metadata
    told = reason if told is None else told
    error = RefusedReplyError(
        f"The answer of {model} was refused: {told.rstrip('.')}.",
        model=model,
        partial_text=message.text,
        provider_name=metadata.get("provider_name"),
        generation_id=metadata.get("id"),
        raw={"usage": metadata.get("token_usage")},
    )
    error.reason, error.told_reason, error.message = reason, told, message
    raise error from None


def _drop(coroutine: Any) -> None:
    if inspect.iscoroutine(coroutine):
        coroutine.close()
