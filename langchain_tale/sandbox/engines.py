"""What writes the answers: a small real model, or a script for tests."""

from __future__ import annotations

from langchain_tale.sandbox.llama import LlamaEngine, find_weights
from langchain_tale.sandbox.pieces import (
    CONTEXT_TOKENS,
    LOCAL_MODEL,
    End,
    Engine,
    EngineError,
    Piece,
    SandboxError,
    ToolCall,
)
from langchain_tale.sandbox.script import ScriptedEngine

__all__ = [
    "CONTEXT_TOKENS",
    "LOCAL_MODEL",
    "End",
    "Engine",
    "EngineError",
    "LlamaEngine",
    "Piece",
    "SandboxError",
    "ScriptedEngine",
    "ToolCall",
    "engine_of",
    "find_weights",
]


def engine_of(engine: Engine | str) -> Engine:
    """The engine of that name; an engine is passed through.

    Raises:
        SandboxError: No engine is called so, or it cannot start.
    """
    if not isinstance(engine, str):
        return engine
    kinds: dict[str, type[LlamaEngine | ScriptedEngine]] = {
        "llama": LlamaEngine,
        "scripted": ScriptedEngine,
    }
    if engine not in kinds:
        msg = f"engine must be 'llama', 'scripted' or an engine, not {engine!r}."
        raise SandboxError(msg)
    return kinds[engine]()
