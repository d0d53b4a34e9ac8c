"""`create_story_chain`: prompt | model | result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from langchain_core.runnables import Runnable, RunnableLambda, ensure_config

from langchain_tale.resilience.batching import widely
from langchain_tale.resilience.chat_models import ResilientChatModel, resilient
from langchain_tale.resilience.composing import LOOP_OPTIONS
from langchain_tale.settings import get_settings
from langchain_tale.story.checks.judge import VERDICT_TOKENS
from langchain_tale.story.prompt import story_messages
from langchain_tale.story.request import StoryInput, StoryRequest, as_story_request
from langchain_tale.story.result import StoryGenerationResult
from langchain_tale.story.review import Review
from langchain_tale.story.storytellers import chat_models, fit, given_options, settled_policy
from langchain_tale.story.unfit.guard import RequestGuard, admission
from langchain_tale.telemetry.context import REQUEST_ID
from langchain_tale.telemetry.scopes import Scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.language_models import BaseChatModel

    from langchain_tale.resilience.attempts import Timing
    from langchain_tale.resilience.continuing import OnBrokenStream
    from langchain_tale.resilience.policy import RetryPolicy
    from langchain_tale.story.best import OnUnfit
    from langchain_tale.story.checks.told import Check
    from langchain_tale.story.storytellers import Models
    from langchain_tale.telemetry.budget import Budget

TOKENS_PER_WORD: Final = 4
"""Room for the wordiest tokenizers and languages, and for a story longer than asked."""
_GUARD: Final = RequestGuard()


def create_story_chain(
    models: Models = None,
    *,
    retry: RetryPolicy | None = None,
    zdr: bool = False,
    guard: RequestGuard | None = _GUARD,
    checks: Sequence[Check] | bool | None = None,
    max_revisions: int = 0,
    on_unfit: OnUnfit = "return",
    judge: str | BaseChatModel | None = None,
    on_broken_stream: OnBrokenStream = "raise",
    budget: Budget | None = None,
    timing: Timing | None = None,
    **model_options: Any,
) -> Runnable[StoryInput, StoryGenerationResult]:
    """A chain that tells stories.

    Invoked with a `StoryRequest`, a dict of its fields, or just a theme; streamed, it yields
    a result that grows. A request with a child's name, or with an e-mail address, a telephone
    number or an address in any field, is sent with `data_collection: "deny"`: where no provider
    promises that, it fails.

    Every story is measured, and its result has the `report`. With `max_revisions`, a `judge` or
    `on_unfit="raise"` a story that fails a check is refused: the next model, or the same one, is
    given it back with the reasons, or goes on where it ran out of tokens. A stream then begins
    once a story is accepted. In all a call sends at most `max_retries + 1 + max_revisions`
    requests to storytellers, and two to the judge for each story that passes the checks.

    Args:
        models: Slugs, `OpenRouterModel`s or chat models of any vendor, best first; else the
            `default_model` of the settings. Chat models of other vendors are used as they are:
            they know nothing of OpenRouter's privacy routing.
        retry: How hard to try; else as a model made by `with_retry` or `with_fallbacks` says,
            else as the settings say, and each model at least once.
        zdr: Ask for endpoints that retain nothing, whether there is a name or not.
        guard: Refuses requests that are unfit for children before anything is sent; None lets
            all of them pass.
        checks: What is measured: None or True for `DEFAULT_CHECKS`, False for nothing.
        max_revisions: How many stories that fail a check are asked for again, 0 to 20. One that
            ran out of tokens is continued, which counts as one of them.
        on_unfit: When no story was fit: `"return"` the best, marked by `is_best_effort`, or
            `"raise"`.
        judge: A model that reads each story that passes the checks; without its clear yes a
            story is not fit.
        on_broken_stream: What a stream that breaks amid the story comes to: `"raise"`,
            `"restart"` or `"continue"`; see `ResilientChatModel`.
        budget: What may be spent; once it is, nothing more is asked. Others may share it.
        timing: Clock, sleep and randomness, for tests.
        **model_options: For every model given by name, e.g. `api_key`, `temperature`.

    Returns:
        A runnable with `invoke`, `batch`, `stream` and their twins.

    Raises:
        ConfigurationError: No key or no models, before anything is sent; from the chain, a
            request that is not allowed.
        UnfitRequestError: From the chain: a request that makes no story for a child. It is a
            ConfigurationError, and its message is kind, to be shown as it is.
        UnfitStoryError: From the chain with `on_unfit="raise"`; `.result` is the best story.
        ExternalServiceError: From the chain, when no model told a story.
        BudgetSpentError: From the chain, when nothing may be asked any more.

    Example:
        ```python
        chain = create_story_chain([OpenRouterModel.GPT_4O_MINI, "openrouter/auto"])
        chain.invoke({"theme": "a fox who learns to share", "child_name": "Mia"}).content
        ```
    """
    loop: dict[str, Any] = {"timing": timing, "on_broken_stream": on_broken_stream}
    if isinstance(models, ResilientChatModel):
        retry = retry or models.retry
        loop = {name: getattr(models, name) for name in LOOP_OPTIONS} | given_options(**loop)
    storytellers = chat_models(models, model_options, of="create_story_chain")
    retry = retry or settled_policy(len(storytellers))
    judges = [] if judge is None else chat_models(judge, model_options, of="judge")
    review = Review.of(checks=checks, max_revisions=max_revisions, on_unfit=on_unfit, timing=timing)
    least_tokens = get_settings().ai_service.max_tokens

    def story(request: StoryRequest) -> Runnable[StoryRequest, StoryGenerationResult]:
        scope = Scope.of_step(ensure_config())
        room = max(least_tokens, request.word_count * TOKENS_PER_WORD)
        fitted = [fit(model, request, room, zdr=zdr) for model in storytellers]
        readers = [fit(model, request, VERDICT_TOKENS, zdr=zdr) for model in judges]
        prompt = RunnableLambda(story_messages, name="story_prompt")
        model = resilient(fitted, retry=retry, is_step=True, **loop)
        steps = review.steps(prompt, model, request, readers, scope=scope, budget=budget)
        return steps.with_config(metadata={REQUEST_ID: scope.request_id})

    request = RunnableLambda(as_story_request, name="story_request")
    steps = request | admission(guard) | RunnableLambda(story, name="story")
    chain = steps.with_config(run_name="story_chain")
    return widely(chain.with_types(input_type=StoryInput, output_type=StoryGenerationResult))  # type: ignore[arg-type]  # a union
