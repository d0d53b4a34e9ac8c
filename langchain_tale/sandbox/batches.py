"""`POST /api/beta/batches`: many requests at once, at half the price (§23b of the facts)."""

from __future__ import annotations

import asyncio
import json
import math
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.sandbox.replies import NoAnswer, body_of, refused, reply
from langchain_tale.sandbox.validation import problem_with
from langchain_tale.sandbox.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from langchain_tale.sandbox.completing import Completions
    from langchain_tale.sandbox.faults import Fault

ENDPOINT: Final = "/v1/chat/completions"
AT_ONCE: Final = 8
_IN_ORDER: Final = ("endpoint", "model", "requests")
_OK: Final = 200
_SUMMED: Final = ("prompt_tokens", "completion_tokens", "total_tokens", "cost")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchManner:
    """How batches fare.

    Attributes:
        refusals: What submitting meets, in order, None where nothing goes wrong: a fault of kind
            `"http"` refuses a batch; any other takes it, and hangs up instead of saying so.
        outages: What looking meets, in order, likewise; nobody's batch is touched.
        ends: The status that batches end with, in order of submission; `"completed"` after the
            last. The requests of others are not answered, and have no results.
        looks: So often a batch is still in progress when it is looked at.
        most_requests: A batch of more is answered by a 413.
    """

    refusals: Iterable[Fault | None] = ()
    outages: Iterable[Fault | None] = ()
    ends: Iterable[str] = ()
    looks: int = 0
    most_requests: int | None = None


USUAL: Final = BatchManner()


class Batches:
    """Takes batches, and answers them in the background.

    Args:
        completions: Who answers the requests.
        manner: How batches fare.

    Attributes:
        sizes: How many requests each batch has, in the order of submission.
    """

    def __init__(self, completions: Completions, manner: BatchManner = USUAL) -> None:
        self._completions = completions
        self._refusals, self._outages = iter(manner.refusals), iter(manner.outages)
        self._ends = iter(manner.ends)
        self._manner = manner
        self._batches: dict[str, dict[str, Any]] = {}
        self._looks: dict[str, int] = {}
        self._running: set[asyncio.Task[None]] = set()

    @property
    def sizes(self) -> list[int]:
        """How many requests each batch has, in the order of submission."""
        return [batch["request_counts"]["total"] for batch in self._batches.values()]

    async def submit(self, request: Request, wire: Wire) -> Response:
        """Take a batch, or say what is wrong with it."""
        sent = await body_of(request)
        if sent is None:
            return NoAnswer(Wire(lambda: None).close)
        fault = next(self._refusals, None)
        if fault is not None and fault.kind == "http":
            return _failed(fault)
        answer = self._taken(sent)
        return answer if fault is None else NoAnswer(wire.close)

    def _taken(self, sent: bytes) -> Response:
        try:
            asked = json.loads(sent)
        except ValueError:
            return refused(400, "The body is no JSON.", error_type="invalid_request")
        if problem := _problem_with(asked):
            return refused(400, problem, error_type="invalid_request")
        if len(asked["requests"]) > (self._manner.most_requests or math.inf):
            return refused(413, "Payload Too Large", error_type="payload_too_large")
        batch = _begun(asked)
        self._batches[batch["id"]] = batch
        self._looks[batch["id"]] = self._manner.looks
        end = next(self._ends, "completed")
        running = self._run(batch, asked["requests"]) if end == "completed" else _end(batch, end)
        task = asyncio.create_task(running)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return reply(dict(batch), status=202)

    def look(self, batch_id: str) -> Response:
        """A batch as it stands."""
        if fault := next(self._outages, None):
            return _failed(fault)
        batch = self._batches.get(batch_id)
        if batch is None:
            return refused(404, f"Batch {batch_id} not found", error_type="not_found")
        if self._looks[batch_id]:
            self._looks[batch_id] -= 1
            return reply({**batch, "status": "in_progress", "results": None, "usage": None})
        return reply(batch)

    async def _run(self, batch: dict[str, Any], requests: list[dict[str, Any]]) -> None:
        batch["status"] = "in_progress"
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(item: Mapping[str, Any]) -> dict[str, Any]:
            async with slots:
                result = await self._result(item, batch["model"])
            is_ok = (result["response"] or {}).get("status_code") == _OK
            batch["request_counts"]["completed" if is_ok else "failed"] += 1
            return result

        results = await asyncio.gather(*(one(item) for item in requests))
        batch["usage"] = _usage(results)
        batch["results"] = results
        batch["finalized_at"] = int(time.time())
        batch["status"] = "completed"

    async def _result(self, item: Mapping[str, Any], model: str) -> dict[str, Any]:
        request_id = f"req_{secrets.token_hex(8)}"
        named = {"id": f"batch_req_{secrets.token_hex(8)}", "custom_id": item["custom_id"]}
        body = {**item["body"], "model": model, "stream": False}
        status, answer = await self._completions.answer_in_batch(body)
        if answer is None:
            error = {"code": "no_response", "message": "The provider gave no answer."}
            return {**named, "response": None, "error": error}
        response = {"status_code": status, "request_id": request_id, "body": answer}
        return {**named, "response": response, "error": None}


async def _end(batch: dict[str, Any], status: str) -> None:
    batch["finalized_at"] = int(time.time())
    batch["error"] = {"code": status, "message": f"The batch has {status}."}
    batch["status"] = status


def _failed(fault: Fault) -> Response:
    return reply(fault.body(), status=fault.status, headers=dict(fault.headers))


def _problem_with(asked: Any) -> str | None:
    """Why a batch is refused; it is read as it comes, so that the order of its keys counts."""
    if not isinstance(asked, dict) or tuple(k for k in asked if k in _IN_ORDER) != _IN_ORDER:
        return "A batch is an object of endpoint, model and requests, in this order."
    if asked["endpoint"] != ENDPOINT:
        return f"This sandbox knows only the endpoint {ENDPOINT}."
    requests = asked["requests"]
    if not isinstance(requests, list) or not requests:
        return "requests must be a non-empty array."
    if not all(isinstance(item, dict) and isinstance(item.get("body"), dict) for item in requests):
        return "Each request needs custom_id and body."
    names = [item.get("custom_id") for item in requests]
    if not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
        return "Each request needs a custom_id of its own."
    return next(
        filter(None, (_problem_of(item["body"], asked["model"]) for item in requests)), None
    )


def _problem_of(body: Mapping[str, Any], model: Any) -> str | None:
    if body.get("model", model) != model:
        return "The model of a request must be that of the batch."
    problem = problem_with({**body, "model": model})
    return str(problem) if problem else None


def _begun(asked: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": f"batch_{secrets.token_hex(12)}",
        "object": "batch",
        "endpoint": asked["endpoint"],
        "model": asked["model"],
        "completion_window": "24h",
        "status": "validating",
        "created_at": int(time.time()),
        "finalized_at": None,
        "request_counts": {"total": len(asked["requests"]), "completed": 0, "failed": 0},
        "usage": None,
        "results": None,
        "error": None,
    }


def _usage(results: list[dict[str, Any]]) -> dict[str, Any]:
    usages = [((r["response"] or {}).get("body") or {}).get("usage") or {} for r in results]
    summed = {name: sum(usage.get(name) or 0 for usage in usages) for name in _SUMMED}
    return {**summed, "is_byok": any(usage.get("is_byok") for usage in usages)}
