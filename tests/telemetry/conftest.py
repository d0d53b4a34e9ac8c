"""Lists of what happened, and calls in every way."""

from __future__ import annotations

import io
import json as json_
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from langchain_tale.resilience.policy import RetryPolicy
from langchain_tale.telemetry.emitting import listen
from langchain_tale.telemetry.logs import configure_logging

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_core.language_models import BaseChatModel

    from langchain_tale.telemetry.events import Event

EventT = TypeVar("EventT", bound="Event")
QUICK = RetryPolicy(max_retries=3, retry_delay=0.0)


class Heard(list["Event"]):
    """Events in the order in which they happened."""

    @property
    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self]

    def of(self, kind: type[EventT]) -> list[EventT]:
        return [event for event in self if isinstance(event, kind)]

    def one(self, kind: type[EventT]) -> EventT:
        [event] = self.of(kind)
        return event

    @property
    def request_ids(self) -> set[str | None]:
        return {event.request_id for event in self}


@pytest.fixture
def heard() -> Iterator[Heard]:
    events = Heard()
    stop = listen(events.append)
    yield events
    stop()


class Lines(io.StringIO):
    """What was logged."""

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json_.loads(line) for line in self.getvalue().splitlines()]

    def of(self, event: str) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["event"] == event]


def logged(level: str = "DEBUG", *, json: bool = True, **options: Any) -> Lines:
    """Configure logging into a string."""
    lines = Lines()
    configure_logging(level, json, lines, **options)
    return lines


async def invoked(llm: BaseChatModel) -> None:
    llm.invoke("Tell me of a fox.")


async def ainvoked(llm: BaseChatModel) -> None:
    await llm.ainvoke("Tell me of a fox.")


async def streamed(llm: BaseChatModel) -> None:
    list(llm.stream("Tell me of a fox."))


async def astreamed(llm: BaseChatModel) -> None:
    _ = [chunk async for chunk in llm.astream("Tell me of a fox.")]


EVERY_WAY = pytest.mark.parametrize("ask", [invoked, ainvoked, streamed, astreamed])
"""Asking in every way, all of them coroutine functions."""
