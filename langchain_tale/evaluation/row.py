"""`Row`: what one model came to on one request, once; a line of JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from langchain_tale.errors import AllModelsFailedError, TaleError
from langchain_tale.story.checks import check_story
from langchain_tale.story.checks.told import words_of
from langchain_tale.telemetry.facts import totals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tale.errors import Attempt
    from langchain_tale.evaluation.cases import Case
    from langchain_tale.story.result import StoryGenerationResult


class Key(NamedTuple):
    """What a row is known by.

    Attributes:
        model: The name of the model.
        digest: The request, by what it says.
        repeat: Which time, from 1.
    """

    model: str
    digest: str
    repeat: int


class Failure(BaseModel):
    """Why there is no story.

    Attributes:
        kind: Class of the error; after several attempts, that of the last of them.
        message: What it says, where it is an error of ours; others may quote the prompt.
        status_code: HTTP status, where there was one.
    """

    model_config = ConfigDict(frozen=True)

    kind: str
    message: str = ""
    status_code: int | None = None


class Row(BaseModel):
    """What one model came to on one request, once.

    Attributes:
        model: The model that was asked.
        digest: A hash of the request.
        request: The name of the request.
        repeat: Which time, from 1.
        setup: A hash of the options that it was told with.
        ended_at: When, in UTC, as ISO 8601.
        is_fit: Whether there is a story that passes all checks.
        score: From 0 to 1, the share of the checks' bounds that are kept, by weight
            (`StoryReport.score`); None where there is no story.
        findings: What was measured, as `Finding.to_dict` has it, and whether it was bounded.
        title: The title of the story, or None.
        content: The story, or None.
        words: Its length, or None.
        answered_by: The model that says it answered.
        provider_name: The host that served it, where known.
        cost_usd: What all attempts cost, or None where nobody said.
        latency_s: Seconds from the first attempt to the end of the last, waits included.
        input_tokens: Tokens that were read for the answer, or None where nobody said.
        output_tokens: Tokens of the answer, likewise.
        attempts: Requests that were sent; 0 where that is unknown.
        error: Why there is no story, or None.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    digest: str
    request: str
    repeat: int
    setup: str = ""
    ended_at: str = ""
    is_fit: bool = False
    score: float | None = None
    findings: tuple[dict[str, Any], ...] = Field(default=(), repr=False)
    title: str | None = Field(default=None, repr=False)
    content: str | None = Field(default=None, repr=False)
    words: int | None = None
    answered_by: str | None = None
    provider_name: str | None = None
    cost_usd: float | None = None
    latency_s: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    attempts: int = 0
    error: Failure | None = None

    @property
    def key(self) -> Key:
        """What it is known by."""
        return Key(self.model, self.digest, self.repeat)

    @property
    def tokens(self) -> int | None:
        """Tokens read and written, or None where nobody said."""
        if self.input_tokens is None or self.output_tokens is None:
            return None
        return self.input_tokens + self.output_tokens

    @property
    def failed_checks(self) -> tuple[str, ...]:
        """The names of the checks that the story does not pass."""
        return tuple(each["name"] for each in self.findings if not each["ok"])

    @property
    def sentences(self) -> tuple[str, ...]:
        """What the checks have to say of the story."""
        return tuple(dict.fromkeys(each["sentence"] for each in self.findings if each["sentence"]))


def told_row(key: Key, case: Case, result: StoryGenerationResult, *, setup: str) -> Row:
    """The row of a story; one that nobody has measured yet is measured here."""
    report = result.report or check_story(result, case.request)
    info, usage = result.generation_info or {}, result.usage
    _, total_usd = totals(result.attempts)
    return Row(
        **_known(key, case, setup),
        is_fit=report.passed,
        score=round(report.score, 4),
        findings=tuple({**one.to_dict(), "is_bounded": one.is_bounded} for one in report.findings),
        title=result.title,
        content=result.content,
        words=len(words_of(result.content)),
        answered_by=str(result.model),
        provider_name=info.get("provider_name"),
        cost_usd=result.cost_usd if total_usd is None else total_usd,
        latency_s=result.latency_s,
        input_tokens=usage["input_tokens"] if usage else None,
        output_tokens=usage["output_tokens"] if usage else None,
        attempts=len(result.attempts) or 1,
    )


def failed_row(key: Key, case: Case, error: Exception, *, setup: str) -> Row:
    """The row of a failure."""
    log: Sequence[Attempt] = getattr(error, "attempts", None) or ()
    seconds, total_usd = totals(log)
    message = str(error) if isinstance(error, TaleError) else ""
    status_code = getattr(error, "status_code", None)
    return Row(
        **_known(key, case, setup),
        cost_usd=total_usd,
        latency_s=round(seconds, 3) if log else None,
        attempts=len(log),
        error=Failure(kind=_kind(error, log), message=message, status_code=status_code),
    )


def _kind(error: Exception, log: Sequence[Attempt]) -> str:
    """Of one model it says more why the last attempt failed than that all did."""
    last = log[-1].error if log and type(error) is AllModelsFailedError else None
    return type(last or error).__name__


def _known(key: Key, case: Case, setup: str) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {**key._asdict(), "request": case.name, "setup": setup, "ended_at": now}
