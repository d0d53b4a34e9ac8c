"""What the drills share: a story for each number, and every way to ask a model for it."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.sandbox.engines import ScriptedEngine
from langchain_tale.sandbox.pieces import text_of
from tests.conftest import chat_model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage, AIMessageChunk

    from langchain_tale.openrouter.chat_models import ChatOpenRouter
    from langchain_tale.sandbox import Sandbox

SICK: Final = "sick/model"
WELL: Final = "well/model"
WAYS: Final = ("invoke", "ainvoke", "batch", "stream", "astream")
NUMBERS: Final = (3, 14, 15)


def story_of(number: int) -> str:
    """The one right answer to an input."""
    return (
        f"# Story {number}\n\nOnce upon a time {number} foxes met {number + 1} hens,  and they "
        f"shared\nall of their {number * 7} berries.\n\nThe end of story {number}."
    )


def asking_for(number: int) -> str:
    """The input."""
    return f"Tell me story number {number}."


def storyteller() -> ScriptedEngine:
    """An engine whose answers repeat the number that they were asked for."""

    def reply(request: Mapping[str, Any]) -> str:
        [number] = re.findall(r"number (\d+)", text_of(request["messages"][0]))
        return story_of(int(number))

    return ScriptedEngine(reply)


def sick_model(sandbox: Sandbox, **options: Any) -> ChatOpenRouter:
    """The model that faults are ordered for."""
    return chat_model(sandbox, SICK, **options)


def heard(chunks: list[AIMessageChunk]) -> str:
    """What a consumer has who obeys `is_restarted`."""
    text = ""
    for chunk in chunks:
        text = "" if chunk.response_metadata.get("is_restarted") else text + chunk.text
    return text


def ask(model: BaseChatModel, way: str) -> dict[int, tuple[str, list[dict[str, Any]]]]:
    """Ask in one of `WAYS`.

    Returns:
        For each number that was asked for, the text and the log of its attempts.
    """
    inputs: Any = [asking_for(number) for number in NUMBERS]
    if way == "batch":
        return dict(zip(NUMBERS, map(_read, model.batch(inputs)), strict=True))
    if way in ("invoke", "ainvoke"):
        answer = (
            model.invoke(inputs[0]) if way == "invoke" else asyncio.run(_ainvoke(model, inputs))
        )
        return {NUMBERS[0]: _read(answer)}
    chunks = (
        list(model.stream(inputs[0])) if way == "stream" else asyncio.run(_astream(model, inputs))
    )
    return {NUMBERS[0]: (heard(chunks), chunks[-1].response_metadata["attempts"])}


def _read(answer: AIMessage) -> tuple[str, list[dict[str, Any]]]:
    return answer.text, answer.response_metadata["attempts"]


async def _ainvoke(model: BaseChatModel, inputs: Any) -> AIMessage:
    return await model.ainvoke(inputs[0])


async def _astream(model: BaseChatModel, inputs: Any) -> list[AIMessageChunk]:
    return [chunk async for chunk in model.astream(inputs[0])]
