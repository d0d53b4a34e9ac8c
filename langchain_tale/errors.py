"""Every exception that langchain_tale raises.

```
TaleError                            `except TaleError` catches ours, and only ours
├── ConfigurationError               nothing was sent: no key, a bad setting (a ValueError)
│   └── UnfitRequestError            asks for what is no story for a child; `theme`, `field`
├── BudgetSpentError                 not sent: a `Budget` of the caller's is spent; `attempts`
├── OutputError                      a file cannot be written, or is not what it should be
├── SharedStateError                 what machines share cannot be reached (a ConnectionError)
└── ExternalServiceError             it came from OpenRouter or from the way to it
    ├── InvalidRequestError          400, 413, 422: the request itself is wrong
    │   └── ContextLengthError       the prompt does not fit (LangChain's ContextOverflowError)
    ├── AuthenticationError          401
    ├── InsufficientCreditsError     402
    ├── PermissionDeniedError        403
    │   └── ModerationError          403, 400: refused for what it says; `reasons`
    ├── ModelNotFoundError           404: retired, renamed, or no endpoint may serve it
    ├── RateLimitError               429
    ├── RequestTimeoutError          408, 504, 524, or nobody answered in time
    ├── UnavailableError             500, 502, 503, 529
    │   └── CircuitOpenError         not asked: it failed too often; `retry_after_s`
    ├── ConnectionFailedError        no answer at all
    ├── MalformedReplyError          an answer that is none
    │   ├── EmptyReplyError          finished, but said nothing
    │   ├── BrokenStreamError        ended before it was finished; `partial_text`
    │   ├── UnparsableReplyError     does not fit the schema asked for; `partial_text`
    │   └── RefusedReplyError        a check of the caller's refused it; `partial_text`
    └── AllModelsFailedError         several tries failed; `attempts` has each of them
        └── UnfitStoryError          every story failed a check; `result` is the best of them
```

Leaves also inherit langchain-core's `ModelError` twin, so that code written for any
LangChain provider catches them. Messages say what happened, to which model, and what to
do; keys and prompts never appear in them.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from langchain_core import exceptions as core
from pydantic import PlainSerializer, ValidationError, WithJsonSchema

from langchain_tale.cards.card import Card, Shown
from langchain_tale.cards.stories import failure_card
from langchain_tale.cards.tracebacks import in_short

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from uuid import UUID


class TaleError(Shown, Exception):
    """Base of every exception of ours.

    In a notebook it shows itself as a card. IPython prints it in a few lines when it is raised;
    `%tb` has the whole traceback.
    """

    _is_printed: bool = False

    def card(self) -> Card:
        """What a notebook shows of it."""
        told = getattr(self, "partial_text", None)
        return failure_card(type(self).__name__, str(self), partial_text=told)

    @property
    def _render_traceback_(self) -> Callable[[], list[str]]:
        """What IPython prints instead of a traceback, the first time that it asks."""
        if self._is_printed:
            raise AttributeError
        return self._printed

    def _printed(self) -> list[str]:
        self._is_printed = True
        return in_short(self, getattr(self, "attempts", ()))


class ConfigurationError(TaleError, ValueError):
    """Nothing was sent: a key is missing, or a setting or argument is not allowed."""


class BudgetSpentError(TaleError, core.ModelError):
    """Nothing was sent: a `Budget` is spent. The model is well, and no other would be asked.

    It is no `ExternalServiceError`, because nobody but the caller set the limit. LangChain's
    twin is `ModelError` itself, whose `is_retryable` is false.

    Attributes:
        spent_usd: What had been spent when the request was refused, in USD.
        spent_tokens: The same in tokens.
        limit_usd: What may be spent, or None for no limit in USD.
        limit_tokens: What may be spent, or None for no limit in tokens.
        attempts: The tries of the same call that came before the refused one.
        partial_text: What a stream had told before it, or None.
        run_id: The LangChain run that was not begun, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        spent_usd: float = 0.0,
        spent_tokens: int = 0,
        limit_usd: float | None = None,
        limit_tokens: int | None = None,
    ) -> None:
        super().__init__(message)
        self.spent_usd = spent_usd
        self.spent_tokens = spent_tokens
        self.limit_usd = limit_usd
        self.limit_tokens = limit_tokens
        self.attempts: tuple[Attempt, ...] = ()
        self.partial_text: str | None = None
        self.run_id: UUID | None = None


