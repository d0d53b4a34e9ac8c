"""LangChain's standard unit suite, in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_tests.unit_tests import ChatModelUnitTests

from langchain_tale.openrouter.chat_models import ChatOpenRouter

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel


class TestChatOpenRouter(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenRouter

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "openai/gpt-4o-mini", "api_key": "sk-or-v1-test"}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return (
            {"OPENROUTER_API_KEY": "sk-or-v1-env", "OPENROUTER_API_BASE": "https://eu.test/v1"},
            {"model": "openai/gpt-4o-mini"},
            {"openai_api_key": "sk-or-v1-env", "openai_api_base": "https://eu.test/v1"},
        )
