from __future__ import annotations

import math
from typing import Any

import pytest

from langchain_tale import errors
from langchain_tale.bulk.judging import Meaning, is_crowded, judged


class Foreign(Exception):  # noqa: N818 (another vendor's)
    """An error of a class that nobody here knows."""

    def __init__(self, status_code: int) -> None:
        super().__init__(f"HTTP {status_code}")
        self.status_code = status_code


def several(*last: Exception) -> errors.AllModelsFailedError:
    log = [errors.Attempt(number=n, model="a/b", error=error) for n, error in enumerate(last, 1)]
    return errors.AllModelsFailedError("no model answered", attempts=log)


NO_CREDIT = errors.InsufficientCreditsError("no credit", status_code=402)
HELD = errors.InsufficientCreditsError("held", status_code=402, retry_after_s=3)
LIMITED = errors.RateLimitError("slow down", status_code=429, retry_after_s=9)


@pytest.mark.parametrize(
    "error",
    [
        errors.AuthenticationError("no key"),
        NO_CREDIT,
        errors.ConfigurationError("a wrong setting"),
        errors.BudgetSpentError("spent"),
        Foreign(401),
        Foreign(402),
        several(LIMITED, errors.AuthenticationError("no key")),
    ],
)
def test_what_no_request_can_succeed_with_concerns_everyone(error: Exception) -> None:
    assert judged(error).meaning is Meaning.EVERYONE


@pytest.mark.parametrize("error", [errors.PermissionDeniedError("no"), Foreign(403)])
def test_a_403_may_concern_everyone(error: Exception) -> None:
    assert judged(error).meaning is Meaning.PERHAPS_EVERYONE


@pytest.mark.parametrize(
    ("error", "tellings"),
    [
        (LIMITED, 20),
        (HELD, 20),
        (Foreign(429), 20),
        (errors.CircuitOpenError("open", retry_after_s=9), math.inf),
        (errors.ConnectionFailedError("lost"), 10),
        (ConnectionResetError(), 10),
        (errors.UnavailableError("down", status_code=503), 4),
        (Foreign(500), 4),
        (errors.RequestTimeoutError("late"), 2),
        (TimeoutError(), 2),
        (several(errors.EmptyReplyError("nothing"), LIMITED), 20),
    ],
)
def test_the_weather_is_waited_for(error: Exception, tellings: float) -> None:
    found = judged(error)

    assert found.meaning is Meaning.WEATHER
    assert found.most_tellings == tellings
    assert found.retry_after_s == getattr(error, "retry_after_s", None)


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidRequestError("wrong"),
        errors.ContextLengthError("too long"),
        errors.ModerationError("refused", status_code=403),
        errors.UnfitRequestError("not for children"),
        errors.UnfitStoryError("no story passed", attempts=several(LIMITED).attempts),
        errors.ModelNotFoundError("gone"),
        errors.EmptyReplyError("nothing"),
        errors.BrokenStreamError("half"),
        errors.RefusedReplyError("unfit"),
        Foreign(400),
        ValueError("a mistake in somebody's code"),
        several(LIMITED, errors.ModelNotFoundError("gone")),
    ],
)
def test_anything_else_is_of_the_request(error: Exception) -> None:
    assert judged(error).meaning is Meaning.REQUEST


@pytest.mark.parametrize("error", [LIMITED, HELD, Foreign(429), Foreign(529)])
def test_too_many_at_once_are_told_apart(error: Any) -> None:
    assert is_crowded(error)
    assert not is_crowded(errors.UnavailableError("down", status_code=503))
    assert not is_crowded(None)
