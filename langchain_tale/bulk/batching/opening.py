"""What a run by batch is made of: its chain, its post, and what it cannot do."""

from __future__ import annotations

import inspect
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from langchain_tale.bulk.batching.letters import Batching
from langchain_tale.bulk.batching.post import Post
from langchain_tale.bulk.batching.posted import PostedChatModel
from langchain_tale.bulk.batching.register import Register, path_beside
from langchain_tale.errors import ConfigurationError
from langchain_tale.openrouter.chat_models import ChatOpenRouter
from langchain_tale.resilience.chat_models import ResilientChatModel, resilient
from langchain_tale.story.chain import create_story_chain
from langchain_tale.story.storytellers import chat_models, settled_policy

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_core.runnables import Runnable

    from langchain_tale.resilience.attempts import Timing
    from langchain_tale.resilience.policy import RetryPolicy
    from langchain_tale.story.request import StoryInput
    from langchain_tale.story.result import StoryGenerationResult
    from langchain_tale.story.storytellers import Models

_log: Final = logging.getLogger(__name__)
_OF_CHAIN: Final = frozenset(
    name
    for name, parameter in inspect.signature(create_story_chain).parameters.items()
    if parameter.kind is not inspect.Parameter.VAR_KEYWORD
)


@dataclass(slots=True)
class Mail:
    """The batches of an output.

    Attributes:
        post: The way of the run.
        register: What is on disk.
        is_needed: Whether it stays there: a later run has something to learn of it.
    """

    post: Post
    register: Register
    is_needed: bool = True

    @classmethod
    def open(
        cls, out: Path, batching: Batching, *, goes_on: bool, patience_s: float, timing: Timing
    ) -> Self:
        """Take the file of batches beside an output.

        Raises:
            ConfigurationError: An earlier run has left batches, and is not gone on with.
            OutputError: The file cannot be written, or another run has it.
        """
        register = Register(path_beside(out))
        register.open(goes_on=goes_on)
        if register.doubtful:
            _log.warning(
                "%d requests were being submitted when the last run ended; whether they were "
                "taken is not known, so they are asked for again and may be paid for twice",
                register.doubtful,
            )
        return cls(Post(register, batching, patience_s=patience_s, timing=timing), register)

    def close(self) -> None:
        """Let others have the file."""
        self.register.close(is_needed=self.is_needed)

    def chain(
        self, models: Models, timing: Timing | None, options: dict[str, Any]
    ) -> Runnable[StoryInput, StoryGenerationResult]:
        """The story chain, whose models are asked by batch; nothing else of it is another.

        Circuits are left out: what fails in a batch is over, and says nothing of the next one.

        Raises:
            ConfigurationError: A model is no OpenRouter model, or the policy has time limits.
        """
        of_chain = {name: value for name, value in options.items() if name in _OF_CHAIN}
        of_models = {name: value for name, value in options.items() if name not in _OF_CHAIN}
        storytellers = chat_models(models, of_models, of="tell_all")
        retry = of_chain.pop("retry", None) or _policy_of(models, len(storytellers))
        if retry.attempt_timeout_s is not None or retry.deadline_s is not None:
            msg = "A batch takes up to a day; leave attempt_timeout_s and deadline_s out of retry."
            raise ConfigurationError(msg)
        told: dict[str, Any] = (
            {"accept": models.accept} if isinstance(models, ResilientChatModel) else {}
        )
        posted = resilient(self._posted(storytellers), retry=retry, breaker=None, **told)
        if (judge := of_chain.pop("judge", None)) is not None:
            readers = self._posted(chat_models(judge, of_models, of="judge"))
            of_chain["judge"] = resilient(readers, breaker=None)
        return create_story_chain(posted, timing=timing, **of_chain)

    def _posted(self, models: list[Any]) -> list[PostedChatModel]:
        for model in models:
            if not isinstance(model, ChatOpenRouter):
                kind = type(model).__name__
                msg = f"Batches ask OpenRouter's models; {kind} is another vendor's: leave it out."
                raise ConfigurationError(msg)
        return [PostedChatModel.like(model, self.post) for model in models]


def _policy_of(models: Models, number: int) -> RetryPolicy:
    return models.retry if isinstance(models, ResilientChatModel) else settled_policy(number)


def batching_of(via: Any) -> Batching | None:
    """How batches are made; None for a run that is told call by call.

    Raises:
        ConfigurationError: There is no such way.
    """
    if via == "calls":
        return None
    if via == "batch":
        return Batching()
    if isinstance(via, Batching):
        return via
    msg = 'via must be "calls", "batch" or a Batching.'
    raise ConfigurationError(msg)


def check_no_batches(out: Path) -> None:
    """A run that is told call by call must not pay for what is in batches.

    Raises:
        ConfigurationError: An earlier run has left batches beside this output.
    """
    path = path_beside(out)
    if path.exists() and path.stat().st_size:
        msg = (
            f"{path} has batches that are paid for; resume with via='batch' (--via batch), or "
            "remove that file to pay for their stories again."
        )
        raise ConfigurationError(msg)
