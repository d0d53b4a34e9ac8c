"""`OpenRouterClient`: stories without knowing LangChain; the interface of existing callers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig, ensure_config

from langchain_tale.catalogue import DEFAULT_MODEL, OpenRouterModel
from langchain_tale.errors import ConfigurationError, checking
from langchain_tale.openrouter import account
from langchain_tale.openrouter.chat_models import ChatOpenRouter
from langchain_tale.resilience.attempts import Timing
from langchain_tale.resilience.chat_models import ResilientChatModel, resilient
from langchain_tale.resilience.policy import RetryPolicy
from langchain_tale.story.personal import has_personal_data
from langchain_tale.story.result import StoryGenerationResult, story_result
from langchain_tale.story.storytellers import private
from langchain_tale.story.telling import tell_of
from langchain_tale.telemetry.context import REQUEST_ID
from langchain_tale.telemetry.scopes import Scope

if TYPE_CHECKING:
    from langchain_tale.openrouter.fields import ProviderPreferences


class OpenRouterClient:
    """A plain client for OpenRouter.

    One client serves any number of threads and event loops.

    Args:
        api_key: OpenRouter's key, or a function that returns it; else `OPENROUTER_API_KEY`.
        base_url: https, or http on loopback; else `OPENROUTER_API_BASE`, else OpenRouter's.
        provider: Which endpoints may serve, e.g. `{"data_collection": "deny"}`: none that stores
            or trains. A prompt with an e-mail address, a telephone number or a postal address
            is sent so in any case; a child's name in a prompt cannot be told from a hero's.
        timing: Clock, sleep and randomness, for tests.

    Raises:
        ConfigurationError: No key, or a base URL that a key must not be sent to. It is a
            ValueError, and nothing has been sent.

    Example:
        ```python
        client = OpenRouterClient()
        result = client.generate_story("Tell me of a fox.", model=OpenRouterModel.GPT_4O_MINI)
        client.fetch_generation_info(result.generation_id)
        ```
    """

    def __init__(
        self,
        api_key: Any = None,
        *,
        base_url: str | None = None,
        provider: ProviderPreferences | None = None,
        timing: Timing | None = None,
    ) -> None:
        options = {"api_key": api_key, "base_url": base_url, "provider": provider}
        self._timing = timing or Timing()
        given = {name: value for name, value in options.items() if not _is_blank(value)}
        self._llm = ChatOpenRouter(**given)

    def __repr__(self) -> str:
        return f"OpenRouterClient(base_url={self._llm.openai_api_base!r})"

    def generate_story(
        self,
        prompt: str,
        model: OpenRouterModel | str = DEFAULT_MODEL,
        max_tokens: int = 1000,
        max_retries: int = 3,
        retry_delay: float = 1.0,
    ) -> StoryGenerationResult:
        """Send `prompt` as it is, and return what the model wrote.

        Args:
            prompt: What to write; sent without changes.
            model: The model to ask.
            max_tokens: Most tokens to write, at least 1.
            max_retries: More tries after the first.
            retry_delay: Seconds before the second try, doubling from there, plus jitter.

        Returns:
            The result; `content` is the model's text, word for word.

        Raises:
            ConfigurationError: An empty prompt, or a number out of range; nothing was sent.
            AllModelsFailedError: Several tries failed; `.attempts` has each with its error.
            ExternalServiceError: The first try failed and another could not have helped.
        """
        asking = _asking(prompt)
        teller = self._teller(prompt, model, max_tokens, max_retries, retry_delay)
        scope, config = _scope()
        story = story_result(teller.invoke(asking, config), has_title=False)
        tell_of(story, scope)
        scope.flush()
        return story

    async def agenerate_story(
        self,
        prompt: str,
        model: OpenRouterModel | str = DEFAULT_MODEL,
        max_tokens: int = 1000,
        max_retries: int = 3,
        retry_delay: float = 1.0,
    ) -> StoryGenerationResult:
        """The twin of `generate_story`."""
        asking = _asking(prompt)
        teller = self._teller(prompt, model, max_tokens, max_retries, retry_delay)
        scope, config = _scope()
        story = story_result(await teller.ainvoke(asking, config), has_title=False)
        tell_of(story, scope)
        await scope.aflush()
        return story

    def fetch_generation_info(self, generation_id: str | None) -> dict[str, Any] | None:
        """The stats of a finished generation, as `GET /generation` has them.

        OpenRouter is briefly late: it is asked up to six times within about six seconds.

        Args:
            generation_id: As in `StoryGenerationResult.generation_id`; None has no stats.

        Returns:
            The stats, or None where OpenRouter has none.

        Raises:
            ExternalServiceError: OpenRouter could not be asked.
        """
        if not generation_id:
            return None
        found = account.generation(self._llm, generation_id, timing=self._timing)
        return None if found is None else found.raw

    async def afetch_generation_info(self, generation_id: str | None) -> dict[str, Any] | None:
        """The twin of `fetch_generation_info`."""
        if not generation_id:
            return None
        found = await account.ageneration(self._llm, generation_id, timing=self._timing)
        return None if found is None else found.raw

    def _teller(
        self, prompt: str, model: str, max_tokens: int, max_retries: int, retry_delay: float
    ) -> ResilientChatModel:
        if not _is_text(model):
            msg = "model must be an OpenRouterModel or a slug such as 'openai/gpt-4o-mini'."
            raise ConfigurationError(msg)
        if max_tokens < 1:
            msg = "max_tokens must be at least 1."
            raise ConfigurationError(msg)
        with checking("generate_story"):
            policy = RetryPolicy(max_retries=max_retries, retry_delay=retry_delay)
        llm = self._llm.for_model(model).with_room(max_tokens)
        llm = private(llm, deny=has_personal_data(prompt))
        return resilient([llm], retry=policy, timing=self._timing)


def _scope() -> tuple[Scope, RunnableConfig]:
    """Who is told of a story, and the config that gives its request id to what is asked."""
    scope = Scope.of_step(ensure_config())
    return scope, {"metadata": {REQUEST_ID: scope.request_id}}


def _asking(prompt: str) -> list[HumanMessage]:
    if not _is_text(prompt):
        msg = "prompt must say what to write; it is empty."
        raise ConfigurationError(msg)
    return [HumanMessage(prompt)]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())
