"""What can be made to go wrong, one request at a time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One failure, in a shape that OpenRouter documents or that was recorded from it.

    Attributes:
        kind: `"http"`: an error status. `"body"`: an error inside a 200. `"empty"`: an answer
            without a word. `"midstream"`: an error event after `after_chunks` events.
            `"cut"`: the stream just ends there. The last two are an `"http"` 502 where no
            stream was asked for.
        status: HTTP status, or the code inside the body.
        message: The server's words.
        error_type: OpenRouter's word for it, in `error.metadata`.
        headers: Sent along, e.g. `{"Retry-After": "2"}`.
        after_chunks: Content events before the failure.
    """

    kind: Literal["http", "body", "empty", "midstream", "cut"] = "http"
    status: int = 503
    message: str = "Provider returned error"
    error_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    after_chunks: int = 2

    def error(self) -> dict[str, Any]:
        """The `error` object of a body or event."""
        error: dict[str, Any] = {"code": self.status, "message": self.message}
        if self.error_type:
            error["metadata"] = {"error_type": self.error_type}
        return error


class FaultPlan:
    """Faults by model, and a count of what was asked.

    Attributes:
        requests: Completions asked of each model so far.
    """

    def __init__(self, faults: Mapping[str, Iterable[Fault | None]] | None = None) -> None:
        self._by_model: dict[str, Iterator[Fault | None]] = {
            model: iter(sequence) for model, sequence in (faults or {}).items()
        }
        self.requests: Counter[str] = Counter()

    def next_for(self, model: str) -> Fault | None:
        """Count a request, and say what goes wrong with it; None where nothing does."""
        self.requests[model] += 1
        return next(self._by_model.get(model, iter(())), None)
