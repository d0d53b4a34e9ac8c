"""Results, errors and models show themselves."""

from __future__ import annotations

import copy
import pickle
import re
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import pytest

from langchain_tale import (
    AllModelsFailedError,
    Attempt,
    OpenRouterModel,
    Story,
    StorybookResult,
    StoryGenerationResult,
    StoryMetrics,
)
from langchain_tale.cards.strip import MOST_MARKS, Strip
from langchain_tale.cards.tracebacks import in_short
from langchain_tale.errors import (
    AuthenticationError,
    EmptyReplyError,
    RateLimitError,
    UnavailableError,
)
from langchain_tale.story.book.story import Character, Scene
from langchain_tale.story.checks import Finding, StoryReport
from langchain_tale.telemetry.records import CallMetrics, Durations, MetricsSnapshot
from tests.cards.test_markup import Page

if TYPE_CHECKING:
    from langchain_tale.cards.card import Readable

BUSY = RateLimitError("a/b is rate limited (429); wait, or ask another model.", status_code=429)
DOWN = UnavailableError("c/d is unavailable; try again or ask another model.")
ATTEMPTS = (
    Attempt(number=1, model="a/b", error=BUSY, latency_s=0.2, cost_usd=0.0),
    Attempt(number=2, model="c/d", error=DOWN, waited_s=1.5, latency_s=0.1),
    Attempt(number=3, model="e/f", answered_by="e/f", latency_s=4.2, cost_usd=0.00012),
)
STORY = StoryGenerationResult(
    "Once there was a fox.\n\nIt <b>shared</b>.",
    "e/f",
    {},
    {"provider_name": "Host", "finish_reason": "stop"},
    title="The Fox",
    cost_usd=0.00012,
    latency_s=6.0,
    attempts=ATTEMPTS,
)
FAILED = AllModelsFailedError(
    "No model answered in 2 tries: (1) …\nAsked: a/b, c/d.\nTry again in 20 s.",
    attempts=ATTEMPTS[:2],
    partial_text="Once",
)


def shown(html: str) -> str:
    return " ".join(Page(html).text.split())


def test_a_story_shows_its_text_and_what_is_known_of_it() -> None:
    html = STORY._repr_html_()

    for fact in ("The Fox", "Once there was a fox.", "e/f", "a/b", "Host", "$0.00012", "6.0 s"):
        assert fact in shown(html)
    assert "<b>" not in html
    assert "&lt;b&gt;" in html


def test_each_attempt_is_a_mark_that_says_more_on_hover_and_as_text() -> None:
    html = Strip(ATTEMPTS).html()
    hovers = re.findall(r'<li class="(good|bad)" title="([^"]*)"', html)

    assert [kind for kind, _ in hovers] == ["bad", "bad", "good"]
    assert "after a wait of 1.5 s" in hovers[1][1]
    assert "is rate limited (429)" in hovers[0][1]
    for sign in ("1 ✗ 429", "1.5 s →", "2 ✗ unavailable", "3 ✓"):
        assert sign in Page(html).text
    for _, hover in hovers:
        assert Page(f"<p>{hover}</p>").text in Page(html).text


def test_a_mark_never_says_that_all_was_well_where_it_was_not() -> None:
    silent = EmptyReplyError("a/b finished without saying anything.", status_code=200)
    html = Strip([Attempt(number=1, model="a/b", error=silent)]).html()

    assert "1 ✗ empty reply" in Page(html).text
    assert "200" not in Page(html).text


def test_a_long_strip_is_counted_and_not_drawn() -> None:
    html = Strip(ATTEMPTS[:1] * (MOST_MARKS + 7)).html()

    assert html.count('class="bad"') == MOST_MARKS
    assert "and 7 more" in Page(html).text


def test_a_story_that_was_cut_off_says_so() -> None:
    short = StoryGenerationResult("Once", "a/b", {}, {"finish_reason": "length"})

    assert "the story is not finished" in short._repr_html_()
    assert "the story is not finished" in short.card().text()


