"""The command line: tell a story, list the models, run the sandbox.

The story goes to stdout and everything said about it to stderr, so that a redirected story is
only the story. Exit codes: 0; 1 when the service, the model or a file fails; 2 for a mistake in
what was asked; 130 after Ctrl-C.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import tempfile
from contextlib import contextmanager
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from langchain_tale.catalogue import OpenRouterModel
from langchain_tale.errors import ConfigurationError, TaleError
from langchain_tale.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_core.runnables import Runnable

    from langchain_tale.story.request import StoryRequest
    from langchain_tale.story.result import StoryGenerationResult

INTERRUPTED: Final = 130
STOPPING: Final = (signal.SIGINT, signal.SIGTERM)
WATCH_S: Final = 0.2
"""Seconds between looks whether the sandbox should stop."""
WIDE: Final = 120
"""Columns of a terminal that has room for more than the facts."""
KEYS_URL: Final = "https://openrouter.ai/keys"

app = typer.Typer(
    name="langchain-tale",
    add_completion=False,
    rich_markup_mode=None,
    help='Stories for children: langchain-tale "a fox who learns to share" --name Mia --age 5',
)


class EngineName(StrEnum):
    """What writes the sandbox's answers."""

    LLAMA = "llama"
    SCRIPTED = "scripted"


class OutputError(TaleError):
    """A file cannot be written."""


def run(argv: Sequence[str]) -> int:
    """Run the command line.

    Args:
        argv: The arguments, without the name of the program.

    Returns:
        The exit code.
    """
    try:
        code = int(app(with_command(argv), standalone_mode=False) or 0)
    except typer.TyperException as error:
        _say(error.format_message() if hasattr(error, "format_message") else str(error))
        return 2
    except ConfigurationError as error:
        _say(str(error))
        return 2
    except TaleError as error:
        _say(str(error))
        return 1
    if code == INTERRUPTED:  # typer makes it of Ctrl-C
        _say("\nStopped.")
    return code


def with_command(argv: Sequence[str]) -> list[str]:
    """The arguments with `tell` in front where no command is named.

    Example:
        >>> with_command(["a fox", "--age", "5"])
        ['tell', 'a fox', '--age', '5']
        >>> with_command(["models"])
        ['models']
    """
    named = {command.name for command in app.registered_commands}
    if not argv:
        return ["--help"]
    return list(argv) if argv[0] in named | {"--help", "--version"} else ["tell", *argv]


def _show_version(*, is_wanted: bool) -> None:
    if is_wanted:
        sys.stdout.write(f"langchain-tale {version('langchain-tale')}\n")
        raise typer.Exit


@app.callback()
def _program(
    *,
    is_wanted: Annotated[
        bool,
        typer.Option("--version", callback=lambda v: _show_version(is_wanted=v), is_eager=True),
    ] = False,
) -> None:
    """Take the options that stand before any command."""
    del is_wanted


@app.command("tell")
def tell(
    theme: Annotated[str, typer.Argument(help="What the story is about.")],
    *,
    name: Annotated[str | None, typer.Option(help="Who it is for.")] = None,
    age: Annotated[int | None, typer.Option(help="The child's age in years.")] = None,
    language: Annotated[str, typer.Option(help="en, ru, or any other by name.")] = "en",
    words: Annotated[int | None, typer.Option(help="About how many words.")] = None,
    hero: Annotated[str | None, typer.Option(help="Who it is about.")] = None,
    moral: Annotated[str | None, typer.Option(help="What is learnt from it.")] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Slug; repeat it for fallbacks, in order.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the story to this file too.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the whole result as JSON.")
    ] = False,
) -> None:
    """Tell a story; this is what happens when no command is named."""
    from langchain_tale.story.request import as_story_request  # noqa: PLC0415 (slow to import)

    given = {
        "theme": theme,
        "child_name": name,
        "age": age,
        "language": language,
        "words": words,
        "hero": hero,
        "moral": moral,
    }
    request = as_story_request({key: value for key, value in given.items() if value is not None})
    with _written_at_the_end(out) as lines, _story_chain(model or []) as chain:
        result = _told(chain, request, is_shown=not as_json)
        if as_json:
            sys.stdout.write(json.dumps(result.to_dict(), ensure_ascii=False, indent=2) + "\n")
        lines.append(_as_text(result))
    _say(_summary(result), style="dim")


