"""The form that a model is asked to give a story: a JSON schema, and the same as an example.

It stays within what strict dialects take: every field is required, there are no defaults, and
no limits of lengths (§16 of the facts on OpenRouter: providers differ in what they heed).
"""

from __future__ import annotations

from typing import Any, Final

_TEXT: Final = {"type": "string"}


def _text(description: str) -> dict[str, Any]:
    return {**_TEXT, "description": description}


def _list(items: dict[str, Any], description: str) -> dict[str, Any]:
    return {"type": "array", "items": items, "description": description}


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": [*properties],
        "additionalProperties": False,
    }


_CHARACTER: Final = _object(
    name=_text("The name, as the scenes use it"),
    look=_text("What is the same in every picture: kind, age, colours, clothes"),
)
_SCENE: Final = _object(
    text=_text("What is read aloud"),
    illustration=_text("What the picture of this scene shows: place, action, light"),
    characters=_list(_TEXT, "The names of those in the picture, exactly as listed above"),
)
STORY_SCHEMA: Final = _object(
    title=_text("The title alone"),
    characters=_list(_CHARACTER, "Everyone who matters in the story"),
    scenes=_list(_SCENE, "The whole story, from its beginning to its end"),
    moral=_text("What is learnt, in one sentence"),
    questions=_list(_TEXT, "Two or three questions to talk about with the child"),
)
"""The fields of `Story` that a model fills, in the order in which they are wanted."""

RESPONSE_FORMAT: Final = {
    "type": "json_schema",
    "json_schema": {"name": "story", "strict": True, "schema": STORY_SCHEMA},
}
"""The same as a field of a request."""