def test_elsewhere_a_story_is_text() -> None:
    text = STORY.card().text()

    assert text.startswith("The Fox\n\nOnce there was a fox.\n\nIt <b>shared</b>.\n\ntold by: e/f")
    assert STORY._repr_markdown_().startswith("### The Fox\n\nOnce there was a fox\\.")


def test_a_result_of_two_fields_shows_itself_too() -> None:
    assert shown(StoryGenerationResult("Once", "a/b", {})._repr_html_()).startswith("Story")
    assert "Once" in StoryGenerationResult("Once", "", {})._repr_html_()


@pytest.mark.parametrize("content", ["", " \n\n "])
def test_an_empty_story_says_so(content: str) -> None:
    empty = StoryGenerationResult(content, "a/b", {})

    assert "there is no story" in shown(empty._repr_html_())
    assert "there is no story" in empty.card().text()


def test_a_failure_shows_its_attempts_and_what_to_do() -> None:
    html = FAILED._repr_html_()

    for said in (
        "No model answered in 2 tries",
        "1 ✗ 429",
        "Asked: a/b, c/d.",
        "Try again in 20 s.",
    ):
        assert said in shown(html)
    assert "<details open" in html
    assert "Told until then" in shown(html)
    assert "1. ✗ a/b is rate limited \\(429\\)" in FAILED._repr_markdown_()


@pytest.mark.parametrize("error", [FAILED, DOWN, AuthenticationError("check OPENROUTER_API_KEY.")])
def test_an_error_with_a_card_is_still_an_error(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own)

    assert str(again) == str(copy.copy(error)) == str(error)


def test_a_model_shows_what_is_known_of_it() -> None:
    html = OpenRouterModel.CLAUDE_3_5_SONNET._repr_html_()

    assert "Ask ~anthropic/claude-sonnet-latest instead." in shown(html)
    assert "200,000 tokens" in shown(OpenRouterModel.CLAUDE_3_HAIKU.info._repr_html_())
    assert str(OpenRouterModel.GPT_4O) == "openai/gpt-4o"
    assert f"{OpenRouterModel.GPT_4O}" == "openai/gpt-4o"


def test_a_model_that_may_go_says_when() -> None:
    from langchain_tale.cards.models import model_card
    from langchain_tale.catalogue import ModelInfo

    info = ModelInfo(
        provider="A", use_cases=(), performance="", context_length=None, expires_on=date(2027, 1, 2)
    )

    assert "may remove it after 2027-01-02" in model_card("a/b", info).text()


@pytest.mark.parametrize("card", [STORY, FAILED, DOWN, OpenRouterModel.GPT_4O], ids=type)
def test_a_card_needs_nothing_from_outside_and_runs_nothing(card: StoryGenerationResult) -> None:
    html = card._repr_html_()
    page = Page(html)

    assert not re.search(r"https?:|url\(|@import|<script|<img|<link|<iframe|javascript:", html)
    assert not [name for name in page.names if name.startswith("on")]
    assert len(html) < 6000


# ── tracebacks ──────────────────────────────────────────────────────────────


def raised() -> AllModelsFailedError:
    try:
        raise FAILED
    except AllModelsFailedError as error:
        return error


def test_ipython_is_told_an_error_in_a_few_lines() -> None:
    lines = in_short(raised(), FAILED.attempts)

    assert lines[0].endswith("AllModelsFailedError\x1b[0m: No model answered in 2 tries.")
    assert lines[1].startswith("  (1) a/b is rate limited (429)")
    assert lines[-3:-1][-1].startswith("In test_cards.py, line ")
    assert lines[-1] == "(%tb shows the whole traceback.)"


