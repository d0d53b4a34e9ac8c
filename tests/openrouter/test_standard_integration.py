"""LangChain's standard integration suite, whole, replayed; `cassettes/README.md` says from what."""

from __future__ import annotations

import base64
from inspect import cleandoc
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, get_args, get_type_hints
from uuid import UUID

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.utils import function_calling
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.integration_tests.chat_models import unicode_customer

from langchain_tale import OpenRouterModel
from langchain_tale.openrouter.chat_models import ChatOpenRouter
from langchain_tale.sandbox.script import ScriptedEngine

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.language_models import BaseChatModel

FILES: Final = Path(__file__).parent / "files"
SMALL: Final = {".png": "pixel.png", ".wav": "silence.wav", ".pdf": "page.pdf"}
CLAUDE: Final = OpenRouterModel.CLAUDE_SONNET_LATEST
LISTENER: Final = "openai/gpt-audio-mini"
THINKER: Final = OpenRouterModel.GPT_MINI_LATEST
SPECIALISTS: Final = {
    "test_anthropic_inputs": CLAUDE,
    "test_audio_inputs": LISTENER,
    "test_image_tool_message": CLAUDE,
    "test_pdf_tool_message": CLAUDE,
}
"""Who is asked where not every model can do it; the sandbox answers for all alike."""
USAGE_DETAILS: Final = (
    "audio_input",
    "audio_output",
    "reasoning_output",
    "cache_read_input",
    "cache_creation_input",
)


@pytest.mark.vcr
# While it is recorded, test_stream_time has no answers to time yet and leaves the fixture alone.
@pytest.mark.filterwarnings(
    "ignore:Benchmark fixture was not used:pytest_benchmark.logger.PytestBenchmarkWarning"
)
class TestChatOpenRouter(ChatModelIntegrationTests):
    @pytest.fixture(autouse=True)
    def _where(
        self, request: pytest.FixtureRequest, recorded: Callable[..., dict[str, Any]]
    ) -> None:
        """The recorded server, of few words, and who is asked there."""
        self.address = recorded(engine=ScriptedEngine(lambda _request: "A fox shared its berries."))
        self.slug = SPECIALISTS.get(request.node.originalname, OpenRouterModel.GPT_4O_MINI)

    @pytest.fixture(autouse=True)
    def _same_requests(
        self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What the suite sends is the same each time, so that it is found in its cassette."""

        def get(url: str, **_: Any) -> SimpleNamespace:
            return SimpleNamespace(content=(FILES / SMALL[url[-4:]]).read_bytes())

        numbers = count(1)
        ids = SimpleNamespace(uuid4=lambda: UUID(int=next(numbers)))
        monkeypatch.setattr("httpx.get", get)
        monkeypatch.setattr(function_calling, "uuid", ids)  # of the calls in few shots
        monkeypatch.setenv("LANGCHAIN_TESTS_USER_AGENT", "langchain-tale")
        tools = [unicode_customer]
        if "my_adder_tool" in request.fixturenames:
            tools.append(request.getfixturevalue("my_adder_tool"))
        for tool in tools:  # Python 3.13 unindents docstrings, older ones do not
            monkeypatch.setattr(tool, "description", cleandoc(tool.description))

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenRouter

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": self.slug, "max_retries": 0, **self.address}

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_image_urls(self) -> bool:
        return True

    @property
    def supports_image_tool_message(self) -> bool:
        return True

    @property
    def supports_pdf_inputs(self) -> bool:
        return True

    @property
    def supports_pdf_tool_message(self) -> bool:
        return True

    @property
    def supports_audio_inputs(self) -> bool:
        return True

    @property
    def supports_video_inputs(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return OpenRouterModel.CLAUDE_3_HAIKU

    @property
    def enable_vcr_tests(self) -> bool:
        return True

    @property
    def supported_usage_metadata_details(self) -> dict[Any, Any]:
        return {"invoke": list(USAGE_DETAILS), "stream": list(USAGE_DETAILS)}

    def _ask(self, messages: list[Any], *, stream: bool = False, **options: Any) -> AIMessage:
        llm = self.chat_model_class(**{**self.chat_model_params, **options})
        if not stream:
            return llm.invoke(messages)
        full: AIMessageChunk | None = None
        for chunk in llm.stream(messages):
            assert isinstance(chunk, AIMessageChunk)
            full = chunk if full is None else full + chunk
        assert full is not None
        return full

    def invoke_with_audio_input(self, *, stream: bool = False) -> AIMessage:
        data = base64.b64encode((FILES / "silence.wav").read_bytes()).decode()
        sound = {"type": "audio", "base64": data, "mime_type": "audio/wav"}
        return self._ask([HumanMessage([sound])], stream=stream, model=LISTENER)

    def invoke_with_audio_output(self, *, stream: bool = False) -> AIMessage:
        """OpenRouter speaks in streams only, so it is streamed either way."""
        options = {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "pcm16"}}
        return self._ask([HumanMessage("Say hello.")], stream=True, model=LISTENER, **options)

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        question = HumanMessage("How much is 3 and 4?")
        return self._ask([question], stream=stream, model=THINKER, reasoning={"effort": "low"})

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        self.invoke_with_cache_creation_input(stream=stream)
        return self.invoke_with_cache_creation_input(stream=stream)

    def invoke_with_cache_creation_input(self, *, stream: bool = False) -> AIMessage:
        """Claude caches prompts of some thousand tokens and more."""
        text = {"type": "text", "text": "You know this story. " * 220}
        marked = {**text, "cache_control": {"type": "ephemeral"}}
        question = [SystemMessage([marked]), HumanMessage("How does it end?")]
        return self._ask(question, stream=stream, model=CLAUDE)


def test_nothing_of_the_suite_is_left_out() -> None:
    ours = TestChatOpenRouter()
    switches = [
        name
        for name in dir(ChatModelIntegrationTests)
        if name.startswith(("enable_", "has_", "returns_", "supports_"))
    ]

    assert {"has_tool_calling", "supports_json_mode", "enable_vcr_tests"} <= set(switches)
    assert [name for name in switches if getattr(ours, name) is not True] == []
    assert [name for name in vars(TestChatOpenRouter) if name.startswith("test_")] == []


def test_every_detail_of_usage_is_asked_for() -> None:
    declared: Any = ChatModelIntegrationTests.supported_usage_metadata_details
    ways, details = get_args(get_type_hints(declared.fget)["return"])
    [names] = get_args(details)

    ours = TestChatOpenRouter().supported_usage_metadata_details
    assert set(ours) == set(get_args(ways))
    assert all(set(asked) == set(get_args(names)) for asked in ours.values())
