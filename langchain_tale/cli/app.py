"""The program: its commands' common ground, its exit codes."""

from __future__ import annotations

import logging
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Final

import typer

from langchain_tale.cli.console import say
from langchain_tale.errors import ConfigurationError, TaleError

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED: Final = 130

app = typer.Typer(
    name="langchain-tale",
    add_completion=False,
    rich_markup_mode=None,
    help='Stories for children: langchain-tale "a fox who learns to share" --name Mia --age 5',
)


def run(argv: Sequence[str]) -> int:
    """Run the command line.

    Args:
        argv: The arguments, without the name of the program.

    Returns:
        The exit code.
    """
    logging.getLogger("langchain_tale").addFilter(_is_no_final_failure)
    try:
        code = int(app(with_command(argv), standalone_mode=False) or 0)
    except typer.TyperException as error:
        say(error.format_message() if hasattr(error, "format_message") else str(error))
        return 2
    except ConfigurationError as error:
        say(str(error))
        return 2
    except TaleError as error:
        say(str(error))
        return 1
    if code == INTERRUPTED:  # typer makes it of Ctrl-C
        say("\nStopped.")
    return code


def _is_no_final_failure(record: logging.LogRecord) -> bool:
    """What ends the program is said below, once; retries and the like pass."""
    return record.levelno < logging.ERROR


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
