"""How hard to try: values without behaviour."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class RetryPolicy(BaseModel):
    """How often and how patiently to try again.

    Limits are per logical call: across all models and tries together.

    Attributes:
        max_retries: More tries after the first, 0 to 100; at most `max_retries + 1`
            requests are sent.
        retry_delay: Seconds to wait before a model is asked for the second time in a call.
        multiplier: What each further wait is multiplied by, 1 or more.
        max_delay_s: Longest wait of our own, in seconds, before jitter; also the longest
            `Retry-After` that is sat out. Past it another model is asked, or the call gives up.
        jitter: Randomness on top of each wait, as a share of it, 0 to 1.
        respect_retry_after: Wait as long as the server asks, if that is longer.
        attempt_timeout_s: Seconds for a whole answer, and in a stream for each wait for a chunk;
            None for as long as the model itself waits.
        deadline_s: Seconds for the whole logical call, waits included; None for no limit.
        max_cost_usd: No further try once the tries of a call have cost as much as this;
            None for no limit.
        follow_successors: A model that is gone is followed by those that the server, else our
            catalogue, names as its successors, after all that the caller named.
        retry_if_exception_type: Only these errors are retried or passed to a fallback, and
            of them only those that a further try can mend.

    Example:
        >>> RetryPolicy(max_retries=5, retry_delay=0.5).max_attempts
        6
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_retries: Annotated[int, Field(ge=0, le=100)] = 3
    retry_delay: Annotated[float, Field(ge=0, le=3600)] = 1.0
    multiplier: Annotated[float, Field(ge=1, le=10)] = 2.0
    max_delay_s: Annotated[float, Field(ge=0, le=86_400)] = 60.0
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.25
    respect_retry_after: bool = True
    attempt_timeout_s: Annotated[float, Field(gt=0)] | None = None
    deadline_s: Annotated[float, Field(gt=0)] | None = None
    max_cost_usd: Annotated[float, Field(ge=0)] | None = None
    follow_successors: bool = True
    retry_if_exception_type: tuple[type[BaseException], ...] = (Exception,)

    @property
    def max_attempts(self) -> int:
        """Requests that one logical call may send at most."""
        return self.max_retries + 1

    def backoff_s(self, nth_wait: int) -> float:
        """Seconds of the `nth_wait`-th wait of a call, before jitter.

        Args:
            nth_wait: 1 for the first wait.

        Returns:
            `retry_delay`, doubling (or as `multiplier` says), at most `max_delay_s` where that
            is not less than `retry_delay` itself.

        Example:
            >>> [RetryPolicy().backoff_s(n) for n in (1, 2, 3)]
            [1.0, 2.0, 4.0]
        """
        cap_s = max(self.max_delay_s, self.retry_delay)
        return min(self.retry_delay * self.multiplier ** (nth_wait - 1), cap_s)


class BreakerPolicy(BaseModel):
    """When a model is left alone by all calls together.

    Attributes:
        fail_max: Failures in a row, of any call, that open the circuit of a model.
        reset_timeout_s: Seconds until a single call may probe whether it is well again.
        redis_url: Where processes share their circuits, e.g. `redis://localhost:6379/0`; None
            for this process alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fail_max: Annotated[int, Field(ge=1)] = 10
    reset_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    redis_url: str | None = Field(default=None, repr=False)
