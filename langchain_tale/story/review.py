"""`Review`: what a story chain does about stories that are not fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self, get_args

from langchain_tale.errors import ConfigurationError
from langchain_tale.resilience.accepting import both
from langchain_tale.story.best import BestEffort, OnUnfit
from langchain_tale.story.checks.checking import DEFAULT_CHECKS
from langchain_tale.story.checks.judge import Judge, within
from langchain_tale.story.editing import Editor
from langchain_tale.story.result import StoryGenerationResult, StoryParser

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage
    from langchain_core.runnables import Runnable

    from langchain_tale.resilience.attempts import Timing
    from langchain_tale.resilience.chat_models import ResilientChatModel
    from langchain_tale.story.checks.told import Check
    from langchain_tale.story.request import StoryRequest
    from langchain_tale.telemetry.budget import Budget
    from langchain_tale.telemetry.scopes import Scope

    Prompt = Runnable[StoryRequest, list[BaseMessage]]

MOST_REVISIONS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """How the stories of a chain are read before they are told.

    Attributes:
        checks: What is measured.
        max_revisions: How many stories that fail a check are asked for again.
        on_unfit: What comes of the best story where none is fit.
        timing: Clock, sleep and randomness, for the judge.
    """

    checks: tuple[Check, ...]
    max_revisions: int
    on_unfit: OnUnfit
    timing: Timing | None = None

    @classmethod
    def of(
        cls,
        *,
        checks: Sequence[Check] | bool | None,
        max_revisions: int,
        on_unfit: OnUnfit,
        timing: Timing | None,
    ) -> Self:
        """The review that the arguments of `create_story_chain` ask for.

        Raises:
            ConfigurationError: They make none.
        """
        if not 0 <= max_revisions <= MOST_REVISIONS:
            msg = f"max_revisions must be from 0 to {MOST_REVISIONS}."
            raise ConfigurationError(msg)
        if on_unfit not in get_args(OnUnfit):
            msg = 'on_unfit must be "return" or "raise".'
            raise ConfigurationError(msg)
        if isinstance(checks, bool) or checks is None:
            checks = () if checks is False else DEFAULT_CHECKS
        return cls(
            checks=tuple(checks), max_revisions=max_revisions, on_unfit=on_unfit, timing=timing
        )

    def steps(
        self,
        prompt: Prompt,
        model: ResilientChatModel,
        request: StoryRequest,
        judges: Sequence[BaseChatModel],
        *,
        scope: Scope | None = None,
        budget: Budget | None = None,
    ) -> Runnable[StoryRequest, StoryGenerationResult]:
        """Prompt, models and parser, and the review between them, for one request."""
        judge = Judge(tuple(judges), self.timing, budget) if judges else None
        editor = Editor(request, self.checks, judge, self.max_revisions)
        reports = bool(self.checks or judge)
        parser = StoryParser(reporting=editor.report_for if reports else None, scope=scope)
        if not (self.max_revisions or self.on_unfit == "raise" or judge):
            return prompt | within(budget, model) | parser
        asking = model.model_copy(
            update={
                "accept": both(model.accept, editor),
                "revising": editor,
            }
        )
        return BestEffort(prompt | within(budget, asking) | parser, editor, self.on_unfit, scope)
