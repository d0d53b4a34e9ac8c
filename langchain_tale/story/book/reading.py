"""A model's answer → a `Story`, however it was written; pure.

JSON is read as it is, raw line breaks, fences and words around it included. What is no JSON
is mended by json-repair: unescaped quotes, missing brackets and commas. What is mended may
have lost words, so it counts only where nothing in it is out of place and its last sentence is
whole. An answer without JSON may still be a story: `story_from_prose` cuts it into scenes.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import json_repair

from langchain_tale.story.book.story import Character, Scene, Story

if TYPE_CHECKING:
    from collections.abc import Mapping

Form = Literal["json", "repaired", "prose"]
"""How a story was written: as asked, as JSON that had to be mended, or as plain text."""

_FIELDS: Final = {
    "title": ("title", "name", "название"),
    "characters": ("characters", "персонажи", "герои"),
    "scenes": ("scenes", "pages", "chapters", "сцены"),
    "moral": ("moral", "lesson", "мораль"),
    "questions": ("questions", "discussion_questions", "questions_to_talk_about", "вопросы"),
}
_SCENE: Final = {
    "text": ("text", "scene_text", "content", "narration", "story", "текст"),
    "illustration": (
        "illustration",
        "illustration_prompt",
        "image_prompt",
        "image",
        "picture",
        "visual",
        "иллюстрация",
    ),
    "characters": ("characters", "персонажи"),
}
_CHARACTER: Final = {
    "name": ("name", "имя"),
    "look": ("look", "looks", "appearance", "description", "внешность"),
}
_HARMLESS: Final = frozenset({"id", "number", "scene", "scene_number", "page", "order", "heading"})
"""Fields that models add unasked."""
_THOUGHTS: Final = re.compile(r"^\s*<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_ESCAPE: Final = re.compile(r"\\(?:u[0-9a-fA-F]{4}|.)", re.DOTALL)
_CLOSERS: Final = frozenset("\"'}]")
_WORD: Final = re.compile(r"\w+")
_DECODER: Final = json.JSONDecoder(strict=False)
_END: Final = re.compile(r"""[.!?…。！？।؟]["'”’»›)\]*_\s]*$""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A story, and the form in which it was found."""

    story: Story
    form: Form


def read_story(text: str, *, language: str = "en") -> Reading:
    """The story that an answer holds as JSON.

    Args:
        text: The whole answer.
        language: What `Story.language` becomes.

    Returns:
        The story; `form` is `"json"`, or `"repaired"` where the JSON had to be mended.

    Raises:
        ValueError: There is none; a clause says why, and quotes nothing of it.

    Example:
        >>> read_story('{"title": "A Fox", "scenes": [{"text": "It ran."}').form
        'repaired'
    """
    found, form = _object_in(without_thoughts(text))
    story = story_of(found, language=language, is_mended=form == "repaired")
    if form == "repaired":
        _check_mended(text, found, story)
    return Reading(story=story, form=form)


def _check_mended(text: str, found: Any, story: Story) -> None:
    """Mending must have neither lost a word nor passed half a story off as a whole one.

    Closing brackets may be missing; a string without its end is one that was cut off.
    """
    written = _ESCAPE.sub(" ", text[text.find("{") : text.rfind("}") + 1] or text)
    kept = _ESCAPE.sub(" ", json.dumps(found, ensure_ascii=False))
    if Counter(_WORD.findall(written)) - Counter(_WORD.findall(kept)):
        msg = "its JSON is broken in a way that loses words"
        raise ValueError(msg)
    is_open = text.rstrip("` \n\t")[-1:] not in _CLOSERS  # cut off in the midst of a string
    if is_open or not ends_whole(story.scenes[-1].text):
        msg = "its last scene breaks off"
        raise ValueError(msg)


def without_thoughts(text: str) -> str:
    """The answer less the reasoning that some models write in front of it."""
    return _THOUGHTS.sub("", text)


def ends_whole(text: str) -> bool:
    """Whether the text ends where a sentence does."""
    return bool(_END.search(text))


def _object_in(text: str) -> tuple[Mapping[str, Any], Form]:
    start = text.find("{")
    if start < 0:
        msg = "it holds no JSON object"
        raise ValueError(msg)
    form: Form = "json"
    try:
        found, _ = _DECODER.raw_decode(text, start)
    except ValueError:
        found, form = json_repair.loads(text[start:]), "repaired"
    if isinstance(found, list):  # something behind the object was taken for another one
        found = next((each for each in found if isinstance(each, dict)), None)
    if not isinstance(found, dict):
        msg = "it is no JSON object"
        raise ValueError(msg)  # noqa: TRY004 (what is wrong is the answer, not an argument's type)
    return found, form


# ── fields by any of their names ────────────────────────────────────────────


def story_of(found: Mapping[str, Any], *, language: str = "en", is_mended: bool = False) -> Story:
    """The story whose fields were found.

    Args:
        found: Decoded JSON.
        language: What `Story.language` becomes.
        is_mended: Whether unknown fields are a sign of words that were torn apart.

    Raises:
        ValueError: There is no title, no scene, or a scene without text; or words were torn.
    """
    if len(found) == 1 and isinstance(only := next(iter(found.values())), dict):
        found = only  # {"story": {…}}
    fields = _named(found, _FIELDS, is_mended=is_mended)
    scenes = fields.get("scenes")
    if not isinstance(scenes, list) or not scenes:
        msg = "it has no scenes"
        raise ValueError(msg)
    story = Story(
        title=_text(fields.get("title")),
        characters=characters_of(fields.get("characters")),
        scenes=tuple(scene_of(scene, is_mended=is_mended) for scene in scenes),
        moral=_text(fields.get("moral")),
        questions=_texts(fields.get("questions")),
        language=language,
    )
    if not story.title:
        msg = "it has no title"
        raise ValueError(msg)
    return story


def scene_of(found: Any, *, is_mended: bool = False) -> Scene:
    """One scene.

    Raises:
        ValueError: It has no text, or words were torn apart.
    """
    if isinstance(found, str):
        found = {"text": found}
    fields = _named(found, _SCENE, is_mended=is_mended) if isinstance(found, dict) else {}
    scene = Scene(
        text=_text(fields.get("text")),
        illustration=_text(fields.get("illustration")),
        characters=tuple(c.name for c in characters_of(fields.get("characters"))),
    )
    if not scene.text:
        msg = "one of its scenes has no text"
        raise ValueError(msg)
    return scene


def characters_of(found: Any) -> tuple[Character, ...]:
    """Characters from a list of objects or of names, or from an object of looks by name."""
    if isinstance(found, dict):
        found = [{"name": name, "look": look} for name, look in found.items()]
    if isinstance(found, str):
        found = found.split(",")
    each = (_character(one) for one in found or ()) if isinstance(found, list) else ()
    return tuple(one for one in each if one.name)


def _character(found: Any) -> Character:
    fields = _named(found, _CHARACTER) if isinstance(found, dict) else {"name": found}
    return Character(name=_text(fields.get("name")), look=_text(fields.get("look")))


def field_named(name: str) -> str:
    """The name by which we know a field of a story."""
    plain = re.sub(r"[\s-]+", "_", name.strip().casefold())
    return next((ours for ours, names in _FIELDS.items() if plain in names), plain)


def _named(
    found: Mapping[str, Any], names: Mapping[str, tuple[str, ...]], *, is_mended: bool = False
) -> dict[str, Any]:
    plain = {re.sub(r"[\s-]+", "_", str(key).strip().casefold()): found[key] for key in found}
    known = {name for theirs in names.values() for name in theirs}
    if is_mended and not plain.keys() <= known | _HARMLESS:
        msg = "its JSON is broken in a way that loses words"
        raise ValueError(msg)
    return {
        ours: next(plain[name] for name in theirs if name in plain)
        for ours, theirs in names.items()
        if not plain.keys().isdisjoint(theirs)
    }


def _text(value: Any) -> str:
    """A text; what is none is nothing. Line breaks escaped twice are line breaks."""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        value = "\n\n".join(value)
    return value.replace("\\n", "\n").strip() if isinstance(value, str) else ""


def _texts(value: Any) -> tuple[str, ...]:
    items = value.split("\n") if isinstance(value, str) else value
    plain = (_question(item) for item in items) if isinstance(items, list) else ()
    return tuple(text for text in plain if text)


def _question(item: Any) -> str:
    if isinstance(item, dict):
        item = next(iter(item.values()), "")
    return _text(item).lstrip("-*•0123456789.) ")
