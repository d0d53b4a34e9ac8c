"""`create_storybook_chain`: a story in scenes, with a picture described for each."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

from langchain_core.runnables import Runnable, RunnableLambda, ensure_config

from langchain_tale.catalogue import OpenRouterModel, known_model, served_slug
from langchain_tale.errors import (
    BudgetSpentError,
    ExternalServiceError,
    RefusedReplyError,
    TaleError,
)
from langchain_tale.openrouter.chat_models import ChatOpenRouter
from langchain_tale.resilience.accepting import both
from langchain_tale.resilience.batching import widely
from langchain_tale.resilience.chat_models import ResilientChatModel, resilient
from langchain_tale.resilience.composing import LOOP_OPTIONS
from langchain_tale.settings import get_settings
from langchain_tale.story.book.growing import GrowingStory
from langchain_tale.story.book.prompt import storybook_messages
from langchain_tale.story.book.result import StorybookParser, StorybookResult
from langchain_tale.story.book.schema import RESPONSE_FORMAT
from langchain_tale.story.checks.checking import check_story
from langchain_tale.story.checks.judge import within
from langchain_tale.story.request import StoryInput, StoryRequest, as_story_request
from langchain_tale.story.storytellers import chat_models, fit, given_options, settled_policy
from langchain_tale.story.unfit.guard import RequestGuard, admission
from langchain_tale.telemetry.context import REQUEST_ID
from langchain_tale.telemetry.scopes import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage

    from langchain_tale.resilience.attempts import Timing
    from langchain_tale.resilience.continuing import OnBrokenStream
    from langchain_tale.resilience.policy import RetryPolicy
    from langchain_tale.story.checks.report import StoryReport
    from langchain_tale.story.checks.told import Check
    from langchain_tale.story.result import StoryGenerationResult
    from langchain_tale.story.storytellers import Models
    from langchain_tale.telemetry.budget import Budget

OnProse = Literal["ask_again", "split", "raise"]
TOKENS_PER_WORD: Final = 4
"""As for a story in plain text."""
TOKENS_PER_SCENE: Final = 200
"""For what its picture shows, and the JSON around it."""
TOKENS_AROUND: Final = 700
"""For the characters, the moral and the questions."""
_GUARD: Final = RequestGuard()


def create_storybook_chain(
    models: Models = None,
    *,
    retry: RetryPolicy | None = None,
    zdr: bool = False,
    structured: bool | None = None,
    on_prose: OnProse = "ask_again",
    guard: RequestGuard | None = _GUARD,
    checks: Sequence[Check] | bool | None = None,
    on_broken_stream: OnBrokenStream = "raise",
    timing: Timing | None = None,
    budget: Budget | None = None,
    **model_options: Any,
) -> Runnable[StoryInput, StorybookResult]:
    """A chain that tells stories in scenes, as a `Story`.

    It takes what `create_story_chain` takes; `scenes` of the request says how many. Streamed, it
    yields a result for each scene, every one with a scene more; what was shown stays. An answer
    that is no whole story is refused inside the loop and asked for again, in a stream until
    the first scene is shown; after that it is an error.

    Args:
        models: As for `create_story_chain`.
        retry: How hard to try; else as a model made by `with_retry` or `with_fallbacks` says,
            else as the settings say, and each model at least once.
        zdr: Ask for endpoints that retain nothing.
        structured: Whether to send the JSON schema. None sends it to the models that are known
            to heed one (by the catalogue, or by `refresh_catalogue`), and leaves the others to
            the prompt: some providers refuse requests with a schema (§24, C22 of the facts on
            OpenRouter). Chat models of other vendors are never sent one.
        on_prose: What to do with a story that is told as plain text: `"ask_again"`, and take it
            in the end where nothing better came; `"split"`, take it at once; or `"raise"`,
            never take it. The result's `form` says `"prose"`.
        guard: Refuses requests that are unfit for children before anything is sent.
        checks: What is measured of the text of the scenes, for the result's `report`: None or
            True for `DEFAULT_CHECKS`, False for nothing. A story that fails one is not told again.
        on_broken_stream: As for `create_story_chain`; with `"restart"` the scenes begin anew.
        timing: Clock, sleep and randomness, for tests.
        budget: What may be spent; once it is, nothing more is asked. Others may share it.
        **model_options: For every model given by name.

    Returns:
        A runnable with `invoke`, `batch`, `stream` and their twins.

    Raises:
        ConfigurationError: As for `create_story_chain`.
        ExternalServiceError: From the chain, when no model told a whole story.
        BudgetSpentError: From the chain, when nothing may be asked any more.

    Example:
        ```python
        book = create_storybook_chain([OpenRouterModel.GPT_4O_MINI, "openrouter/auto"])
        result = book.invoke({"theme": "a fox who learns to share", "age": 5, "scenes": 4})
        result.story.to_html()
        ```
    """
    loop: dict[str, Any] = {"on_broken_stream": on_broken_stream, "timing": timing}
    if isinstance(models, ResilientChatModel):
        retry = retry or models.retry
        loop = {name: getattr(models, name) for name in LOOP_OPTIONS} | given_options(**loop)
    storytellers = chat_models(models, model_options, of="create_storybook_chain")
    retry = retry or settled_policy(len(storytellers))
    least_tokens = get_settings().ai_service.max_tokens

    def story(request: StoryRequest) -> Runnable[StoryRequest, StorybookResult]:
        scope = Scope.of_step(ensure_config())
        room = max(least_tokens, _room(request))
        fitted = [fit(model, request, room, zdr=zdr) for model in storytellers]
        asked = [_with_schema(model, structured=structured) for model in fitted]
        parser = StorybookParser(
            language=request.language_code,
            n_scenes=request.scene_count,
            takes_prose=on_prose == "split",
            reporting=_reporting(request, checks=checks),
            scope=scope,
        )
        checked = loop | {
            "accept": both(loop.get("accept"), parser.refusal),
            "accept_beginning": _has_a_scene,
        }
        model = within(budget, resilient(asked, retry=retry, is_step=True, **checked))
        telling = _prompt() | model | parser
        steps = _or_prose(telling, parser) if on_prose == "ask_again" else telling
        return steps.with_config(metadata={REQUEST_ID: scope.request_id})

    request = RunnableLambda(as_story_request, name="story_request")
    steps = request | admission(guard) | RunnableLambda(story, name="storybook")
    chain = steps.with_config(run_name="storybook_chain")
    return widely(chain.with_types(input_type=StoryInput, output_type=StorybookResult))  # type: ignore[arg-type]  # a union


def _prompt() -> Runnable[StoryRequest, list[BaseMessage]]:
    return RunnableLambda(storybook_messages, name="storybook_prompt")


def _reporting(
    request: StoryRequest, *, checks: Sequence[Check] | bool | None
) -> Callable[[StoryGenerationResult], StoryReport] | None:
    """What makes the report of a story, or None where nothing is measured."""
    if checks is False:
        return None
    return partial(check_story, request=request, checks=None if checks is True else checks)


def _room(request: StoryRequest) -> int:
    scenes = request.scene_count * TOKENS_PER_SCENE
    return request.word_count * TOKENS_PER_WORD + scenes + TOKENS_AROUND


def _has_a_scene(text: str) -> bool:
    return any(True for _ in GrowingStory().take(text))


# ── schemas ─────────────────────────────────────────────────────────────────


def _with_schema(model: BaseChatModel, *, structured: bool | None) -> BaseChatModel:
    """The model, asked for the schema where it heeds one."""
    if not isinstance(model, ChatOpenRouter):
        return model
    wanted = heeds_schemas(model) if structured is None else structured
    return model.model_copy(update={"response_format": RESPONSE_FORMAT}) if wanted else model


def heeds_schemas(model: ChatOpenRouter) -> bool:
    """Whether a model is known to heed JSON schemas, by its profile or by our catalogue."""
    said = (model.profile or {}).get("structured_output")
    if said is not None:
        return bool(said)
    known = known_model(served_slug(model.model_name))
    return isinstance(known, OpenRouterModel) and known.info.heeds_schemas is True


# ── plain text in the end ───────────────────────────────────────────────────


def _or_prose(
    telling: Runnable[StoryRequest, StorybookResult], parser: StorybookParser
) -> Runnable[StoryRequest, StorybookResult]:
    """`telling`; where no try gave a story as JSON, the last that was told as plain text."""
    takes_prose = parser.model_copy(update={"takes_prose": True})

    def last_resort(given: dict[str, Any]) -> StorybookResult:
        return parser.told(_prose_in(given["error"], takes_prose))

    async def alast_resort(given: dict[str, Any]) -> StorybookResult:
        return await parser.atold(_prose_in(given["error"], takes_prose))

    asked: Runnable[dict[str, Any], StorybookResult] = (
        RunnableLambda(lambda given: given["request"], name="request") | telling
    )
    either = asked.with_fallbacks(
        [RunnableLambda(last_resort, alast_resort, name="prose")],
        exceptions_to_handle=(ExternalServiceError, BudgetSpentError),
        exception_key="error",
    )
    named: Runnable[StoryRequest, dict[str, Any]] = RunnableLambda(
        lambda request: {"request": request}, name="request"
    )
    return named | either


def _prose_in(error: TaleError, parser: StorybookParser) -> StorybookResult:
    """The result of the last refused answer that is a story after all.

    Raises:
        TaleError: There is none: `error` itself.
    """
    log = [attempt.to_dict() for attempt in getattr(error, "attempts", ())]
    for message in _refused_in(error):
        if parser.refusal(message) is None:
            metadata = {**message.response_metadata, **({"attempts": log} if log else {})}
            return parser.result(message.model_copy(update={"response_metadata": metadata}))
    raise error


def _refused_in(error: TaleError) -> Iterator[Any]:
    """The answers that were refused, the latest first."""
    errors = [attempt.error for attempt in getattr(error, "attempts", ())] or [error]
    for each in reversed(errors):
        if isinstance(each, RefusedReplyError) and each.message is not None:
            yield each.message
