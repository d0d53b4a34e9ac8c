"""Stories in scenes for tests, and strategies that make any."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from langchain_tale.story.book.story import Character, Scene, Story

FOX = Character(name="Rusty", look="a small red fox with a green scarf")
OWL = Character(name="Olive", look="a round grey owl with spectacles")
RUSTY = Story(
    title="Rusty and the Berries",
    characters=(FOX, OWL),
    scenes=(
        Scene(text="Rusty found berries.\n\n“Mine!” he said.", illustration="a sunny clearing"),
        Scene(text="Olive looked down.", illustration="an owl on a branch", characters=("Olive",)),
        Scene(text="They shared them all.", illustration="a table", characters=("rusty", "OLIVE")),
    ),
    moral="Sharing is sweet.",
    questions=("Why did Rusty share?", "And you?"),
)

line = st.text(max_size=30)
prose = st.lists(st.text(max_size=30), max_size=3).map("\n\n".join)
stories = st.builds(
    Story,
    title=line,
    characters=st.lists(st.builds(Character, name=line, look=line), max_size=2).map(tuple),
    scenes=st.lists(st.builds(Scene, text=prose, illustration=line), max_size=3).map(tuple),
    moral=line,
    questions=st.lists(line, max_size=2).map(tuple),
    language=st.sampled_from(["en", "ru", "French"]),
)


def as_json(story: Story, **options: Any) -> str:
    """The story as a model would write it."""
    told = story.model_dump(mode="json", exclude={"language"})
    return json.dumps(told, **{"ensure_ascii": False, **options})
