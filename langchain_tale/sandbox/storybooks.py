"""Stories in scenes that fit a schema which asks for some, for the scripted engine; pure."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_N_SCENES: Final = re.compile(r"(\d+) scenes|сцен: (\d+)", re.IGNORECASE)
_HEROES: Final = (
    ("Rusty", "a small red fox with a green scarf"),
    ("Pim", "a round grey hedgehog with one white paw"),
    ("Dot", "a yellow duckling in blue boots"),
)
_BEGINNING: Final = ("{hero} found a basket of berries at the foot of a hill.", "a sunny hill")
_MIDDLE: Final = (
    ("A hungry mouse came by, and {hero} gave it a handful.", "a mouse under a fern"),
    ("At the brook a tired hare sat down, and {hero} shared again.", "a hare by a brook"),
    ("The wind grew cold, so {hero} carried the basket into the old oak.", "an oak in the wind"),
)
_END: Final = ("That night everyone slept soundly, and so did {hero}.", "a moonlit den")


def storybook_of(schema: Mapping[str, Any], asked: str) -> dict[str, Any] | None:
    """A story for a schema that wants scenes with a text; None for any other schema.

    Args:
        schema: A JSON schema without references.
        asked: The request; "in 4 scenes" is heeded, else there are three.
    """
    properties = schema.get("properties") or {}
    scene = (properties.get("scenes") or {}).get("items") or {}
    if "text" not in (scene.get("properties") or {}):
        return None
    name, look = _HEROES[hashlib.sha256(asked.encode()).digest()[0] % len(_HEROES)]
    told = {
        "title": f"{name} and the Basket",
        "characters": [{"name": name, "look": look}],
        "scenes": [_scene(text, place, name, scene) for text, place in _pages(_wanted(asked))],
        "moral": "What is shared tastes better.",
        "questions": [f"Why did {name} share?", "When did you share something?"],
    }
    return {field: told[field] for field in properties if field in told}


def _wanted(asked: str) -> int:
    found = _N_SCENES.search(asked)
    return max(1, int(found[1] or found[2])) if found else 3


def _pages(n_scenes: int) -> list[tuple[str, str]]:
    middle = [_MIDDLE[number % len(_MIDDLE)] for number in range(n_scenes - 2)]
    return [_BEGINNING, *middle, _END][:n_scenes] if n_scenes > 1 else [_END]


def _scene(text: str, place: str, name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    told = {
        "text": text.format(hero=name),
        "illustration": f"{name} in {place}",
        "characters": [name],
    }
    return {field: told[field] for field in schema["properties"] if field in told}
