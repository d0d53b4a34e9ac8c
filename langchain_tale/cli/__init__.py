"""The command line: tell a story or many, list the models, look what is wrong, run the sandbox.

The story goes to stdout and everything said about it to stderr, so that a redirected story is
only the story. Exit codes: 0; 1 when the service, the model or a file fails; 2 for a mistake in
what was asked; 130 after Ctrl-C.
"""

from langchain_tale.cli import (
    bulk,
    doctor,
    evaluate,
    models,
    sandbox,
    tell,
)  # each adds its command
from langchain_tale.cli.app import run, with_command

__all__ = ["bulk", "doctor", "evaluate", "models", "run", "sandbox", "tell", "with_command"]
