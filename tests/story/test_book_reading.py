from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_tale.story.book.growing import GrowingStory
from langchain_tale.story.book.prose import story_from_prose
from langchain_tale.story.book.reading import ends_whole, read_story
from langchain_tale.story.book.story import Character, Scene, Story
from tests.story.books import RUSTY, as_json, stories

WRITTEN = as_json(RUSTY)
PLAIN = (
    "# The Fox\n\nOnce there was a fox. It had a basket of red berries, and it sat on them.\n\n"
    "An owl came by. “Are these yours?” it asked. The fox said nothing, and looked away.\n\n"
    "In the evening they ate all of them together. And that was the best evening of the year."
)


# ── JSON as it comes ────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "answer",
    [
        WRITTEN,
        as_json(RUSTY, indent=2),
        as_json(RUSTY, ensure_ascii=True),
        f"```json\n{WRITTEN}\n```",
        f"```\n{WRITTEN}\n```\nI hope Mia likes it! {{smile}}",
        f"Here is your story:\n\n{WRITTEN}",
        f"<think>A fox {{or an owl}}?</think>\n{WRITTEN}",
        json.dumps({"story": json.loads(WRITTEN)}),
        WRITTEN.replace("\\n\\n", "\n\n"),  # raw control characters
        WRITTEN.replace("\\n\\n", "\\\\n\\\\n"),  # line breaks escaped twice
    ],
    ids=[
        *("plain", "indented", "ascii", "fence", "words after", "words before", "thoughts"),
        *("envelope", "raw breaks", "double escapes"),
    ],
)
def test_whole_json_is_read_whatever_stands_around_it(answer: str) -> None:
    reading = read_story(answer)

    assert reading.story == RUSTY
    assert reading.form == "json"


@pytest.mark.parametrize(
    "answer",
    [
        WRITTEN[:-1],
        WRITTEN[:-2],
        WRITTEN.replace('"}, {"', '"} {"'),
        WRITTEN.replace("]}", ",]}"),
        WRITTEN.replace('"', "'"),
        WRITTEN.replace('"title"', "title").replace('"scenes"', "scenes"),
    ],
    ids=["no brace", "no bracket", "no comma", "a comma too many", "single quotes", "bare names"],
)
def test_broken_json_is_mended(answer: str) -> None:
    assert read_story(answer).story == RUSTY


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('He said "yes" and smiled.', 'He said "yes" and smiled.'),
        ('Он сказал: "Привет!" и ушёл.', 'Он сказал: "Привет!" и ушёл.'),
        ("It was\n\nnight.\there", "It was\n\nnight. here"),
    ],
    ids=["quotes", "russian quotes", "control characters"],
)
def test_unescaped_quotes_and_control_characters_lose_no_word(text: str, wanted: str) -> None:
    answer = WRITTEN.replace("They shared them all.", text)

    assert read_story(answer).story.scenes[2].text == wanted


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("Once upon a time.", "no JSON object"),
        ("[1, 2]", "no JSON object"),
        ("{}", "no scenes"),
        ('{"title": "A", "scenes": []}', "no scenes"),
        ('{"title": "A", "scenes": "x"}', "no scenes"),
        ('{"title": "", "scenes": [{"text": "x."}]}', "no title"),
        ('{"scenes": [{"text": "x."}]}', "no title"),
        ('{"title": "A", "scenes": [{"text": " "}]}', "no text"),
        ('{"title": "A", "scenes": [7]}', "no text"),
        ('{"title": "A", "scenes": [{"text": "One."}, {"text": "two is cu', "breaks off"),
        ('{"title": "A", "scenes": [{"text": "ok. "No," said she, "never." And"}]', "loses words"),
        ('{"title": "A", "scenes": [{"text": "It ran." and fell.}]}', "loses words"),
    ],
)
def test_what_is_no_whole_story_says_why(answer: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_story(answer)


def test_fields_go_by_many_names() -> None:
    answer = {
        "Название": "Лиса",
        "Characters": {"Рыжик": "рыжий лис"},
        "pages": [
            "Жила-была лиса.",
            {"Scene Text": "И ещё одна.", "image_prompt": "лес", "scene_number": 2},
            {"content": ["Раз.", "Два."], "characters": "Рыжик, Ёж"},
        ],
        "lesson": "Делись.",
        "discussion-questions": "1. Почему?\n2. Зачем?",
    }

    assert read_story(json.dumps(answer), language="ru").story == Story(
        title="Лиса",
        characters=(Character(name="Рыжик", look="рыжий лис"),),
        scenes=(
            Scene(text="Жила-была лиса."),
            Scene(text="И ещё одна.", illustration="лес"),
            Scene(text="Раз.\n\nДва.", characters=("Рыжик", "Ёж")),
        ),
        moral="Делись.",
        questions=("Почему?", "Зачем?"),
        language="ru",
    )


def test_what_is_of_the_wrong_kind_counts_as_not_said() -> None:
    answer = {"title": "A", "scenes": ["x."], "moral": 7, "questions": {"a": 1}, "characters": 3}

    assert read_story(json.dumps(answer)).story == Story(title="A", scenes=(Scene(text="x."),))


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet='{}[]",:\\ntfa1 \n', max_size=60) | st.text(max_size=60))
def test_any_answer_is_a_story_or_is_refused(answer: str) -> None:
    for attempt in (answer, f'{{"title": "A", "scenes": [{{"text": "{answer}'):
        try:
            found: Any = read_story(attempt).story.scenes
        except ValueError as error:
            found = str(error).startswith(("it ", "its ", "one of"))
        assert found


