"""Error bodies in, our exceptions out; pure.

OpenRouter has four envelopes (§8.1 of its documentation) and two places for `error_type`; an
error may come with its HTTP status, inside a 200, inside a choice, or in mid-stream. All of
them become one class each, chosen by `error_type` first and by status second.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Final

from langchain_tale import errors
from langchain_tale.openrouter.quoting import quoted, without

_BY_TYPE: Final[dict[str, type[errors.ExternalServiceError]]] = {
    "context_length_exceeded": errors.ContextLengthError,
    "max_tokens_exceeded": errors.ContextLengthError,
    "token_limit_exceeded": errors.ContextLengthError,
    "string_too_long": errors.ContextLengthError,
    **dict.fromkeys(
        (
            "image_download_failed",
            "image_not_found",
            "image_too_large",
            "image_too_small",
            "invalid_image",
            "invalid_prompt",
            "invalid_request",
            "payload_too_large",
            "precondition_failed",
            "unprocessable",
            "unsupported_image_format",
        ),
        errors.InvalidRequestError,
    ),
    "content_policy_violation": errors.ModerationError,
    "refusal": errors.ModerationError,
    "authentication": errors.AuthenticationError,
    "payment_required": errors.InsufficientCreditsError,
    "permission_denied": errors.PermissionDeniedError,
    "not_found": errors.ModelNotFoundError,
    "rate_limit_exceeded": errors.RateLimitError,
    "server": errors.UnavailableError,
    "unmapped": errors.UnavailableError,
    "provider_unavailable": errors.UnavailableError,
    "provider_overloaded": errors.UnavailableError,
    "timeout": errors.RequestTimeoutError,
}
_BY_STATUS: Final[dict[int, type[errors.ExternalServiceError]]] = {
    401: errors.AuthenticationError,
    402: errors.InsufficientCreditsError,
    403: errors.PermissionDeniedError,
    404: errors.ModelNotFoundError,
    408: errors.RequestTimeoutError,
    429: errors.RateLimitError,
    504: errors.RequestTimeoutError,
    524: errors.RequestTimeoutError,
}
_MODEL_CODES: Final = frozenset({"model_not_found", "wrong_endpoint"})
_SAYING: Final[dict[type[errors.ExternalServiceError], tuple[str, str]]] = {
    errors.ContextLengthError: (
        "cannot read a prompt this long",
        "shorten it or ask a model with a longer context",
    ),
    errors.ModerationError: ("refused the content", "change what is asked for"),
    errors.AuthenticationError: (
        "was not asked, because the API key is not accepted",
        "check OPENROUTER_API_KEY",
    ),
    errors.InsufficientCreditsError: (
        "was not asked, because the credit is used up",
        "add credits or lower max_tokens",
    ),
    errors.PermissionDeniedError: (
        "may not be asked with this API key",
        "check its limits and guardrails",
    ),
    errors.ModelNotFoundError: ("is not available", "choose another model"),
    errors.RateLimitError: ("is rate limited", "wait, or ask another model"),
    errors.RequestTimeoutError: ("did not answer in time", "try again, or raise timeout"),
    errors.UnavailableError: ("is unavailable", "try again or ask another model"),
    errors.InvalidRequestError: ("does not accept this request", "correct the arguments"),
    errors.ExternalServiceError: ("failed", "see .raw"),
}
_OVERFLOW: Final = re.compile(
    r"maximum context length|context window|prompt is too long", re.IGNORECASE
)
_STATUSES: Final = frozenset(map(str, range(400, 600)))
_LATEST_S: Final = 1e11
"""No time in seconds since 1970 is as large as this; every time in milliseconds is larger."""


@dataclass(frozen=True, slots=True)
class Source:
    """Which request a reply belongs to.

    Attributes:
        model: The model that was asked.
        status_code: The HTTP status, or None before there is one.
        headers: Response headers, names in lower case.
        has_fallbacks: Whether OpenRouter might ask other models in its place.
        asked: The messages that were sent; no word of them is quoted in an error's message.
        key: The API key that they were sent with; it is kept nowhere.
    """

    model: str
    status_code: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    has_fallbacks: bool = False
    asked: Any = field(default=None, repr=False)
    key: str = field(default="", repr=False)

    @property
    def generation_id(self) -> str | None:
        """OpenRouter's id of this generation, from the headers."""
        return self.headers.get("x-generation-id")

    @property
    def request_id(self) -> str | None:
        """The server's id of this request, else that of the network's edge."""
        return self.headers.get("x-request-id") or self.headers.get("cf-ray")

    def quoted(self, said: str) -> str:
        """The server's words, fit for a message."""
        return quoted(said, (self.asked, self.key))

    def kept(self, body: Any) -> Any:
        """A body as it came, fit to be kept: without the key, should the server echo it."""
        return without(self.key, body)

    def ids(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The identifying arguments of an error about `body`."""
        return {
            "status_code": self.status_code,
            "provider_name": body.get("provider"),
            "generation_id": body.get("id") or self.generation_id,
            "request_id": self.request_id,
        }


def error_from_body(
    body: Any, source: Source, *, partial_text: str | None = None
) -> errors.ExternalServiceError:
    """The exception for an error body of any shape.

    Args:
        body: Decoded JSON, or text where it is none (an edge server's HTML page).
        source: Which request failed.
        partial_text: What had arrived before, if anything.

    Returns:
        An exception of the class that fits, to be raised.
    """
    envelope = body if isinstance(body, Mapping) else {}
    error = envelope.get("error")
    error = (
        error
        if isinstance(error, Mapping)
        else {"message": error if isinstance(error, str) else None}
    )
    metadata = _mapping(error.get("metadata"))
    availability = _mapping(error.get("availability"))
    status = _status(error, source)
    error_type = metadata.get("error_type") or error.get("error_type")
    kind = _class_for(_words(error, metadata), status, metadata, availability, error.get("message"))
    found = kind(
        _message(kind, source, status, error.get("message")),
        error_type=error_type,
        model=source.model,
        retry_after_s=_retry_after_s(source.headers, metadata, availability),
        retryable=availability.get("retryable"),
        partial_text=partial_text or None,
        raw=source.kept(body),
        **{
            **source.ids(envelope),
            "status_code": status,
            "provider_name": metadata.get("provider_name") or envelope.get("provider"),
        },
    )
    if isinstance(found, errors.ModerationError):
        found.reasons = tuple(map(str, _list(metadata.get("reasons"))))
    if isinstance(found, errors.RateLimitError):
        found.is_of_account = _is_of_account(source.headers, metadata)
    found.fallback_models = tuple(map(str, _list(availability.get("fallback_models"))))
    return found


def _class_for(
    words: list[str],
    status: int | None,
    metadata: Mapping[str, Any],
    availability: Mapping[str, Any],
    message: Any,
) -> type[errors.ExternalServiceError]:
    if _list(metadata.get("reasons")):
        return errors.ModerationError
    if str(availability.get("code")) in _MODEL_CODES:
        return errors.ModelNotFoundError
    if status == 400 and _OVERFLOW.search(str(message)):  # noqa: PLR2004 (bad request)
        return errors.ContextLengthError  # recorded in 2026 without any field that says so
    if word := next((word for word in words if word in _BY_TYPE), None):
        return _BY_TYPE[word]
    return class_for_status(status)


def class_for_status(status: int | None) -> type[errors.ExternalServiceError]:
    """The exception for a failure of which only the HTTP status is known, if even that."""
    is_theirs = status is None or status >= 500  # noqa: PLR2004 (HTTP's own border)
    other = errors.UnavailableError if is_theirs else errors.InvalidRequestError
    return _BY_STATUS.get(status or 0, other)


def _words(error: Mapping[str, Any], metadata: Mapping[str, Any]) -> list[str]:
    """Where a word for what happened may stand, OpenRouter's own places before the provider's."""
    upstream = _mapping(_decoded(metadata.get("raw")))
    nested = _mapping(upstream.get("error"))
    candidates = (
        metadata.get("error_type"),
        error.get("error_type"),
        error.get("code"),
        metadata.get("provider_code"),
        *(place.get(name) for place in (nested, upstream) for name in ("code", "type")),
    )
    return [word for word in candidates if isinstance(word, str)]


def _decoded(raw: Any) -> Any:
    """What a provider said, which older errors carry as a string of JSON."""
    try:
        return json.loads(raw) if isinstance(raw, str) else raw
    except ValueError:
        return None


def _status(error: Mapping[str, Any], source: Source) -> int | None:
    for candidate in (error.get("code"), error.get("http_status")):
        if str(candidate) in _STATUSES:
            return int(str(candidate))
    return source.status_code if source.status_code != 200 else None  # noqa: PLR2004


def _retry_after_s(
    headers: Mapping[str, str], metadata: Mapping[str, Any], availability: Mapping[str, Any]
) -> float | None:
    """The seconds to wait that the server asks for; 429s may repeat their headers inside."""
    repeated = {k.lower(): v for k, v in _mapping(metadata.get("headers")).items()}
    after = (headers.get("retry-after"), availability.get("retry_after"))
    resets = (place.get("x-ratelimit-reset") for place in (headers, repeated))
    hints = [*map(_seconds, (*after, repeated.get("retry-after"))), *map(_seconds_until, resets)]
    return next((hint for hint in hints if hint is not None), None)


def _is_of_account(headers: Mapping[str, str], metadata: Mapping[str, Any]) -> bool:
    """Only the limits of the platform itself come with these headers (§8.6)."""
    names = {name.lower() for name in (*headers, *_mapping(metadata.get("headers")))}
    return "x-ratelimit-limit" in names and not metadata.get("provider_code")


def _seconds(hint: Any) -> float | None:
    """Seconds, given as such or as an HTTP date."""
    try:
        return max(0.0, float(hint)) if math.isfinite(float(hint)) else None
    except (TypeError, ValueError):
        pass
    try:
        return max(0.0, parsedate_to_datetime(str(hint)).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def _seconds_until(reset: Any) -> float | None:
    """Seconds until a moment in seconds or milliseconds since 1970: both have been seen."""
    try:
        moment = float(reset)
    except (TypeError, ValueError):
        return None
    if not math.isfinite(moment):
        return None
    return max(0.0, (moment / 1000 if moment > _LATEST_S else moment) - time.time())


def _message(
    kind: type[errors.ExternalServiceError], source: Source, status: int | None, said: Any
) -> str:
    what, do = next(_SAYING[base] for base in kind.__mro__ if base in _SAYING)
    code = f" ({status})" if status else ""
    words = f": {source.quoted(said)!r}" if isinstance(said, str) and said else ""
    return f"{source.model} {what}{code}{words}; {do}."


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
