"""Events as lines: JSON for machines, and something to read for people at a terminal."""

from __future__ import annotations

import json as json_
import logging
import sys
import time
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import orjson
from pythonjsonlogger.json import JsonFormatter

from langchain_tale.errors import ConfigurationError
from langchain_tale.telemetry.chains import (
    cause_of,
    chain_text,
    summary,
    told,
    without_secrets,
)
from langchain_tale.telemetry.disclosure import ALLOWED
from langchain_tale.telemetry.emitting import LOGGER, print_by, record_of
from langchain_tale.telemetry.event import fact_names

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from langchain_tale.telemetry.event import Event

_RENAMED: Final = {
    "provider_name": "provider",
    "status_code": "status",
    "error": "error_type",
    "error_type": "server_error_type",
    "last_error": "last_error_type",
}
_SHORT_ID_CHARS: Final = 8
_THE_LONG_WAY: Final = frozenset({"emit", "format", "handle"})
"""What somebody may have put on a handler to see records."""


def configure_logging(
    level: str | int = "INFO",
    json: bool | None = None,  # noqa: FBT001 (read aloud: configure_logging("INFO", json=True))
    stream: TextIO | None = None,
    *,
    log_prompts: bool = False,
    log_responses: bool = False,
) -> None:
    """Print what happens: one line for each event. Only the logger `langchain_tale` is touched.

    Called again it replaces what it did before. Events are told at DEBUG (each attempt and
    request), INFO (success), WARNING (a failure that is recovered from) and ERROR (no attempt
    is left). Keys, prompts, children's names and answers are in no line, unless asked for here.

    Args:
        level: The least level to print, by name or number.
        json: One flat JSON object a line; False for lines to read; None for those where the
            stream is a terminal, else JSON.
        stream: Where to; stderr by default.
        log_prompts: Print what ChatOpenRouter sends too, at INFO, cut to 500 characters.
        log_responses: Print whole answers of OpenRouter too, at DEBUG.

    Raises:
        ConfigurationError: There is no such level.

    Example:
        ```python
        configure_logging("INFO", json=True)
        configure_logging("DEBUG", stream=open("stories.log", "a"))
        ```
    """
    known = _level(level)
    target = sys.stderr if stream is None else stream
    as_json = not _is_terminal(target) if json is None else json
    handler = TaleHandler(target)
    handler.setFormatter(JsonLines() if as_json else ConsoleLines())
    for old in [each for each in LOGGER.handlers if isinstance(each, TaleHandler)]:
        LOGGER.removeHandler(old)
    LOGGER.addHandler(handler)
    LOGGER.setLevel(known)
    LOGGER.propagate = False  # handlers of the root logger would print each line again
    print_by(handler)
    ALLOWED.prompts, ALLOWED.responses = log_prompts, log_responses


class TaleHandler(logging.StreamHandler[Any]):
    """The handler that `configure_logging` adds, and knows again."""

    def has_printed(self, event: Event) -> bool:
        """Print an event as JSON without a record, where nothing wants to see one; whether it did.

        An event that cannot be written so is left to the long way.
        """
        if type(self.formatter) is not JsonLines or self.filters or event.level < self.level:
            return False
        if type(self) is not TaleHandler or not _THE_LONG_WAY.isdisjoint(vars(self)):
            return False
        try:
            line = _serialized(_event_row(event, time.time(), logging.getLevelName(event.level)))
        except Exception:  # noqa: BLE001 (the long way meets it again, and says so)
            return False
        try:
            with self.lock:  # type: ignore[union-attr]  # every handler has one
                self.stream.write(line + self.terminator)
                if (flush := getattr(self.stream, "flush", None)) is not None:
                    flush()
        except Exception:  # noqa: BLE001 (logging's own way: said on stderr, and never raised)
            self.handleError(record_of(event))
        return True


def _level(level: str | int) -> int:
    names = logging.getLevelNamesMapping()
    found = level if isinstance(level, int) else names.get(str(level).upper())
    if found is None or isinstance(found, bool):
        msg = "configure_logging: level must be DEBUG, INFO, WARNING, ERROR, CRITICAL or a number."
        raise ConfigurationError(msg)
    return found


def _is_terminal(stream: Any) -> bool:
    is_terminal = getattr(stream, "isatty", None)
    return bool(is_terminal and is_terminal())


