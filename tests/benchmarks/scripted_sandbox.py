"""A scripted sandbox in a process of its own, so that its CPU is not that of the calls.

`python -m tests.benchmarks.scripted_sandbox` prints its base URL and serves until its standard
input ends.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]


@contextmanager
def scripted_sandbox() -> Iterator[str]:
    """Its base URL, for as long as a `with` block lasts."""
    command = [sys.executable, "-m", "tests.benchmarks.scripted_sandbox"]
    with subprocess.Popen(  # noqa: S603 (ourselves)
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


def main() -> None:
    """Serve until standard input ends."""
    from langchain_tale.sandbox import Sandbox

    with Sandbox(engine="scripted") as sandbox:
        print(sandbox.base_url, flush=True)  # noqa: T201 (its result)
        sys.stdin.read()


if __name__ == "__main__":
    main()
