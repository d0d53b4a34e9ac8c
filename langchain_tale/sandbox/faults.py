"""What can be made to go wrong, one request at a time.

Each kind, for a whole answer and for a stream; sections are those of OpenRouter's page
"Errors and debugging", recordings are of real traffic.

| kind | whole answer | stream |
| --- | --- | --- |
| `http` | status and error body | the same: nothing has been streamed yet |
| `body` | error body inside a 200 | the same, as JSON |
| `html` | a page of the edge, of any status, 200 included | the same |
| `hangup` | the connection closes before a byte of an answer | the same |
| `reset` | likewise, by a TCP reset (RST) | the same |
| `hang` | not a byte, until the client leaves or the sandbox stops | the same |
| `choiceless` | 200 with `choices: null` and no error | the same, as JSON |
| `empty` | 200 without a word | a stream without a word |
| `starved` | reasoning ate `max_tokens`: no content, `length` | the same |
| `choice` | partial text, and an error in its choice | likewise, in the last choice |
| `midstream` | `http` 502 | an error event; see `finish_reason`, `followed_by` |
| `cut` | `http` 502 | just ends, without a finish reason |
| `drop` | half of the JSON, and the connection closes | it closes after some events |
| `reset_midway` | likewise, by a TCP reset (RST) | likewise |
| `hang_midway` | half of the JSON, and then as `hang` | likewise, after some events |
| `keepalive` | white space for ever, every `delay_s` | comments for ever, after some events |
| `drip` | a healthy answer, byte by byte, `delay_s` apart | likewise, event by event |
| `length_over` | `Content-Length` promises more than comes | the same: all events and no end |
| `length_under` | `Content-Length` promises half of what comes | the same |
| `gzip` | `Content-Encoding: gzip`, though it is none | the same |
| `truncated` | half of the JSON, sent as if it were all | ends amid the JSON of an event |
| `no_finish` | `finish_reason: null` | all of it but a finish reason |
| `no_done` | a healthy answer | all of it but `[DONE]` |

What `status`, `message`, `error_type`, `metadata` and `code` make of the `error` object is the
classic envelope; `error` replaces it. The class methods of `Fault` have the documented ones.
Which requests fail is said in `plans`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Self, get_args

from langchain_tale.sandbox import bodies

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Kind = Literal[
    "http", "body", "html", "hangup", "reset", "hang", "choiceless", "empty", "starved", "choice",
    "midstream", "cut", "drop", "reset_midway", "hang_midway", "keepalive", "drip", "length_over",
    "length_under", "gzip", "truncated", "no_finish", "no_done",
]  # fmt: skip
FAULT_KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
USUAL: Final = "usual"
_INSTEAD: Final = ("http", "body", "html", "hangup", "reset", "hang", "choiceless")
_STREAMS_ONLY: Final = ("midstream", "cut")
_HALVING: Final = ("drop", "reset_midway", "hang_midway", "truncated")
_ENDLESS: Final = ("hang_midway", "keepalive")
_MISSTATING: Final = ("length_over", "length_under")
_SPOILING: Final = ("choice", "keepalive", *_HALVING)
_BREAKING: Final = (*_SPOILING, *_STREAMS_ONLY)
_STATUS_OF: Final = {
    "capacity_exhausted": 429,
    "temporarily_unavailable": 503,
    "model_not_found": 400,
    "wrong_endpoint": 400,
    "region_restricted": 403,
}
"""The availability codes that are no 404."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One failure, in a shape that OpenRouter documents or that was recorded from it.

    Attributes:
        kind: What goes wrong; the table above has them all.
        status: HTTP status, or the code inside the body.
        message: The server's words.
        error_type: OpenRouter's word for it, in `error.metadata`.
        metadata: More of `error.metadata`, e.g. `{"provider_code": "overloaded"}`.
        code: `error.code` where it is not the status, e.g. `"server_error"`.
        error: The whole `error` object instead, in any shape.
        beside: Keys beside `error`, e.g. `{"user_id": "user_1"}`.
        headers: Sent along, e.g. `{"Retry-After": "2"}`.
        after_chunks: Content events before the failure (of a whole `choice`: words).
        finish_reason: Of `empty` (usually `stop`), `choice` and `midstream` (usually `error`);
            None for a null.
        native_finish_reason: Of `midstream`, where it is another.
        followed_by: What comes after a `midstream` error: `"usage"` has been recorded.
        delay_s: Seconds between the bytes or events of a `drip`, and between keep-alives.

    Raises:
        ValueError: There is no such kind, or a number is negative.
    """

    kind: Kind = "http"
    status: int = 503
    message: str = "Provider returned error"
    error_type: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    code: int | str | None = None
    error: Mapping[str, Any] | None = None
    beside: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    after_chunks: int = 2
    finish_reason: str | None = USUAL
    native_finish_reason: str | None = None
    followed_by: Literal["nothing", "usage", "done"] = "nothing"
    delay_s: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in FAULT_KINDS:
            msg = f"kind must be one of {', '.join(FAULT_KINDS)}, not {self.kind!r}."
            raise ValueError(msg)
        if self.delay_s < 0 or self.after_chunks < 0:
            msg = "delay_s and after_chunks must not be negative."
            raise ValueError(msg)

    # ── the documented ones ─────────────────────────────────────────────────

    @classmethod
    def provider_error(
        cls,
        status: int = 502,
        *,
        raw: str = "upstream connect error",
        provider_name: str | None = "Sandbox",
        previous_errors: Iterable[Mapping[str, Any]] = (),
        **more: Any,
    ) -> Self:
        """A provider's own error in the older shape, the only one in the recordings of 2025."""
        metadata: dict[str, Any] = {"raw": raw, "provider_name": provider_name}
        if previous := list(previous_errors):
            metadata["previous_errors"] = previous
        return cls(status=status, metadata=metadata, beside={"user_id": "user_sandbox"}, **more)

    @classmethod
    def moderated(
        cls, *reasons: str, flagged_input: str = "a wolf ... a fox", model: str = "a/b", **more: Any
    ) -> Self:
        """403: the input was flagged before a model saw it; "Moderation errors"."""
        metadata = {
            "reasons": list(reasons or ("violence",)),
            "flagged_input": flagged_input,
            "provider_name": "Sandbox",
            "model_slug": model,
        }
        message = "Your input was flagged"
        return cls(status=403, message=message, metadata=metadata, **more)

    @classmethod
    def no_credit(cls, *, affordable_tokens: int | None = None, **more: Any) -> Self:
        """402: the balance is too low; with a number, fewer tokens would still be paid for."""
        message = "Insufficient credits"
        if affordable_tokens is not None:
            message = (
                "This request requires more credits, or fewer max_tokens. "
                f"You requested up to 4096 tokens, but can only afford {affordable_tokens}."
            )
        return cls(status=402, message=message, error_type="payment_required", **more)

    @classmethod
    def rate_limited(
        cls,
        *,
        retry_after_s: int | None = None,
        free_limit: Literal["per-min", "per-day"] | None = None,
        reset_at_ms: int = 0,
        **more: Any,
    ) -> Self:
        """429: of a provider, with its code; or of the platform's limit for free models.

        The platform's has `X-RateLimit-*` inside `error.metadata.headers` too, as clients
        report it.
        """
        headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
        metadata: dict[str, Any] = {"provider_code": "rate_limited"}
        message = "Rate limit exceeded"
        if free_limit:
            message += f": free-models-{free_limit}."
            limits = {"Limit": "20", "Remaining": "0", "Reset": str(reset_at_ms)}
            told = {f"X-RateLimit-{name}": value for name, value in limits.items()}
            headers, metadata = {**headers, **told}, {"headers": told}
        given: dict[str, Any] = {"metadata": metadata, "headers": headers, **more}
        return cls(status=429, message=message, error_type="rate_limit_exceeded", **given)

    @classmethod
    def unavailable(
        cls,
        code: str = "capacity_exhausted",
        *,
        model: str = "a/b",
        retry_after_s: int | None = None,
        fallback_models: Iterable[str] = (),
        **more: Any,
    ) -> Self:
        """The availability envelope of 2026-08, which has no `error.code`.

        Args:
            code: Its `availability.code`; it decides the status.
            model: The model that was asked for.
            retry_after_s: Said in the body and as `Retry-After`.
            fallback_models: Whom to ask instead.
            **more: Keys of `availability`, e.g. `retryable=True` or `excluded_by=["geo"]`.
        """
        hints: dict[str, Any] = {}
        if retry_after_s is not None:
            hints["retry_after"] = retry_after_s
        if others := list(fallback_models):
            hints["fallback_models"] = others
        status = _STATUS_OF.get(code, 404)
        message = f"No endpoints found for {model}."
        body = bodies.unavailable(code, message, requested=model, status=status, **hints, **more)
        headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
        return cls(status=status, error=body["error"], headers=headers)

    @classmethod
    def context_exceeded(cls, *, most_tokens: int = 4096, **more: Any) -> Self:
        """400: the messages are too long for the model."""
        message = (
            f"This endpoint's maximum context length is {most_tokens} tokens. However, you "
            f"requested about {most_tokens + 1} tokens."
        )
        return cls(status=400, message=message, error_type="context_length_exceeded", **more)

    # ── what the server makes of it ─────────────────────────────────────────

    def breaks_off(self, *, of_stream: bool) -> bool:
        """Whether the answer ends after `after_chunks`."""
        return self.kind in _BREAKING if of_stream else self.kind == "choice"

    @property
    def is_endless(self) -> bool:
        """Whether the answer never ends by itself."""
        return self.kind in _ENDLESS

    @property
    def spoils(self) -> bool:
        """Whether a whole answer that has begun comes to nothing."""
        return self.kind in _SPOILING

    @property
    def halves(self) -> bool:
        """Whether half of the JSON of a whole answer, or of an event, is lost."""
        return self.kind in _HALVING

    @property
    def misstates_length(self) -> bool:
        """Whether the `Content-Length` is another than the number of bytes."""
        return self.kind in _MISSTATING

    def stated_length(self, length: int) -> int:
        """What a `Content-Length` that should be `length` is instead: twice or half of it."""
        return {"length_over": length * 2, "length_under": length // 2}.get(self.kind, length)

    def comes_instead(self, *, of_stream: bool) -> bool:
        """Whether it takes the place of the whole answer."""
        return self.kind in _INSTEAD or (self.kind in _STREAMS_ONLY and not of_stream)

    def reason(self, usual: str) -> str | None:
        """The finish reason, unless another was ordered."""
        return usual if self.finish_reason == USUAL else self.finish_reason

    def body(self) -> dict[str, Any]:
        """A whole error body."""
        return {"error": self.error_object(), **self.beside}

    def error_object(self) -> dict[str, Any]:
        """The `error` object of a body, a choice or an event."""
        if self.error is not None:
            return dict(self.error)
        code = self.status if self.code is None else self.code
        error: dict[str, Any] = {"code": code, "message": self.message}
        known = {"error_type": self.error_type} if self.error_type else {}
        if known or self.metadata:
            error["metadata"] = {**known, **self.metadata}
        return error