@settings(deadline=None, max_examples=60)
@given(st.integers(0, len(WRITTEN) - 1))
def test_half_a_story_never_passes_for_a_whole_one(cut: int) -> None:
    """Cut anywhere: refused, or with every scene and its last sentence."""
    try:
        story = read_story(WRITTEN[:cut]).story
    except ValueError:
        return
    assert all(a.text == b.text for a, b in zip(story.scenes, RUSTY.scenes, strict=False))


# ── plain text ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize("n_scenes", range(1, 12))
def test_plain_text_is_cut_into_scenes_that_lose_nothing(n_scenes: int) -> None:
    reading = story_from_prose(PLAIN, n_scenes=n_scenes)
    told = " ".join(reading.story.text.split())

    assert reading.form == "prose"
    assert reading.story.title == "The Fox"
    assert told == " ".join(PLAIN.removeprefix("# The Fox").split())
    assert len(reading.story.scenes) == min(n_scenes, 8)  # it has eight sentences


def test_scenes_of_plain_text_are_about_as_long() -> None:
    lengths = [len(s.text.split()) for s in story_from_prose(PLAIN, n_scenes=3).story.scenes]

    assert max(lengths) <= 2 * min(lengths)


def test_a_russian_story_and_one_without_a_title_are_cut_too() -> None:
    text = "Жила-была лиса в лесу. " * 9

    reading = story_from_prose(text, n_scenes=3, language="ru")

    assert (reading.story.title, len(reading.story.scenes)) == ("", 3)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("I cannot do that.", "no whole story"),
        (f"{PLAIN} And then the", "no whole story"),
        ("", "no whole story"),
        (WRITTEN[:-30], "broken JSON"),
        (f"```json\n{PLAIN}", "broken JSON"),
    ],
)
def test_what_is_no_story_in_plain_text_says_why(answer: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        story_from_prose(answer, n_scenes=3)


@pytest.mark.parametrize("text", ["It ran.", "Run!", "“Run!”", "Ran…", "走了。", "It ran.*", "x?)"])
def test_a_sentence_ends_in_many_ways(text: str) -> None:
    assert ends_whole(text)
    assert not ends_whole(f"{text} and")


# ── growing ─────────────────────────────────────────────────────────────────


def grown(text: str, cuts: list[int]) -> list[Story]:
    growing = GrowingStory()
    places = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in pairwise(places)]
    return [story for piece in pieces for story in growing.take(piece)]


@settings(deadline=None, max_examples=150)
@given(stories, st.lists(st.integers(0, 10_000), max_size=20), st.sampled_from([None, 2]))
def test_however_an_answer_is_cut_each_scene_but_the_last_is_shown_once_and_as_it_is(
    story: Story, cuts: list[int], indent: Any
) -> None:
    story = story.model_copy(
        update={"scenes": tuple(s for s in story.scenes if s.text), "language": "en"}
    )
    shown = grown(as_json(story, indent=indent), cuts)

    assert [len(each.scenes) for each in shown] == list(range(1, len(story.scenes)))
    assert all(each.scenes == story.scenes[: len(each.scenes)] for each in shown)
    assert all(each.title == story.title for each in shown)


@pytest.mark.parametrize("before", ["", "```json\n", "Here: ", "<think>so {x}</think>"])
def test_scenes_grow_whatever_stands_before_them(before: str) -> None:
    shown = grown(before + WRITTEN, list(range(len(before + WRITTEN))))

    assert [len(story.scenes) for story in shown] == [1, 2]
    assert shown[0].characters == RUSTY.characters


@pytest.mark.parametrize(
    "answer",
    [
        PLAIN,
        "<think>" + WRITTEN,
        '{"title": "A", "scenes": [{"text": "ok. "No," said she."}, {"text": "x."}, "y."]}',
        '{"title": "A", "scenes": [{"text": ""}, {"text": "x."}, {"text": "y."}]}',
        '{"title": "A", "scenes": {"1": "x."}, "moral": "y"}',
        '{title: "A", "scenes": ["x.", "y.", "z."]}',
    ],
    ids=["prose", "thoughts", "quotes", "empty scene", "object", "bare name"],
)
def test_what_cannot_be_read_is_left_to_the_end(answer: str) -> None:
    assert grown(answer, list(range(len(answer)))) == []