class UnfitRequestError(ConfigurationError):
    """A request that makes no story for a child; no storyteller was asked.

    Its message is kind and in the language of the request, to be shown as it is. It quotes
    nothing of the request.

    Attributes:
        theme: `"sexual"`, `"violent"`, `"self_harm"`, `"drugs"`, `"hate"`, `"crude"`, or
            `"other"` where a judge said no.
        field: The field of the request that asks for it, where that is known.
    """

    def __init__(self, message: str, *, theme: str = "other", field: str | None = None) -> None:
        super().__init__(message)
        self.theme = theme
        self.field = field


class OutputError(TaleError):
    """A file cannot be written, or is not what it should be."""


class SharedStateError(TaleError, ConnectionError):
    """The Redis that machines share does not answer, so that nothing was sent."""


LoggedError = Annotated[
    Exception,
    PlainSerializer(lambda error: type(error).__name__, return_type=str),
    WithJsonSchema({"type": "string", "title": "Class of the error"}),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What one request to one model came to.

    Attributes:
        number: Counts from 1 within one logical call.
        model: The model that was asked.
        answered_by: The model that answered, where it says so.
        provider_name: The host that served it, where known.
        error: Why it failed, or None where it succeeded.
        waited_s: Seconds waited before it.
        latency_s: Seconds from asking to the end of the answer or to the failure.
        cost_usd: What the server charged for it, or None where it did not say.
        input_tokens: Tokens it read, or None where the server did not say.
        output_tokens: Tokens it wrote, likewise.
    """

    number: int
    model: str
    answered_by: str | None = None
    provider_name: str | None = None
    error: LoggedError | None = None
    waited_s: float = 0.0
    latency_s: float = 0.0
    cost_usd: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None

    @property
    def succeeded(self) -> bool:
        """Whether this attempt gave the answer."""
        return self.error is None

    def to_dict(self) -> dict[str, Any]:
        """The same facts, fit for JSON: the error as its class, message and status."""
        return {
            "number": self.number,
            "model": self.model,
            "answered_by": self.answered_by,
            "provider_name": self.provider_name,
            "error": None if self.error is None else type(self.error).__name__,
            "error_message": None if self.error is None else str(self.error),
            "status_code": getattr(self.error, "status_code", None),
            "waited_s": round(self.waited_s, 3),
            "latency_s": round(self.latency_s, 3),
            "cost_usd": self.cost_usd,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
        }

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Attempt:
        """The attempt that `to_dict` made `facts` of; its error has class, message and status."""
        known = {name: facts.get(name) for name in cls.__slots__ if name != "error"}
        known |= {name: known[name] or 0.0 for name in ("waited_s", "latency_s")}
        return cls(**known, error=_error_from(facts))  # type: ignore[arg-type]  # as written


def _error_from(facts: Mapping[str, Any]) -> Exception | None:
    if facts.get("error") is None:
        return None
    kind = globals().get(facts["error"])
    if not (isinstance(kind, type) and issubclass(kind, ExternalServiceError)):
        kind = ExternalServiceError
    error = kind(facts.get("error_message") or "")
    error.status_code, error.model = facts.get("status_code"), facts.get("model")
    error.provider_name = facts.get("provider_name")
    return error


class ExternalServiceError(TaleError, core.ModelError):
    """OpenRouter, a provider behind it or the way there failed.

    Attributes:
        status_code: HTTP status, or the code a 200 carried in its body.
        error_type: OpenRouter's word for it, e.g. `"rate_limit_exceeded"`.
        model: The model that was asked.
        provider_name: The host that failed.
        generation_id: OpenRouter's id of the generation, for a post-mortem.
        request_id: The server's own id of the request.
        client_request_id: Ours of the logical call, or the caller's: see `request_id`.
        retry_after_s: Seconds the server asked to wait.
        partial_text: Text that arrived before a stream broke.
        raw: The error body as it came.
        retryable: The server's own word on whether to try again.
        fallback_models: Other models that the server suggests, best first.
        has_other_key: Whether there is another API key to ask with.

    Each is None, empty or false where unknown.
    """

    client_request_id: str | None = None
    fallback_models: tuple[str, ...] = ()
    has_other_key: bool = False

    def __init__(  # one keyword for each fact a handler may need
        self,
        message: str,
        *,
        status_code: int | None = None,
        error_type: str | None = None,
        model: str | None = None,
        provider_name: str | None = None,
        generation_id: str | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
        partial_text: str | None = None,
        raw: Any = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.error_type = error_type
        self.model = model
        self.provider_name = provider_name
        self.generation_id = generation_id
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        self.partial_text = partial_text
        self.raw = raw
        self.retryable = retryable

    @property
    def cost_usd(self) -> float | None:
        """What the failed answer cost all the same, where the server says so."""
        cost = self._used("cost")
        return cost if isinstance(cost, int | float) else None

    @property
    def input_tokens(self) -> int | None:
        """The tokens that the failed answer read, where the server says so."""
        tokens = self._used("prompt_tokens")
        return tokens if isinstance(tokens, int) else None

    @property
    def output_tokens(self) -> int | None:
        """The tokens that the failed answer wrote, where the server says so."""
        tokens = self._used("completion_tokens")
        return tokens if isinstance(tokens, int) else None

    def _used(self, what: str) -> Any:
        usage = self.raw.get("usage") if isinstance(self.raw, dict) else None
        return usage.get(what) if isinstance(usage, dict) else None


class InvalidRequestError(ExternalServiceError, core.ModelInvalidRequestError):
    """The request itself is wrong; sending it again changes nothing."""


class ContextLengthError(InvalidRequestError, core.ContextOverflowError):
    """The prompt is longer than the model can read."""


class AuthenticationError(ExternalServiceError, core.ModelAuthenticationError):
    """The API key is missing, wrong, disabled or expired."""


class InsufficientCreditsError(ExternalServiceError):
    """The account or the key has no credit left for this request."""


class PermissionDeniedError(ExternalServiceError, core.ModelPermissionDeniedError):
    """The key may not do this, or a guardrail or budget forbids it."""


class ModerationError(PermissionDeniedError, core.ModelRefusalError):
    """The content was refused, by OpenRouter, a provider or the model itself.

    Attributes:
        reasons: What it was flagged for, where the server says so.
        raw_message: The answer in which a model refused, or None.
    """

    reasons: tuple[str, ...] = ()


class ModelNotFoundError(ExternalServiceError, core.ModelNotFoundError):
    """The model is unknown or retired, or no endpoint may serve this request."""


class RateLimitError(ExternalServiceError, core.ModelRateLimitError):
    """Too many requests: of ours to OpenRouter, or of everybody's to the provider.

    Attributes:
        is_of_account: The account's own limit for free models: no free model and no other
            key of the account would fare better.
    """

    is_of_account: bool = False


class RequestTimeoutError(ExternalServiceError, core.ModelTimeoutError):
    """No answer in time."""


class UnavailableError(ExternalServiceError, core.ModelAPIError):
    """The model or its provider is down or overloaded."""


class CircuitOpenError(UnavailableError):
    """Nothing was sent: the model failed too often, and is left alone for `retry_after_s`."""


class ConnectionFailedError(ExternalServiceError, core.ModelConnectionError):
    """No connection, or it was lost before an answer came."""


class MalformedReplyError(ExternalServiceError, core.ModelAPIError):
    """An answer arrived that is not what the API promises."""


class EmptyReplyError(MalformedReplyError):
    """The model finished and said nothing.

    Attributes:
        finish_reason: Why it finished, e.g. `"length"` where reasoning ate the budget.
    """

    finish_reason: str | None = None


class BrokenStreamError(MalformedReplyError):
    """The stream ended before the model had finished; see `partial_text`.

    Attributes:
        has_usage: Whether the server had already said what the answer cost, as it does at the
            end: then nothing but the reason why the model finished may be missing.
    """

    has_usage: bool = False


class UnparsableReplyError(MalformedReplyError, core.OutputParserException):
    """The answer does not fit the schema that was asked for; `partial_text` has it whole."""

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.args = (message,)  # langchain-core appends an address to it
        self.llm_output = self.partial_text


class RefusedReplyError(MalformedReplyError):
    """An answer that a check of the caller's refused; `partial_text` has it whole.

    Attributes:
        reason: What the check said.
        told_reason: The same as messages and logs tell it: of a parser's exception, which may
            quote the answer, its class alone.
        message: The answer, as the model gave it.
        attempts: Every try of the call in order, where this error ended it.
    """

    reason: str = ""
    told_reason: str = ""
    message: Any = None
    attempts: tuple[Attempt, ...] = ()


class AllModelsFailedError(ExternalServiceError):
    """Several tries, and none gave an answer.

    Attributes:
        attempts: Every try in order, each with its error.
    """

    attempts: tuple[Attempt, ...]

    def __init__(
        self, message: str, *, attempts: Sequence[Attempt] = (), partial_text: str | None = None
    ) -> None:
        last = attempts[-1].error if attempts else None
        super().__init__(
            message,
            status_code=getattr(last, "status_code", None),
            error_type=getattr(last, "error_type", None),
            model=attempts[-1].model if attempts else None,
            provider_name=getattr(last, "provider_name", None),
            generation_id=getattr(last, "generation_id", None),
            retry_after_s=getattr(last, "retry_after_s", None),
            partial_text=partial_text,
        )
        self.attempts = tuple(attempts)

    def card(self) -> Card:
        """What a notebook shows of it."""
        return failure_card(
            type(self).__name__,
            str(self),
            attempts=self.attempts,
            partial_text=self.partial_text,
        )


class UnfitStoryError(AllModelsFailedError):
    """Every story that was told failed a check.

    Attributes:
        result: The best of them, as a `StoryGenerationResult` with its report.
    """

    result: Any = None


def one_sentence(error: ValidationError, *, of: str) -> str:
    """Pydantic's complaint as one sentence that quotes no value.

    Args:
        error: What pydantic raised.
        of: What was being validated, e.g. `"StoryRequest"`.

    Returns:
        `"StoryRequest.age: Input should be greater than or equal to 1"`; several
        complaints are joined by semicolons.
    """
    complaints = (
        (".".join(str(part) for part in (of, *item["loc"])), item["msg"])
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    )
    return "; ".join(f"{where}: {what.removeprefix('Value error, ')}" for where, what in complaints)


@contextmanager
def checking(what: str) -> Iterator[None]:
    """Turn pydantic's complaints about `what` into a `ConfigurationError` of one sentence."""
    try:
        yield
    except ValidationError as error:
        raise _own_error(error) or ConfigurationError(one_sentence(error, of=what)) from None


def _own_error(error: ValidationError) -> ConfigurationError | None:
    """The error of ours that pydantic wrapped, if it was one."""
    causes = (item.get("ctx", {}).get("error") for item in error.errors(include_input=False))
    return next((cause for cause in causes if isinstance(cause, ConfigurationError)), None)
