from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from markdown_it import MarkdownIt
from pydantic import ValidationError

from langchain_tale.errors import ConfigurationError
from langchain_tale.story.book.schema import RESPONSE_FORMAT, STORY_SCHEMA
from langchain_tale.story.book.story import Character, Scene, Story
from tests.story.books import FOX, OWL, RUSTY, stories

PIXEL = "data:image/png;base64,iVBORw0KGgo="
NASTY = "<script>alert(1)</script> & \"x\" 'y' <img src=http://x onerror=y> ]]> &amp; {body} %s"


# ── values ──────────────────────────────────────────────────────────────────


def test_a_story_is_frozen_and_knows_no_other_fields() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        RUSTY.title = "x"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="extra"):
        Story(title="x", scenes=(), author="y")  # type: ignore[call-arg]


def test_it_survives_a_round_trip() -> None:
    assert Story.model_validate_json(RUSTY.model_dump_json()) == RUSTY


def test_no_word_of_it_is_in_its_repr() -> None:
    shown = f"{RUSTY!r} {RUSTY}"

    assert "'<4 words>'" in shown
    assert not {"Rusty", "Olive", "fox", "berries", "share"} & set(re.findall(r"\w+", shown))


def test_what_cannot_be_seen_is_taken_out_and_paragraphs_stay() -> None:
    scene = Scene(text=" one\x00\r\n\r\n \t\ntwo\u202e \n three ", illustration="a\n b")

    assert scene.text == "one\n\ntwo \n three"
    assert scene.illustration == "a b"


def test_every_picture_shows_a_character_in_the_same_words() -> None:
    prompts = RUSTY.illustration_prompts(style="soft watercolour")
    rusty, olive = (f"{one.name}: {one.look}." for one in (FOX, OWL))

    assert prompts == (
        f"a sunny clearing. {rusty} soft watercolour.",  # named by the text alone
        f"an owl on a branch. {olive} soft watercolour.",
        f"a table. {rusty} {olive} soft watercolour.",  # however the names are written
    )


def test_a_scene_without_a_picture_has_no_prompt() -> None:
    story = Story(title="x", scenes=(Scene(text="It ran."), Scene(text="x", illustration="Night!")))

    assert story.illustration_prompts() == ("", "Night!")


def test_the_schema_asks_for_the_fields_of_a_story_and_is_strict() -> None:
    def fields_of(schema: dict[str, Any]) -> set[str]:
        assert schema["additionalProperties"] is False
        assert schema["required"] == list(schema["properties"])
        return set(schema["properties"])

    asked = STORY_SCHEMA["properties"]
    assert fields_of(STORY_SCHEMA) == set(Story.model_fields) - {"language"}
    assert fields_of(asked["scenes"]["items"]) == set(Scene.model_fields)
    assert fields_of(asked["characters"]["items"]) == set(Character.model_fields)
    assert RESPONSE_FORMAT["json_schema"]["strict"] is True  # type: ignore[index]  # a dict of dicts


# ── text ────────────────────────────────────────────────────────────────────


def test_as_text_it_is_read_from_the_title_to_the_last_question() -> None:
    assert RUSTY.to_text() == (
        "Rusty and the Berries\n\n"
        "Rusty found berries.\n\n“Mine!” he said.\n\n"
        "Olive looked down.\n\n"
        "They shared them all.\n\n"
        "What we learnt: Sharing is sweet.\n\n"
        "To talk about:\n1. Why did Rusty share?\n2. And you?\n"
    )


def test_a_russian_story_has_russian_headings() -> None:
    russian = RUSTY.model_copy(update={"language": "ru"})

    for printed in (russian.to_text(), russian.to_markdown(), russian.to_html()):
        assert "Чему учит сказка" in printed
        assert "О чём поговорить" in printed
        assert "What we learnt" not in printed


# ── Markdown ────────────────────────────────────────────────────────────────


def blocks_of(markdown: str) -> list[str]:
    """The types of a document's blocks, by a parser that is not ours."""
    return [t.tag for t in MarkdownIt("commonmark").parse(markdown) if t.nesting >= 0 and t.tag]


def texts_of(markdown: str) -> list[str]:
    """What a reader sees of each block."""
    tokens = MarkdownIt("commonmark").parse(markdown)
    return [
        "".join("\n" if c.type == "softbreak" else c.content for c in t.children or ())
        for t in tokens
        if t.type == "inline"
    ]


def test_as_markdown_it_has_headings_pictures_and_lists() -> None:
    assert blocks_of(RUSTY.to_markdown()) == [
        *("h1", "p", "p", "blockquote", "p", "hr", "p", "blockquote", "p", "hr", "p"),
        *("blockquote", "p", "h2", "p", "h2", "ul", "li", "p", "li", "p"),
        *("h2", "ul", "li", "p", "li", "p"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "# Not a heading",
        "- not a list",
        "1. not a list",
        "1) not a list",
        "=====",
        "*not* __bold__ `code` ~~gone~~",
        "[link](http://example.com) ![image](x.png) <http://example.com>",
        "<b>not</b> &amp; not an entity",
        "    not code",
        "> no quotation",
        "| a | b |",
        "back\\slash \\* ends with \\",
        "www.example.com http://example.com",
        "a\n---",
    ],
)
def test_what_a_model_wrote_marks_nothing_up(text: str) -> None:
    scene = Scene(text=text)
    story = Story(title="x", scenes=(scene,))

    assert blocks_of(story.to_markdown()) == ["h1", "p"]
    assert texts_of(story.to_markdown())[1] == "\n".join(
        each.strip() for each in scene.text.split("\n")
    )


