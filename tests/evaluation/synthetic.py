"""Comparisons of models that do not exist, with made-up figures, to look at pictures of them.

```
uv run python -m tests.evaluation.synthetic FOLDER
```

draws 2, 5 and 12 of them, as PNG, SVG and HTML.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from langchain_tale.evaluation.cases import cases_of
from langchain_tale.evaluation.comparison import Comparison
from langchain_tale.evaluation.row import Failure, Row

SIZES = (2, 5, 12)
_CHECKS = ("words", "reading_level", "ending", "title", "unfit_words")
_NAMES = ("tiny", "small", "medium-instruct", "large", "vast-405b-instruct", "mini", "nano")


def made_up(n_models: int, *, repeats: int = 2, seed: int = 1) -> Comparison:
    """A comparison of `n_models` invented models on the requests of the package."""
    chance = random.Random(f"{seed}/{n_models}")  # noqa: S311 (no secret)
    cases = cases_of(None)
    models = tuple(f"made-up/{_NAMES[n % len(_NAMES)]}-{n + 1}" for n in range(n_models))
    rows: list[Row] = []
    for model in models:
        skill, pace_s, price = chance.random(), chance.uniform(1, 15), 10 ** chance.uniform(-5, -2)
        for case in cases:
            for repeat in range(1, repeats + 1):
                row = _row(chance, skill, pace_s, price)
                known = {"model": model, "digest": case.digest, "request": case.name}
                rows.append(row.model_copy(update={**known, "repeat": repeat}))
    return Comparison(models=models, cases=cases, repeats=repeats, rows=tuple(rows))


def _row(chance: random.Random, skill: float, pace_s: float, price_usd: float) -> Row:
    bare = Row(model="", digest="", request="", repeat=1, ended_at="2026-01-01T00:00:00+00:00")
    if chance.random() < 0.05:
        failure = Failure(kind="RateLimitError", message="made up", status_code=429)
        return bare.model_copy(update={"error": failure})
    passed = [chance.random() < 0.8 + skill / 5 for _ in _CHECKS]
    findings = tuple(
        {"name": name, "value": 1.0, "ok": ok, "sentence": "" if ok else f"Mind the {name}.",
         "is_bounded": True}
        for name, ok in zip(_CHECKS, passed, strict=True)
    )  # fmt: skip
    return bare.model_copy(
        update={
            "is_fit": all(passed),
            "score": sum(passed) / len(passed),
            "findings": findings,
            "title": "A made-up title",
            "content": "A made-up story.\n\nThe end.",
            "words": chance.randrange(100, 300),
            "cost_usd": price_usd * chance.uniform(0.7, 1.4),
            "latency_s": pace_s * chance.uniform(0.6, 1.8),
            "input_tokens": 200,
            "output_tokens": chance.randrange(200, 500),
            "attempts": 1,
        }
    )


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for size in SIZES:
        comparison = made_up(size)
        figure = comparison.plot()
        for suffix in ("png", "svg"):
            figure.savefig(folder / f"{size}.{suffix}")
        comparison.to_html(folder / f"{size}.html")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
