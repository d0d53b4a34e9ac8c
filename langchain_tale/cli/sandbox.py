"""`langchain-tale sandbox`: a local OpenRouter until Ctrl-C."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from langchain_tale.cli.app import app
from langchain_tale.cli.console import EngineName, open_sandbox, say, stop_signals

WATCH_S: Final = 0.2
"""Seconds between looks whether the sandbox should stop."""


@app.command("sandbox")
def sandbox(
    *,
    port: Annotated[int, typer.Option(help="TCP port; 0 for a free one.")] = 8780,
    engine: Annotated[EngineName, typer.Option(help="What writes the answers.")] = EngineName.LLAMA,
) -> None:
    """Run a local OpenRouter on loopback until Ctrl-C."""
    with stop_signals() as received, open_sandbox(engine, port=port) as server:
        sys.stdout.write(
            f"export OPENROUTER_API_BASE={server.base_url}\n"
            f"export OPENROUTER_API_KEY={server.api_key}\n"
        )
        sys.stdout.flush()
        say(
            f"OpenRouter's API at {server.base_url}, by the {engine.value} engine; Ctrl-C stops it."
        )
        while not (received or server.wait(WATCH_S)):
            pass
