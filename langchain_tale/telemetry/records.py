"""What `StoryMetrics` and its like hand out: frozen records, fit for `dataclasses.asdict`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from langchain_tale.cards.card import Card, Readable
from langchain_tale.cards.metrics import metrics_card


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """How long something took, over many times; all in seconds.

    A percentile is the shortest duration that so many percent of them do not exceed (nearest
    rank), within 0.5 % of the exact value.

    Attributes:
        count: How many there were; the rest is None where there were none.
        sum_s: All of them together.
        min_s: The shortest.
        p50_s: The median.
        p95_s: 95 of 100 took no longer.
        p99_s: 99 of 100 took no longer.
        max_s: The longest.
    """

    count: int = 0
    sum_s: float = 0.0
    min_s: float | None = None
    p50_s: float | None = None
    p95_s: float | None = None
    p99_s: float | None = None
    max_s: float | None = None

    @property
    def mean_s(self) -> float | None:
        """The average."""
        return self.sum_s / self.count if self.count else None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallMetrics:
    """Calls of all models, or those that asked one of them.

    A call is what a caller asked once: `invoke`, a stream, one input of a `batch`. An attempt
    is one request to one model. In the record of a model, `answered`, `failed` and the
    latencies are its own: a call that it failed and another model answered counts as failed
    here, and as answered there and overall.

    Attributes:
        calls: `answered`, `failed` and `cancelled` together.
        answered: Calls that it answered.
        failed: Calls that it was asked in vain.
        cancelled: Calls that their caller gave up: cancelled, timed out from without, or a
            stream that was not read to its end.
        cached: Answers that came from LangChain's cache; not among the calls, and they cost
            nothing.
        attempts: Requests sent.
        retries: Attempts beyond the first of a call; of a model: beyond its own first.
        fallbacks: Calls that another model answered than was asked first; of a model: that
            another one answered than this.
        latency: Of what was answered: overall from the call to the end of its answer, waits
            and failed attempts included; of a model, its own attempts alone, in calls of
            several attempts to the millisecond.
        first_token: Of what was streamed, from the call (of a model: from its attempt) to the
            first content.
        input_tokens: Tokens read, by failed attempts too where they tell.
        output_tokens: Tokens written, likewise.
        generating_s: Seconds that answers with known tokens took, waits left out.
        generated_tokens: The tokens of these answers.
        cost_usd: What the server charged, for failed attempts too where it says so.
        failed_cost_usd: The failed attempts' share of it.
        errors: How many attempts failed with which class of error; overall also calls that
            failed before an attempt.
        answered_by: Which models gave the answers, as these name themselves; routers and
            server-side fallbacks pick others than were asked.
    """

    calls: int = 0
    answered: int = 0
    failed: int = 0
    cancelled: int = 0
    cached: int = 0
    attempts: int = 0
    retries: int = 0
    fallbacks: int = 0
    latency: Durations = field(default_factory=Durations)
    first_token: Durations = field(default_factory=Durations)
    input_tokens: int = 0
    output_tokens: int = 0
    generating_s: float = 0.0
    generated_tokens: int = 0
    cost_usd: float = 0.0
    failed_cost_usd: float = 0.0
    errors: dict[str, int] = field(default_factory=dict)
    answered_by: dict[str, int] = field(default_factory=dict)

    @property
    def success_rate(self) -> float | None:
        """Answered calls among those that were not cancelled, 0 to 1."""
        ended = self.answered + self.failed
        return self.answered / ended if ended else None

    @property
    def retries_per_call(self) -> float | None:
        """Retries for each call, on average."""
        return self.retries / self.calls if self.calls else None

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens written for each second of answering, prompts and first tokens included."""
        return self.generated_tokens / self.generating_s if self.generating_s else None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSnapshot(Readable):
    """Everything counted up to a moment; in a notebook it shows itself as a table.

    Attributes:
        overall: All calls.
        models: The same for each model that was asked, by its name.
    """

    overall: CallMetrics
    models: dict[str, CallMetrics]

    def to_dict(self) -> dict[str, Any]:
        """The same, fit for JSON."""
        return asdict(self)

    def card(self) -> Card:
        """What a notebook shows of it."""
        return metrics_card(self.overall, self.models)
