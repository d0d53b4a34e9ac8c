"""Events that are printed without a record: the same lines, unless somebody wants the record."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from langchain_tale.telemetry.emitting import LOGGER, emit
from langchain_tale.telemetry.events import AttemptSucceeded, CircuitOpened, StoryTold
from langchain_tale.telemetry.logs import TaleHandler, configure_logging

if TYPE_CHECKING:
    from langchain_tale.telemetry.events import Event

EVENTS: list[Event] = [
    StoryTold(model="a/b", latency_s=1.23456, content_chars=9, content_words=2, cost_usd=1e-7),
    AttemptSucceeded(model="a/b", request_id="лиса", input_tokens=3, provider_name="sk-or-v1-abc"),
    CircuitOpened(model="a/b", base_url="https://openrouter.ai/api/v1", cooldown_s=30.0),
]


class Collecting(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The events whose records are made from now on."""
    names, make = [], LOGGER.makeRecord

    def making(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        names.append(record.funcName)
        return record

    monkeypatch.setattr(LOGGER, "makeRecord", making)
    return names


def lines(events: list[Event]) -> list[dict[str, Any]]:
    stream = io.StringIO()
    configure_logging("INFO", json=True, stream=stream)
    for event in events:
        emit(event)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def handler() -> TaleHandler:
    [ours] = [each for each in LOGGER.handlers if isinstance(each, TaleHandler)]
    return ours


def test_both_ways_print_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    names = made(monkeypatch)
    short = lines(EVENTS)
    assert names == []

    monkeypatch.setattr(TaleHandler, "has_printed", lambda *_: False)
    long = lines(EVENTS)
    assert len(names) == len(EVENTS)

    for row in (*short, *long):
        row.pop("timestamp")
    assert short == long
    assert [row["event"] for row in short] == [event.name for event in EVENTS]


def test_who_else_listens_gets_records() -> None:
    stream, other = io.StringIO(), Collecting()
    configure_logging("INFO", json=True, stream=stream)
    LOGGER.addHandler(other)
    try:
        emit(EVENTS[0])
    finally:
        LOGGER.removeHandler(other)

    assert [record.msg for record in other.records] == [EVENTS[0]]
    assert len(stream.getvalue().splitlines()) == 1


@pytest.mark.parametrize("of_handler", [False, True])
def test_filters_see_records(*, of_handler: bool) -> None:
    stream = io.StringIO()
    configure_logging("INFO", json=True, stream=stream)
    target: Any = handler() if of_handler else LOGGER
    target.addFilter(lambda record: record.funcName != "story.told")
    try:
        for event in EVENTS:
            emit(event)
    finally:
        target.filters.clear()

    told = [json.loads(line)["event"] for line in stream.getvalue().splitlines()]
    assert told == ["attempt.succeeded", "circuit.opened"]


def test_a_factory_of_records_is_asked() -> None:
    stream, made_by = io.StringIO(), []
    configure_logging("INFO", json=True, stream=stream)
    old = logging.getLogRecordFactory()

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        made_by.append(args[0])
        return old(*args, **kwargs)

    logging.setLogRecordFactory(factory)
    try:
        emit(EVENTS[0])
    finally:
        logging.setLogRecordFactory(old)

    assert made_by == ["langchain_tale"]
    assert len(stream.getvalue().splitlines()) == 1


@pytest.mark.parametrize("method", ["handle", "callHandlers", "makeRecord"])
def test_who_puts_a_hand_into_logging_sees_records(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    theirs: Any = getattr(logging.Logger, method)

    def ours(self: logging.Logger, *args: Any, **kwargs: Any) -> Any:
        seen.append(method)
        return theirs(self, *args, **kwargs)

    monkeypatch.setattr(logging.Logger, method, ours)  # as Sentry does

    assert len(lines(EVENTS)) == len(seen) == len(EVENTS)


def test_who_replaces_a_method_of_the_handler_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, seen = io.StringIO(), list[Any]()
    configure_logging("INFO", json=True, stream=stream)
    monkeypatch.setattr(handler(), "emit", seen.append)

    emit(EVENTS[0])

    assert [record.msg for record in seen] == [EVENTS[0]]
    assert stream.getvalue() == ""


def test_the_handlers_own_level_holds() -> None:
    stream = io.StringIO()
    configure_logging("INFO", json=True, stream=stream)
    handler().setLevel("WARNING")

    for event in EVENTS:
        emit(event)

    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == [
        "circuit.opened"
    ]


def test_another_formatter_is_obeyed() -> None:
    stream = io.StringIO()
    configure_logging("INFO", json=True, stream=stream)
    handler().setFormatter(logging.Formatter("%(levelname)s %(message)s"))

    emit(EVENTS[0])

    assert stream.getvalue().startswith("INFO a/b told a story of 2 words")


def test_logging_that_is_disabled_prints_nothing() -> None:
    logging.disable(logging.INFO)
    try:
        assert [row["event"] for row in lines(EVENTS)] == ["circuit.opened"]
    finally:
        logging.disable(logging.NOTSET)


def test_a_stream_that_fails_is_said_once_and_breaks_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Full(io.StringIO):
        def flush(self) -> None:
            raise OSError(28, "No space left on device")

    stream = Full()
    configure_logging("INFO", json=True, stream=stream)

    emit(EVENTS[0])

    assert len(stream.getvalue().splitlines()) == 1
    assert capsys.readouterr().err.count("--- Logging error ---") == 1


def test_a_stream_without_flush_will_do() -> None:
    class Plain:
        said = ""

        def write(self, text: str) -> None:
            self.said += text

    stream: Any = Plain()
    configure_logging("INFO", json=True, stream=stream)

    emit(EVENTS[0])

    assert json.loads(stream.said)["event"] == "story.told"


def test_an_event_that_cannot_be_printed_is_said_once_and_breaks_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = made(monkeypatch)

    class Odd(StoryTold):
        @property
        def message(self) -> str:
            raise RuntimeError

    assert lines([Odd(model="a/b", content_chars=1, content_words=1)]) == []
    assert names == ["story.told"]
    assert capsys.readouterr().err.count("--- Logging error ---") == 1
