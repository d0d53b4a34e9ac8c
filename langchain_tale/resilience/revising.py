"""An answer that was refused, asked for again with the reason; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import add_usage

from langchain_tale.resilience.continuing import going_on, joined_text, without_last_word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.messages import BaseMessage

    from langchain_tale.errors import RefusedReplyError


@runtime_checkable
class Revising(Protocol):
    """How refused answers are asked for again.

    Attributes:
        max_revisions: How many, besides the retries of the policy: with both, a call sends at
            most `max_retries + 1 + max_revisions` requests.
    """

    @property
    def max_revisions(self) -> int:
        """How many refused answers are asked for again."""

    def again(self, asked: Sequence[BaseMessage], refusal: RefusedReplyError) -> list[BaseMessage]:
        """What to ask after a refusal."""

    def may_be_continued(self, refusal: RefusedReplyError) -> bool:
        """Whether the refused answer is a beginning, to be continued and not told anew."""


def asked_after(
    refusal: RefusedReplyError | None,
    asked: Sequence[BaseMessage],
    revising: Revising | None,
    *,
    continues_prefill: bool,
) -> list[BaseMessage]:
    """What to ask next, given the last refusal of the call, if there was one."""
    if refusal is None or revising is None:
        return list(asked)
    if revising.may_be_continued(refusal):
        beginning = without_last_word(refusal.message.text)
        return going_on(asked, beginning, continues_prefill=continues_prefill)
    return revising.again(asked, refusal)


def whole_after(
    refusal: RefusedReplyError | None, message: BaseMessage, revising: Revising | None
) -> BaseMessage:
    """The answer with the beginning that it continues, if it continues one."""
    if refusal is None or revising is None or not revising.may_be_continued(refusal):
        return message
    return continued(refusal.message, message)


def continued(beginning: BaseMessage, rest: BaseMessage) -> AIMessage:
    """Two parts of one answer as one: its end is the second's, tokens and cost are of both."""
    usages = [getattr(part, "usage_metadata", None) for part in (beginning, rest)]
    costs = [part.response_metadata.get("cost") for part in (beginning, rest)]
    metadata = dict(rest.response_metadata)
    if None not in costs:
        metadata["cost"] = sum(costs)
    return AIMessage(
        content=joined_text(without_last_word(beginning.text), rest.text),
        additional_kwargs=rest.additional_kwargs,
        response_metadata=metadata,
        usage_metadata=add_usage(*usages) if None not in usages else usages[1],
        id=rest.id,
    )
