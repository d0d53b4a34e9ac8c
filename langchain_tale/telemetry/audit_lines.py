"""A request as a line of JSON, and lines of JSON as records; the lines' file is elsewhere."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, Final

import orjson

from langchain_tale.telemetry.emitting import LOGGER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from langchain_tale.telemetry.events import ApiCalled

_HINT_CHARS: Final = 4


def line_of(event: ApiCalled) -> bytes:
    r"""A request as a line of JSON, line break included: these facts, null where unknown.

    Example:
        >>> from langchain_tale.telemetry.events import ApiCalled
        >>> at = datetime(2026, 11, 23, 4, 5, 6, 789_000, UTC)
        >>> line_of(ApiCalled(model="a/b", outcome="succeeded", time=at))[:51]
        b'{"time":"2026-11-23T04:05:06.789000+00:00","request'
    """
    facts = {
        "time": event.time if event.time.tzinfo is UTC else event.time.astimezone(UTC),
        "request_id": event.request_id,
        "key_hint": event.key_hint and event.key_hint[-_HINT_CHARS:],
        "model": event.model,
        "answered_by": event.answered_by,
        "provider_name": event.provider_name,
        "generation_id": event.generation_id,
        "outcome": event.outcome,
        "status_code": event.status_code,
        "input_tokens": event.input_tokens,
        "output_tokens": event.output_tokens,
        "cost_usd": _number(event.cost_usd),
        "latency_s": event.latency_s and round(event.latency_s, 3),
        "is_streamed": event.is_streamed,
    }
    try:
        return orjson.dumps(facts, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # half a surrogate pair, which is no UTF-8
        return json.dumps(facts, default=datetime.isoformat).encode() + b"\n"


def _number(said: Any) -> float | None:
    """What a server calls a cost, where it is one."""
    return said if isinstance(said, int | float) and math.isfinite(said) else None


def records_in(files: Iterable[IO[bytes]]) -> Iterator[dict[str, Any]]:
    """The records of several files in order; each file is closed when it has been read."""
    for file in files:
        broken = 0
        with file:
            for line in file:
                record = _record(line)
                if record is None:
                    broken += 1
                else:
                    yield record
        if broken:
            LOGGER.warning("%d lines of %s are no whole records.", broken, file.name)


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:  # broken UTF-8 is one too
        return None
    return record if isinstance(record, dict) else None
