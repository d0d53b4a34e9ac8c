"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

Status = Literal["ok", "failed", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found; it says nothing secret.

    Attributes:
        check: What was looked at, e.g. `"key limit"`.
        status: `"ok"`, `"failed"`, or `"skipped"` where there was nothing to look at.
        text: What was found.
        advice: What to do about it.
        facts: The same for programs, fit for JSON; units end the names.
    """

    check: str
    status: Status
    text: str
    advice: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """What was found, and what to do about it."""
        return f"{self.text}; {self.advice}" if self.advice else self.text

    def to_dict(self) -> dict[str, Any]:
        """All of it, fit for JSON."""
        return {
            "check": self.check,
            "status": self.status,
            "text": self.text,
            "advice": self.advice,
            **self.facts,
        }


def skipped(check: str, why: str) -> Finding:
    """A check that there was no way or no reason to do."""
    return Finding(check=check, status="skipped", text=why)


def dollars(usd: Decimal | float) -> str:
    """Money for people to read.

    Example:
        >>> dollars(5), dollars(0.15), dollars(0.0000225)
        ('$5.00', '$0.15', '$0.0000225')
    """
    amount = float(usd)
    if amount == 0 or round(amount, 2) == amount:
        return f"${amount:,.2f}"
    decimals = 2 if abs(amount) >= 1 else 7
    return f"${amount:,.{decimals}f}".rstrip("0")
