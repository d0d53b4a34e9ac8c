"""An error → the same model again, another model, or neither; pure, by class and field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from langchain_core import exceptions as core

from langchain_tale import errors


@dataclass(frozen=True, slots=True)
class Verdict:
    """What may help after a failure.

    Attributes:
        same_model: Asking the same model again may help.
        other_model: Asking another model may help.
        retry_after_s: Seconds to leave the same model alone, as the server asked.
    """

    same_model: bool
    other_model: bool
    retry_after_s: float | None = None


_TRANSIENT: Final = Verdict(same_model=True, other_model=True)
_THIS_MODEL: Final = Verdict(same_model=False, other_model=True)
_HOPELESS: Final = Verdict(same_model=False, other_model=False)

# First match wins, so a subclass stands above its base.
_TABLE: Final[tuple[tuple[type[BaseException], Verdict], ...]] = (
    (errors.ModerationError, _HOPELESS),
    (core.ContextOverflowError, _THIS_MODEL),
    (core.ModelNotFoundError, _THIS_MODEL),
    (core.ModelInvalidRequestError, _HOPELESS),
    (core.ModelAuthenticationError, _HOPELESS),
    (core.ModelPermissionDeniedError, _HOPELESS),
    (errors.InsufficientCreditsError, _HOPELESS),
    (core.ModelRateLimitError, _TRANSIENT),
    (core.ModelAPIError, _TRANSIENT),
    (core.ModelConnectionError, _TRANSIENT),
    (core.ModelTimeoutError, _TRANSIENT),
    (ConnectionError, _TRANSIENT),
    (TimeoutError, _TRANSIENT),
)


def verdict(error: BaseException) -> Verdict:
    """What may help after `error`.

    Args:
        error: Whatever a model raised, ours or any vendor's.

    Returns:
        The row of the table that fits. An exception that says nothing of itself is a
        mistake in the code around the model, not weather: nothing helps.

    Example:
        >>> verdict(errors.RateLimitError("slow down", retry_after_s=2)).retry_after_s
        2
        >>> verdict(KeyError("oops")).other_model
        False
    """
    found = next((row for kind, row in _TABLE if isinstance(error, kind)), None)
    if found is None:
        found = _TRANSIENT if getattr(error, "is_retryable", False) else _HOPELESS
    word = getattr(error, "retryable", None)
    same_model = found.same_model if word is None else bool(word)
    return Verdict(same_model, found.other_model, getattr(error, "retry_after_s", None))
