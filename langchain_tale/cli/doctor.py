"""`langchain-tale doctor`: whether everything is as it must be, one line for each check."""

from __future__ import annotations

import asyncio
import json
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from langchain_tale.cli.app import app
from langchain_tale.doctor.finding import Finding, skipped
from langchain_tale.doctor.models import is_preset

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_tale.doctor.finding import Status

    Report = Callable[[Sequence[Finding]], None]

MARKS: Final[dict[Status, str]] = {"ok": "✓", "failed": "✗", "skipped": "–"}
PLAIN_MARKS: Final[dict[Status, str]] = {"ok": "ok", "failed": "FAILED", "skipped": "-"}
"""For terminals that have no such characters."""
STYLES: Final[dict[Status, str]] = {"ok": "green", "failed": "bold red", "skipped": "dim"}


@app.command("doctor")
def doctor(
    *,
    model: Annotated[
        list[str] | None, typer.Option(help="Slug to look at; repeat it for more.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look whether everything is as it must be: key, models, network, clock, local model."""
    from langchain_tale.openrouter.account import listed_slug  # noqa: PLC0415 (slow to import)

    slugs = model or []
    for slug in slugs:
        if not is_preset(slug):
            listed_slug(slug)  # a mistake is the caller's, not the model's
    if not is_well(asyncio.run(_reported(slugs, show_json if as_json else show))):
        raise typer.Exit(1)


async def _reported(slugs: Sequence[str], report: Report) -> list[Finding]:
    """Report inside the event loop: its end may wait long for a name that nobody resolves."""
    from langchain_tale.doctor.examination import examine  # noqa: PLC0415 (slow to import)

    findings = await examine(slugs)
    has_key = any(each.check == "key" and each.status == "ok" for each in findings)
    findings.append(local_model_found(is_needed=not has_key))
    report(findings)
    return findings


def is_well(findings: Sequence[Finding]) -> bool:
    """Whether nothing failed."""
    return all(finding.status != "failed" for finding in findings)


def show_json(findings: Sequence[Finding]) -> None:
    """Print all that was found as one JSON object."""
    report = {"is_ok": is_well(findings), "checks": [each.to_dict() for each in findings]}
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    sys.stdout.flush()


def show(findings: Sequence[Finding]) -> None:
    """Print one line for each finding."""
    encoding = sys.stdout.encoding or "ascii"
    marks = MARKS if _can_show("".join(MARKS.values()), encoding) else PLAIN_MARKS
    console = Console(highlight=False, markup=False, soft_wrap=True)
    wide = max(len(finding.check) for finding in findings)
    for finding in findings:
        mark = marks[finding.status].ljust(max(map(len, marks.values())))
        line = f" {finding.check:{wide}}  {finding.sentence}"
        console.print(mark, style=STYLES[finding.status], end="")
        console.print(line.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()


def _can_show(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def local_model_found(*, is_needed: bool) -> Finding:
    """Whether a story can be told without OpenRouter: the sandbox's extra, and weights.

    Args:
        is_needed: Whether nothing else can tell one; then what is missing is a failure.
    """
    try:
        from langchain_tale.sandbox.llama import find_weights  # noqa: PLC0415 (an extra)

        weights = find_weights()
    except RuntimeError as error:  # the sandbox's own sentence, with what to install
        return _without_local_model(str(error).rstrip("."), is_needed=is_needed)
    if find_spec("xllamacpp") is None:
        missing = "xllamacpp is not installed: pip install 'langchain-tale[local]'"
        return _without_local_model(missing, is_needed=is_needed)
    megabytes = weights.stat().st_size / 1e6
    text = f"{weights.name}, {megabytes:.0f} MB"
    return Finding(check="local model", status="ok", text=text, facts={"weights": str(weights)})


def _without_local_model(missing: str, *, is_needed: bool) -> Finding:
    if is_needed:
        return Finding(check="local model", status="failed", text=missing)
    return skipped("local model", f"{missing} (only where there is no key)")
