"""The HTTP requests of one call of a chat model: one `ApiCalled` for each.

Requests are repeated without a word to LangChain, so `sending` tells here of each one. What a
request came to is known when the next one is sent, or when the call is over.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import httpx2

from langchain_tale.errors import ExternalServiceError
from langchain_tale.openrouter.failures import class_for_status
from langchain_tale.openrouter.keys import hint_of
from langchain_tale.openrouter.protocol import present, read_usage
from langchain_tale.telemetry.events import ApiCalled
from langchain_tale.telemetry.facts import usage_facts
from langchain_tale.telemetry.scopes import on_behalf_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from langchain_tale.telemetry.scopes import Scope

SUCCEEDED: Final = "succeeded"
CANCELLED: Final = "cancelled"
CANCELLING: Final = (GeneratorExit, asyncio.CancelledError, KeyboardInterrupt)
"""How a caller leaves; nobody has failed."""


@dataclass(slots=True)
class Exchange:
    """One HTTP request, as long as it is under way."""

    key: str = field(repr=False)
    sent_at: float
    status_code: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    lost_by: BaseException | None = None

    def outcome(self) -> str:
        """Why it was not the last."""
        if self.lost_by is None:
            return class_for_status(self.status_code).__name__
        is_late = isinstance(self.lost_by, httpx2.TimeoutException)
        return "RequestTimeoutError" if is_late else "ConnectionFailedError"


@dataclass(slots=True)
class Exchanges:
    """Those of one call, one after the other.

    Attributes:
        scope: Who is told.
        model: The model that is asked.
        is_streamed: Whether the answer comes in events.
        clock: Seconds on a clock that never goes back.
        first_content_at: When the first content came, on that clock.
    """

    scope: Scope
    model: str
    is_streamed: bool
    clock: Callable[[], float] = time.monotonic
    first_content_at: float | None = None
    _current: Exchange | None = None

    # `sending` calls these three.

    def sends(self, key: str) -> None:
        """A request is sent with a key; the one before it, if any, is over."""
        if self._current is not None and self.scope.is_heard(ApiCalled):
            self._tell(self._current, outcome=self._current.outcome())
        self._current = Exchange(key, self.clock())

    def answered(self, status_code: int, headers: Mapping[str, str]) -> None:
        """The head of an answer has come; its headers are named in lower case."""
        if self._current is not None:
            self._current.status_code, self._current.headers = status_code, headers

    def lost(self, error: BaseException) -> None:
        """No answer has come."""
        if self._current is not None:
            self._current.lost_by = error

    def are_over(
        self,
        error: BaseException | None,
        said: Mapping[str, Any],
        counted: Mapping[str, Any] | None = None,
    ) -> None:
        """The call is over.

        Args:
            error: What it raises, if anything.
            said: What the answer has said of itself, in the words of `response_metadata`.
            counted: Its tokens in LangChain's words, where they have been read already.
        """
        if self._current is None or not self.scope.is_heard(ApiCalled):
            return
        usage = said.get("token_usage")
        counted = counted or read_usage(usage) or {}
        facts: dict[str, Any] = {
            "outcome": SUCCEEDED,
            "answered_by": said.get("model_name"),
            "provider_name": said.get("provider_name"),
            "generation_id": said.get("id"),
            "input_tokens": counted.get("input_tokens"),
            "output_tokens": counted.get("output_tokens"),
            "cost_usd": usage.get("cost") if isinstance(usage, dict) else None,
        }
        if error is not None:
            facts |= {"outcome": _outcome(error), **_said_by(error)}
        self._tell(self._current, **facts)
        self._current = None

    def _tell(
        self,
        exchange: Exchange,
        *,
        status_code: int | None = None,
        generation_id: str | None = None,
        server_request_id: str | None = None,
        **facts: Any,
    ) -> None:
        """Tell of an exchange that is over; what is not known of its end, its head may say."""
        scope, headers, first_at = self.scope, exchange.headers, self.first_content_at
        event = ApiCalled(
            request_id=scope.request_id,
            run_id=scope.run_word,
            model=self.model,
            key_hint=hint_of(exchange.key),
            status_code=exchange.status_code if status_code is None else status_code,
            generation_id=generation_id or headers.get("x-generation-id"),
            server_request_id=server_request_id or headers.get("x-request-id"),
            latency_s=self.clock() - exchange.sent_at,
            time_to_first_token_s=None if first_at is None else first_at - exchange.sent_at,
            is_streamed=self.is_streamed,
            **facts,
        )
        scope.emit(event)


def _outcome(error: BaseException) -> str:
    return CANCELLED if isinstance(error, CANCELLING) else type(error).__name__


def _said_by(error: BaseException) -> dict[str, Any]:
    """What an error knows of the exchange that it ended."""
    if not isinstance(error, ExternalServiceError):
        return {}
    usage = error.raw.get("usage") if isinstance(error.raw, dict) else None
    facts = {
        "status_code": error.status_code,
        "provider_name": error.provider_name,
        "generation_id": error.generation_id,
        "server_request_id": error.request_id,
        "cost_usd": error.cost_usd,
        **usage_facts(read_usage(usage)),
    }
    return present(facts)


def told_of(exchanges: Exchanges | None) -> AbstractContextManager[None]:
    """What is told inside belongs to a call, where a chat model asks."""
    return nullcontext() if exchanges is None else on_behalf_of(exchanges.scope)
