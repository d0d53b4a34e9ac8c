"""`python -m langchain_tale` and the command `langchain-tale`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; without its extra, say in one line how to install it."""
    try:
        from langchain_tale.cli import run  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"typer", "rich"}:
            raise
        sys.stderr.write("The command line needs an extra: pip install 'langchain-tale[cli]'.\n")
        return 1
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
