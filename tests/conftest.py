"""What all tests share: a scripted sandbox, a clock that only moves when told, no environment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from langchain_tale.openrouter.chat_models import ChatOpenRouter
from langchain_tale.resilience.attempts import Timing
from langchain_tale.sandbox import Sandbox

KEY = "sk-or-v1-sandbox"


@pytest.fixture(autouse=True)
def _bare_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No key, no `.env` and nothing of OpenAI's or ours reaches a test by accident."""
    import os

    for name in list(os.environ):
        if name.startswith(("OPENROUTER_", "OPENAI_", "TALE_", "LANGSMITH_", "LANGCHAIN_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path_factory.mktemp("cwd"))


class FakeTime:
    """A clock that moves only when somebody sleeps; `slept` has every wait."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)

    def timing(self) -> Timing:
        return Timing(
            clock=lambda: self.now,
            sleep=self.sleep,
            asleep=self.asleep,
            uniform=lambda low, _high: low,
        )


@pytest.fixture
def fake_time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(engine="scripted", lateness_s=0.0) as running:
        yield running


@pytest.fixture
def faulty() -> Iterator[Callable[..., Sandbox]]:
    """A function that starts a scripted sandbox with faults: `faulty({"a/b": [Fault(...)]})`."""
    running: list[Sandbox] = []

    def start(faults: dict[str, Any], **options: Any) -> Sandbox:
        running.append(Sandbox(engine="scripted", faults=faults, lateness_s=0.0, **options).start())
        return running[-1]

    yield start
    for one in running:
        one.stop()


@pytest.fixture
def llm(sandbox: Sandbox) -> ChatOpenRouter:
    return chat_model(sandbox)


def chat_model(
    sandbox: Sandbox, model: str = "openai/gpt-4o-mini", **options: Any
) -> ChatOpenRouter:
    """A chat model that talks to `sandbox`, without retries of its own."""
    given = {"max_retries": 0, "api_key": sandbox.api_key, "base_url": sandbox.base_url, **options}
    return ChatOpenRouter(model=model, **given)