@app.command("models")
def models(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the models that are known by name; any other slug works too."""
    if as_json:
        rows = [{"name": m.name, "slug": m.value, **_facts(m)} for m in OpenRouterModel]
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return
    console = Console(highlight=False)
    is_wide = console.width >= WIDE
    table = Table(box=None, pad_edge=False)
    table.add_column("slug", no_wrap=True)  # half a slug is none
    for heading in ("by", "context", "status", *(("good for",) if is_wide else ())):
        table.add_column(heading)
    for member in OpenRouterModel:
        info = member.info
        context = f"{info.context_length:,}" if info.context_length else "–"
        uses = (", ".join(info.use_cases),) if is_wide else ()
        table.add_row(member.value, info.provider, context, info.status, *uses)
        if info.successor:
            table.add_row(f"  → {info.successor}")
    console.print(table)


@app.command("sandbox")
def sandbox(
    *,
    port: Annotated[int, typer.Option(help="TCP port; 0 for a free one.")] = 8780,
    engine: Annotated[EngineName, typer.Option(help="What writes the answers.")] = EngineName.LLAMA,
) -> None:
    """Run a local OpenRouter on loopback until Ctrl-C."""
    with _stop_signals() as received, _sandbox(engine, port=port) as server:
        sys.stdout.write(
            f"export OPENROUTER_API_BASE={server.base_url}\n"
            f"export OPENROUTER_API_KEY={server.api_key}\n"
        )
        sys.stdout.flush()
        _say(
            f"OpenRouter's API at {server.base_url}, by the {engine.value} engine; Ctrl-C stops it."
        )
        while not (received or server.wait(WATCH_S)):
            pass


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
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
    if received:
        raise KeyboardInterrupt


# ── telling ─────────────────────────────────────────────────────────────────


def _told(
    chain: Runnable[Any, StoryGenerationResult], request: StoryRequest, *, is_shown: bool
) -> StoryGenerationResult:
    """Run the chain, and show the story as it grows."""
    result: StoryGenerationResult | None = None
    shown = 0
    try:
        for result in chain.stream(request):
            if is_shown:
                if not shown and result.content and result.title:
                    _show_title(result.title)
                sys.stdout.write(result.content[shown:])
                sys.stdout.flush()
                shown = max(shown, len(result.content))
    finally:
        sys.stdout.write("\n" if shown else "")
    if result is None:
        msg = "The model said nothing; try again."
        raise TaleError(msg)
    return result


def _show_title(title: str) -> None:
    Console(highlight=False, markup=False).print(title, style="bold", end="\n\n")
    sys.stdout.flush()


def _as_text(result: StoryGenerationResult) -> str:
    return f"{result.title}\n\n{result.content}\n" if result.title else f"{result.content}\n"


def _summary(result: StoryGenerationResult) -> str:
    usage = result.usage
    parts = [
        str(result.model),
        f"{result.latency_s or 0:.1f} s",
        f"{usage['output_tokens']} tokens" if usage else "tokens unknown",
        "cost unknown"
        if result.cost_usd is None
        else f"${result.cost_usd:.6f}".rstrip("0").rstrip("."),
    ]
    if len(result.attempts) > 1:
        parts.append(f"{len(result.attempts)} attempts")
    if result.is_cut_off:
        parts.append("cut off at its limit of tokens")
    return " · ".join(parts)


@contextmanager
def _story_chain(models: list[str]) -> Iterator[Runnable[Any, StoryGenerationResult]]:
    """A chain on OpenRouter, or without a key on the local model."""
    from langchain_tale.story.chain import create_story_chain  # noqa: PLC0415 (slow to import)

    if get_settings().ai_service.api_key is not None:
        yield create_story_chain(models or None)
        return
    instead = f" instead of {', '.join(models)}" if models else ""
    told = f"a small model on this machine tells it{instead}"
    _say(f"No OPENROUTER_API_KEY: {told} (keys: {KEYS_URL}).")
    with _sandbox(EngineName.LLAMA) as server:
        from langchain_tale.sandbox import LOCAL_MODEL  # noqa: PLC0415 (an extra)

        yield create_story_chain(LOCAL_MODEL, api_key=server.api_key, base_url=server.base_url)


@contextmanager
def _sandbox(engine: EngineName, *, port: int = 0) -> Iterator[Any]:
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
def _written_at_the_end(path: Path | None) -> Iterator[list[str]]:
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


def _facts(model: OpenRouterModel) -> dict[str, Any]:
    info = model.info
    return {field: getattr(info, field) for field in info.__slots__}


def _say(text: str, *, style: str | None = None) -> None:
    """A line on stderr."""
    Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(text, style=style)
