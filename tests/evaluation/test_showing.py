"""Comparisons as tables, frames, files, pages and pictures."""

from __future__ import annotations

import csv
import io
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from langchain_tale.errors import ConfigurationError, OutputError
from langchain_tale.evaluation.comparison import Comparison
from langchain_tale.evaluation.placing import Box, places_of
from langchain_tale.evaluation.row import Failure
from langchain_tale.evaluation.statistics import quartiles, share
from tests.evaluation.synthetic import made_up

if TYPE_CHECKING:
    from pathlib import Path

VOID = {"meta", "br"}
EVIL = '<script>alert("x")</script>'


class Wellformed(HTMLParser):
    """Complains about tags that do not match; collects tags and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(page: str) -> Wellformed:
    reader = Wellformed()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture
def evil() -> Comparison:
    """Whatever a model, a server or a caller may say is markup."""
    comparison = made_up(2, repeats=1)
    told, failed, *others = comparison.rows
    rows = (
        told.model_copy(update={"title": EVIL, "content": f"{EVIL}\n\n=1+1", "error": None}),
        failed.model_copy(
            update={
                "error": Failure(kind="InvalidRequestError", message=f"=HYPERLINK({EVIL})"),
                "content": None,
            }
        ),
        *others,
    )
    return Comparison(comparison.models, comparison.cases, 1, rows, stopped=EVIL)


# ── figures ─────────────────────────────────────────────────────────────────


def test_the_interval_of_a_share_is_the_published_one() -> None:
    """Newcombe, "Two-sided confidence intervals", Statistics in Medicine 17 (1998), method 3."""
    published = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (hits, trials), (low, high) in published.items():
        spread = share(hits, trials)
        assert spread is not None
        assert (round(spread.low, 4), round(spread.high, 4)) == (low, high)


def test_nothing_has_no_figures() -> None:
    assert share(0, 0) is None
    assert quartiles([]) is None
    assert quartiles([2.0]) == (2.0, 2.0, 2.0)


def test_quartiles_are_those_of_pandas() -> None:
    from pandas import Series

    amounts = [3.0, 1.0, 7.5, 2.0, 9.0, 4.0]

    assert quartiles(amounts) == tuple(Series(amounts).quantile([0.25, 0.5, 0.75]))


def test_a_summary_is_what_the_frame_says() -> None:
    comparison = made_up(5)
    frame = comparison.to_frame()
    for summary in comparison.summary():
        rows = frame[frame["model"] == summary.model]
        told = rows[rows["error"].isna()]
        assert summary.share_fit is not None
        assert summary.latency_s is not None
        assert summary.share_fit.middle == pytest.approx(rows["is_fit"].mean())
        assert summary.latency_s.middle == pytest.approx(told["latency_s"].median())
        assert summary.total_usd == pytest.approx(rows["cost_usd"].sum())
        assert summary.to_dict()["latency_s_high"] == summary.latency_s.high


def test_the_front_is_what_nothing_beats() -> None:
    comparison = made_up(12)
    points = {
        each.model: (-each.share_fit.middle, each.latency_s.middle, each.cost_usd.middle)
        for each in comparison.summary()
        if each.share_fit and each.latency_s and each.cost_usd
    }
    beaten = {
        one
        for one, a in points.items()
        for b in points.values()
        if a != b and all(y <= x for x, y in zip(a, b, strict=True))
    }

    assert set(comparison.front()) == points.keys() - beaten
    assert beaten


# ── frames and tables ───────────────────────────────────────────────────────


def test_the_frame_is_tidy() -> None:
    comparison = made_up(2)
    frame = comparison.to_frame()

    assert len(frame) == len(comparison.rows) == 40
    wanted = {"model", "request", "repeat", "is_fit", "score", "cost_usd", "latency_s", "words"}
    assert wanted | {"tokens", "error", "ok_words", "ok_ending"} <= set(frame.columns)
    assert not frame.duplicated(["model", "request", "repeat"]).any()
    told = frame[frame["error"].isna()]
    assert (told["is_fit"] == told.filter(like="ok_").all(axis=1)).all()


def test_a_table_is_text_markdown_and_html(evil: Comparison) -> None:
    table = evil.table()

    assert str(table).count("made-up/") == 2
    assert "(95 %)" in str(table)
    assert table.to_markdown().splitlines()[1].count("---") == len(table.headings)
    assert parsed(evil._repr_html_()).seen
    assert "content" not in repr(evil)


def test_dollars_are_no_tex() -> None:
    table = made_up(2).table()

    assert "$0." in str(table)
    assert "<span>$</span>0." in table._repr_html_()
    assert ">$0." not in table._repr_html_()
    assert "\\$0." in table._repr_markdown_()


def test_without_pandas_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)

    with pytest.raises(ConfigurationError, match=r"langchain-tale\[notebook\]"):
        made_up(2).to_frame()


# ── files ───────────────────────────────────────────────────────────────────


def test_csv_is_read_back(evil: Comparison, tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    evil.to_csv(path)

    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["model"] for row in rows] == [row.model for row in evil.rows]
    assert rows[1]["error_message"] == f"'=HYPERLINK({EVIL})"
    assert not [p for p in tmp_path.iterdir() if p != path]


def test_the_text_is_what_is_written() -> None:
    comparison = made_up(2)

    assert len(list(csv.reader(io.StringIO(comparison.to_csv())))) == 41


def test_the_page_is_escaped_and_loads_nothing(evil: Comparison) -> None:
    page = evil.to_html()

    read = parsed(page)
    assert EVIL not in page
    assert "&lt;script&gt;" in page
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in read.seen}
    assert not any({"src", "href"} & attributes.keys() for _, attributes in read.seen)
    assert "url(" not in page
    assert "prefers-color-scheme: dark" in page
    assert "default-src 'none'" in page


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="choose another file"):
        made_up(2).to_html(tmp_path / "nowhere" / "report.html")


# ── pictures ────────────────────────────────────────────────────────────────


def test_a_picture_saves_as_png_and_svg_and_leaves_no_figure_open(tmp_path: Path) -> None:
    from matplotlib import pyplot as plt

    figure = made_up(2, repeats=1).plot()

    figure.savefig(tmp_path / "models.png")
    figure.savefig(tmp_path / "models.svg")
    assert (tmp_path / "models.png").read_bytes().startswith(b"\x89PNG")
    assert ET.parse(tmp_path / "models.svg").getroot().tag.endswith("svg")  # noqa: S314 (our own)
    assert plt.get_fignums() == []


def test_every_model_is_named_once() -> None:
    comparison = made_up(4, repeats=1)
    first = comparison.plot().axes[0]

    named = {label.get_text().split("  ")[0] for label in first.get_yticklabels()}
    assert named == set(comparison.models)


def test_there_is_no_picture_of_nothing() -> None:
    comparison = made_up(2)
    empty = Comparison(comparison.models, comparison.cases, 1, ())

    with pytest.raises(ConfigurationError, match="nothing to plot"):
        empty.plot()
    assert "2 models" in str(empty.table())
    assert parsed(empty.to_html()).seen


@pytest.mark.parametrize("spot", [(100.0, 100.0), (3.0, 3.0), (197.0, 197.0)])
def test_numbers_cover_no_mark_and_no_number(spot: tuple[float, float]) -> None:
    x, y = spot
    marks = [(x + dx, y + dy) for dx, dy in ((0, 0), (1, 1), (0, 6), (7, 0))]
    field = Box(-20, -20, 220, 220)

    boxes: list[Any] = [Box(x - 4.5, y - 4.5, x + 4.5, y + 4.5) for x, y in marks]
    for (x, y), (dx, dy) in zip(marks, places_of(marks, field=field), strict=True):
        number = Box(x + dx - 6, y + dy - 4.5, x + dx + 6, y + dy + 4.5)
        assert field.holds(number)
        assert not any(number.overlaps(other) for other in boxes)
        boxes.append(number)
