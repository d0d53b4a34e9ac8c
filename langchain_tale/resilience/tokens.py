"""Who hears of each token of a stream: only the handlers that do something with it.

langchain-core hands every token to every handler, which takes as long as all that a policy does
with it (measured: 2.6 µs, asynchronously 5.2). Its `stream` keeps the manager of the run to
itself, in a local variable; where that is not found, every handler hears of every token as ever.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, Final

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.callbacks.manager import BaseRunManager

if TYPE_CHECKING:
    from langchain_core.messages import AIMessageChunk

_DEAF: Final = (BaseCallbackHandler.on_llm_new_token, AsyncCallbackHandler.on_llm_new_token)
_THEIRS: Final = "run_manager"
"""What langchain-core's `stream` and `astream` call the manager of their run."""


def says_something(chunk: AIMessageChunk) -> bool:
    """Whether a chunk is or has a token; a whole message, as of a model that cannot stream, is."""
    return bool(chunk.content) or bool(getattr(chunk, "tool_call_chunks", None))


def let_off_handlers(stream: Any) -> None:
    """Hand further tokens of a stream to nobody who has no use for them.

    These are handlers that have no `on_llm_new_token` of their own, and those whose method says
    by an attribute `is_for_first_token = True` that they have heard enough.

    Args:
        stream: langchain-core's generator, which has given its first token.
    """
    frame = getattr(stream, "gi_frame", None) or getattr(stream, "ag_frame", None)
    run: Any = None if frame is None else frame.f_locals.get(_THEIRS)
    if not isinstance(run, BaseRunManager):
        return
    listeners = [handler for handler in run.handlers if _wants_more(handler)]
    if len(listeners) < len(run.handlers):
        fewer: Any = copy(run)
        fewer.handlers = listeners
        vars(run)["on_llm_new_token"] = fewer.on_llm_new_token


def _wants_more(handler: BaseCallbackHandler) -> bool:
    hear: Any = getattr(handler, "on_llm_new_token", None)  # else langchain-core says so
    own = getattr(hear, "__func__", hear)
    return own not in _DEAF and getattr(own, "is_for_first_token", False) is not True
