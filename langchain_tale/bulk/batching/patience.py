"""Ever longer waits for a service that is gone, and an end to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from langchain_tale.resilience.attempts import Timing

FIRST_WAIT_S: Final = 5.0
LONGEST_WAIT_S: Final = 300.0
_WORDS: Final = {
    "RateLimitError": "too many requests",
    "ConnectionFailedError": "no connection",
}


@dataclass(slots=True)
class Patience:
    """How long one thing is tried again.

    Attributes:
        most_s: Seconds since the first failure.
        timing: Clock and sleep.
    """

    most_s: float
    timing: Timing
    _since: float | None = None
    _wait_s: float = 0.0
    _kind: str = field(default="")

    def bears(self, error: Exception) -> bool:
        """Note a failure, and say whether it is worth another wait."""
        now = self.timing.clock()
        self._since = now if self._since is None else self._since
        asked_s = getattr(error, "retry_after_s", None) or 0.0
        grown_s = min(LONGEST_WAIT_S, max(FIRST_WAIT_S, self._wait_s * 2))
        self._wait_s, self._kind = max(grown_s, asked_s), type(error).__name__
        return now + self._wait_s - self._since <= self.most_s

    @property
    def trouble(self) -> str:
        """What is waited for, in a few words."""
        return _WORDS.get(self._kind, "the service does not answer")

    async def wait(self) -> None:
        """Wait as long as the last failure needs."""
        await self.timing.asleep(self._wait_s)
