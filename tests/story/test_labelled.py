"""The checks on texts whose faults are known; the texts were written before the checks were."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from langchain_tale.story.checks import check_story

HERE = Path(__file__).parent / "texts"
LEAST_RIGHT = 0.95


def texts(name: str) -> list[dict[str, Any]]:
    lines = (HERE / f"{name}.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def is_right(text: dict[str, Any]) -> bool:
    """A good text passes; a bad one fails, and by one of the checks it was labelled with."""
    failed = {finding.name for finding in check_story(text["text"], text["request"]).failures}
    return bool(failed & set(text["fails"])) if text["fails"] else not failed


@pytest.mark.parametrize("name", ["labelled", "held_out"])
def test_at_least_95_percent_are_judged_right(name: str) -> None:
    misses = [text["id"] for text in texts(name) if not is_right(text)]

    print(f"{name}: missed {misses}")  # noqa: T201 (shown when it fails, and with -s)
    assert len(misses) <= (1 - LEAST_RIGHT) * len(texts(name)), misses


def test_there_are_sixty_of_many_kinds_and_twenty_more() -> None:
    labelled, held_out = texts("labelled"), texts("held_out")

    kinds = Counter(text["id"].split("-")[1] for text in labelled)
    languages = Counter(text["request"].get("language", "en") for text in labelled)

    assert (len(labelled), len(held_out)) == (60, 26)
    assert len({text["id"] for text in labelled + held_out}) == 86
    assert kinds["good"] == 24
    assert {"hard", "lang", "cut", "loop", "title", "unfit", "injected"} < set(kinds)
    assert min(languages["en"], languages["ru"]) >= 20
