"""What the end of a LangChain run says of the requests behind it; pure.

A run of `ResilientChatModel` lists its attempts: in the answer's
`response_metadata["attempts"]`, or as `.attempts` of the error. Any other chat model's run is
one attempt. No text is read, and none is kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from langchain_core.messages import AIMessage

from langchain_tale.errors import (
    Attempt,
    BudgetSpentError,
    CircuitOpenError,
    ConfigurationError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_core.outputs import LLMResult

NOT_SENT: Final = (BudgetSpentError, CircuitOpenError, ConfigurationError)
"""Errors that no request was behind."""
_NOT_REPORTED: Final[Mapping[str, Any]] = {}


@dataclass(slots=True, kw_only=True)
class Tried:
    """One request, as far as its numbers go.

    Attributes:
        model: The model that was asked, or None where only the run's beginning tells.
        answered_by: The model that answered, where it says so.
        error: The class of the error; None where there was none, or its caller gave it up.
        waited_s: Seconds waited before it.
        latency_s: Seconds that it took, or None where only the run's clock tells.
        input_tokens: Tokens it read; 0 where unknown.
        output_tokens: Tokens it wrote; 0 where unknown.
        cost_usd: What it cost; 0 where unknown.
    """

    model: str | None = None
    answered_by: str | None = None
    error: str | None = None
    waited_s: float = 0.0
    latency_s: float | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0


@dataclass(slots=True, kw_only=True)
class Ending:
    """What a run ended with.

    Attributes:
        tried: Its attempts in order; the last one gave the answer, if there is one.
        is_cached: Whether it came from LangChain's cache, without any request.
        is_logged: Whether all attempts are known; else it is the last one.
    """

    tried: list[Tried]
    is_cached: bool = False
    is_logged: bool = False


class Said(NamedTuple):
    """What an answer says of itself, picked out at once, to be read when there is time.

    Attributes:
        attempts: `response_metadata["attempts"]`.
        model: The model that answered.
        cost: What the server charged.
        read: Tokens that it read, by LangChain's word.
        written: Tokens that it wrote, likewise.
        is_cached: Whether the answer came from LangChain's cache.
        reported: The server's own count of tokens and cost, where one of these is no number.
    """

    attempts: Any = None
    model: Any = None
    cost: Any = None
    read: Any = None
    written: Any = None
    is_cached: bool = False
    reported: Mapping[str, Any] = _NOT_REPORTED

    @classmethod
    def by(cls, response: LLMResult) -> Said:
        """Pick it out of a run's answer."""
        message = _message_of(response)
        if message is None:
            return NOTHING_SAID
        metadata = message.response_metadata
        usage: Mapping[str, Any] = message.usage_metadata or _NOT_REPORTED
        read, written = usage.get("input_tokens"), usage.get("output_tokens")
        cost, reported = metadata.get("cost"), _NOT_REPORTED
        if not (isinstance(read, int) and isinstance(written, int) and isinstance(cost, float)):
            reported = _copied(metadata.get("token_usage"))
        return cls(
            metadata.get("attempts"),
            metadata.get("model_name") or metadata.get("model"),
            cost,
            read,
            written,
            "total_cost" in usage and not usage["total_cost"],  # langchain-core's mark of it
            reported,
        )

    def tried(self) -> list[Tried]:
        """The attempts behind it."""
        tried = [_of_facts(facts) for facts in _log_of(self.attempts)] or [Tried()]
        last, reported = tried[-1], self.reported
        last.answered_by = self.model or last.answered_by
        last.input_tokens = _whole(self.read, reported.get("prompt_tokens"))
        last.output_tokens = _whole(self.written, reported.get("completion_tokens"))
        last.cost_usd = last.cost_usd or _money(self.cost, reported.get("cost"))
        return tried


NOTHING_SAID: Final = Said()


def read_answer(response: LLMResult) -> Ending:
    """The attempts of a run that ended with an answer."""
    said = Said.by(response)
    if said.is_cached:
        return Ending(tried=[], is_cached=True)
    return Ending(tried=said.tried(), is_logged=bool(_log_of(said.attempts)))


def read_error(error: BaseException, response: Any = None) -> Ending:
    """The attempts of a run that ended with an error.

    Args:
        error: What it raised.
        response: What langchain-core knows of the answer so far; a stream that is left after
            its last chunk has told what it cost.
    """
    log = getattr(error, "attempts", None)
    if isinstance(log, tuple) and log:
        return Ending(tried=[_of_attempt(attempt) for attempt in log], is_logged=True)
    if isinstance(error, NOT_SENT):
        return Ending(tried=[])
    only = read_answer(response).tried[-1] if _is_told(response) else Tried()
    only.model = getattr(error, "model", None)
    only.error = type(error).__name__ if isinstance(error, Exception) else None
    only.input_tokens = _whole(getattr(error, "input_tokens", None), only.input_tokens)
    only.output_tokens = _whole(getattr(error, "output_tokens", None), only.output_tokens)
    only.cost_usd = _money(getattr(error, "cost_usd", None), only.cost_usd)
    return Ending(tried=[only])


def _message_of(response: LLMResult) -> AIMessage | None:
    generations = response.generations
    if not (generations and generations[0]):
        return None
    message = getattr(generations[0][0], "message", None)
    return message if isinstance(message, AIMessage) else None


def _is_told(response: Any) -> bool:
    message = None if response is None else _message_of(response)
    return message is not None and message.usage_metadata is not None


def _copied(reported: Any) -> Mapping[str, Any]:
    return dict(reported) if isinstance(reported, dict) else _NOT_REPORTED


def _log_of(log: Any) -> list[Mapping[str, Any]]:
    """The log of the attempts, or nothing."""
    return log if isinstance(log, list) and log and isinstance(log[0], dict) else []


def _of_facts(facts: Mapping[str, Any]) -> Tried:
    """An attempt from `Attempt.to_dict`."""
    return Tried(
        model=facts.get("model"),
        answered_by=facts.get("answered_by"),
        error=facts.get("error"),
        waited_s=facts.get("waited_s") or 0.0,
        latency_s=facts.get("latency_s"),
        input_tokens=facts.get("input_tokens") or 0,
        output_tokens=facts.get("output_tokens") or 0,
        cost_usd=facts.get("cost_usd") or 0.0,
    )


def _of_attempt(attempt: Attempt) -> Tried:
    return Tried(
        model=attempt.model,
        answered_by=attempt.answered_by,
        error=None if attempt.error is None else type(attempt.error).__name__,
        waited_s=attempt.waited_s,
        latency_s=attempt.latency_s,
        input_tokens=attempt.input_tokens or 0,
        output_tokens=attempt.output_tokens or 0,
        cost_usd=attempt.cost_usd or 0.0,
    )


def _whole(said: Any, otherwise: Any) -> int:
    """What is a number of tokens, else the other, else 0."""
    if isinstance(said, int) and said >= 0:
        return said
    return otherwise if isinstance(otherwise, int) and otherwise >= 0 else 0


def _money(said: Any, otherwise: Any) -> float:
    """What is an amount, else the other, else 0."""
    for amount in (said, otherwise):
        if isinstance(amount, int | float) and 0 <= amount < math.inf:
            return float(amount)
    return 0.0