@settings(deadline=None, max_examples=150)
@given(stories)
def test_any_story_as_markdown_has_the_blocks_of_a_plain_one(story: Story) -> None:
    plain = Story(
        title="x" if story.title else "",
        characters=tuple(
            Character(name="x" if c.name else "", look="x" if c.look else "")
            for c in story.characters
        ),
        scenes=tuple(
            Scene(
                text="\n\n".join("x" for part in scene.text.split("\n\n") if part),
                illustration="x" if scene.illustration else "",
            )
            for scene in story.scenes
        ),
        moral="x" if story.moral else "",
        questions=tuple("x" if question else "" for question in story.questions),
        language=story.language,
    )

    assert blocks_of(story.to_markdown()) == blocks_of(plain.to_markdown())


# ── HTML ────────────────────────────────────────────────────────────────────


class Page(HTMLParser):
    """What a browser finds: elements, attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self._inside: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "style" not in self._inside:
            self.texts.append(data)


def test_a_page_has_the_whole_story_in_its_order() -> None:
    text = "".join(Page(RUSTY.to_html()).texts)
    places = [
        text.index(part)
        for part in (
            *("Rusty found berries.", "“Mine!” he said.", "a sunny clearing", "Olive looked down."),
            *("They shared them all.", "Sharing is sweet.", "Why did Rusty share?", FOX.look),
        )
    ]

    assert places == sorted(places)


def test_a_page_loads_nothing_and_is_light_dark_and_fit_to_print() -> None:
    html = RUSTY.to_html()
    page = Page(html)

    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html
    assert "default-src 'none'" in html
    assert not {"src", "href", "srcset", "action"} & {name for name, _ in page.attributes}
    assert not {"script", "link", "iframe", "object", "form"} & set(page.tags)
    assert "url(" not in html
    assert "@import" not in html
    assert "://" not in html


def test_nothing_that_a_model_wrote_becomes_an_element() -> None:
    nasty = Story(
        title=NASTY,
        characters=(Character(name=NASTY, look=NASTY),),
        scenes=(Scene(text=NASTY, illustration=NASTY),),
        moral=NASTY,
        questions=(NASTY,),
    )
    plain = nasty.model_validate_json(
        nasty.model_dump_json().replace(nasty.model_dump_json(include={"title"})[10:-2], "x")
    )
    page = Page(nasty.to_html([PIXEL]))

    assert page.tags == Page(plain.to_html([PIXEL])).tags
    assert sum(NASTY in text for text in page.texts) == 7  # also in the page's own title
    assert ("alt", NASTY) in page.attributes


@settings(deadline=None, max_examples=100)
@given(stories)
def test_any_story_is_a_page_with_its_text(story: Story) -> None:
    page = Page(story.to_html())
    text = "".join(page.texts)

    allowed = {
        *("html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "section"),
        *("p", "b", "aside", "ol", "li", "dl", "dt", "dd"),
    }
    assert set(page.tags) <= allowed
    for scene in story.scenes:
        assert all(part in text for part in scene.text.split("\n\n"))


def test_a_page_says_its_language_where_it_is_a_code() -> None:
    assert ("lang", "en") in Page(RUSTY.to_html()).attributes
    for odd in ("French", 'en" onload="x'):
        page = Page(RUSTY.model_copy(update={"language": odd}).to_html())
        assert "lang" not in dict(page.attributes)


def test_pictures_are_embedded_and_described_to_who_cannot_see_them() -> None:
    page = Page(RUSTY.to_html([PIXEL, None]))

    assert page.tags.count("img") == 1
    assert ("src", PIXEL) in page.attributes
    assert ("alt", "a sunny clearing") in page.attributes
    assert not any("a sunny clearing" in text for text in page.texts)


@pytest.mark.parametrize(
    "picture",
    [
        "https://example.com/fox.png",
        "data:image/svg+xml;base64,PHN2Zz4=",
        "data:text/html;base64,PHN2Zz4=",
        'data:image/png;base64,"><script>',
        "",
    ],
)
def test_a_picture_from_elsewhere_is_refused(picture: str) -> None:
    with pytest.raises(ConfigurationError, match="scene 2 is no data URL"):
        RUSTY.to_html([None, picture])


def test_more_pictures_than_scenes_are_a_slip() -> None:
    with pytest.raises(ConfigurationError, match="4 pictures for 3 scenes"):
        RUSTY.to_html([None] * 4)
