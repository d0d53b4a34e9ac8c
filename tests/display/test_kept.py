"""What has been told is kept, for `tell` and `tell_many` alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import get_llm_cache, set_llm_cache

from langchain_tale import StoryCache, create_story_chain
from langchain_tale.display import kept, tell, tell_many

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from langchain_tale.sandbox.pytest_plugin import StartSandbox


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path)
    kept.default_cache.cache_clear()
    yield tmp_path
    kept.default_cache.cache_clear()
    set_llm_cache(None)


def test_a_story_is_paid_for_once(faulty: StartSandbox, tmp_path: Path) -> None:
    sandbox = faulty()
    chain, cache = create_story_chain("a/b"), StoryCache(tmp_path / "mine")

    first = tell(chain, "a fox", cache=cache)
    again = tell(chain, "a fox", cache=cache)
    many = tell_many(chain, ["a fox", "an owl"], cache=cache)

    assert sandbox.requests == {"a/b": 2}
    assert (first.is_cached, again.is_cached) == (False, True)
    assert again.content == first.content == many.told[0].content
    assert again.cost_usd == 0
    assert many.cost_usd == many.told[1].cost_usd != 0
    assert "told before" in again.card().text()


def test_other_calls_are_not_kept(faulty: StartSandbox, tmp_path: Path) -> None:
    sandbox = faulty()
    chain = create_story_chain("a/b")

    tell(chain, "a fox", cache=StoryCache(tmp_path / "mine"))
    chain.invoke("a fox")
    list(chain.stream("a fox"))
    tell(chain, "a fox")

    assert sandbox.requests == {"a/b": 4}


def test_the_default_is_a_file_of_the_user(faulty: StartSandbox, home: Path) -> None:
    sandbox = faulty()
    chain = create_story_chain("a/b")

    for _ in range(2):
        tell(chain, "a fox", cache=True)

    assert sandbox.requests == {"a/b": 1}
    (file,) = home.rglob("stories.sqlite")
    assert file.stat().st_mode & 0o077 == 0
    cache = get_llm_cache()
    assert cache is not None
    cache.clear()
    tell(chain, "a fox", cache=True)
    assert sandbox.requests == {"a/b": 2}


def test_without_a_place_for_a_file_it_is_memory(home: Path) -> None:
    (home / ".cache").write_text("no directory")

    assert isinstance(kept.default_cache(), InMemoryCache)


def test_a_cache_of_the_process_is_used_as_it_is(faulty: StartSandbox, tmp_path: Path) -> None:
    sandbox = faulty()
    own = InMemoryCache()
    set_llm_cache(own)
    chain = create_story_chain("a/b")

    tell(chain, "a fox", cache=StoryCache(tmp_path / "other"))

    assert get_llm_cache() is own
    assert len(StoryCache(tmp_path / "other")) == 0
    assert chain.invoke("a fox").is_cached
    assert sandbox.requests == {"a/b": 1}


def test_a_model_may_refuse_to_be_kept(faulty: StartSandbox) -> None:
    sandbox = faulty()
    chain = create_story_chain("a/b", cache=False)

    for _ in range(2):
        tell(chain, "a fox", cache=True)

    assert sandbox.requests == {"a/b": 2}
