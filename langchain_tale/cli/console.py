"""What the commands share: lines on stderr, whole files, where models come from, signals."""

from __future__ import annotations

import errno
import os
import signal
import tempfile
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console

from langchain_tale.errors import OutputError, TaleError
from langchain_tale.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_core.runnables import Runnable

    from langchain_tale.story.result import StoryGenerationResult

STOPPING: Final = (signal.SIGINT, signal.SIGTERM)
KEYS_URL: Final = "https://openrouter.ai/keys"


class EngineName(StrEnum):
    """What writes the sandbox's answers."""

    LLAMA = "llama"
    SCRIPTED = "scripted"


def say(text: str, *, style: str | None = None) -> None:
    """A line on stderr."""
    Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(text, style=style)


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """As `noted_signals`; having been told to stop is raised at the end."""
    with noted_signals() as received:
        yield received
    if received:
        raise KeyboardInterrupt


@contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Collect Ctrl-C and a supervisor's SIGTERM, also where we were started deaf to them.

    A shell that starts a program with `&` has it ignore SIGINT, and Python leaves it so. The
    signals are noted and not raised: an exception amid an import leaves its lock to nobody.
    """
    received: list[int] = []

    def note(number: int, _frame: object) -> None:
        received.append(number)

    before = {one: signal.signal(one, note) for one in STOPPING}
    try:
        yield received
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@contextmanager
def story_chain(
    models: list[str], **options: Any
) -> Iterator[Runnable[Any, StoryGenerationResult]]:
    """A chain on OpenRouter, or without a key on the local model."""
    from langchain_tale.story.chain import create_story_chain  # noqa: PLC0415 (slow to import)

    with reachable(models) as (reached, address):
        yield create_story_chain(reached or None, **options, **address)


@contextmanager
def reachable(models: list[str]) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """The models as asked for, or without a key the local one; and where they are, if not there."""
    if get_settings().ai_service.api_key is not None:
        yield models, {}
        return
    instead = f" instead of {', '.join(models)}" if models else ""
    told = f"a small model on this machine tells it{instead}"
    say(f"No OPENROUTER_API_KEY: {told} (keys: {KEYS_URL}).")
    with open_sandbox(EngineName.LLAMA) as server:
        from langchain_tale.sandbox import LOCAL_MODEL  # noqa: PLC0415 (an extra)

        yield [LOCAL_MODEL], {"api_key": server.api_key, "base_url": server.base_url}


@contextmanager
def open_sandbox(engine: EngineName, *, port: int = 0) -> Iterator[Any]:
    """A local OpenRouter while the body runs."""
    try:
        from langchain_tale.sandbox import Sandbox  # noqa: PLC0415 (an extra)
        from langchain_tale.sandbox.engines import SandboxError  # noqa: PLC0415 (an extra)
    except RuntimeError as error:  # the sandbox's own sentence about its extra
        raise TaleError(str(error)) from None
    try:
        server = Sandbox("llama" if engine is EngineName.LLAMA else "scripted", port=port)
    except SandboxError as error:
        raise TaleError(str(error)) from None
    with server:
        yield server


@contextmanager
def written_at_the_end(path: Path | None) -> Iterator[list[str]]:
    """Collect text that is written to `path` when all went well, or not at all."""
    lines: list[str] = []
    if path is None:
        yield lines
        return
    with _writing(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
    try:
        yield lines
        with _writing(path):
            Path(temporary).write_text("".join(lines), encoding="utf-8")
            Path(temporary).chmod(0o666 & ~_umask())
            Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        msg = f"Cannot write {path}: {error.strerror}; choose another file."
        raise OutputError(msg) from None


def _umask() -> int:
    """The permissions that new files go without; it can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
