"""What happened, as frozen facts. No event holds a key, a prompt or what a model said.

| event | level | when |
| --- | --- | --- |
| `AttemptStarted` | DEBUG | a model is asked |
| `AttemptFailed` | DEBUG | it gave no answer, or none that will do |
| `AttemptSucceeded` | INFO, DEBUG in a story chain | it answered, and the call is over |
| `RetryScheduled` | WARNING | another attempt follows a failure |
| `ModelFellBack` | INFO | another model is asked than before |
| `CircuitOpened`, `CircuitClosed` | WARNING, INFO | a model is passed over; is asked again |
| `RedisLost` | WARNING | what shares the circuits does not answer; once a registry |
| `KeyRetired` | WARNING | OpenRouter refused an API key |
| `ModelRetired` | WARNING | a model is gone, and its successors take part; once a process |
| `StoryTold` | INFO | a story is whole |
| `StoryRefused` | WARNING | a check of the caller's refused an answer |
| `CallFailed` | ERROR | no attempt is left |
| `ApiCalled` | DEBUG | an HTTP request of a chat model is over, however it ended |
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar, Final

from langchain_tale.telemetry.event import Event
from langchain_tale.telemetry.states import (
    CircuitClosed,
    CircuitOpened,
    KeyRetired,
    ModelRetired,
    RedisLost,
)

__all__ = [
    "ALL_OPEN",
    "ApiCalled",
    "AttemptFailed",
    "AttemptStarted",
    "AttemptSucceeded",
    "CallFailed",
    "CircuitClosed",
    "CircuitOpened",
    "Event",
    "KeyRetired",
    "ModelFellBack",
    "ModelRetired",
    "RedisLost",
    "RetryScheduled",
    "StoryRefused",
    "StoryTold",
]

_OK: Final = 200
ALL_OPEN: Final = "CircuitOpenError"
"""The error of an attempt for which no model might be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStarted(Event):
    """A model is asked.

    Attributes:
        model: The model.
        attempt: Counts from 1 within the logical call.
        max_attempts: How many there may be.
        wait_s: Seconds waited before it.
    """

    name: ClassVar[str] = "attempt.started"

    model: str
    attempt: int = 1
    max_attempts: int = 1
    wait_s: float = 0.0

    @property
    def message(self) -> str:
        """The event as a sentence."""
        return f"attempt {self.attempt} of {self.max_attempts}: asking {self.model}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFailed(Event):
    """A model gave no answer, or none that will do.

    Attributes:
        model: The model that was asked.
        attempt: Counts from 1.
        max_attempts: How many there may be.
        provider_name: The host that failed, where known.
        error: Class of the error.
        error_type: OpenRouter's word for it, where it has one.
        status_code: HTTP status, or the code inside a 200.
        server_request_id: The server's own id of the request.
        generation_id: OpenRouter's id of the generation.
        latency_s: Seconds from asking to the failure.
        cost_usd: What it cost all the same.
    """

    name: ClassVar[str] = "attempt.failed"

    model: str
    attempt: int = 1
    max_attempts: int = 1
    provider_name: str | None = None
    error: str
    error_type: str | None = None
    status_code: int | None = None
    server_request_id: str | None = None
    generation_id: str | None = None
    latency_s: float | None = None
    cost_usd: float | None = None

    @property
    def message(self) -> str:
        """The event as a sentence."""
        return f"attempt {self.attempt} of {self.max_attempts} failed: {_failure(self)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptSucceeded(Event):
    """A model answered, and the call is over.

    Attributes:
        model: The model that was asked.
        answered_by: The model that answered.
        provider_name: The host that served it.
        attempt: Counts from 1.
        max_attempts: How many there might have been.
        generation_id: OpenRouter's id of the generation.
        latency_s: Seconds from asking to the end of the answer.
        time_to_first_token_s: Seconds from asking to the first content of a stream.
        input_tokens: As the server counted them.
        output_tokens: As the server counted them.
        cost_usd: What the server charged for this attempt.
        total_cost_usd: What it charged for all attempts of the call.
        total_latency_s: Seconds of the call, waits and failed attempts included.
        content_chars: Length of the answer.
        is_streamed: Whether it came in chunks.
    """

    name: ClassVar[str] = "attempt.succeeded"
    level: ClassVar[int] = logging.INFO

    model: str
    answered_by: str | None = None
    provider_name: str | None = None
    attempt: int = 1
    max_attempts: int = 1
    generation_id: str | None = None
    latency_s: float | None = None
    time_to_first_token_s: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    total_cost_usd: float | None = None
    total_latency_s: float | None = None
    content_chars: int | None = None
    is_streamed: bool = False

    @property
    def message(self) -> str:
        """The event as a sentence."""
        who = self.answered_by or self.model
        return f"attempt {self.attempt} of {self.max_attempts}: {who} answered{_took(self)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryScheduled(Event):
    """Another attempt follows a failure; or the same, where every circuit is open.

    Attributes:
        model: The model that failed, or might not be asked.
        attempt: Which attempt failed.
        max_attempts: How many there may be.
        error: Class of the error.
        status_code: HTTP status, or the code inside a 200.
        next_model: The model whose turn it is.
        wait_s: Seconds until then.
    """

    name: ClassVar[str] = "retry.scheduled"
    level: ClassVar[int] = logging.WARNING

    model: str
    attempt: int
    max_attempts: int
    error: str
    status_code: int | None = None
    next_model: str
    wait_s: float

    @property
    def message(self) -> str:
        """The event as a sentence."""
        which = f"attempt {self.attempt} of {self.max_attempts}"
        when = f"in {self.wait_s:.1f} s" if self.wait_s else "at once"
        if self.error == ALL_OPEN:
            return f"{which} waits for a circuit; asking {self.next_model} {when}"
        failed = f"{which} failed ({_failure(self)})"
        if self.next_model == self.model:
            return f"{failed}; retrying {when}"
        return f"{failed}; asking {self.next_model} {when}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFellBack(Event):
    """Another model is asked than before.

    Attributes:
        model: The model that is asked now.
        from_model: The one before, or the preferred one that was passed over.
        attempt: The attempt that is about to start.
        error: Class of the error that led here.
    """

    name: ClassVar[str] = "model.fell_back"
    level: ClassVar[int] = logging.INFO

    model: str
    from_model: str
    attempt: int
    error: str

    @property
    def message(self) -> str:
        """The event as a sentence."""
        return f"fell back from {self.from_model} to {self.model} ({self.error})"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryTold(Event):
    """A story is whole.

    Attributes:
        model: The model that told it.
        provider_name: The host that served it.
        generation_id: OpenRouter's id of the generation.
        attempts: Requests that it took.
        latency_s: Seconds, waits and failed attempts included.
        input_tokens: Of the attempt that gave the story.
        output_tokens: Of the attempt that gave the story.
        cost_usd: What all attempts cost.
        content_chars: Length of the story.
        content_words: The same in words.
        is_cut_off: Whether the model reached its token limit.
    """

    name: ClassVar[str] = "story.told"
    level: ClassVar[int] = logging.INFO

    model: str
    provider_name: str | None = None
    generation_id: str | None = None
    attempts: int = 1
    latency_s: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    content_chars: int
    content_words: int
    is_cut_off: bool = False

    @property
    def message(self) -> str:
        """The event as a sentence."""
        return f"{self.model} told a story of {self.content_words} words{_took(self)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryRefused(Event):
    """A check of the caller's refused an answer.

    Attributes:
        model: The model that gave it.
        attempt: Counts from 1.
        max_attempts: How many there may be.
        provider_name: The host that served it.
        generation_id: OpenRouter's id of the generation.
        reason: What the check said, where it was a sentence of the caller's own.
        content_chars: Length of the answer.
        cost_usd: What it cost all the same.
    """

    name: ClassVar[str] = "story.refused"
    level: ClassVar[int] = logging.WARNING

    model: str
    attempt: int = 1
    max_attempts: int = 1
    provider_name: str | None = None
    generation_id: str | None = None
    reason: str | None = None
    content_chars: int | None = None
    cost_usd: float | None = None

    @property
    def message(self) -> str:
        """The event as a sentence."""
        why = f": {self.reason}" if self.reason else ""
        return (
            f"attempt {self.attempt} of {self.max_attempts}: "
            f"the answer of {self.model} was refused{why}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFailed(Event):
    """No attempt is left, and the call raises.

    Attributes:
        model: The model that was asked last.
        attempts: Requests that were made.
        error: Class of the error that is raised.
        last_error: Class of the last attempt's error.
        error_type: OpenRouter's word for that, where it has one.
        status_code: HTTP status of that, or the code inside a 200.
        latency_s: Seconds in all, waits included.
        cost_usd: What all attempts cost.
    """

    name: ClassVar[str] = "call.failed"
    level: ClassVar[int] = logging.ERROR

    model: str | None = None
    attempts: int = 1
    error: str
    last_error: str
    error_type: str | None = None
    status_code: int | None = None
    latency_s: float | None = None
    cost_usd: float | None = None

    @property
    def message(self) -> str:
        """The event as a sentence."""
        tries = "the only attempt" if self.attempts == 1 else f"all {self.attempts} attempts"
        tries = tries if self.attempts else "nothing was sent: the call"
        where = "" if self.model is None else f" of {self.model}"
        return f"{tries} failed; last: {self.last_error}{_status(self.status_code)}{where}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCalled(Event):
    """An HTTP request of a chat model to OpenRouter is over: exactly one event for each.

    Attributes:
        model: The model that was asked.
        outcome: `"succeeded"`, `"cancelled"` (the caller left), or the class of the error.
        key_hint: Last four characters of the API key, or None where that would be most of it.
        answered_by: The model that answered.
        provider_name: The host that served it.
        generation_id: OpenRouter's id of the generation.
        server_request_id: The server's own id of the request.
        status_code: HTTP status, or the code inside a 200; None where no answer came.
        input_tokens: As the server counted them.
        output_tokens: As the server counted them.
        cost_usd: What the server charged.
        latency_s: Seconds from sending to the end of the answer or to the failure.
        time_to_first_token_s: Seconds from sending to the first content of a stream.
        is_streamed: Whether the answer was to come in events.
        time: When it was over, in UTC.
    """

    name: ClassVar[str] = "api.called"
    is_custom: ClassVar[bool] = False

    model: str
    outcome: str
    key_hint: str | None = None
    answered_by: str | None = None
    provider_name: str | None = None
    generation_id: str | None = None
    server_request_id: str | None = None
    status_code: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    latency_s: float | None = None
    time_to_first_token_s: float | None = None
    is_streamed: bool = False
    time: datetime = field(default_factory=partial(datetime.now, UTC))

    def to_dict(self) -> dict[str, Any]:
        """The facts that are known, flat and fit for JSON."""
        facts = Event.to_dict(self)  # `super()` does not know a class with slots yet
        return {**facts, "time": self.time.isoformat(timespec="milliseconds")}

    @property
    def message(self) -> str:
        """The event as a sentence."""
        status = "" if self.status_code is None else f"{self.status_code}, "
        return f"request to {self.model} {self.outcome}{_took(self, status)}"


# ── sentences ───────────────────────────────────────────────────────────────


def _failure(event: AttemptFailed | RetryScheduled) -> str:
    return f"{event.model}: {event.error}{_status(event.status_code)}"


def _status(status_code: int | None) -> str:
    """The status of a failure, unless it came with a success."""
    return "" if status_code in (None, _OK) else f" {status_code}"


def _took(event: AttemptSucceeded | StoryTold | ApiCalled, said: str = "") -> str:
    """What it took, as far as it is known: in one go, since each answer is told of."""
    seconds, usd = event.latency_s, event.cost_usd
    read, written = event.input_tokens, event.output_tokens
    if seconds is not None:
        said += f"{seconds:.1f} s, "
    if read is not None or written is not None:
        said += f"{(read or 0) + (written or 0)} tokens, "
    if usd is not None:
        amount = f"{usd:.4g}"
        said += f"${Decimal(amount):f}, " if "e" in amount else f"${amount}, "  # no exponent
    return f" ({said[:-2]})" if said else ""
