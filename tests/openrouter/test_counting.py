"""Tokens are counted offline: about right, and never by asking the network."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool

from langchain_tale.errors import ConfigurationError
from langchain_tale.openrouter.counting import tokens_in, tokens_in_messages
from tests.openrouter.replies import Wire

FABLE = "A fox saw grapes on a vine and jumped, but they hung too high for him to reach them."
BASNYA = "Лиса увидела виноград на лозе и прыгнула, но он висел слишком высоко, и она ушла."


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return city


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [("", 0, 0), ("a", 1, 1), (FABLE, 18, 26), (BASNYA, 25, 50)],
    ids=["nothing", "a letter", "english", "russian"],
)
def test_a_text_has_about_as_many_tokens_as_a_tokenizer_gives_it(
    text: str, least: int, most: int
) -> None:
    assert least <= tokens_in(text) <= most


def test_a_conversation_has_the_tokens_of_its_texts_and_some_for_each_message() -> None:
    for text in (FABLE, BASNYA):
        one = tokens_in_messages([HumanMessage(text)])
        two = tokens_in_messages([SystemMessage(text), AIMessage(text)])

        assert tokens_in(text) < one <= tokens_in(text) + 10
        assert 2 * tokens_in(text) < two <= 2 * one + 4


def test_tools_and_images_have_tokens_too() -> None:
    words = [HumanMessage("How is the weather?")]
    image: list[Any] = [
        {"type": "text", "text": "How is the weather?"},
        {"type": "image", "url": "https://x.test/a.png"},
    ]

    assert tokens_in_messages(words, [weather]) > tokens_in_messages(words) + 5
    assert tokens_in_messages([HumanMessage(image)]) > tokens_in_messages(words) + 50


def test_nothing_said_has_few_tokens() -> None:
    assert tokens_in_messages([]) == 0
    assert 0 < tokens_in_messages([HumanMessage("")]) < 10


def test_the_model_counts_without_the_network() -> None:
    wire = Wire()
    llm = wire.llm(model="openai/gpt-4o")

    assert llm.get_num_tokens(FABLE) == tokens_in(FABLE)
    messages = [HumanMessage(FABLE)]
    assert llm.get_num_tokens_from_messages(messages) == tokens_in_messages(messages)
    with_tools = llm.get_num_tokens_from_messages(messages, tools=[weather])
    assert with_tools == tokens_in_messages(messages, [weather])
    assert wire.requests == []


def test_a_tokenizer_of_ones_own_counts_exactly() -> None:
    llm = Wire().llm(custom_get_token_ids=lambda text: list(range(len(text.split()))))

    assert llm.get_token_ids("a b c") == [0, 1, 2]
    assert llm.get_num_tokens("a b c") == 3


def test_token_ids_need_a_tokenizer_of_ones_own() -> None:
    with pytest.raises(ConfigurationError, match="custom_get_token_ids"):
        Wire().llm().get_token_ids("a")
