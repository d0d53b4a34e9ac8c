"""A request → messages that ask for a story in scenes, as JSON; in English and in Russian."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

from langchain_tale.story.prompt import request_lines, wording_of

if TYPE_CHECKING:
    from langchain_tale.story.request import StoryRequest

_FORM: Final = (
    '{"title": "…", "characters": [{"name": "…", "look": "…"}], "scenes": [{"text": "…", '
    '"illustration": "…", "characters": ["…"]}], "moral": "…", "questions": ["…"]}'
)


@dataclass(frozen=True, slots=True)
class BookWording:
    """What is said of the form: in the system message, and at the end of the request."""

    form: str
    closing: str


_ENGLISH: Final = BookWording(
    form=(
        "You write the story as a picture book, as one JSON object of this form and nothing "
        f"else:\n{_FORM}\n"
        "title: the title alone. characters: everyone who matters; look says what is the same in "
        "every picture: kind, age, colours, clothes. scenes: the whole story in order; text is "
        "what is read aloud; illustration says what the picture shows: place, action, light; "
        "characters names those in the picture, exactly as listed. moral: what is learnt, in one "
        "sentence. questions: two or three to talk about with the child. Inside of a string "
        "write quotation marks as “ and ”."
    ),
    closing=(
        "Tell it in {scenes} scenes of about the same length. Answer with the JSON object only."
    ),
)
_RUSSIAN: Final = BookWording(
    form=(
        "Ты пишешь сказку как книжку с картинками: один объект JSON такого вида и больше "
        f"ничего:\n{_FORM}\n"
        "title: одно название. characters: все, кто важен; в look то, что одинаково на каждой "
        "картинке: кто это, возраст, цвета, одежда. scenes: вся сказка по порядку; text читают "
        "вслух; illustration говорит, что на картинке: место, действие, свет; characters: имена "
        "тех, кто на картинке, точно как в списке. moral: чему учит сказка, одним предложением. "
        "questions: два-три вопроса, чтобы поговорить с ребёнком. Имена полей оставь латиницей, "
        "все значения пиши по-русски. Внутри строк пиши кавычки как « и »."
    ),
    closing="Число сцен: {scenes}, примерно одной длины. В ответе только объект JSON.",
)


def storybook_messages(request: StoryRequest) -> list[BaseMessage]:
    """The messages that ask for a story in scenes.

    Args:
        request: What the story should be.

    Returns:
        A system message that depends only on the language, and a human message.
    """
    ours = _RUSSIAN if request.language_code == "ru" else _ENGLISH
    system = f"{wording_of(request).system}\n\n{ours.form}"
    closing = ours.closing.format(scenes=request.scene_count)
    return [SystemMessage(system), HumanMessage("\n".join([*request_lines(request), closing]))]
