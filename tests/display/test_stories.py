"""`tell_many`: kept, counted, interrupted, paid for once."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache

from langchain_tale import ConfigurationError, create_story_chain
from langchain_tale.display import Stories, tell_many
from langchain_tale.errors import AuthenticationError, UnavailableError
from langchain_tale.resilience.policy import RetryPolicy
from langchain_tale.sandbox import Fault
from tests.cards.test_cards import STORY
from tests.cards.test_markup import Page

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from langchain_tale.sandbox.pytest_plugin import StartSandbox

ONCE = RetryPolicy(max_retries=0)


@pytest.fixture
def _cache() -> Iterator[None]:
    set_llm_cache(InMemoryCache())
    yield
    set_llm_cache(None)


def themes(count: int) -> list[str]:
    return [f"fox number {number}" for number in range(count)]


def test_all_are_told_in_the_order_of_the_requests(
    faulty: StartSandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox = faulty()
    chain = create_story_chain("a/b")

    stories = tell_many(chain, themes(12), max_concurrency=4)

    assert [story.content for story in stories.told] == [
        chain.invoke(theme).content for theme in themes(12)
    ]
    assert sandbox.most_at_once <= 4
    assert stories.cost_usd == pytest.approx(sum(s.cost_usd or 0 for s in stories.told))
    assert "12/12" in capsys.readouterr().err


def test_one_that_fails_does_not_stop_the_others(
    faulty: StartSandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    faulty({"a/b": [None, Fault(status=503), None]})

    stories = tell_many(create_story_chain("a/b", retry=ONCE), themes(3), max_concurrency=1)

    assert [type(error) for error in stories.failed] == [UnavailableError]
    assert len(stories.told) == 2
    assert stories.missing == 0
    assert stories.why_stopped is None
    assert "1 failed" in capsys.readouterr().err


def test_what_all_would_fail_of_stops_the_run(faulty: StartSandbox) -> None:
    sandbox = faulty({"a/b": lambda _request: Fault(status=401)})

    stories = tell_many(create_story_chain("a/b"), themes(20), max_concurrency=2)

    assert {type(error) for error in stories.failed} == {AuthenticationError}
    assert sum(sandbox.requests.values()) <= 3
    assert stories.missing >= 17
    assert "check OPENROUTER_API_KEY" in str(stories.why_stopped)


@pytest.mark.usefixtures("_cache", "_ctrl_c")
def test_interrupted_at_50_of_100_it_asks_for_50_more(faulty: StartSandbox) -> None:
    asked: list[Mapping[str, Any]] = []
    main = threading.main_thread().ident
    assert main is not None

    def fault(request: Mapping[str, Any]) -> Fault | None:
        asked.append(request)
        if len(asked) == 58:  # 50 are told, and all 8 workers wait
            signal.pthread_kill(main, signal.SIGINT)
        return Fault(kind="hang") if 50 < len(asked) <= 58 else None

    faulty({"a/b": fault})
    chain = create_story_chain("a/b")

    first = tell_many(chain, themes(100), max_concurrency=8)
    assert (len(first.told), first.missing, first.failed) == (50, 50, [])
    assert "50 stories are missing" in str(first.why_stopped)

    asked_before = len(asked)
    again = tell_many(chain, themes(100), max_concurrency=8)

    assert len(again.told) == 100
    assert len(asked) - asked_before == 50
    kept = [index for index, story in enumerate(first) if story is not None]
    assert [again[i].content for i in kept] == [first[i].content for i in kept]  # type: ignore[union-attr]  # all told


def test_a_wrong_request_is_named_before_anything_is_sent(faulty: StartSandbox) -> None:
    sandbox = faulty()

    with pytest.raises(ConfigurationError, match=r"requests\[1\]: StoryRequest\.age"):
        tell_many(create_story_chain("a/b"), ["a fox", {"theme": "an owl", "age": 0}])
    with pytest.raises(ConfigurationError, match="max_concurrency"):
        tell_many(create_story_chain("a/b"), ["a fox"], max_concurrency=0)

    assert not sandbox.requests


def test_none_is_fine(faulty: StartSandbox) -> None:
    faulty()

    assert tell_many(create_story_chain("a/b"), []) == []


def test_stories_show_themselves() -> None:
    stories = Stories([STORY, UnavailableError("a/b is <down>.\nmore"), None] + [STORY] * 30)
    stories.why_stopped = "Stopped."
    text = Page(stories._repr_html_()).text

    for said in ("The Fox", "✗ a/b is <down>.", "not told", "and 8 more", "31 of 33", "Stopped."):
        assert said in text
    assert "told" in stories._repr_markdown_()
    assert repr(stories) == "<Stories: 31 told, 1 failed, 1 not told>"
    assert stories.card().text().startswith("31 of 33 stories told")
