"""`StoryRequest`: what a story should be."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from langchain_tale.errors import ConfigurationError, checking

if TYPE_CHECKING:
    from collections.abc import Iterable

READ_ALOUD_WORDS_PER_MINUTE: Final = 130
"""A calm pace; adults read aloud at 120 to 180 words a minute."""
WORDS_PER_SCENE: Final = 60
"""A picture book of some 500 words has a dozen spreads; a scene here is a little longer."""
_WORDS_UP_TO_AGE: Final = ((3, 120), (5, 200), (7, 300), (10, 500), (17, 700))
_DEFAULT_WORDS: Final = 250
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_NAME: Final = re.compile(r"[^\W\d_][\w .'’\-]*")
"""Of a name without its marks: vowel signs and accents belong to a letter, but are none."""


def _on_one_line(value: Any) -> Any:
    """Text on one line without control or formatting characters; all else as it is."""
    if not isinstance(value, str):
        return value
    shown = (" " if unicodedata.category(char) in _INVISIBLE else char for char in value)
    return " ".join("".join(shown).split())


def _as_several(value: Any) -> Any:
    """One string is several of length one."""
    return (value,) if isinstance(value, str) else value


def _as_name(name: str) -> str:
    unmarked = "".join(char for char in name if not unicodedata.category(char).startswith("M"))
    if not _NAME.fullmatch(unmarked):
        msg = "must be a name: letters, spaces, hyphens, apostrophes and full stops"
        raise ValueError(msg)
    return name


_Cleaned = BeforeValidator(_on_one_line)
_Bounded40 = Annotated[str, StringConstraints(min_length=1, max_length=40)]
_Bounded60 = Annotated[str, StringConstraints(min_length=1, max_length=60)]
_Bounded200 = Annotated[str, StringConstraints(min_length=1, max_length=200)]
_Bounded300 = Annotated[str, StringConstraints(min_length=1, max_length=300)]
Line40 = Annotated[_Bounded40, _Cleaned]
Line60 = Annotated[_Bounded60, _Cleaned]
Line200 = Annotated[_Bounded200, _Cleaned]
Line300 = Annotated[_Bounded300, _Cleaned]
Name = Annotated[Line40, AfterValidator(_as_name)]


class StoryRequest(BaseModel):
    """What a story should be; data, never instructions.

    Text is put on one line and stripped of control characters; everything is bounded.

    Attributes:
        theme: What it is about, 1 to 300 characters.
        child_name: Who it is for, up to 40 characters. Personal data: a request with a name
            goes only to providers that neither store nor train.
        age: The child's age in years, 1 to 17; the reading level follows it.
        interests: What the child likes, up to 10 of up to 60 characters each.
        hero: Who it is about, up to 200 characters.
        moral: What is learnt from it, up to 200 characters.
        setting: Where and when, up to 200 characters.
        language: `"en"`, `"ru"`, or any other by name (`"French"`) or code, up to 40.
        words: Length in words, 20 to 3000.
        minutes: Length in minutes of reading aloud, 0.5 to 20; instead of `words`.
        tone: E.g. `"funny"`, up to 60 characters.
        avoid: What must not occur, up to 20 of up to 60 characters each.
        scenes: How many scenes a storybook has, 1 to 20; else as many as its length suggests.
            Only `create_storybook_chain` divides a story.

    Raises:
        pydantic.ValidationError: A ValueError that names the field and what is allowed, and
            quotes no value.

    Example:
        >>> StoryRequest(theme="a fox who learns to share", child_name="Mia", age=5).word_count
        200
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    theme: Line300
    child_name: Name | None = None
    age: Annotated[int, Field(ge=1, le=17)] | None = None
    interests: Annotated[
        tuple[Line60, ...], BeforeValidator(_as_several), Field(max_length=10)
    ] = ()
    hero: Line200 | None = None
    moral: Line200 | None = None
    setting: Line200 | None = None
    language: Name = "en"
    words: Annotated[int, Field(ge=20, le=3000)] | None = None
    minutes: Annotated[float, Field(ge=0.5, le=20)] | None = None
    tone: Line60 | None = None
    avoid: Annotated[tuple[Line60, ...], BeforeValidator(_as_several), Field(max_length=20)] = ()
    scenes: Annotated[int, Field(ge=1, le=20)] | None = None

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.words is not None and self.minutes is not None:
            msg = "give words or minutes, not both"
            raise ValueError(msg)
        return self

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """For `repr` and `str`, and so for tracebacks: text is personal, and is not shown."""
        for name, value in super().__repr_args__():
            if name in _SHOWN or not value:
                yield name, value
            else:
                yield name, "…"

    @property
    def word_count(self) -> int:
        """The length to aim at, in words: as asked for, else by age."""
        if self.words is not None:
            return self.words
        if self.minutes is not None:
            return round(self.minutes * READ_ALOUD_WORDS_PER_MINUTE)
        if self.age is None:
            return _DEFAULT_WORDS
        return next(words for oldest, words in _WORDS_UP_TO_AGE if self.age <= oldest)

    @property
    def scene_count(self) -> int:
        """The number of scenes to aim at: as asked for, else one for about sixty words, 3 to 12."""
        return self.scenes or min(12, max(3, round(self.word_count / WORDS_PER_SCENE)))

    @property
    def language_code(self) -> str:
        """`"en"` or `"ru"` where it is one of them by any name, else `language` as given."""
        given = self.language.casefold()
        for code, names in _OWN_PROMPT.items():
            if given in names or given.startswith((f"{code}-", f"{code}_")):
                return code
        return self.language


_SHOWN: Final = frozenset({"age", "language", "words", "minutes", "scenes"})
_OWN_PROMPT: Final = {
    "en": frozenset({"en", "eng", "english"}),
    "ru": frozenset({"ru", "rus", "russian", "русский"}),
}

StoryInput = StoryRequest | dict[str, Any] | str
"""What a story chain takes: a request, its fields, or just the theme."""


def as_story_request(given: StoryInput) -> StoryRequest:
    """A request from whatever a story chain was given.

    Raises:
        ConfigurationError: It makes no request; one sentence names the field.
    """
    if isinstance(given, StoryRequest):
        return given
    fields = {"theme": given} if isinstance(given, str) else given
    if not isinstance(fields, dict):
        kind = type(given).__name__
        msg = f"A story is asked for by a StoryRequest, a dict or a string, not {kind}."
        raise ConfigurationError(msg)
    with checking("StoryRequest"):
        return StoryRequest.model_validate(fields)
