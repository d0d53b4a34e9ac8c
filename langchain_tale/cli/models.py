"""`langchain-tale models`: the models that are known by name."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from langchain_tale.catalogue import OpenRouterModel
from langchain_tale.cli.app import app

WIDE: Final = 120
"""Columns of a terminal that has room for more than the facts."""


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


def _facts(model: OpenRouterModel) -> dict[str, Any]:
    info = model.info
    return {field: getattr(info, field) for field in info.__slots__}
