"""Each attempt as a child run of the logical call, for callbacks and traces.

An attempt is a chat-model run named after its model and tagged `attempt:N`. Its tokens are
left to the parent run, which reports the same answer: a handler that adds up usage or prints
tokens sees each of them once.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks.manager import (
    AsyncCallbackManagerForChainRun,
    CallbackManagerForChainRun,
)
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun


class Answer:
    """Where the body of an attempt leaves the message that its run ends with."""

    message: BaseMessage | None = None

    def as_result(self) -> LLMResult:
        """The answer without its usage, which the parent run reports."""
        if self.message is None:
            return LLMResult(generations=[])
        message = AIMessage(
            content=self.message.content, response_metadata=self.message.response_metadata
        )
        return LLMResult(generations=[[ChatGeneration(message=message)]])


@contextmanager
def attempt_run(
    parent: CallbackManagerForLLMRun | None, name: str, number: int, messages: Sequence[BaseMessage]
) -> Iterator[Answer]:
    """Run the body as attempt `number` of `parent`; callbacks see it start, end or fail."""
    answer = Answer()
    if parent is None or not parent.inheritable_handlers:
        yield answer
        return
    manager = CallbackManagerForChainRun(**_identity(parent)).get_child(f"attempt:{number}")
    run = manager.on_chat_model_start({}, [list(messages)], name=name)[0]
    try:
        yield answer
    except BaseException as error:
        run.on_llm_error(error, response=LLMResult(generations=[]))
        raise
    run.on_llm_end(answer.as_result())


@asynccontextmanager
async def aattempt_run(
    parent: AsyncCallbackManagerForLLMRun | None,
    name: str,
    number: int,
    messages: Sequence[BaseMessage],
) -> AsyncIterator[Answer]:
    """The twin of `attempt_run`."""
    answer = Answer()
    if parent is None or not parent.inheritable_handlers:
        yield answer
        return
    manager = AsyncCallbackManagerForChainRun(**_identity(parent)).get_child(f"attempt:{number}")
    run = (await manager.on_chat_model_start({}, [list(messages)], name=name))[0]
    try:
        yield answer
    except BaseException as error:
        await run.on_llm_error(error, response=LLMResult(generations=[]))
        raise
    await run.on_llm_end(answer.as_result())


def _identity(
    parent: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun,
) -> dict[str, Any]:
    return {
        "run_id": parent.run_id,
        "handlers": parent.handlers,
        "inheritable_handlers": parent.inheritable_handlers,
        "parent_run_id": parent.parent_run_id,
        "tags": parent.tags,
        "inheritable_tags": parent.inheritable_tags,
        "metadata": parent.metadata,
        "inheritable_metadata": parent.inheritable_metadata,
    }
