"""Who hears of events: the logger `langchain_tale`, and whoever listens in this process.

Importing this configures nothing: no handler, no level. Where neither the logger nor anybody
listens, an event need not even be made; `is_heard` tells.
"""

from __future__ import annotations

import logging
import threading
from functools import lru_cache
from logging import LogRecord
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_tale.telemetry.events import Event

LOGGER: Final = logging.getLogger("langchain_tale")

_listeners: tuple[tuple[Callable[[Event], object], type[Event] | None], ...] = ()
_lock: Final = threading.Lock()


def listen(
    callback: Callable[[Event], object], *, only: type[Event] | None = None
) -> Callable[[], None]:
    """Have every event of this process handed to a function, or those of one kind.

    It is called where the event happens, in whatever thread or task that is, and so should be
    quick. An exception of its own is logged and breaks nothing.

    Args:
        callback: Called with each event.
        only: The kind of events to hand over; others need not even be made then. None for all.

    Returns:
        A function that ends it; calling it again does nothing.

    Example:
        >>> from langchain_tale.telemetry.events import CircuitClosed
        >>> stop = listen(print)
        >>> emit(CircuitClosed(model="openai/gpt-4o", base_url="https://openrouter.ai/api/v1"))
        the circuit of openai/gpt-4o closed; it is asked again
        >>> stop()
    """
    global _listeners  # noqa: PLW0603 (one list for the process, replaced whole: readers need no lock)
    own = (callback, only)  # the same callback may listen twice: `stop` knows it by identity
    with _lock:
        _listeners = (*_listeners, own)

    def stop() -> None:
        global _listeners  # noqa: PLW0603 (as above)
        with _lock:
            _listeners = tuple(each for each in _listeners if each is not own)

    return stop


def is_heard(kind: type[Event]) -> bool:
    """Whether a log or a listener takes events of this kind: else none need be made."""
    if LOGGER.isEnabledFor(kind.level):
        return True
    for _, only in _listeners:  # noqa: SIM110 (a generator takes twice as long)
        if only is None or issubclass(kind, only):
            return True
    return False


def record_of(event: Event, error: BaseException | None = None) -> LogRecord:
    """The record that a log has of an event, and of the exception that it tells of."""
    facts = {"event": event} if error is None else {"event": event, "error": error}
    return LOGGER.makeRecord(LOGGER.name, event.level, "", 0, event, (), None, event.name, facts)


class PrintsEvents(Protocol):
    """A handler that can print an event without a record of it."""

    def has_printed(self, event: Event) -> bool:
        """Print it by the short way, if that gives the same line; whether it did."""


_printer: PrintsEvents | None = None


def print_by(printer: PrintsEvents | None) -> None:
    """Have events printed by the short way as long as nobody but `printer` hears the logger."""
    global _printer  # noqa: PLW0603 (one for the process, as the logger is)
    _printer = printer


@lru_cache(maxsize=16)
def _are_loggings_own(kind: type[logging.Logger], *methods: Callable[..., Any]) -> bool:
    """Whether a logger is as Python made it: tools like Sentry listen by putting theirs there."""
    files = {getattr(getattr(each, "__code__", None), "co_filename", None) for each in methods}
    return kind is logging.Logger and files == {logging.Logger.__init__.__code__.co_filename}


def _is_printed(event: Event) -> bool:
    """Whether an event is printed without a record, which takes four times as long as the line.

    Only where nobody would see the record: no other handler, no filter, no factory of records,
    and nobody's hands in `logging`.
    """
    printer = _printer
    handlers: list[Any] = LOGGER.handlers
    if printer is None or len(handlers) != 1 or handlers[0] is not printer:
        return False
    if LOGGER.filters or LOGGER.propagate or logging.getLogRecordFactory() is not LogRecord:
        return False
    kind: Any = type(LOGGER)
    if not _are_loggings_own(kind, kind.handle, kind.callHandlers, kind.makeRecord):
        return False
    return bool(printer.has_printed(event))


def emit(event: Event, *, error: BaseException | None = None) -> None:
    """Hand an event to the logger `langchain_tale` and to all listeners. Never raises.

    The log record's message is the event itself, formatted by whoever prints it; the record
    has it as `event` too, and the exception that belongs to it as `error`.

    Args:
        event: What happened.
        error: The exception that it tells of.
    """
    if LOGGER.isEnabledFor(event.level) and not (error is None and _is_printed(event)):
        LOGGER.handle(record_of(event, error))
    for listener, only in _listeners:
        if only is not None and not isinstance(event, only):
            continue
        try:
            listener(event)
        except Exception as mistake:  # noqa: BLE001 (a listener's mistake is not the call's)
            LOGGER.error(  # noqa: TRY400 (its class alone: its words may quote anything)
                "A listener raised %s at %s.", type(mistake).__name__, event.name
            )
