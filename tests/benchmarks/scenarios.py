"""What goes wrong in the drill, request by request; pure, and the same in every run.

Whoever asks says which call a request belongs to, and when that call began (`prompt_of`); so
what happens to a call depends on the call alone, not on how fast the machine or the client is.

- `mixed`: three of ten requests fail, whichever model is asked, each in one of eight ways.
- `dead primary`: the first model hangs up on every other request and answers 502 to the rest;
  the other two are well.
- `rate limit`: the first model has more callers than it can serve. A call that asks it is told
  429 with `Retry-After: 2`; the same call is served when it comes back after these two seconds,
  and told so again when it comes back before. The other two are well.
- `all dead`: each of the three answers 503; one wave of calls.
"""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MODELS: Final = ("openai/gpt-4o-mini", "anthropic/claude-3-haiku", "meta-llama/llama-3.1-8b")
PRIMARY: Final = MODELS[0]
AT_ONCE: Final = 20
FAULT_SHARE: Final = 0.3
RETRY_AFTER_S: Final = 2
SEED: Final = 87
"""The first with which a walk through the models needs 284 requests for 200 calls, as measured
for the peers of old. One of the calls fails four times in a row."""

RESET: Final = 0
"""In place of a status: the connection is reset."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server does with one request; `status` 200 and no fault is a whole story."""

    status: int = 200
    body: bytes = b""
    retry_after_s: int | None = None
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, and what came before it.

    Attributes:
        call: The logical call it belongs to, from 1.
        model: Whom it asks.
        at_s: When it came.
        nth_of_call: Which request of its call it is, from 1.
        nth_of_model: Which request to its model it is, from 1.
        refused_at_s: When its call was last told 429 by the model, or None.
    """

    call: int
    model: str
    at_s: float = 0.0
    nth_of_call: int = 1
    nth_of_model: int = 1
    refused_at_s: float | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """A rule for what goes wrong, and the number of logical calls that meet it."""

    name: str
    reply: Callable[[Asked], Reply] = field(repr=False)
    calls: int = 200


# ── what is asked and told ──────────────────────────────────────────────────


def prompt_of(call: int, begun_s: float) -> str:
    """The prompt of a logical call, by which the server knows it."""
    return f"Story {call}, begun at {begun_s:.6f}: tell me of a fox."


def call_of(text: str) -> tuple[int, float]:
    """The call that a prompt belongs to, and when that call began; (0, 0.0) for no such prompt."""
    found = re.search(r"Story (\d+), begun at ([\d.]+):", text)
    return (int(found[1]), float(found[2])) if found else (0, 0.0)


def story(call: int) -> str:
    """The whole story that answers a call, and no other."""
    return f"Story {call}. A fox found two berries, gave one away, and lived happily ever after."


# ── replies ─────────────────────────────────────────────────────────────────


def whole(asked: Asked) -> Reply:
    """A healthy answer."""
    return Reply(body=_completion(asked, story(asked.call)))


def _completion(asked: Asked, text: str, finish_reason: str = "stop", **choice: Any) -> bytes:
    message = {"role": "assistant", "content": text, "refusal": None}
    body = {
        "id": f"gen-{asked.call}-{asked.nth_of_call}",
        "provider": "Drill",
        "model": asked.model,
        "object": "chat.completion",
        "created": 1_790_000_000,
        "system_fingerprint": None,
        "choices": [
            {
                "index": 0,
                "logprobs": None,
                "finish_reason": finish_reason,
                "native_finish_reason": finish_reason,
                "message": message,
                **choice,
            }
        ],
        "usage": {
            "prompt_tokens": 20,
            "completion_tokens": 20,
            "total_tokens": 40,
            "cost": 0.00002,
        },
    }
    return json.dumps(body).encode()


def _error(code: int, message: str) -> dict[str, Any]:
    return {"code": code, "message": message}


def _failed(status: int, *, inside: int = 200, **more: Any) -> Reply:
    """An error as the whole body: of an HTTP status, or told inside of HTTP 200."""
    code = status if status != inside else 502
    body = {"error": _error(code, "Provider returned error"), "user_id": "user_drill"}
    return Reply(status, json.dumps(body).encode(), **more)


def _broken_off(asked: Asked) -> Reply:
    error = {"error": _error(502, "Upstream error")}
    return Reply(body=_completion(asked, story(asked.call)[:25], "error", **error))


def _empty(asked: Asked) -> Reply:
    return Reply(body=_completion(asked, "", "length"))


def _page(_asked: Asked) -> Reply:
    page = b"<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1></body></html>"
    return Reply(body=page, content_type="text/html; charset=UTF-8")


def _cut(asked: Asked) -> Reply:
    body = _completion(asked, story(asked.call))
    return Reply(body=body[: len(body) // 2])


FAULTS: Final[dict[str, Callable[[Asked], Reply]]] = {
    "500": lambda _: _failed(500),
    "429 with Retry-After": lambda _: _failed(429, retry_after_s=1),
    "502 inside 200": lambda _: _failed(200),
    "choice error with partial text": _broken_off,
    "empty text, finish reason length": _empty,
    "HTML page": _page,
    "connection reset": lambda _: Reply(RESET),
    "truncated JSON": _cut,
}


# ── scenarios ───────────────────────────────────────────────────────────────


def faults_of(call: int, *, seed: int = SEED) -> Iterator[str | None]:
    """What goes wrong with each request of a call in turn, without end; None for nothing."""
    chance = random.Random(f"{seed}:{call}")  # noqa: S311 (no secret)
    while True:
        is_hit, kind = chance.random() < FAULT_SHARE, chance.choice(list(FAULTS))
        yield kind if is_hit else None


def _mixed(asked: Asked) -> Reply:
    faults = faults_of(asked.call)
    kind = [next(faults) for _ in range(asked.nth_of_call)][-1]
    return whole(asked) if kind is None else FAULTS[kind](asked)


def _dead_primary(asked: Asked) -> Reply:
    if asked.model != PRIMARY:
        return whole(asked)
    return Reply(RESET) if asked.nth_of_model % 2 else _failed(502)


def _rate_limit(asked: Asked) -> Reply:
    has_waited = asked.refused_at_s is not None and asked.at_s >= asked.refused_at_s + RETRY_AFTER_S
    if asked.model != PRIMARY or has_waited:
        return whole(asked)
    return _failed(429, retry_after_s=RETRY_AFTER_S)


def _all_dead(_asked: Asked) -> Reply:
    return _failed(503)


SCENARIOS: Final = {
    scenario.name: scenario
    for scenario in (
        Scenario("mixed", _mixed),
        Scenario("dead primary", _dead_primary),
        Scenario("rate limit", _rate_limit),
        Scenario("all dead", _all_dead, calls=AT_ONCE),
    )
}
