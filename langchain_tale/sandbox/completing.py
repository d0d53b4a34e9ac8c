"""`POST /chat/completions`: from the bytes of a request to an answer or a refusal."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from langchain_tale.sandbox import bodies, plugins, reasoning, response_cache, routing
from langchain_tale.sandbox.listings import concrete
from langchain_tale.sandbox.pieces import End, Engine, EngineError, Piece
from langchain_tale.sandbox.plans import FaultPlanError
from langchain_tale.sandbox.prompt_cache import PromptCache
from langchain_tale.sandbox.replies import NoAnswer, ToldAnswer, body_of, page, refused, reply
from langchain_tale.sandbox.response_cache import CacheWish, ResponseCache
from langchain_tale.sandbox.telling import Manner, Stats, Telling
from langchain_tale.sandbox.validation import problem_with
from langchain_tale.sandbox.wire import Delivery, Wire

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from langchain_tale.sandbox.faults import Fault
    from langchain_tale.sandbox.plans import FaultPlan

ItemT = TypeVar("ItemT")
EMPTY_PROMPT_TOKENS = 8
"""What the prompt of an answer without a word counts; no engine is asked."""


@dataclass(slots=True, kw_only=True)
class Question:
    """One request, and how far it got.

    Attributes:
        body: What was sent, valid.
        wire: The connection that it came by.
        cache: What it wants of the response cache; None where nothing.
        key: Its place in that cache.
        tells_routing: Whether it wants `openrouter_metadata`.
        is_in_batch: Whether it came with others, at half the price.
        attempts: The models that were asked so far, with provider and status.
    """

    body: dict[str, Any]
    wire: Wire
    cache: CacheWish | None
    key: str
    tells_routing: bool
    is_in_batch: bool = False
    attempts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def models(self) -> list[str]:
        """Whom to ask, in order."""
        return [name for name in (self.body.get("model"), *(self.body.get("models") or ())) if name]

    @property
    def is_streamed(self) -> bool:
        """Whether a stream is wanted."""
        return bool(self.body.get("stream"))

    def body_for(self, model: str) -> dict[str, Any]:
        """The body as the engine of one model sees it."""
        return self.body if self.body.get("model") == model else {**self.body, "model": model}


class Completions:
    """Answers requests for completions.

    Attributes:
        cancelled: Generations that the client left before they had ended.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        plan: FaultPlan,
        stats: Stats,
        manner: Manner,
        is_byok: bool,
    ) -> None:
        self.cancelled = 0
        self._engine = engine
        self._plan = plan
        self._stats = stats
        self._manner = manner
        self._is_byok = is_byok
        self._ongoing: set[Telling] = set()
        self._stopping = asyncio.Event()
        self._prompts = PromptCache()
        self._answers = ResponseCache()

    def drop_all(self) -> None:
        """End what is being told with an error, since the sandbox stops."""
        self._stopping.set()
        for telling in self._ongoing:
            telling.drop()

    async def answer(self, request: Request, *, api_key: str, wire: Wire) -> Response:
        """Answer one request, from the cache, by a model, or with the last model's refusal."""
        sent = await body_of(request)
        if sent is None:
            return NoAnswer(wire.close)
        try:
            body = json.loads(sent)
        except ValueError:
            return refused(400, "The body is no JSON.", error_type="invalid_request")
        if problem := problem_with(body, request.headers):
            return refused(400, problem, error_type="invalid_request")
        question = Question(
            body=body,
            wire=wire,
            cache=CacheWish.of(request.headers),
            key=response_cache.key_of(api_key, body),
            tells_routing=routing.is_told(request.headers),
        )
        kept = question.cache and self._answers.find(question.key, question.cache)
        if kept:
            return await self._replay(question, kept)
        answer = await self._ask(question, question.models[0])
        for model in question.models[1:]:
            if answer.status_code == 200:  # noqa: PLR2004 (HTTP's word for success)
                break
            answer = await self._ask(question, model)
        return answer

    async def answer_in_batch(self, body: dict[str, Any]) -> tuple[int, Any]:
        """Answer a valid request of a batch: the status, and the JSON or None where none came."""
        question = Question(
            body=body, wire=_NO_WIRE, cache=None, key="", tells_routing=False, is_in_batch=True
        )
        answer = await self._ask(question, question.models[0])
        sent = bytes(answer.body) if hasattr(answer, "body") else b""
        if isinstance(answer, ToldAnswer):
            sent = b"".join([bytes(part) async for part in answer.body_iterator])  # type: ignore[arg-type]  # of bytes
            await answer.close()
        try:
            return answer.status_code, json.loads(sent)
        except ValueError:
            return 502, None

    # ── one model ───────────────────────────────────────────────────────────

    async def _ask(self, question: Question, asked: str) -> Response:
        try:
            fault = self._plan.next_for(asked, question.body)
        except FaultPlanError as error:
            return refused(400, str(error), error_type="invalid_request")
        if refusal := routing.refusal(question.body, asked):
            return self._refuse(question, *refusal)
        of = self._generation(question, asked)
        named = {"X-Generation-Id": of.id, **(fault.headers if fault else {})}
        if fault is not None and fault.comes_instead(of_stream=of.streamed):
            return self._fail(question, of, fault, named)
        missed = response_cache.headers_of_miss(question.cache) if question.cache else {}
        telling = Telling(of, self._pieces(question, of, fault), fault, self._manner)
        if (question.body.get("debug") or {}).get("echo_upstream_body"):
            telling.debug = question.body_for(of.model)
        try:
            return await self._tell(question, telling, {**named, **missed})
        except EngineError as error:
            question.attempts.append(_attempt(of, error.code))
            body = bodies.error(error.code, str(error), error_type=error.error_type)
            return self._refuse(question, error.code, body, named)

    def _generation(self, question: Question, asked: str) -> bodies.Generation:
        body = question.body_for(asked)
        model = concrete(asked)
        bill = bodies.Bill(
            prompt_cache=self._prompts.look(model, body),
            server_tools=plugins.server_tools(body),
            is_byok=self._is_byok,
            is_half=question.is_in_batch,
        )
        of = bodies.Generation(
            id=_new_id(),
            asked=asked,
            model=model,
            provider_name=self._engine.provider_name,
            created=int(time.time()),
            streamed=question.is_streamed,
            bill=bill,
            extras=bodies.tier(body),
            fingerprint=_fingerprint(body),
        )
        if not question.tells_routing:
            return of
        attempts = [*question.attempts, _attempt(of, 200)]
        return replace(of, metadata=self._metadata(question, attempts))

    def _pieces(
        self, question: Question, of: bodies.Generation, fault: Fault | None
    ) -> AsyncGenerator[Piece | End]:
        body = question.body_for(of.asked)
        if fault is not None and fault.kind == "empty":
            return _these(End(fault.reason("stop"), EMPTY_PROMPT_TOKENS, 0))
        if fault is not None and fault.kind == "starved":
            return _these(*_starved(body))
        pieces = plugins.annotated(body, self._engine.generate(body))
        if question.cache is None or fault is not None:
            return pieces
        return self._kept(question, question.cache, of, pieces)

    async def _kept(
        self,
        question: Question,
        wish: CacheWish,
        of: bodies.Generation,
        pieces: AsyncGenerator[Piece | End],
    ) -> AsyncGenerator[Piece | End]:
        """The same pieces; who hears the end of them finds them in the cache."""
        items: list[Piece | End] = []
        try:
            async for item in pieces:
                items.append(item)
                if isinstance(item, End):
                    self._answers.put(question.key, wish, of, tuple(items))
                yield item
        finally:
            await pieces.aclose()

    # ── answers ─────────────────────────────────────────────────────────────

    async def _tell(
        self, question: Question, telling: Telling, headers: dict[str, str]
    ) -> Response:
        """Tell an answer, once its first piece is there.

        Raises:
            EngineError: There is none.
        """
        self._ongoing.add(telling)
        try:
            await telling.begin()
        except EngineError:
            self._ongoing.discard(telling)
            raise
        if telling.of.streamed:
            headers |= {"Cache-Control": "no-cache", "Content-Type": "text/event-stream"}
        else:
            headers |= {"Content-Type": "application/json"}
        parts = telling.parts()
        if telling.fault is not None and telling.fault.kind == "gzip":
            headers |= {"Content-Encoding": "gzip"}
        if telling.fault is not None and telling.fault.misstates_length:
            body = b"".join([part async for part in parts])
            stated = str(telling.fault.stated_length(len(body)))
            headers |= {"Content-Length": stated, "Connection": "close"}
            parts = _these(body)
        sent = Delivery(question.wire, self._stopping).of(parts, telling.fault, telling.idle)
        return ToldAnswer(self._remembering(telling, sent), lambda: self._close(telling), headers)

    async def _replay(self, question: Question, kept: response_cache.CachedAnswer) -> Response:
        """The kept answer as a new, free generation; no model is asked."""
        of = replace(
            kept.of,
            id=_new_id(),
            created=int(time.time()),
            bill=bodies.Bill(is_free=True),
            metadata=None,
            source_id=kept.of.id,
        )
        headers = {"X-Generation-Id": of.id, **self._answers.headers_of_hit(kept)}
        telling = Telling(of, kept.replayed(), manner=self._manner)
        return await self._tell(question, telling, headers)

    async def _remembering(
        self, telling: Telling, parts: AsyncGenerator[bytes]
    ) -> AsyncGenerator[bytes]:
        """Pass the answer on; who has its last words may ask for its record."""
        async for part in parts:
            if telling.end is not None:
                self._stats.put(telling)
            yield part
        self._stats.put(telling)

    async def _close(self, telling: Telling) -> None:
        self._ongoing.discard(telling)
        await telling.aclose()
        self.cancelled += telling.end is None
        self._stats.put(telling)

    # ── refusals ────────────────────────────────────────────────────────────

    def _fail(
        self, question: Question, of: bodies.Generation, fault: Fault, headers: dict[str, str]
    ) -> Response:
        """What a fault puts in the place of an answer."""
        if fault.kind in ("hangup", "reset", "hang"):
            end = question.wire.reset if fault.kind == "reset" else question.wire.close
            return NoAnswer(end, until=self._stopping if fault.kind == "hang" else None)
        if fault.kind == "html":
            return page(fault.status, fault.message, dict(fault.headers))
        if fault.kind == "choiceless":
            whole = bodies.completion(of, bodies.Transcript(), End("stop", EMPTY_PROMPT_TOKENS, 0))
            return reply({**whole, "choices": None}, headers=headers)
        status = fault.status if fault.kind == "http" else 502
        question.attempts.append(_attempt(of, status))
        if fault.kind == "body":
            return self._refuse(question, 200, fault.body(), headers)
        return self._refuse(question, status, fault.body(), headers)

    def _refuse(
        self,
        question: Question,
        status: int,
        body: dict[str, Any],
        headers: dict[str, str] | None = None,
    ) -> Response:
        if question.tells_routing and not routing.is_masked(status):
            metadata = self._metadata(question, question.attempts, answered=False)
            body = {**body, "openrouter_metadata": metadata}
        return reply(body, status=status, headers=headers)

    def _metadata(
        self, question: Question, attempts: list[dict[str, Any]], *, answered: bool = True
    ) -> dict[str, Any]:
        return routing.metadata(
            question.body,
            attempts,
            provider=self._engine.provider_name,
            is_byok=self._is_byok,
            answered=answered,
        )


_NO_WIRE = Wire(lambda: None)


def _new_id() -> str:
    return f"gen-{int(time.time())}-{secrets.token_urlsafe(15)}"


def _attempt(of: bodies.Generation, status: int) -> dict[str, Any]:
    return {"provider": of.provider_name, "model": of.model, "status": status}


def _fingerprint(body: Mapping[str, Any]) -> str | None:
    """Who asks with a seed wants to know whether the system is still the same."""
    if body.get("seed") is None:
        return None
    return f"fp_{hashlib.sha256(str(body['seed']).encode()).hexdigest()[:10]}"


async def _these(*items: ItemT) -> AsyncGenerator[ItemT]:
    for item in items:
        yield item


def _starved(body: Mapping[str, Any]) -> list[Piece | End]:
    """Reasoning that leaves no token for an answer, whether it was asked for or not."""
    asked = body if reasoning.is_wanted(body) else {**body, "reasoning": {}}
    thoughts = reasoning.thoughts(asked)
    end = End("length", EMPTY_PROMPT_TOKENS, len(thoughts), {"reasoning_tokens": len(thoughts)})
    return [*reasoning.told(asked, thoughts, is_whole=False), end]
