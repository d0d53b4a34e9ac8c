"""The README does what it says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import ROOT

if TYPE_CHECKING:
    from langchain_tale.sandbox import Sandbox

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_a_block_of_the_readme_runs(
    block: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", sandbox.api_key)
    monkeypatch.setenv("OPENROUTER_API_BASE", sandbox.base_url)
    names: dict[str, Any] = {}

    exec(compile(block, "README.md", "exec"), names)  # noqa: S102 (our own README)

    if "result" in names:
        assert names["result"].content
    if "message" in names:
        assert names["message"].text


def test_there_are_blocks_to_run() -> None:
    assert len(BLOCKS) == 14


def test_ci_runs_the_test_command_of_the_readme() -> None:
    assert "\nuv run pytest " in README
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.search(r"uv run pytest$", ci, re.MULTILINE)


def test_every_setting_is_in_the_readme() -> None:
    from langchain_tale.settings import AIServiceSettings

    for name in AIServiceSettings.model_fields:
        if name not in {"api_key", "base_url"}:
            assert f"__{name.upper()}" in README
