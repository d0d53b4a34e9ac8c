"""What is shown can be read, in light and in dark (WCAG 2.2: 1.4.3 text, 1.4.11 lines)."""

from __future__ import annotations

import re

import pytest

from langchain_tale.cards import theme
from langchain_tale.evaluation import theme as report
from langchain_tale.story.book import page

TEXT, LINES = 4.5, 3.0
FRONT_ENDS = {
    "plain light": ("#23201c", "#fffdf8"),
    "plain dark": ("#ece6da", "#1f1d1a"),
    "JupyterLab light": ("#212121", "#ffffff"),
    "JupyterLab dark": ("#ffffff", "#111111"),
    "VS Code light": ("#000000", "#ffffff"),
    "VS Code dark": ("#d4d4d4", "#1e1e1e"),
    "VS Code dark modern": ("#cccccc", "#1f1f1f"),
}
"""Ink and paper: what front ends give a card, and what it brings for all others."""
Colour = tuple[float, ...]


def of(code: str) -> Colour:
    """A colour of three or six figures."""
    figures = code.lstrip("#")
    pairs = re.findall("..", figures if len(figures) == 6 else "".join(c * 2 for c in figures))
    return tuple(int(pair, 16) / 255 for pair in pairs)


def mixed(one: Colour, share: float, other: Colour) -> Colour:
    """As `color-mix(in srgb, …)` does it."""
    return tuple(share * a + (1 - share) * b for a, b in zip(one, other, strict=True))


def luminance(colour: Colour) -> float:
    linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour)
    return sum(
        weight * channel for weight, channel in zip((0.2126, 0.7152, 0.0722), linear, strict=True)
    )


def contrast(one: Colour, other: Colour) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def variables(style: str) -> dict[str, Colour]:
    return {name: of(code) for name, code in re.findall(r"--(\w+):\s*(#\w+)", style)}


def in_light_and_dark(style: str) -> list[dict[str, Colour]]:
    light, dark = style.split("prefers-color-scheme", 1)
    return [variables(light), variables(dark.split("@media print")[0])]


@pytest.mark.parametrize("colour", [theme.GOOD, theme.BAD])
def test_white_can_be_read_on_the_marks(colour: str) -> None:
    assert contrast(of("#fff"), of(colour)) >= TEXT


def test_a_card_brings_its_own_colours() -> None:
    found = [(each["ink0"], each["paper0"]) for each in in_light_and_dark(theme.STYLE)]

    assert found == [tuple(map(of, FRONT_ENDS[name])) for name in ("plain light", "plain dark")]


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_a_card_can_be_read(name: str) -> None:
    ink, paper = map(of, FRONT_ENDS[name])
    shares = re.search(
        r"--soft:color-mix\(in srgb,var\(--ink\) (\d+)%,var\(--paper\)\)", theme.STYLE
    )
    tint = re.search(r"background:color-mix\(in srgb,var\(--paper\) (\d+)%,(#\w+)\)", theme.STYLE)
    note = re.search(rf"color-mix\(in srgb,{theme.BAD} (\d+)%,var\(--ink\)\)", theme.STYLE)
    assert shares
    assert tint
    assert note
    ground = mixed(paper, int(tint[1]) / 100, of(tint[2]))

    assert contrast(ink, ground) >= TEXT
    assert contrast(mixed(ink, int(shares[1]) / 100, paper), ground) >= TEXT
    assert contrast(mixed(of(theme.BAD), int(note[1]) / 100, ink), ground) >= LINES


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_a_storybook_can_be_read(scheme: int) -> None:
    colours = in_light_and_dark(page._STYLE)[scheme]

    for ground in ("page", "paper", "glow"):
        for written in ("ink", "soft", "accent"):
            assert contrast(colours[written], colours[ground]) >= TEXT, (written, ground)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_a_report_can_be_read(scheme: int) -> None:
    colours = in_light_and_dark(report.STYLE)[scheme]

    for written in ("ink", "soft", "blue", "red"):
        assert contrast(colours[written], colours["page"]) >= TEXT, written
    for drawn in ("green", "amber"):
        assert contrast(colours[drawn], colours["page"]) >= LINES, drawn
