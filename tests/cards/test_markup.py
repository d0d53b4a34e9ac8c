"""Whatever is written stays text, in HTML and in Markdown."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from langchain_tale.cards import markup
from langchain_tale.cards.blocks import Block, Facts, Note, Prose, Table
from langchain_tale.cards.card import Card

HOSTILE = (
    "<script>alert(1)</script>", "</style><img src=x onerror=alert(1)>", '"><svg onload=x>',
    "' onmouseover='x", "<!-- ", "&lt;b&gt;", "]]>", "# head", "| a | b |", "[x](javascript:x)",
    "![x](http://x)", "$5 and $6", r"\(x\)", "```", "- one", "1. one", "> quoted", "    code",
    "a\nb", "~~x~~", "*x*", "_x_",
    "http://x.example", "<http://x.example>", "\x00\x1b[31m", "\ud800",
)  # fmt: skip
anything = st.one_of(
    st.text(max_size=60), st.sampled_from(HOSTILE), st.lists(st.sampled_from(HOSTILE)).map(" ".join)
)


class Page(HTMLParser):
    """The elements of a page, their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.names: set[str] = set()
        self.texts: list[str] = []
        self.attributes: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in {"span", "style"}:
            self.texts.append("\n")
        self.names |= {name for name, _ in attrs}
        self.attributes += [value or "" for _, value in attrs]

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] != ["style"]:
            self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.tags.append("!--")

    def handle_decl(self, decl: str) -> None:
        self.tags.append("!")

    def unknown_decl(self, data: str) -> None:
        self.tags.append("!")

    @property
    def text(self) -> str:
        return "".join(self.texts)


def seen(value: str) -> str:
    return markup._seen(value)


@given(anything)
def test_text_stays_text_in_html(value: str) -> None:
    page = Page(markup.text(value))

    assert set(page.tags) <= {"span"}
    assert page.names == set()
    assert page.text == seen(value)


@given(anything)
def test_text_stays_text_in_an_attribute(value: str) -> None:
    page = Page(markup.tag("p", title=value))

    assert page.tags == ["p"]
    assert page.names == {"title"}
    assert page.attributes == [seen(value)]


@given(anything)
def test_text_stays_text_in_markdown(value: str) -> None:
    rendered = (
        MarkdownIt("commonmark", {"html": True}).enable("table").render(markup.markdown(value))
    )
    page = Page(rendered)

    assert set(page.tags) <= {"p"}
    assert page.text.split() == seen(value).split()


@given(anything, anything, anything)
def test_a_card_has_no_element_but_its_own(title: str, said: str, name: str) -> None:
    table = Table([name, "b"], [[said, None]])
    blocks: list[Block] = [Prose(said, heading=title), Facts([(name, said)]), Note(said), table]
    card = Card(kind=name, title=title, blocks=blocks)

    page = Page(card.html())

    own = {"style", "section", "p", "h3", "h4", "div", "dl", "dt", "dd", "span"}
    assert set(page.tags) <= own | {"table", "thead", "tbody", "tr", "th", "td"}
    assert page.names <= {"class", "dir", "scope", "style"}
    assert page.tags.count("style") == 1


@pytest.mark.parametrize("said", ["$5 and $6", r"\(5\) and \[6\]"])
def test_no_notebook_takes_a_story_for_mathematics(said: str) -> None:
    html = Card(kind="Story", blocks=[Prose(said)]).html()

    assert "tex2jax_ignore mathjax_ignore" in html
    assert said not in html
    assert said in Page(html).text


def test_paragraphs_and_lines_are_kept() -> None:
    prose = Prose("One\r\ntwo\r\n\r\nthree\n \n\nfour")

    assert prose.html().count("<p ") == 3
    assert prose.markdown() == "One  \ntwo\n\nthree\n\nfour"
