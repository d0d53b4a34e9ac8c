"""A fixture for tests of your own pipelines: OpenRouter on loopback, which fails on demand.

Name this module in the `conftest.py` at the root of your tests:

```python
pytest_plugins = ["langchain_tale.sandbox.pytest_plugin"]
```

and ask for `openrouter_sandbox` where a test needs it:

```python
from langchain_tale import create_story_chain
from langchain_tale.sandbox import Fault

def test_a_story_is_told_though_the_model_is_busy(openrouter_sandbox):
    sandbox = openrouter_sandbox({"openai/gpt-4o-mini": [Fault.rate_limited()]})

    result = create_story_chain(models=["openai/gpt-4o-mini", "openai/gpt-4o"]).invoke("a fox")

    assert result.model == "openai/gpt-4o"
    assert sandbox.requests == {"openai/gpt-4o-mini": 1, "openai/gpt-4o": 1}
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pytest

from langchain_tale.sandbox.server import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from langchain_tale.sandbox.plans import Faults


class StartSandbox(Protocol):
    """Starts a sandbox that stops when the test is over."""

    def __call__(self, faults: Mapping[str, Faults] | None = None, **options: Any) -> Sandbox:
        """Start it.

        Args:
            faults: What goes wrong, by model; see `Sandbox`.
            **options: Of `Sandbox`; unless you say otherwise the engine is `"scripted"`, and
                `GET /generation` knows an answer at once.

        Returns:
            A running sandbox. `OPENROUTER_API_BASE` and `OPENROUTER_API_KEY` are those of the
            one that started last, until the test is over.
        """
        ...


@pytest.fixture
def openrouter_sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[StartSandbox]:
    """A function that starts a sandbox for one test; see `StartSandbox`."""
    running: list[Sandbox] = []

    def start(faults: Mapping[str, Faults] | None = None, **options: Any) -> Sandbox:
        given: dict[str, Any] = {"engine": "scripted", "lateness_s": 0.0, **options}
        sandbox = Sandbox(faults=faults, **given).start()
        running.append(sandbox)
        monkeypatch.setenv("OPENROUTER_API_BASE", sandbox.base_url)
        monkeypatch.setenv("OPENROUTER_API_KEY", sandbox.api_key)
        return sandbox

    yield start
    for sandbox in running:
        sandbox.stop()
