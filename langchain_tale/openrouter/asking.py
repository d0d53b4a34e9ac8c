"""One call of a chat model, as events tell it."""

from __future__ import annotations

from collections.abc import Callable, Mapping  # noqa: TC003 (a dataclass's fields)
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_tale.errors import ExternalServiceError
from langchain_tale.openrouter.exchanges import CANCELLING, Exchanges
from langchain_tale.telemetry.disclosure import log_response
from langchain_tale.telemetry.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    CallFailed,
)
from langchain_tale.telemetry.facts import answer_facts, failure_facts

if TYPE_CHECKING:
    from typing import Self

    from langchain_core.outputs import ChatGenerationChunk, ChatResult

    from langchain_tale.openrouter.streams import StreamReader
    from langchain_tale.telemetry.scopes import Scope


@dataclass(slots=True)
class Asking:
    """A context manager around one call, sync or async.

    Attributes:
        exchanges: The HTTP requests that it takes.
        is_attempt: Whether a policy asks, which tells of its attempts itself.
        said: What the answer has said of itself so far, in the words of `response_metadata`.
        body: Returns the answer as it came so far.
    """

    exchanges: Exchanges
    is_attempt: bool
    said: Mapping[str, Any] = field(default_factory=dict)
    body: Callable[[], Any] | None = None
    _usage: Any = None
    _chars: int = 0
    _began_at: float = 0.0
    _is_whole: bool = False

    @property
    def scope(self) -> Scope:
        """Who is told."""
        return self.exchanges.scope

    def __enter__(self) -> Self:
        self._begin()
        if not self.is_attempt:
            self.scope.flush()
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._end(error)
        if not self.is_attempt:
            self.scope.flush()

    async def __aenter__(self) -> Self:
        self._begin()
        if not self.is_attempt:
            await self.scope.aflush()
        return self

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._end(error)
        if not self.is_attempt:
            await self.scope.aflush()

    # ── what comes in ───────────────────────────────────────────────────────

    def whole(self, result: ChatResult) -> ChatResult:
        """Note what a whole answer says of itself, and hand it on."""
        message: Any = result.generations[0].message
        self.said, self._usage = message.response_metadata, message.usage_metadata
        self._chars = len(message.text)
        return result

    def chunk(self, chunk: ChatGenerationChunk) -> ChatGenerationChunk:
        """Note a part of an answer, and hand it on."""
        if chunk.text:
            self._chars += len(chunk.text)
            if self.exchanges.first_content_at is None:
                self.exchanges.first_content_at = now = self.exchanges.clock()
                self.scope.time_to_first_token_s = now - self._began_at
        return chunk

    def last_chunk(self, chunk: ChatGenerationChunk) -> ChatGenerationChunk:
        """Note the part of an answer that has its facts, and hand it on."""
        message: Any = chunk.message
        self.said, self._usage = message.response_metadata, message.usage_metadata
        self._is_whole = True
        return chunk

    def reads(self, reader: StreamReader) -> StreamReader:
        """Note who reads a streamed answer, and so knows what came of it, and hand it on."""
        self.said = reader.facts.said
        self.body = lambda: {**reader.facts.said, "content": reader.partial_text}
        return reader

    # ── what is told ────────────────────────────────────────────────────────

    def _begin(self) -> None:
        self._began_at = self.exchanges.clock()
        if not self.is_attempt:
            self.scope.tell(AttemptStarted, model=self.exchanges.model)

    def _end(self, error: BaseException | None) -> None:
        if isinstance(error, GeneratorExit) and self._is_whole:
            error = None  # the caller had all of it, and left without asking for more
        self.scope.claim(error)
        self.exchanges.are_over(error, self.said, self._usage)
        body = error.raw if isinstance(error, ExternalServiceError) else None
        read = self.body if body is None else lambda: body
        if read is not None:
            log_response(self.scope, self.exchanges.model, read)
        if self.is_attempt or isinstance(error, CANCELLING):
            return
        if error is None:
            self._tell_of_answer()
        else:
            self._tell_of_failure(error)

    def _tell_of_answer(self) -> None:
        if not self.scope.is_heard(AttemptSucceeded):
            return
        is_streamed, cost_usd = self.exchanges.is_streamed, self.said.get("cost")
        seconds = self.exchanges.clock() - self._began_at
        self.scope.tell(
            AttemptSucceeded,
            model=self.exchanges.model,
            answered_by=self.said.get("model_name"),
            provider_name=self.said.get("provider_name"),
            latency_s=seconds,
            time_to_first_token_s=self.scope.time_to_first_token_s,
            cost_usd=cost_usd,
            total_latency_s=seconds,
            total_cost_usd=cost_usd,
            **answer_facts(
                self.said, self._usage, content_chars=self._chars, is_streamed=is_streamed
            ),
        )

    def _tell_of_failure(self, error: BaseException) -> None:
        if not self.scope.is_heard(CallFailed):
            return
        known: dict[str, Any] = {
            "model": self.exchanges.model,
            "latency_s": self.exchanges.clock() - self._began_at,
            "cost_usd": getattr(error, "cost_usd", None),
        }
        facts = failure_facts(error)
        provider_name = getattr(error, "provider_name", None)
        self.scope.tell(AttemptFailed, error, **known, **facts, provider_name=provider_name)
        reason = {name: facts[name] for name in ("error", "error_type", "status_code")}
        self.scope.tell(CallFailed, error, **known, **reason, last_error=facts["error"])
