"""How many stories of the small local model pass all checks, at first and after two revisions.

```
uv run python -m tests.benchmarks.stories
uv run python -m tests.benchmarks.stories --requests 8 --revisions 1
```

prints one Markdown table of one run, and below it which checks the first tries failed. The model
is SmolLM2-135M-Instruct behind the sandbox; it samples, so that no two runs are the same. Both
shares come from the same stories: the first try is the first of those that are revised.
"""

from __future__ import annotations

import argparse
import re
import time
from collections import Counter
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING, Final

from langchain_tale import OpenRouterModel, RetryPolicy, StoryRequest, create_story_chain
from langchain_tale.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from langchain_tale import StoryGenerationResult

THEMES: Final = (
    "a fox who learns to share",
    "a shy hedgehog at a party",
    "the lost mitten",
    "two friends who build a kite",
    "a dragon who is afraid of the dark",
    "a cat who wants to fly",
    "the first day at a new school",
    "a brave little boat in a storm",
)
AGES: Final = (3, 5, 7, 9, 12, None)
NAMES: Final = ("Mia", None, "Ben")
_FAILED: Final = re.compile(r"it fails ([a-z_, ]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one request came to.

    Attributes:
        failed_first: The checks that the first story failed.
        passed: Whether a story passed in the end.
        requests: Requests sent.
        seconds: Until there was a story.
    """

    failed_first: tuple[str, ...]
    passed: bool
    requests: int
    seconds: float


def requests() -> Iterator[StoryRequest]:
    """Requests of mixed ages, themes and lengths, without end."""
    mixed = zip(cycle(THEMES), cycle(AGES), cycle(NAMES), strict=False)
    for theme, age, name in mixed:
        yield StoryRequest(theme=theme, age=age, child_name=name)


def tell(asked: Iterable[StoryRequest], max_revisions: int) -> Iterator[Told]:
    """Tell a story for each request, by the local model."""
    with Sandbox(engine="llama") as sandbox:
        chain = create_story_chain(
            OpenRouterModel.GPT_4O_MINI,
            retry=RetryPolicy(max_retries=0),
            max_revisions=max_revisions,
            base_url=sandbox.base_url,
            api_key=sandbox.api_key,
        )
        for request in asked:
            begun = time.perf_counter()
            result = chain.invoke(request)
            yield Told(
                failed_first=_failed_first(result),
                passed=not result.is_best_effort,
                requests=len(result.attempts),
                seconds=time.perf_counter() - begun,
            )


def _failed_first(result: StoryGenerationResult) -> tuple[str, ...]:
    found = _FAILED.search(str(result.attempts[0].error))
    return tuple(found.group(1).split(", ")) if found else ()


def table(told: Sequence[Told], max_revisions: int) -> str:
    """The shares, and what they cost."""
    count = len(told)
    first, last = (sum(flags) for flags in zip(*_flags(told), strict=True))
    asked, seconds = sum(one.requests for one in told), sum(one.seconds for one in told)
    cells = (
        f"{count}",
        f"{first} ({first / count:.0%})",
        f"{last} ({last / count:.0%}), at most {max_revisions}",
        f"{asked / count:.1f}",
        f"{seconds / count:.1f}",
    )
    return "\n".join(
        (
            "| stories | passed at first | with revisions | requests a story | seconds a story |",
            "| --- | --- | --- | --- | --- |",
            f"| {' | '.join(cells)} |",
        )
    )


def _flags(told: Sequence[Told]) -> list[tuple[bool, bool]]:
    return [(not one.failed_first, one.passed) for one in told]


def main() -> None:
    """Run it and print it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=30)
    parser.add_argument("--revisions", type=int, default=2)
    options = parser.parse_args()
    told = list(tell(islice(requests(), options.requests), options.revisions))
    failed = Counter(name for one in told for name in one.failed_first)
    print(table(told, options.revisions))  # noqa: T201 (what it is for)
    print("\nfailed at first: " + ", ".join(f"{n} {name}" for name, n in failed.most_common()))  # noqa: T201 (as above)


if __name__ == "__main__":
    main()
