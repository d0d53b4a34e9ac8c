"""Is a story fit for the child who asked? Each check measures one thing; a report lists them."""

from langchain_tale.story.checks.checking import DEFAULT_CHECKS, check_story
from langchain_tale.story.checks.completeness import Ending, Loop, Repetition, WordSalad
from langchain_tale.story.checks.content import UnfitWords
from langchain_tale.story.checks.debris import Chatter, Markdown, PromptLeak, TitleInside
from langchain_tale.story.checks.language import ForeignWords, RightLanguage
from langchain_tale.story.checks.length import Minutes, WordCount
from langchain_tale.story.checks.level import Readability, ReadingLevel
from langchain_tale.story.checks.report import Finding, StoryReport
from langchain_tale.story.checks.told import Check, Told
from langchain_tale.story.checks.wording import Avoided, ChildNamed, OnTheme

__all__ = [
    "DEFAULT_CHECKS",
    "Avoided",
    "Chatter",
    "Check",
    "ChildNamed",
    "Ending",
    "Finding",
    "ForeignWords",
    "Loop",
    "Markdown",
    "Minutes",
    "OnTheme",
    "PromptLeak",
    "Readability",
    "ReadingLevel",
    "Repetition",
    "RightLanguage",
    "StoryReport",
    "TitleInside",
    "Told",
    "UnfitWords",
    "WordCount",
    "WordSalad",
    "check_story",
]
