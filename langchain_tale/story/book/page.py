"""A story as a page: one HTML file that loads nothing, for a screen by day or night, and paper."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING, Final

from langchain_tale.errors import ConfigurationError
from langchain_tale.story.book.printing import headings_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from langchain_tale.story.book.story import Story

_PICTURE: Final = re.compile(r"data:image/(?:png|jpeg|webp|gif);base64,[A-Za-z0-9+/]+={0,2}")
"""No SVG: it may load things and run scripts."""
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
_STYLE: Final = """
:root {
  color-scheme: light dark;
  --page: #fbf6ec; --paper: #fffdf8; --ink: #2d2a26; --soft: #665c50;
  --line: #e6dac5; --accent: #a24620; --glow: #f6e3c5;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #16181d; --paper: #1f2229; --ink: #ece5d8; --soft: #a79c8b;
    --line: #363a44; --accent: #f0a878; --glow: #33302c;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; padding: 2.5rem 1rem 4rem; background: var(--page); color: var(--ink);
  font: 1.2rem/1.75 "Iowan Old Style", "Palatino Linotype", Palatino, Georgia, serif;
}
main { max-width: 40rem; margin: 0 auto; }
h1 {
  margin: 1rem 0 2.5rem; text-align: center; text-wrap: balance; overflow-wrap: anywhere;
  font-size: clamp(2rem, 7vw, 3.1rem); line-height: 1.15; color: var(--accent);
}
h1::after {
  content: ""; display: block; width: 5rem; height: 3px; margin: 1.5rem auto 0;
  border-radius: 3px; background: var(--line);
}
.scene { display: flow-root; }
.scene, aside {
  margin: 0 0 1.75rem; padding: 1.75rem 2rem; background: var(--paper);
  border: 1px solid var(--line); border-radius: 18px; overflow-wrap: anywhere;
}
.scene p { margin: 0 0 .9em; white-space: pre-line; }
.scene p:last-of-type { margin-bottom: 0; }
.scene:first-of-type p:first-of-type:dir(ltr)::first-letter {
  float: left; padding: .08em .12em 0 0; font-size: 3.1em; line-height: .8; color: var(--accent);
}
.scene img {
  display: block; width: 100%; margin-bottom: 1.5rem; border-radius: 12px;
}
.picture {
  clear: both; margin: 1.25rem 0 0; padding-top: 1rem; border-top: 1px dashed var(--line);
  color: var(--soft); font-size: .84em; line-height: 1.5; font-style: italic;
}
.picture b { font-style: normal; font-weight: 600; }
aside { background: var(--glow); }
h2 { margin: 0 0 .6rem; font-size: 1.1rem; color: var(--accent); }
aside p, aside ol, aside dl { margin: 0; }
aside + aside { margin-top: -.75rem; }
ol { padding-inline-start: 1.4em; }
li + li { margin-top: .35em; }
dt { font-weight: 600; }
dd { margin: 0 0 .6em; color: var(--soft); font-size: .9em; }
dd:last-child { margin-bottom: 0; }
@media print {
  :root {
    color-scheme: light; --page: #fff; --paper: #fff; --ink: #000; --soft: #555;
    --line: #ccc; --accent: #000; --glow: #fff;
  }
  @page { margin: 2cm; }
  body { padding: 0; font-size: 14pt; }
  main { max-width: none; }
  .scene { padding: 0; border: 0; border-radius: 0; }
  .scene, aside, h1 { break-inside: avoid; }
  .picture, .cast { display: none; }
  aside { border-radius: 6px; padding: 1rem 1.25rem; }
  aside + aside { margin-top: 0; }
}
"""
_PAGE: Final = """\
<!DOCTYPE html>
<html{language}>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" \
content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main dir="auto">
{body}
</main>
</body>
</html>
"""


def html_of(story: Story, pictures: Sequence[str | None] = ()) -> str:
    """The story as a page; `Story.to_html` documents it."""
    _check(pictures, len(story.scenes))
    is_code = _LANGUAGE.fullmatch(story.language)
    return _PAGE.format(
        language=f' lang="{story.language}"' if is_code else "",
        title=escape(story.title or "…"),
        style=_STYLE,
        body="\n".join(_blocks(story, pictures)),
    )


def _check(pictures: Sequence[str | None], n_scenes: int) -> None:
    if len(pictures) > n_scenes:
        msg = f"to_html has {len(pictures)} pictures for {n_scenes} scenes."
        raise ConfigurationError(msg)
    for number, picture in enumerate(pictures, 1):
        if picture is not None and not _PICTURE.fullmatch(picture):
            msg = (
                f"pictures: the one of scene {number} is no data URL of a PNG, JPEG, WebP or GIF; "
                "the page loads nothing."
            )
            raise ConfigurationError(msg)


def _blocks(story: Story, pictures: Sequence[str | None]) -> Iterator[str]:
    heads = headings_of(story)
    if story.title:
        yield f'<h1 dir="auto">{escape(story.title)}</h1>'
    for number, scene in enumerate(story.scenes):
        drawn = pictures[number] if number < len(pictures) else None
        yield _scene(scene.text, scene.illustration, drawn, heads.picture)
    if story.moral:
        yield _aside(heads.moral, [f'<p dir="auto">{escape(story.moral)}</p>'])
    if story.questions:
        items = (f"<li>{escape(question)}</li>" for question in story.questions)
        yield _aside(heads.questions, ['<ol dir="auto">', *items, "</ol>"])
    if story.characters:
        pairs = (
            f'<dt dir="auto">{escape(c.name)}</dt><dd dir="auto">{escape(c.look)}</dd>'
            for c in story.characters
        )
        yield _aside(heads.characters, ["<dl>", *pairs, "</dl>"], kind="cast")


def _scene(text: str, illustration: str, picture: str | None, heading: str) -> str:
    """A scene; a picture that is there need not be described, except to who cannot see it."""
    lines = ['<section class="scene">']
    if picture is not None:
        lines.append(f'<img src="{picture}" alt="{escape(illustration)}">')
    lines += (f'<p dir="auto">{escape(part)}</p>' for part in text.split("\n\n"))
    if illustration and picture is None:
        lines.append(f'<p class="picture" dir="auto"><b>{heading}:</b> {escape(illustration)}</p>')
    return "\n".join([*lines, "</section>"])


def _aside(heading: str, lines: Iterable[str], *, kind: str = "after") -> str:
    return "\n".join([f'<aside class="{kind}">', f"<h2>{heading}</h2>", *lines, "</aside>"])
