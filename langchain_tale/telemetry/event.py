"""What all events share."""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Final

_PREFIX: Final = "langchain_tale."


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What all events share.

    Attributes:
        name: What happened, e.g. `"attempt.failed"`.
        level: How much it matters to `logging`.
        is_custom: Whether LangChain's handlers hear of it, as a custom event.
        request_id: The caller's id of the logical call, or the one that was made for it.
        run_id: LangChain's id of the run of the logical call, where there is one.
    """

    name: ClassVar[str] = "event"
    level: ClassVar[int] = logging.DEBUG
    is_custom: ClassVar[bool] = True

    request_id: str | None = None
    run_id: str | None = None

    @property
    def message(self) -> str:
        """The event as a sentence."""
        return self.name

    @property
    def custom_name(self) -> str:
        """What LangChain's `on_custom_event` calls it, e.g. `"langchain_tale.attempt.failed"`."""
        return _PREFIX + self.name

    def __str__(self) -> str:
        return self.message

    def to_dict(self) -> dict[str, Any]:
        """The facts that are known, flat and fit for JSON."""
        names = fact_names(type(self))
        return {name: fact for name in names if (fact := getattr(self, name)) is not None}


_FACTS: Final[dict[type[Event], tuple[str, ...]]] = {}


def fact_names(kind: type[Event]) -> tuple[str, ...]:
    """The names of the facts that events of a kind have."""
    return _FACTS.get(kind) or _FACTS.setdefault(kind, tuple(each.name for each in fields(kind)))
