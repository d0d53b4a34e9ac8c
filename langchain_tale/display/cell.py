"""Where we are: in a cell of a notebook, and whether somebody watches it; or elsewhere."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One run of one cell.

    Attributes:
        run: The number of the run, as in `In [3]`.
        identity: The front end's id of the cell, the same at each run; None where it has none.
        is_watched: Whether a person may press a button. Programs that run notebooks from top to
            bottom (nbclient, papermill) say that nobody is there to answer `input()`.
    """

    run: int
    identity: str | None
    is_watched: bool


def current_cell() -> Cell | None:
    """The cell of a Jupyter kernel that runs now; None in a terminal, a script or a test."""
    shell = current_shell()
    kernel = getattr(shell, "kernel", None)
    if shell is None or kernel is None:
        return None
    request: dict[str, Any] = kernel.get_parent() or {}
    return Cell(
        run=shell.execution_count,
        identity=request.get("metadata", {}).get("cellId"),
        is_watched=bool(request.get("content", {}).get("allow_stdin")),
    )


def current_shell() -> Any:
    """IPython's shell, or None where there is none; it is not imported for the question."""
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()
