"""What the failure of one request says about it, and about all the others; pure.

| the last try failed by | it means | the request |
| --- | --- | --- |
| 401, 402; a wrong setting; a spent `Budget` | none can succeed | stays untold; the run stops |
| 403 | likewise, if all say so | else has failed |
| 429; 402 of credit that is held | too many at once | is told again, up to 20 times |
| an open circuit | nothing was sent | is told again |
| a lost connection | the way is broken | is told again, up to 10 times |
| 5xx | the service is broken | is told again, up to 4 times |
| no answer in time | likewise, but it may have cost | is told again, once |
| anything else | this request | has failed |

"Told" is a telling of the whole chain, with all the retries and fallbacks of its policy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from langchain_core import exceptions as core

from langchain_tale import errors


class Meaning(Enum):
    """Whom a failure concerns."""

    REQUEST = "request"
    WEATHER = "weather"
    EVERYONE = "everyone"
    PERHAPS_EVERYONE = "perhaps everyone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a failure means.

    Attributes:
        meaning: Whom it concerns.
        most_tellings: How often the request may be told before it has failed.
        retry_after_s: Seconds to leave everything alone, where the server or circuit said so.
        is_crowded: It was one too many at once.
        is_certain: It says of itself that nothing gets through.
    """

    meaning: Meaning
    most_tellings: float = 1
    retry_after_s: float | None = None
    is_crowded: bool = False
    is_certain: bool = False


OF_THE_STORY: Final = (
    errors.ModerationError,
    errors.UnfitRequestError,
    errors.UnfitStoryError,
)
"""Failures of what was asked for or told, and of nothing else."""
_PAYMENT_REQUIRED: Final = 402
_TOO_MANY: Final = 429
_OVERLOADED: Final = 529
_CROWDED: Final = (_PAYMENT_REQUIRED, _TOO_MANY, _OVERLOADED)
_FORBIDDEN: Final = 403
_OF_ALL: Final = (401, _PAYMENT_REQUIRED)
_SERVER_ERRORS: Final = 500

# First match wins, so a subclass stands above its base.
_TELLINGS: Final[tuple[tuple[type[BaseException], float], ...]] = (
    (errors.CircuitOpenError, math.inf),
    (errors.MalformedReplyError, 0),
    (core.ModelRateLimitError, 20),
    (errors.InsufficientCreditsError, 20),
    (core.ModelConnectionError, 10),
    (core.ModelTimeoutError, 2),
    (core.ModelAPIError, 4),
    (ConnectionError, 10),
    (TimeoutError, 2),
)


def last_error(error: BaseException) -> BaseException:
    """The error of the last try, where several were made."""
    if not isinstance(error, errors.AllModelsFailedError) or not error.attempts:
        return error
    return error.attempts[-1].error or error


def judged(error: Exception) -> Judged:
    """What the failure of a request means.

    Args:
        error: What its telling raised.

    Returns:
        The row of the table.

    Example:
        >>> judged(errors.AuthenticationError("no such key")).meaning
        <Meaning.EVERYONE: 'everyone'>
    """
    last = last_error(error)
    if isinstance(error, OF_THE_STORY) or isinstance(last, OF_THE_STORY):
        return Judged(meaning=Meaning.REQUEST)
    status, after_s = _status_of(last), getattr(error, "retry_after_s", None)
    if isinstance(last, core.ModelPermissionDeniedError) or status == _FORBIDDEN:
        return Judged(meaning=Meaning.PERHAPS_EVERYONE)
    if _concerns_everyone(last, status) and (status != _PAYMENT_REQUIRED or after_s is None):
        return Judged(meaning=Meaning.EVERYONE)
    tellings = _tellings(last, status)
    if not tellings:
        return Judged(meaning=Meaning.REQUEST)
    return Judged(
        meaning=Meaning.WEATHER,
        most_tellings=tellings,
        retry_after_s=after_s,
        is_crowded=is_crowded(last),
        is_certain=isinstance(last, errors.CircuitOpenError),
    )


def is_crowded(error: BaseException | None) -> bool:
    """Whether a try failed because there were too many at once."""
    return isinstance(error, core.ModelRateLimitError) or _status_of(error) in _CROWDED


def _concerns_everyone(error: BaseException, status: int | None) -> bool:
    ours = (
        errors.ConfigurationError,
        errors.BudgetSpentError,
        errors.InsufficientCreditsError,
    )
    return isinstance(error, (*ours, core.ModelAuthenticationError)) or status in _OF_ALL


def _tellings(error: BaseException, status: int | None) -> float:
    found = next((times for kind, times in _TELLINGS if isinstance(error, kind)), None)
    if found is not None:
        return found
    if status == _TOO_MANY:
        return 20
    return 4 if status is not None and status >= _SERVER_ERRORS else 0


def _status_of(error: Any) -> int | None:
    status = getattr(error, "status_code", None)
    return status if isinstance(status, int) else None
