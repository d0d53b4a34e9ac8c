"""One streamed answer, by as many streams as it takes."""

from __future__ import annotations

from contextlib import AsyncExitStack, ExitStack, aclosing, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

from langchain_tale.errors import BudgetSpentError, EmptyReplyError, ExternalServiceError
from langchain_tale.resilience.accepting import Accept, AcceptBeginning, acheck, check
from langchain_tale.resilience.members import chunk_of
from langchain_tale.resilience.opened import Opened

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from langchain_core.messages import BaseMessage

    from langchain_tale.resilience.calls import Call
    from langchain_tale.resilience.continuing import Telling
    from langchain_tale.resilience.members import Member

    SyncOpened = Opened[Generator[ChatGenerationChunk], ExitStack]
    AsyncOpened = Opened[AsyncGenerator[ChatGenerationChunk], AsyncExitStack]


@dataclass(frozen=True, slots=True)
class Streaming:
    """A stream that is opened again until its first content, and as told after that.

    Attributes:
        call: The logical call.
        telling: What the consumer was told so far.
        accept: A check of the whole answer, which is held back for it.
        kwargs: The arguments of the models.
        accept_beginning: What of a stream may be handed on before `accept` has seen it whole.
    """

    call: Call
    telling: Telling
    accept: Accept | None
    kwargs: dict[str, Any]
    accept_beginning: AcceptBeginning | None = None

    def chunks(self) -> Generator[ChatGenerationChunk]:
        """The answer, and last the log of its attempts."""
        walk, joined = self.call.walk, self.telling.joined
        has_deadline = walk.has_deadline
        with self.call:
            while True:
                opened = self._opened()
                try:
                    with opened.until:
                        for chunk in opened.head:
                            yield joined(chunk)
                        for chunk in opened.rest:  # three calls for each chunk, and no more
                            if has_deadline:
                                walk.check_deadline()
                            opened.note(chunk)
                            yield joined(chunk)
                        opened.finish()
                    break
                except Exception as error:  # noqa: BLE001 (raised unless another stream follows)
                    self._go_on_or_give_up(error)
                    notice = self.telling.breaks(error)
                walk.pause()
                if notice is not None:
                    yield notice
            yield from self._end(opened)

    async def achunks(self) -> AsyncGenerator[ChatGenerationChunk]:
        """The twin of `chunks`."""
        walk, joined = self.call.walk, self.telling.joined
        has_deadline = walk.has_deadline
        async with self.call:
            while True:
                opened = await self._aopened()
                try:
                    async with opened.until:  # no generator of its own: each costs every chunk
                        for chunk in opened.head:
                            yield joined(chunk)
                        async for chunk in opened.rest:
                            if has_deadline:
                                walk.check_deadline()
                            opened.note(chunk)
                            yield joined(chunk)
                        opened.finish()
                    break
                except Exception as error:  # noqa: BLE001 (raised unless another stream follows)
                    self._go_on_or_give_up(error)
                    notice = self.telling.breaks(error)
                await walk.apause()
                if notice is not None:
                    yield notice
            for chunk in self._end(opened):
                yield chunk

    # ── opening ─────────────────────────────────────────────────────────────

    def _opened(self) -> SyncOpened:
        try:
            opened: SyncOpened = self.call.walk.persist(self._open)
        except Exception as error:  # noqa: BLE001 (the walk judged it, and raises it again)
            self._give_up(error)
        return opened

    def _open(self) -> SyncOpened:
        with ExitStack() as stack:
            member, answer = stack.enter_context(self.call.attempt())
            asked = self._asked(member)
            within_s = self.call.walk.left_s()
            chunks = member.stream(asked, within_s=within_s, **self.kwargs)
            opened = Opened(rest=stack.enter_context(closing(chunks)), answer=answer, until=stack)
            try:
                for chunk in opened.rest:
                    self.call.walk.check_deadline()
                    if opened.starts_with(chunk) and self._may_hand_on(opened):
                        opened.is_handed_on = True
                        break
            except EmptyReplyError as error:
                opened.starts_with(self._end_or_raise(error))
            if not opened.is_handed_on:
                said = opened.message
                whole = self.call.whole(said)
                check(self.accept, whole, member.name)
                opened.head = opened.head if whole is said else [chunk_of(whole)]
            opened.until = stack.pop_all()
        return opened

    async def _aopened(self) -> AsyncOpened:
        try:
            opened: AsyncOpened = await self.call.walk.apersist(self._aopen)
        except Exception as error:  # noqa: BLE001 (the walk judged it, and raises it again)
            self._give_up(error)
        return opened

    async def _aopen(self) -> AsyncOpened:
        async with AsyncExitStack() as stack:
            member, answer = await stack.enter_async_context(self.call.attempt())
            asked = self._asked(member)
            within_s = self.call.walk.left_s()
            chunks = await member.astream(asked, within_s=within_s, **self.kwargs)
            rest = await stack.enter_async_context(aclosing(chunks))
            opened = Opened(rest=rest, answer=answer, until=stack)
            try:
                async for chunk in rest:
                    self.call.walk.check_deadline()
                    if opened.starts_with(chunk) and self._may_hand_on(opened):
                        opened.is_handed_on = True
                        break
            except EmptyReplyError as error:
                opened.starts_with(self._end_or_raise(error))
            if not opened.is_handed_on:
                said = opened.message
                whole = self.call.whole(said)
                await acheck(self.accept, whole, member.name)
                opened.head = opened.head if whole is said else [chunk_of(whole)]
            opened.until = stack.pop_all()
        return opened

    def _may_hand_on(self, opened: SyncOpened | AsyncOpened) -> bool:
        """Whether there is no way back from what came so far; nor from what it continues."""
        if self.accept is None or self.telling.text:
            return True
        return self.accept_beginning is not None and self.accept_beginning(opened.text)

    def _asked(self, member: Member) -> list[BaseMessage]:
        """What to ask: nothing was handed on where an answer was refused."""
        if self.call.walk.refusals:
            return self.call.asked(member)
        return self.telling.messages(continues_prefill=member.continues_prefill)

    def _end_or_raise(self, error: EmptyReplyError) -> ChatGenerationChunk:
        """The last chunk of an answer that turned out to be whole when it broke."""
        if not self.telling.is_ended_by(error):
            raise error
        facts = {
            "id": error.generation_id,
            "model_name": error.model,
            "provider_name": error.provider_name,
            "finish_reason": error.finish_reason,
        }
        said = {name: fact for name, fact in facts.items() if fact is not None}
        return ChatGenerationChunk(message=AIMessageChunk(content="", response_metadata=said))

    # ── telling ─────────────────────────────────────────────────────────────

    def _end(self, opened: SyncOpened | AsyncOpened) -> Generator[ChatGenerationChunk]:
        """What was held back, and the log."""
        if (held := self.telling.rest()) is not None:
            yield held
        walk, chars = self.call.walk, len(self.telling.text)
        walk.answered(opened.metadata, opened.usage, content_chars=chars, is_streamed=True)
        log = [attempt.to_dict() for attempt in walk.log]
        message = AIMessageChunk(
            content="", response_metadata={"attempts": log}, chunk_position="last"
        )
        yield ChatGenerationChunk(message=message)

    # ── failing ─────────────────────────────────────────────────────────────

    def _go_on_or_give_up(self, error: Exception) -> None:
        """After a stream that broke: return if another one may take its place."""
        if not self.telling.may_go_on:
            self.call.walk.failed(error)
        elif self.call.walk.has_another_turn_after(error):
            return
        self._give_up(error)

    def _give_up(self, error: Exception) -> NoReturn:
        final = self.call.walk.outcome(error)
        if self.telling.text and isinstance(final, ExternalServiceError | BudgetSpentError):
            final.partial_text = self.telling.text
        if final is error:
            raise error
        raise final from error
