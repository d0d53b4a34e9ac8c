"""A chat model whose requests go by batch; all around it stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from pydantic import Field

from langchain_tale.openrouter import protocol
from langchain_tale.openrouter.chat_models import ChatOpenRouter

if TYPE_CHECKING:
    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import ChatResult

    from langchain_tale.openrouter.failures import Source
    from langchain_tale.openrouter.transport import Call


class Answers(Protocol):
    """What takes a request and, some hours later, gives its answer."""

    async def answer(self, llm: ChatOpenRouter, call: Call) -> tuple[Any, Source]:
        """The body of the answer, and whose it is."""
        ...


class PostedChatModel(ChatOpenRouter):
    """A `ChatOpenRouter` that asks by batch, for coroutines.

    Attributes:
        post: What carries its requests.
    """

    post: Any = Field(default=None, exclude=True, repr=False)

    @classmethod
    def like(cls, model: ChatOpenRouter, post: Answers) -> PostedChatModel:
        """The same model by way of `post`; it is the policy's alone to try again."""
        fields = {**vars(model), "post": post, "max_retries": 0}
        posted = cls.model_construct(_fields_set={*model.model_fields_set, "post"}, **fields)
        posted._keys = model._keys  # noqa: SLF001 (of the same class)
        return posted

    @classmethod
    def lc_id(cls) -> list[str]:
        """As its kind: a cache knows the answers of both."""
        return ChatOpenRouter.lc_id()

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        async with self._asking(run_manager, kwargs, streamed=False) as asking:
            call = self._call(messages, stop, asking.exchanges, kwargs)
            body, source = await self.post.answer(self, call)
            asking.body = lambda: body
            return asking.whole(protocol.read_reply(body, source))
