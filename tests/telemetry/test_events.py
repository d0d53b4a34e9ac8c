from __future__ import annotations

import dataclasses
import json
import logging
import pickle
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from langchain_tale.telemetry import events
from langchain_tale.telemetry.emitting import LOGGER, emit, is_heard, listen
from langchain_tale.telemetry.events import (
    ApiCalled,
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    CallFailed,
    CircuitClosed,
    Event,
    KeyRetired,
    RetryScheduled,
    StoryRefused,
    StoryTold,
)

CLOSED = CircuitClosed(model="a/b", base_url="https://openrouter.ai/api/v1")


def kinds() -> list[type[Event]]:
    """All kinds that the module has."""
    found = [kind for kind in vars(events).values() if isinstance(kind, type)]
    return [kind for kind in found if issubclass(kind, Event) and kind is not Event]


EVERY_KIND = pytest.mark.parametrize("kind", kinds())


def example(kind: type[Event]) -> Event:
    """An event with a value for each fact that has no default."""
    values: dict[str, Any] = {"int": 1, "float": 1.5, "str": "x", "str | None": "x"}
    needed = {
        field.name: values[str(field.type)]
        for field in dataclasses.fields(kind)
        if field.default is field.default_factory is dataclasses.MISSING
    }
    return kind(**needed)


def test_every_kind_has_a_name_of_its_own() -> None:
    names = [kind.name for kind in kinds()]

    assert len(names) == len(set(names)) == 14
    assert all(name.count(".") == 1 for name in names)


@EVERY_KIND
def test_the_table_of_the_module_has_every_kind_and_its_level(kind: type[Event]) -> None:
    row = next(line for line in (events.__doc__ or "").splitlines() if f"`{kind.__name__}`" in line)

    assert logging.getLevelName(kind.level) in row


@EVERY_KIND
def test_an_event_is_frozen_flat_and_travels(kind: type[Event]) -> None:
    event = example(kind)

    with pytest.raises(dataclasses.FrozenInstanceError):
        event.request_id = "other"  # type: ignore[misc]
    assert json.loads(json.dumps(event.to_dict())) == event.to_dict()
    assert not any(isinstance(fact, dict | list) for fact in event.to_dict().values())
    assert pickle.loads(pickle.dumps(event)) == event  # noqa: S301 (we wrote it)
    assert str(event) == event.message
    assert "None" not in event.message


def test_what_is_not_known_is_left_out() -> None:
    facts = AttemptFailed(model="a/b", error="UnavailableError", cost_usd=0.0).to_dict()

    assert facts == {
        "model": "a/b",
        "attempt": 1,
        "max_attempts": 1,
        "error": "UnavailableError",
        "cost_usd": 0.0,
    }


def test_times_are_utc_to_the_millisecond() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)

    facts = ApiCalled(model="a/b", outcome="succeeded", time=moment).to_dict()

    assert facts["time"] == "2026-01-02T03:04:05.678+00:00"


def retry(**facts: Any) -> RetryScheduled:
    known = {"model": "a/b", "attempt": 2, "max_attempts": 4, "error": "RateLimitError"}
    return RetryScheduled(**{**known, "next_model": "a/b", "wait_s": 0.0, **facts})


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        (
            retry(status_code=429, wait_s=1.26),
            "attempt 2 of 4 failed (a/b: RateLimitError 429); retrying in 1.3 s",
        ),
        (
            retry(error="BrokenStreamError", status_code=200, next_model="c/d"),
            "attempt 2 of 4 failed (a/b: BrokenStreamError); asking c/d at once",
        ),
        (
            retry(error="CircuitOpenError", next_model="c/d", wait_s=3.0),
            "attempt 2 of 4 waits for a circuit; asking c/d in 3.0 s",
        ),
        (
            CallFailed(
                model="a/b",
                attempts=4,
                error="AllModelsFailedError",
                last_error="UnavailableError",
                status_code=503,
            ),
            "all 4 attempts failed; last: UnavailableError 503 of a/b",
        ),
        (
            CallFailed(model="a/b", attempts=0, error="E", last_error="CircuitOpenError"),
            "nothing was sent: the call failed; last: CircuitOpenError of a/b",
        ),
        (
            AttemptSucceeded(
                model="a/b", latency_s=1.24, input_tokens=7, output_tokens=3, cost_usd=4.455e-05
            ),
            "attempt 1 of 1: a/b answered (1.2 s, 10 tokens, $0.00004455)",
        ),
        (
            StoryTold(model="a/b", content_chars=190, content_words=38),
            "a/b told a story of 38 words",
        ),
        (
            StoryRefused(model="a/b", reason="too short"),
            "attempt 1 of 1: the answer of a/b was refused: too short",
        ),
        (
            KeyRetired(key_hint=None, error="AuthenticationError"),
            "The API key that ends in … is used no more: AuthenticationError",
        ),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_an_event_is_a_sentence(event: Event, sentence: str) -> None:
    assert event.message == sentence


