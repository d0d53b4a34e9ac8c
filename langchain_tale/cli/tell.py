"""`langchain-tale tell`: one story, shown as it grows."""

from __future__ import annotations

import json
import sys
from pathlib import Path  # noqa: TC003 (typer reads it)
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from langchain_tale.cli.app import app
from langchain_tale.cli.console import say, story_chain, written_at_the_end
from langchain_tale.errors import TaleError

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable

    from langchain_tale.story.request import StoryRequest
    from langchain_tale.story.result import StoryGenerationResult


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
    with written_at_the_end(out) as lines, story_chain(model or []) as chain:
        result = _told(chain, request, is_shown=not as_json)
        if as_json:
            sys.stdout.write(json.dumps(result.to_dict(), ensure_ascii=False, indent=2) + "\n")
        lines.append(_as_text(result))
    say(_summary(result), style="dim")


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