class JsonLines(JsonFormatter):
    """One flat JSON object a line.

    `timestamp` (UTC, to the millisecond), `level`, `event`, `message`, then the facts of the
    event under their names in logs, and of an error `error_message` and `exception`, its chain.
    """

    def __init__(self) -> None:
        super().__init__(json_serializer=_serialized)

    def format(self, record: logging.LogRecord) -> str:
        """The line; an event's by the short way: the library's takes as long again as the rest."""
        event: Event | None = getattr(record, "event", None)
        if event is None:
            return super().format(record)
        row = _event_row(event, record.created, record.levelname)
        return _serialized(row | _told_by(_error_of(record)))

    def add_fields(
        self,
        log_data: dict[str, Any],
        record: logging.LogRecord,
        message_dict: dict[str, Any],  # noqa: ARG002 (it would have an exception as it is)
    ) -> None:
        """The row of a record that is no event's."""
        log_data |= {
            "timestamp": _timestamp(record.created),
            "level": record.levelname,
            "event": record.name,
            "message": without_secrets(record.message),
            **getattr(record, "private", {}),
            **_told_by(_error_of(record)),
        }


def _event_row(event: Event, created: float, level: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "timestamp": _timestamp(created),
        "level": level,
        "event": event.name,
        "message": without_secrets(event.message),
    }
    kind = type(event)
    facts_of, columns = _COLUMNS.get(kind) or _columns(kind)
    for fact, (column, decimals) in zip(facts_of(event), columns, strict=True):
        if fact is not None:
            row[column] = round(fact, decimals) if type(fact) is float else fact
    if "input_tokens" in row or "output_tokens" in row:
        row["tokens"] = row.get("input_tokens", 0) + row.get("output_tokens", 0)
    return row


def _told_by(error: BaseException | None) -> dict[str, str]:
    if error is None:
        return {}
    return {"error_message": told(error), "exception": chain_text(error)}


class ConsoleLines(logging.Formatter):
    """Lines to read: the local time, the level, the sentence, and the beginning of the id."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and below it why an exception came to be."""
        moment = datetime.fromtimestamp(record.created).astimezone()
        clock = f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03}"
        line = f"{clock} {record.levelname:<7} {without_secrets(record.getMessage())}"
        return "\n".join([line + _which(record), *_why(record)])


_Columns = tuple[Callable[[Any], tuple[Any, ...]], tuple[tuple[str, int], ...]]
_COLUMNS: Final[dict[type[Any], _Columns]] = {}


def _columns(kind: type[Event]) -> _Columns:
    """What reads the facts of a kind, and of each its name in logs and its decimals there.

    Seconds have a tenth of a millisecond, dollars a millionth of a millicent.
    """
    names = [name for name in fact_names(kind) if name != "time"]  # `timestamp` says it
    columns = tuple((_RENAMED.get(n, n), 4 if n.endswith("_s") else 11) for n in names)
    return _COLUMNS.setdefault(kind, (attrgetter(*names), columns))


def _timestamp(seconds: float) -> str:
    """In UTC, to the millisecond."""
    whole, ms = divmod(int(seconds * 1000), 1000)
    return f"{_to_the_second(whole)}.{ms:03}Z"


@lru_cache(maxsize=4)
def _to_the_second(seconds: int) -> str:
    """Lines come in crowds, and writing a date takes as long as the JSON."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _error_of(record: logging.LogRecord) -> BaseException | None:
    error: BaseException | None = getattr(record, "error", None)
    return record.exc_info[1] if error is None and record.exc_info else error


def _which(record: logging.LogRecord) -> str:
    """What a person wants to know besides the sentence."""
    private = getattr(record, "private", {})
    event: Event | None = getattr(record, "event", None)
    known = private.get("request_id") if event is None else event.request_id
    text = private.get("prompt") or private.get("response")
    return (f": {text}" if text else "") + (f"  [{known[:_SHORT_ID_CHARS]}]" if known else "")


def _why(record: logging.LogRecord) -> Iterator[str]:
    """Errors of events in a line each, newest first; of all else the whole chain."""
    error, seen = _error_of(record), set[int]()
    if error is not None and not hasattr(record, "event"):
        yield chain_text(error)
        return
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield f"    {summary(error)}".replace("\n", "\n    ")
        error, _ = cause_of(error)


_ENCODE: Final = json_.JSONEncoder(default=str, separators=(",", ":")).encode


def _serialized(row: Any, **_: Any) -> str:
    """In ASCII, which every stream can take, by orjson: `json` takes ten times as long."""
    try:
        line = orjson.dumps(row, default=str)
    except TypeError:  # half a surrogate pair, or an integer of more than 64 bits
        return _ENCODE(row)
    return line.decode() if line.isascii() else _ENCODE(row)
