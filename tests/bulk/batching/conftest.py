from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from langchain_tale.sandbox import BatchManner
from tests.bulk.stories import Storyteller

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from langchain_tale.sandbox import Sandbox
    from langchain_tale.sandbox.pytest_plugin import StartSandbox


@pytest.fixture
def start(openrouter_sandbox: StartSandbox) -> Callable[..., Sandbox]:
    """A function that starts a sandbox, whose storyteller repeats its theme."""

    def starting(faults: Any = None, **manner: Any) -> Sandbox:
        options = {"engine": Storyteller(), "batches": BatchManner(**manner)}
        return openrouter_sandbox(faults, **options)

    return starting


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "stories.jsonl"


@pytest.fixture
def register(tmp_path: Path) -> Path:
    return tmp_path / "stories.batches.jsonl"
