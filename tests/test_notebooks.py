"""The notebooks as they are kept; `pytest --nbmake notebooks/` runs them."""

from __future__ import annotations

import ast
import json
import re
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PUBLIC = {"langchain_tale", "langchain_tale.display", "langchain_tale.sandbox"}
WIDGET = "application/vnd.jupyter.widget-view+json"
MOST_BYTES = 300_000

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture
def cells(path: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return found


def code(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [cell for cell in cells if cell["cell_type"] == "code"]


def imports(source: str) -> Iterator[tuple[str, list[str]]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)


def test_they_are_numbered() -> None:
    numbers = [int(path.stem.partition("_")[0]) for path in NOTEBOOKS]

    assert len(numbers) >= 6
    assert numbers == list(range(1, len(numbers) + 1))


def test_each_leads_to_the_next() -> None:
    for path, following in pairwise(NOTEBOOKS):
        last = json.loads(path.read_text(encoding="utf-8"))["cells"][-1]
        assert f"]({following.name})" in "".join(last["source"])


@each
def test_it_was_run_from_top_to_bottom(cells: list[dict[str, Any]]) -> None:
    counts = [cell["execution_count"] for cell in code(cells)]

    assert counts == list(range(1, len(counts) + 1))


@each
def test_it_is_narrated(cells: list[dict[str, Any]]) -> None:
    texts = [cell for cell in cells if cell["cell_type"] == "markdown"]

    assert "".join(texts[0]["source"]).startswith("# ")
    assert len(texts) * 2 >= len(code(cells))


@each
def test_it_imports_public_names_alone(cells: list[dict[str, Any]]) -> None:
    for cell in code(cells):
        for module, names in imports("".join(cell["source"])):
            if module.startswith("langchain_tale"):
                assert module in PUBLIC
                assert set(names) <= set(import_module(module).__all__)


@each
def test_it_says_nothing_of_the_machine_it_ran_on(path: Any) -> None:
    text = path.read_text(encoding="utf-8")

    assert not re.search(r"/(?:home|root|tmp|work|Users)/|C:\\\\|sk-or-(?!v1-sandbox)", text)
    assert WIDGET not in text
    assert len(text.encode()) < MOST_BYTES


@each
def test_only_failures_on_purpose_are_in_it(cells: list[dict[str, Any]]) -> None:
    for cell in code(cells):
        has_failed = any(output["output_type"] == "error" for output in cell["outputs"])
        assert has_failed == ("raises-exception" in cell["metadata"].get("tags", []))
