"""`Editor`: reads each story of one request, and says what to tell differently."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from langchain_tale.errors import RefusedReplyError
from langchain_tale.story.checks.checking import check_story
from langchain_tale.story.checks.judge import Judge
from langchain_tale.story.checks.report import GRAVE, Finding, StoryReport
from langchain_tale.story.checks.told import Told
from langchain_tale.story.prompt import revision_request
from langchain_tale.story.result import StoryGenerationResult, story_result

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from langchain_tale.story.checks.told import Check
    from langchain_tale.story.request import StoryRequest

Key = tuple[str | None, str, bool]
LONGEST_BEGINNING: Final = 1.2
"""A story that has run out of tokens and is longer than this, as a share of what was asked for, is
told anew: its end would make it too long."""


@dataclass(slots=True)
class Editor:
    """What stands between a storyteller and a child, for one request.

    As the `accept` of a policy it refuses a story that fails a check; as its `revising` it asks
    for it again with the reasons. The judge is asked only about stories that pass by rule.

    Attributes:
        request: What was asked for.
        checks: What is measured.
        judge: A second model that reads the story, or None.
        max_revisions: How many refused stories are asked for again.
    """

    request: StoryRequest
    checks: Sequence[Check]
    judge: Judge | None = None
    max_revisions: int = 0
    _reports: dict[Key, StoryReport] = field(default_factory=dict)

    # ── accepting ───────────────────────────────────────────────────────────

    def __call__(self, message: BaseMessage) -> str | None:
        """None for a story that may be told; else the names of the checks that it fails."""
        result = story_result(message)
        report = self._by_rule(result)
        if self.judge is not None and report.passed:
            report = _with(report, self.judge(Told.of(result, self.request)))
        return self._word(result, report)

    async def awaited(self, message: BaseMessage) -> str | None:
        """The twin."""
        result = story_result(message)
        report = self._by_rule(result)
        if self.judge is not None and report.passed:
            report = _with(report, await self.judge.awaited(Told.of(result, self.request)))
        return self._word(result, report)

    def _word(self, result: StoryGenerationResult, report: StoryReport) -> str | None:
        self._reports[_key(result)] = report
        names = ", ".join(finding.name for finding in report.failures)
        return f"it fails {names}" if names else None

    # ── revising ────────────────────────────────────────────────────────────

    def again(self, asked: Sequence[BaseMessage], refusal: RefusedReplyError) -> list[BaseMessage]:
        """The messages of the call, the refused story, and what is to be different."""
        report = self.report_for(story_result(refusal.message))
        sentences = (refusal.reason,) if report.passed else report.sentences
        if not sentences:
            return list(asked)
        wish = revision_request(sentences, self.request.language_code)
        return [*asked, AIMessage(refusal.message.text), HumanMessage(wish)]

    def may_be_continued(self, refusal: RefusedReplyError) -> bool:
        """Whether a story ran out of tokens before it was too long or had another fault."""
        result = story_result(refusal.message)
        faults = {finding.name for finding in self.report_for(result).failures}
        if not result.is_cut_off or faults - {"ending", "words", "minutes"}:
            return False
        words = len(Told.of(result, self.request).words)
        return words <= self.request.word_count * LONGEST_BEGINNING

    # ── the report ──────────────────────────────────────────────────────────

    def report_for(self, result: StoryGenerationResult) -> StoryReport:
        """What was measured of a story; one that the judge has not read is not fit."""
        known = self._reports.get(_key(result))
        if known is None:
            known = self._by_rule(result)
            if self.judge is not None:
                known = _with(known, Finding(name=Judge.name, value=0, at_least=1, weight=GRAVE))
            self._reports[_key(result)] = known
        return known

    def best(self, error: Exception) -> StoryGenerationResult | None:
        """The story with the best score among those refused, the later of equals; or None."""
        attempts = getattr(error, "attempts", ())
        refusals = [a.error for a in attempts if isinstance(a.error, RefusedReplyError)]
        results = [story_result(_logged(refusal.message, attempts)) for refusal in refusals]
        told = [replace(result, report=self.report_for(result)) for result in results]
        ours = [result for result in told if result.is_best_effort]  # not refused by another check
        return max(reversed(ours), key=_score, default=None)

    def _by_rule(self, result: StoryGenerationResult) -> StoryReport:
        return check_story(result, self.request, checks=self.checks)


def _with(report: StoryReport, finding: Finding) -> StoryReport:
    return StoryReport((*report.findings, finding))


def _score(result: StoryGenerationResult) -> float:
    return 0.0 if result.report is None else result.report.score


def _logged(message: Any, attempts: Iterable[Any]) -> BaseMessage:
    """The message with the log of all attempts, as an answer that was accepted has it."""
    log = [attempt.to_dict() for attempt in attempts]
    metadata = {**message.response_metadata, "attempts": log}
    logged: BaseMessage = message.model_copy(update={"response_metadata": metadata})
    return logged


def _key(result: StoryGenerationResult) -> Key:
    return result.title, result.content, result.is_cut_off