# ── who hears ───────────────────────────────────────────────────────────────


def test_importing_configures_nothing() -> None:
    code = (
        "import logging, langchain_tale.telemetry.logs\n"
        "logger = logging.getLogger('langchain_tale')\n"
        "print(logger.handlers, logger.level, logger.propagate, logging.getLogger().handlers)"
    )
    done = subprocess.run(  # noqa: S603 (our own interpreter)
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout == "[] 0 True []\n"
    assert "langchain_tale.openrouter.chat_models" in sys.modules, "by the other tests"
    assert (LOGGER.handlers, LOGGER.level, LOGGER.propagate) == ([], logging.NOTSET, True)


def test_an_event_is_heard_by_the_log_and_by_each_listener(
    caplog: pytest.LogCaptureFixture,
) -> None:
    first: list[Event] = []
    second: list[Event] = []
    stops = [listen(first.append), listen(second.append), listen(second.append)]
    caplog.set_level(logging.DEBUG, logger="langchain_tale")

    emit(CLOSED)
    stops[1]()
    stops[1]()
    emit(CLOSED)
    for stop in stops:
        stop()
    emit(CLOSED)

    assert (len(first), len(second)) == (2, 3)
    assert [record.getMessage() for record in caplog.records] == [CLOSED.message] * 3
    assert caplog.records[0].__dict__["event"] is CLOSED
    assert caplog.records[0].levelno == logging.INFO


def test_for_a_listener_of_one_kind_no_other_event_need_be_made() -> None:
    heard: list[Event] = []
    stop = listen(heard.append, only=CircuitClosed)
    LOGGER.setLevel(logging.WARNING)

    assert is_heard(CircuitClosed)
    assert not is_heard(AttemptStarted)
    emit(AttemptStarted(model="a/b"))
    emit(CLOSED)
    stop()

    assert heard == [CLOSED]
    assert not is_heard(CircuitClosed)


def test_a_listener_that_fails_breaks_nothing_and_says_nothing_private(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[Event] = []

    def fails(_event: Event) -> None:
        msg = "a secret of the listener's"
        raise ValueError(msg)

    stops = [listen(fails), listen(heard.append)]
    emit(CLOSED)
    for stop in stops:
        stop()

    assert heard == [CLOSED]
    assert "A listener raised ValueError at circuit.closed." in caplog.text
    assert "secret" not in caplog.text


def test_where_nobody_hears_nothing_is_formatted(monkeypatch: pytest.MonkeyPatch) -> None:
    def formatted(_event: Event) -> str:
        pytest.fail("it was formatted")

    monkeypatch.setattr(CircuitClosed, "message", property(formatted))
    LOGGER.setLevel(logging.WARNING)

    assert not is_heard(CircuitClosed)
    emit(CLOSED)

    stop = listen(lambda _event: None)
    assert is_heard(CircuitClosed)
    stop()
    LOGGER.setLevel(logging.INFO)
    assert is_heard(CircuitClosed)
