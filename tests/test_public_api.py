from __future__ import annotations

import subprocess
import sys

import pytest

import langchain_tale

HEAVY = {"openai", "langchain_openai", "langchain_core", "typer", "rich", "starlette", "uvicorn"}


def test_the_public_names_are_sorted_and_unique() -> None:
    assert langchain_tale.__all__ == sorted(set(langchain_tale.__all__))


@pytest.mark.parametrize("name", langchain_tale.__all__)
def test_a_public_name_can_be_imported(name: str) -> None:
    assert getattr(langchain_tale, name).__name__ == name


def test_every_name_has_one_home() -> None:
    assert sorted(langchain_tale._HOME_OF) == langchain_tale.__all__


def test_the_names_that_the_design_promises_are_there() -> None:
    promised = {
        "ChatOpenRouter",
        "OpenRouterModel",
        "RetryPolicy",
        "StoryRequest",
        "create_story_chain",
        "OpenRouterClient",
        "StoryGenerationResult",
        "get_settings",
        "ExternalServiceError",
    }

    assert promised <= set(langchain_tale.__all__)


def test_a_star_import_brings_all_public_names() -> None:
    names: dict[str, object] = {}
    exec("from langchain_tale import *", names)  # noqa: S102 (what users write)

    assert set(langchain_tale.__all__) == names.keys() - {"__builtins__"}


def test_completion_shows_the_public_names() -> None:
    assert dir(langchain_tale) == langchain_tale.__all__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'langchain_tale' has no attribute 'Tale'"):
        _ = langchain_tale.Tale


def run_python(code: str) -> str:
    done = subprocess.run(  # noqa: S603 (our own interpreter)
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def test_importing_it_is_cheap() -> None:
    loaded = run_python("import sys, langchain_tale; print(*sys.modules)").split()

    assert set() == HEAVY & set(loaded)


def test_settings_and_catalogue_need_neither_the_sdk_nor_an_extra() -> None:
    code = (
        "import sys; from langchain_tale import OpenRouterModel, get_settings, TaleError; "
        "get_settings(); print(*sys.modules)"
    )

    assert set() == (HEAVY - {"langchain_core"}) & set(run_python(code).split())


def test_the_client_needs_no_extra() -> None:
    code = (
        "import sys; sys.modules |= dict.fromkeys("
        "['typer', 'starlette', 'uvicorn', 'xllamacpp', 'pyarrow', 'ray', 'redis'])\n"
        "import langchain_tale\n"
        "print(*(getattr(langchain_tale, name).__name__ for name in langchain_tale.__all__))"
    )

    assert run_python(code).split() == langchain_tale.__all__
