"""The fixture for users' own tests, as its documentation shows it."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from langchain_tale.sandbox import Fault, Sandbox, pytest_plugin

if TYPE_CHECKING:
    import pytest

    from langchain_tale.sandbox.pytest_plugin import StartSandbox

pytest_plugins = ["pytester"]

CONFTEST, EXAMPLE = re.findall(r"```python\n(.*?)```", pytest_plugin.__doc__ or "", re.DOTALL)


def run(pytester: pytest.Pytester, tests: str) -> pytest.RunResult:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(tests)
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:asyncio")


def test_the_example_of_its_documentation_passes(pytester: pytest.Pytester) -> None:
    run(pytester, EXAMPLE).assert_outcomes(passed=1)


def test_what_was_started_ends_with_the_test(pytester: pytest.Pytester) -> None:
    ended = run(
        pytester,
        """
        import os

        started = []

        def test_two(openrouter_sandbox):
            started.extend([openrouter_sandbox(), openrouter_sandbox()])
            assert os.environ["OPENROUTER_API_BASE"] == started[1].base_url

        def test_after():
            assert all(sandbox.wait(0) for sandbox in started) and len(started) == 2
            assert "OPENROUTER_API_BASE" not in os.environ
        """,
    )
    ended.assert_outcomes(passed=2)


def test_each_is_scripted_unless_told_otherwise(openrouter_sandbox: StartSandbox) -> None:
    healthy = openrouter_sandbox()
    failing = openrouter_sandbox({"*": [Fault()]}, api_key="sk-other", lateness_s=9.0)
    assert isinstance(failing, Sandbox)
    assert healthy.base_url != failing.base_url
    assert os.environ["OPENROUTER_API_BASE"] == failing.base_url
    assert os.environ["OPENROUTER_API_KEY"] == "sk-other"