def test_who_asks_again_gets_the_traceback() -> None:
    error = UnavailableError("a/b is unavailable.")

    assert hasattr(error, "_render_traceback_")
    assert hasattr(error, "_render_traceback_"), "to look is not to ask"
    assert "a/b is unavailable." in error._render_traceback_()[0]
    assert not hasattr(error, "_render_traceback_")


# ── in scenes, counted ──────────────────────────────────────────────────────


def book() -> Story:
    fox = Character(name="Rusty", look="a red fox")
    found = Scene(text="Rusty found <a> berry.", illustration="a clearing")
    scenes = (found, Scene(text="Shared."))
    return Story(
        title="Rusty", characters=(fox,), scenes=scenes, moral="Share.", questions=("Why?", "Who?")
    )


def test_a_story_in_scenes_shows_pictures_moral_and_questions() -> None:
    result = StorybookResult("x", "a/b", {}, title="Rusty", story=book(), cost_usd=0.01)

    for html in (book()._repr_html_(), result._repr_html_()):
        for said in (
            "Rusty found <a> berry.", "In the picture: a clearing", "What we learnt: Share.",
            "To talk about", "1. Why? 2. Who?",
        ):  # fmt: skip
            assert said in shown(html)
    assert "$0.01" in shown(result._repr_html_())


def test_metrics_show_themselves() -> None:
    calls = CallMetrics(
        calls=1200, answered=1199, failed=1, cached=3, retries=7, output_tokens=9,
        latency=Durations(count=1, p50_s=1.5, p95_s=4.0), cost_usd=0.5, failed_cost_usd=0.1,
        errors={"RateLimitError": 6, "UnavailableError": 1},
    )  # fmt: skip
    text = shown(MetricsSnapshot(overall=calls, models={"a/b": calls, "c/d": calls})._repr_html_())

    for said in ("1,200 calls, $0.50", "all models", "4.0 s", "6 times", "1 time", "$0.10"):
        assert said in text
    assert "calls" in StoryMetrics()._repr_html_()


@pytest.mark.parametrize("shown", [STORY, book()], ids=["result", "book"])
def test_ipython_in_a_terminal_shows_the_story(shown: Readable) -> None:
    from IPython.lib.pretty import pretty

    assert pretty(shown) == shown.card().text()  # type: ignore[no-untyped-call]  # IPython's


def test_a_story_in_a_log_has_no_words() -> None:
    in_scenes = StorybookResult("a fox", "a/b", {}, title="The Fox", story=book())

    for one in (STORY, in_scenes):
        assert "fox" not in f"{one} {one!r} {one.card()!r}".casefold()


# ── measured ────────────────────────────────────────────────────────────────


def test_a_report_shows_what_was_measured_and_what_was_wanted() -> None:
    words = Finding(name="words", value=37, at_least=120, at_most=300, sentence="Write <more>.")
    level = Finding(name="reading_level", value=3.571, at_most=4.5)
    report = StoryReport((level, Finding(name="lix", value=23.1), words))

    text = shown(report._repr_html_())
    for said in ("Not fit by all checks", "Write <more>.", "✗ words 37", "120 to 300", "✓ reading"):
        assert said in text
    assert text.index("words 37") < text.index("reading level") < text.index("lix")
    assert report._repr_html_().count('<tr class="bad">') == 1
    story = shown(replace(STORY, report=report)._repr_html_())
    assert "The checks say: Write <more>." in story
    assert "school grade 3.6, at most 4.5" in story


@pytest.mark.parametrize(
    ("level", "said"),
    [
        (Finding(name="reading_level", value=65.2, at_least=62), "ease 65, at least 62"),
        (Finding(name="reading_level", value=-1.2, at_most=3), "school grade 0.0, at most 3"),
        (Finding(name="reading_level", value=3.0), None),
        (Finding(name="reading_level", value=None, at_most=3), None),
    ],
)
def test_a_reading_level_has_words_where_it_has_a_bound(level: Finding, said: str | None) -> None:
    assert StoryReport((level,)).level == said
    assert StoryReport().level is None
