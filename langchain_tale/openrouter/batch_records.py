"""A batch as OpenRouter describes it; pure (§23b)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal  # noqa: TC003 (pydantic reads it)
from typing import TYPE_CHECKING, Any, Final, Self

from langchain_core.messages import AIMessage
from pydantic import Field

from langchain_tale.errors import ExternalServiceError, UnavailableError
from langchain_tale.openrouter.failures import Source, error_from_body
from langchain_tale.openrouter.protocol import read_reply
from langchain_tale.openrouter.record import Moment, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

_OVER: Final = frozenset({"completed", "failed", "expired", "cancelled"})
_OK: Final = 200
_OPENROUTER: Final = Source("OpenRouter")


class Counts(Record):
    """How far a batch is.

    Attributes:
        total: Requests in all.
        completed: Those that were answered.
        failed: Those that were not.
    """

    total: int = 0
    completed: int = 0
    failed: int = 0


class BatchUsage(Record):
    """What a batch came to, in all.

    Attributes:
        input_tokens: Tokens read.
        output_tokens: Tokens written.
        cost_usd: What was charged.
    """

    input_tokens: int | None = Field(None, validation_alias="prompt_tokens")
    output_tokens: int | None = Field(None, validation_alias="completion_tokens")
    cost_usd: Decimal | None = Field(None, validation_alias="cost")


class Batch(Record):
    """A batch as it stands.

    Attributes:
        id: Its id, `batch_…`: all that is needed to find it again.
        model: The model that is asked.
        status: `"validating"`, `"in_progress"`, `"finalizing"`, `"completed"`, `"failed"`,
            `"expired"`, `"cancelling"` or `"cancelled"`; others may come.
        created_at: When it was submitted.
        counts: How far it is.
        usage: What it came to; None until then.
        results: The answers as they came; None until it is completed.
        error: What failed, where all of it did.
    """

    id: str
    model: str | None = None
    status: str | None = None
    created_at: Moment = None
    counts: Counts | None = Field(None, validation_alias="request_counts")
    usage: BatchUsage | None = None
    results: tuple[dict[str, Any], ...] | None = None
    error: Any = None

    @classmethod
    def from_body(cls, body: Any, source: Source = _OPENROUTER) -> Self:
        """Read what the API says of a batch, which has no envelope.

        Raises:
            MalformedReplyError: It is no batch.
            ExternalServiceError: It is an error, and no batch with one.
        """
        if isinstance(body, Mapping) and body.get("error") and not body.get("id"):
            raise error_from_body(body, source)
        return cls._read(body, body, source)

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in _OVER

    def replies(self) -> dict[str, AIMessage | ExternalServiceError]:
        """What came of each request, by the ids that it was submitted under.

        Returns:
            The message, as asking alone would have given it; or the error that asking alone
            would have raised. A request that the batch says nothing of is not there.
        """
        return dict(self._replies())

    def _replies(self) -> Iterator[tuple[str, AIMessage | ExternalServiceError]]:
        for result in self.results or ():
            name = result.get("custom_id")
            if isinstance(name, str):
                yield name, self._reply(result)

    def _reply(self, result: Mapping[str, Any]) -> AIMessage | ExternalServiceError:
        source = Source(self.model or "The model")
        try:
            answer = read_reply(body_of(result, source), source).generations[0].message
        except ExternalServiceError as error:
            return error
        assert isinstance(answer, AIMessage)  # noqa: S101 (what read_reply makes)
        return answer


def body_of(result: Mapping[str, Any], source: Source) -> Any:
    """The body of an answer, as asking alone would have given it.

    Args:
        result: One of a batch's `results`.
        source: Whose answer it is.

    Raises:
        ExternalServiceError: There is none, or it was refused.
    """
    response = result.get("response")
    if not isinstance(response, Mapping):
        failure = result.get("error")
        if isinstance(failure, Mapping):
            raise error_from_body({"error": failure}, source)
        msg = f"{source.model} gave no answer in this batch; submit the request again."
        raise UnavailableError(msg, model=source.model, raw=dict(result))
    status, body = response.get("status_code"), response.get("body")
    if status == _OK:
        return body
    failure = body.get("error") if isinstance(body, Mapping) else None
    said = failure if isinstance(failure, Mapping) else {"message": "no answer"}
    raise error_from_body({"error": {"code": status, **said}}, source)
