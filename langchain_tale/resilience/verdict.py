"""An error → the same model again, another model, or neither; pure, by class and field."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from langchain_core import exceptions as core

from langchain_tale import errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What may help after a failure.

    Attributes:
        same_model: Asking the same model again may help.
        other_model: Asking another model may help.
        paid_model: Of the others, only one that costs something may help.
        is_unwell: The failure tells of the model's health, and counts for its circuit.
        at_once: The same model may be asked again without a wait.
        retry_after_s: Seconds to leave the same model alone, as the server asked.
        other_key: There is another API key, and it may help.
    """

    same_model: bool
    other_model: bool
    paid_model: bool = False
    is_unwell: bool = False
    at_once: bool = False
    retry_after_s: float | None = None
    other_key: bool = False


_UNWELL: Final = Verdict(same_model=True, other_model=True, is_unwell=True)
_UNLUCKY: Final = Verdict(same_model=True, other_model=True)
_REFUSED: Final = Verdict(same_model=True, other_model=True, at_once=True)
_THIS_MODEL: Final = Verdict(same_model=False, other_model=True)
_THIS_KEY: Final = Verdict(same_model=False, other_model=False, other_key=True)
_HOPELESS: Final = Verdict(same_model=False, other_model=False)

_MOMENTARY: Final[dict[int | None, Verdict]] = {409: _UNLUCKY, 425: _UNLUCKY}
"""Statuses of requests that collide or come too early; the SDK by itself repeats a 409 too."""

# First match wins, so a subclass stands above its base.
_TABLE: Final[tuple[tuple[type[BaseException], Verdict], ...]] = (
    (errors.BudgetSpentError, _HOPELESS),
    (errors.SharedStateError, _HOPELESS),  # no connection, but to no model
    (errors.ModerationError, _HOPELESS),
    (errors.RefusedReplyError, _REFUSED),
    (errors.UnparsableReplyError, _REFUSED),
    (errors.CircuitOpenError, _THIS_MODEL),
    (core.ContextOverflowError, _THIS_MODEL),
    (core.ModelNotFoundError, _THIS_MODEL),
    (core.ModelInvalidRequestError, _HOPELESS),
    (core.ModelAuthenticationError, _THIS_KEY),
    (core.ModelPermissionDeniedError, _THIS_KEY),
    (errors.InsufficientCreditsError, _THIS_KEY),
    (core.ModelRateLimitError, _UNWELL),
    (core.ModelAPIError, _UNWELL),
    (core.ModelConnectionError, _UNWELL),
    (core.ModelTimeoutError, _UNWELL),
    (ConnectionError, _UNWELL),
    (TimeoutError, _UNWELL),
)
_BY_STATUS: Final[dict[int | None, Verdict]] = {
    401: _THIS_KEY,
    402: _THIS_KEY,
    403: _THIS_KEY,
    404: _THIS_MODEL,
    408: _UNWELL,
    **_MOMENTARY,
    429: _UNWELL,
}
_OF_THE_WAY: Final = frozenset({"TransportError", "APIConnectionError", "ClientConnectionError"})
"""Bases of httpx's, openai's and aiohttp's errors of connection, by name: nothing is imported."""


def verdict(error: BaseException) -> Verdict:
    """What may help after `error`.

    Args:
        error: Whatever a model raised, ours or any vendor's.

    Returns:
        The row of the table that fits: by class, else by the status that the error carries.
        An exception that says nothing of itself is a mistake in the code around the model,
        not weather: nothing helps. The server's own word on both questions wins.

    Example:
        >>> verdict(errors.RateLimitError("slow down", retry_after_s=2)).retry_after_s
        2
        >>> verdict(KeyError("oops")).other_model
        False
    """
    found = (
        _MOMENTARY.get(getattr(error, "status_code", None))
        or next((row for kind, row in _TABLE if isinstance(error, kind)), None)
        or _by_fields(error)
    )
    if getattr(error, "is_of_account", False):
        found = replace(found, paid_model=True, is_unwell=False)
    word, after_s = getattr(error, "retryable", None), getattr(error, "retry_after_s", None)
    if isinstance(error, errors.InsufficientCreditsError) and after_s is not None:
        word = True  # credit held by requests under way comes back; the server says when
    return replace(
        found,
        same_model=found.same_model if word is None else bool(word),
        retry_after_s=after_s,
        other_key=found.other_key and bool(getattr(error, "has_other_key", False)),
    )


def _by_fields(error: BaseException) -> Verdict:
    """The verdict on an exception of a class that nobody here knows."""
    status = _status_of(error)
    if status is not None:
        other = _UNWELL if status >= 500 else _HOPELESS  # noqa: PLR2004 (HTTP's own border)
        return _BY_STATUS.get(status, other)
    names = {base.__name__ for base in type(error).__mro__}
    if names & _OF_THE_WAY:
        return _UNWELL
    return _UNLUCKY if getattr(error, "is_retryable", False) is True else _HOPELESS


def _status_of(error: BaseException) -> int | None:
    """The HTTP status that an error carries; openai's errors in mid-stream have it as `code`."""
    candidates: tuple[Any, ...] = (
        getattr(error, "status_code", None),
        getattr(error, "code", None),
    )
    known = (str(candidate) for candidate in candidates)
    return next((int(word) for word in known if word.isdecimal() and len(word) == 3), None)  # noqa: PLR2004 (digits)
