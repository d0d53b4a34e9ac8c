"""What the sandbox's key may spend, and until when; pure (§21.4)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTerms:
    """The terms of the key that a sandbox accepts.

    Attributes:
        limit_usd: What it may spend, from 0; then completions are refused with 402. None for no
            limit.
        limit_reset: When OpenRouter would begin to count anew; said, and not done.
        expires_at: When it ends, with its zone: from then on all is refused with 401. None for
            never.
        is_management_key: Whether it administers keys; said, and not done.

    Raises:
        ValueError: A negative limit, or a time without a zone.
    """

    limit_usd: float | None = None
    limit_reset: Literal["daily", "weekly", "monthly"] | None = None
    expires_at: datetime | None = None
    is_management_key: bool = False

    def __post_init__(self) -> None:
        if self.limit_usd is not None and self.limit_usd < 0:
            msg = "limit_usd must not be negative."
            raise ValueError(msg)
        if self.expires_at is not None and self.expires_at.tzinfo is None:
            msg = "expires_at must know its zone, e.g. tzinfo=UTC."
            raise ValueError(msg)

    def is_over(self, now: datetime) -> bool:
        """Whether it has expired."""
        return self.expires_at is not None and now >= self.expires_at

    def is_spent(self, spent_usd: float) -> bool:
        """Whether nothing of the limit is left."""
        return self.limit_usd is not None and spent_usd >= self.limit_usd

    def record(self, spent_usd: float) -> dict[str, Any]:
        """`GET /key`, when so much has been spent."""
        left_usd = None if self.limit_usd is None else max(0.0, self.limit_usd - spent_usd)
        ends = None if self.expires_at is None else self.expires_at.astimezone(UTC)
        periods = ("", "_daily", "_weekly", "_monthly")
        record: dict[str, Any] = {f"usage{period}": spent_usd for period in periods}
        record |= {f"byok_usage{period}": 0 for period in periods}
        record |= {
            "label": "sk-or-v1-san...box",
            "limit": self.limit_usd,
            "limit_remaining": left_usd,
            "limit_reset": self.limit_reset,
            "include_byok_in_limit": False,
            "is_free_tier": False,
            "is_management_key": self.is_management_key,
            "is_provisioning_key": self.is_management_key,
            "creator_user_id": None,
            "expires_at": None if ends is None else ends.isoformat().replace("+00:00", "Z"),
            "rate_limit": {"requests": -1, "interval": "10s", "note": "This field is deprecated."},
        }
        return {"data": record}
