"""`check_story`: every check over one story."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from langchain_tale.story.checks.completeness import Ending, Loop, Repetition, WordSalad
from langchain_tale.story.checks.content import UnfitWords
from langchain_tale.story.checks.debris import Chatter, Markdown, PromptLeak, TitleInside
from langchain_tale.story.checks.language import ForeignWords, RightLanguage
from langchain_tale.story.checks.length import Minutes, WordCount
from langchain_tale.story.checks.level import READABILITY, ReadingLevel
from langchain_tale.story.checks.report import StoryReport
from langchain_tale.story.checks.told import Told
from langchain_tale.story.checks.wording import Avoided, ChildNamed, OnTheme
from langchain_tale.story.request import as_story_request

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_tale.story.checks.told import Check
    from langchain_tale.story.request import StoryInput
    from langchain_tale.story.result import StoryGenerationResult

DEFAULT_CHECKS: Final[tuple[Check, ...]] = (
    WordCount(),
    Minutes(),
    ReadingLevel(),
    *READABILITY,
    RightLanguage(),
    ForeignWords(),
    Ending(),
    Loop(),
    Repetition(),
    WordSalad(),
    Chatter(),
    TitleInside(),
    Markdown(),
    PromptLeak(),
    ChildNamed(),
    Avoided(),
    OnTheme(),
    UnfitWords(),
)
"""Every check by rule, in the order of the report."""


def check_story(
    story: str | StoryGenerationResult,
    request: StoryInput,
    *,
    checks: Iterable[Check] | None = None,
) -> StoryReport:
    r"""Measure a story.

    Args:
        story: A result, or the text as a model wrote it, title and all.
        request: What was asked for: a `StoryRequest`, a dict of its fields, or just a theme.
        checks: What to measure; else `DEFAULT_CHECKS`. Any function of a `Told` that returns
            a `Finding` or None is a check.

    Returns:
        What was measured.

    Raises:
        ConfigurationError: The request is not allowed.

    Example:
        >>> report = check_story("# Fox\n\nOnce there was a", {"theme": "a fox", "words": 20})
        >>> [finding.name for finding in report.failures]
        ['ending', 'words']
    """
    told = Told.of(story, as_story_request(request))
    found = (check(told) for check in (DEFAULT_CHECKS if checks is None else checks))
    return StoryReport(tuple(finding for finding in found if finding is not None))
