from __future__ import annotations

from typing import Any

import pytest

from langchain_tale.sandbox.storybooks import storybook_of

SCENE = {"type": "object", "properties": {"text": {"type": "string"}}}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "scenes": {"type": "array", "items": SCENE},
        "author": {"type": "string"},
    },
}


@pytest.mark.parametrize(
    ("asked", "scenes"),
    [("Tell it in 5 scenes.", 5), ("Число сцен: 2, не больше", 2), ("A story", 3), ("1 scenes", 1)],
)
def test_a_story_has_the_scenes_that_are_asked_for(asked: str, scenes: int) -> None:
    told = storybook_of(SCHEMA, asked)

    assert told is not None
    assert told.keys() == {"title", "scenes"}
    assert len(told["scenes"]) == scenes
    assert all(scene.keys() == {"text"} for scene in told["scenes"])


def test_it_depends_on_nothing_but_the_request() -> None:
    assert storybook_of(SCHEMA, "a fox") == storybook_of(SCHEMA, "a fox")
    assert len({str(storybook_of(SCHEMA, f"fox {n}")) for n in range(20)}) > 1


@pytest.mark.parametrize(
    "schema",
    [{}, {"properties": {"scenes": {"type": "array"}}}, {"properties": {"title": SCENE}}],
)
def test_another_schema_is_not_its_business(schema: dict[str, Any]) -> None:
    assert storybook_of(schema, "Tell it in 5 scenes.") is None
