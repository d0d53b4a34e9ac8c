"""Rows as flat records, for frames and CSV; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tale.evaluation.row import Row

_FIELDS: Final = (
    "model", "request", "repeat", "is_fit", "score", "cost_usd", "latency_s", "words", "tokens",
    "input_tokens", "output_tokens", "attempts", "answered_by", "provider_name",
)  # fmt: skip


def records_of(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows as dicts with the same names; `Comparison.to_frame` documents them."""
    checks = checks_of(rows)
    return [{**_facts(row), **_verdicts(row, checks)} for row in rows]


def checks_of(rows: Sequence[Row]) -> tuple[str, ...]:
    """The checks that any story was held to, in the order of the reports."""
    held = (each["name"] for row in rows for each in row.findings if each["is_bounded"])
    return tuple(dict.fromkeys(held))


def _facts(row: Row) -> dict[str, Any]:
    facts = {name: getattr(row, name) for name in _FIELDS}
    facts["error"] = row.error.kind if row.error else None
    facts["error_message"] = row.error.message if row.error else None
    return {**facts, "ended_at": row.ended_at}


def _verdicts(row: Row, checks: Sequence[str]) -> dict[str, bool | None]:
    held = {each["name"]: each["ok"] for each in row.findings if each["is_bounded"]}
    return {f"ok_{name}": held.get(name) for name in checks}
