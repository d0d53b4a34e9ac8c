"""The values and the table behind the loop."""

from __future__ import annotations

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core import exceptions as core
from pydantic import ValidationError

from langchain_tale import errors
from langchain_tale.errors import ConfigurationError
from langchain_tale.resilience.composing import policy_from
from langchain_tale.resilience.policy import RetryPolicy
from langchain_tale.resilience.verdict import Verdict, verdict

ANYTHING_HELPS = Verdict(same_model=True, other_model=True)
WEATHER = Verdict(same_model=True, other_model=True, is_unwell=True)
ANOTHER_MODEL_HELPS = Verdict(same_model=False, other_model=True)
NOTHING_HELPS = Verdict(same_model=False, other_model=False)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.ConnectionFailedError("x"), WEATHER),
        (errors.RequestTimeoutError("x"), WEATHER),
        (errors.UnavailableError("x"), WEATHER),
        (errors.EmptyReplyError("x"), WEATHER),
        (errors.BrokenStreamError("x"), WEATHER),
        (errors.RateLimitError("x"), WEATHER),
        (errors.ContextLengthError("x"), ANOTHER_MODEL_HELPS),
        (errors.ModelNotFoundError("x"), ANOTHER_MODEL_HELPS),
        (errors.ModerationError("x"), NOTHING_HELPS),
        (errors.InvalidRequestError("x"), NOTHING_HELPS),
        (errors.AuthenticationError("x"), NOTHING_HELPS),
        (errors.PermissionDeniedError("x"), NOTHING_HELPS),
        (errors.InsufficientCreditsError("x"), NOTHING_HELPS),
        (core.ModelAPIError("another vendor's"), WEATHER),
        (core.ModelRateLimitError("another vendor's"), WEATHER),
        (core.ModelInvalidRequestError("another vendor's"), NOTHING_HELPS),
        (ConnectionResetError("x"), WEATHER),
        (TimeoutError("x"), WEATHER),
        (KeyError("a mistake of ours"), NOTHING_HELPS),
        (openai.OpenAIError("unknown"), NOTHING_HELPS),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_error_has_its_row(error: Exception, expected: Verdict) -> None:
    assert verdict(error) == expected


def test_the_servers_word_wins() -> None:
    assert not verdict(errors.UnavailableError("x", retryable=False)).same_model
    assert verdict(errors.UnavailableError("x", retryable=False)).other_model
    assert verdict(errors.ModelNotFoundError("x", retryable=True)) == ANYTHING_HELPS
    assert verdict(errors.RateLimitError("x", retry_after_s=7)).retry_after_s == 7


@pytest.mark.parametrize("status", [409, 425])
def test_a_request_that_collided_or_came_too_early_is_repeated(status: int) -> None:
    found = verdict(errors.InvalidRequestError("x", status_code=status))

    assert (found.same_model, found.other_model, found.is_unwell) == (True, True, False)


@given(
    st.floats(0, 100),
    st.floats(1, 10),
    st.floats(0, 1000),
    st.integers(1, 100),
)
def test_waits_grow_up_to_the_cap(delay: float, times: float, cap: float, nth: int) -> None:
    policy = RetryPolicy(retry_delay=delay, multiplier=times, max_delay_s=cap)

    assert policy.backoff_s(nth) <= policy.backoff_s(nth + 1) <= max(cap, delay)
    assert policy.backoff_s(1) == delay


@pytest.mark.parametrize(
    "wrong",
    [{"max_retries": -1}, {"retry_delay": -1}, {"jitter": 2}, {"multiplier": 0.5}, {"x": 1}],
)
def test_a_policy_is_validated(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        RetryPolicy(**wrong)


def test_langchains_keywords_make_a_policy() -> None:
    policy = policy_from(
        None,
        stop_after_attempt=5,
        wait_exponential_jitter=False,
        retry_if_exception_type=(errors.RateLimitError,),
    )

    assert (policy.max_attempts, policy.jitter) == (5, 0.0)
    assert policy.retry_if_exception_type == (errors.RateLimitError,)
    assert policy_from(None) == RetryPolicy()


def test_a_policy_and_keywords_at_once_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="RetryPolicy"):
        policy_from(RetryPolicy(), stop_after_attempt=2)
    with pytest.raises(ConfigurationError, match="stop_after_attempt"):
        policy_from(None, max_tries=2)
