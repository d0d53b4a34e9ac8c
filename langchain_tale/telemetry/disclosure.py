"""What private text may be logged: nothing, unless `configure_logging` was told otherwise.

Events hold no prompt and no answer. Where the caller wants them, they are lines of their own.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.telemetry.emitting import LOGGER

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_tale.telemetry.scopes import Scope

MAX_PROMPT_CHARS: Final = 500
PROMPT: Final = "prompt.sent"
RESPONSE: Final = "response.received"


@dataclass(slots=True)
class Disclosure:
    """What may be logged, for the whole process.

    Attributes:
        prompts: The messages of a request, cut to 500 characters, at INFO.
        responses: Whole answers, at DEBUG.
    """

    prompts: bool = False
    responses: bool = False


ALLOWED: Final = Disclosure()


def log_prompt(scope: Scope, model: str, messages: Any) -> None:
    """Log what a model is asked, if that is allowed."""
    if ALLOWED.prompts and LOGGER.isEnabledFor(logging.INFO):
        text = _plain(messages)
        shown = text if len(text) <= MAX_PROMPT_CHARS else text[:MAX_PROMPT_CHARS] + "…"
        _log(logging.INFO, PROMPT, scope, f"request to {model}", prompt=shown, model=model)


def log_response(scope: Scope, model: str, read: Callable[[], Any]) -> None:
    """Log a whole answer, if that is allowed.

    Args:
        scope: Whose it is.
        model: The model that was asked.
        read: Returns the answer; not called where it is not logged.
    """
    if ALLOWED.responses and LOGGER.isEnabledFor(logging.DEBUG):
        content = {"response": _plain(read()), "model": model}
        _log(logging.DEBUG, RESPONSE, scope, f"response of {model}", **content)


def _log(level: int, name: str, scope: Scope, message: str, **facts: str) -> None:
    private = {"event": name, "request_id": scope.request_id, **facts}
    LOGGER.handle(
        LOGGER.makeRecord(LOGGER.name, level, "", 0, message, (), None, name, {"private": private})
    )


def _plain(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, default=str)
