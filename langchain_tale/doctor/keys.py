"""What is to be said of an API key; pure."""

from __future__ import annotations

import re
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.doctor.finding import Finding, dollars
from langchain_tale.errors import AuthenticationError

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from langchain_tale.errors import TaleError
    from langchain_tale.openrouter.records import KeyRecord
    from langchain_tale.settings import FoundKey

KEYS_URL: Final = "https://openrouter.ai/keys"
PREFIX: Final = "sk-or-"
"""How keys begin in all of OpenRouter's examples; its documentation promises nothing."""
_HINT_CHARS: Final = 4
_LONG_ENOUGH: Final = 12
"""Of a shorter key the last four characters would be too much of it."""
_DAY_S: Final = 86_400
_HOUR_S: Final = 3_600
_EVERY: Final = {"daily": "day", "weekly": "week", "monthly": "month"}


def key_found(found: FoundKey | None, *, is_accepted: bool) -> Finding:
    """Whether there is a key, and whether it can be one.

    Args:
        found: As somebody wrote it.
        is_accepted: Whether OpenRouter took it: then its beginning is no matter.
    """
    if found is None:
        return Finding(
            check="key",
            status="failed",
            text="there is none",
            advice=f"set OPENROUTER_API_KEY ({KEYS_URL})",
        )
    place = f"{found.variable} {'of .env' if found.is_in_file else 'of the environment'}"
    mistake = "" if is_accepted else malformation(found.value.get_secret_value())
    if mistake:
        advice = f"copy it anew from {KEYS_URL}"
        return Finding(check="key", status="failed", text=f"{place} {mistake}", advice=advice)
    hint = key_hint(found.value.get_secret_value())
    return Finding(
        check="key",
        status="ok",
        text=f"{place} ends in {hint or '…'}",
        facts={"variable": found.variable, "is_in_file": found.is_in_file, "key_hint": hint},
    )


def malformation(key: str) -> str:
    """What is wrong with the form of a key, as the end of a sentence; empty where nothing is.

    White space around a key is no mistake: settings take it off.

    Example:
        >>> malformation('"sk-or-v1-0123456789abcdef"')
        'has quotes around it'
    """
    is_alike = key.strip().startswith(PREFIX)
    return unusable(key) or ("" if is_alike else f"does not begin with {PREFIX}")


def unusable(key: str) -> str:
    """Why a key cannot even be sent, as the end of a sentence; empty where it can."""
    key = key.strip()
    mistakes = {
        "has quotes around it": key[0] in "\"'" or key[-1] in "\"'",
        "has a line break in it": "\n" in key or "\r" in key,
        "begins with Bearer, which is no part of it": key.lower().startswith("bearer "),
        "has a blank in it": bool(re.search(r"\s", key)),
        "is cut short by dots, as lists of keys show it": "..." in key or "…" in key,
        "has a character in it that no key has": not (key.isascii() and key.isprintable()),
    }
    return next((mistake for mistake, is_made in mistakes.items() if is_made), "")


def key_hint(key: str) -> str | None:
    """The last four characters, or None where that would be too much of it."""
    key = key.strip()
    return key[-_HINT_CHARS:] if len(key) >= _LONG_ENOUGH else None


# ── what OpenRouter says of it ──────────────────────────────────────────────


def key_refused(error: TaleError) -> Finding:
    """OpenRouter does not accept it, or could not say."""
    if isinstance(error, AuthenticationError):
        return Finding(
            check="key accepted",
            status="failed",
            text=f"no ({error.status_code}): it is wrong, disabled or expired",
            advice=f"look for it at {KEYS_URL}, or make another",
        )
    return Finding(check="key accepted", status="failed", text=str(error).rstrip("."))


def key_accepted(record: KeyRecord, now: datetime) -> list[Finding]:
    """What a key may do, spend, and until when."""
    return [_kind(record), _limit(record), _end(record, now)]


def _kind(record: KeyRecord) -> Finding:
    if record.is_management_key:
        text = "yes, but it administers keys and may ask no model"
        advice = f"use an API key ({KEYS_URL})"
        return Finding(check="key accepted", status="failed", text=text, advice=advice)
    return Finding(check="key accepted", status="ok", text="yes")


def _limit(record: KeyRecord) -> Finding:
    facts: dict[str, Any] = {
        "limit_usd": _number(record.limit_usd),
        "remaining_usd": _number(record.remaining_usd),
        "limit_reset": record.limit_reset,
        "usage_usd": _number(record.usage_usd),
    }
    spent = "" if record.usage_usd is None else f", {dollars(record.usage_usd)} spent so far"
    if record.limit_usd is None or record.remaining_usd is None:
        text = f"none{spent}; the account's balance counts, which a key does not show"
        return Finding(check="key limit", status="ok", text=text, facts=facts)
    every = _EVERY.get(record.limit_reset or "")
    anew = f", anew every {every}" if every else ""
    of = f"{dollars(record.remaining_usd)} of {dollars(record.limit_usd)} left{anew}"
    if record.remaining_usd > 0:
        return Finding(check="key limit", status="ok", text=of + spent, facts=facts)
    wait = f", or wait for the next {every} (UTC)" if every else ""
    advice = f"raise its limit at {KEYS_URL}{wait}"
    return Finding(check="key limit", status="failed", text=of, advice=advice, facts=facts)


def _end(record: KeyRecord, now: datetime) -> Finding:
    ends = record.expires_at
    if ends is None:
        text = "it does not expire"
        return Finding(check="key expiry", status="ok", text=text, facts={"expires_at": None})
    facts = {"expires_at": ends.astimezone(UTC).isoformat()}
    at = f"{ends.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    left_s = (ends - now).total_seconds()
    if left_s <= 0:
        advice = f"make another at {KEYS_URL}"
        text = f"it expired at {at}"
        return Finding(check="key expiry", status="failed", text=text, advice=advice, facts=facts)
    text = f"it expires in {_span(left_s)}, at {at}"
    return Finding(check="key expiry", status="ok", text=text, facts=facts)


def _span(seconds: float) -> str:
    if seconds >= 2 * _DAY_S:
        return f"{seconds // _DAY_S:.0f} days"
    return f"{seconds / _HOUR_S:.1f} hours"


def _number(usd: Decimal | None) -> float | None:
    return None if usd is None else float(usd)
