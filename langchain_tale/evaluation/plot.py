"""The picture of a comparison: quality, latency and cost side by side, and against each other.

Above, a dot plot: each model has one line through four panels, so that its name stands once and
nothing overlaps, however many there are (W. S. Cleveland, "The Elements of Graphing Data", 1985).
Below, quality against cost and against latency, each model by its number.

Colours are Okabe and Ito's ("Color Universal Design", 2008), told apart under every common colour
blindness; and filled or hollow says the same without any colour.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from langchain_tale.errors import ConfigurationError
from langchain_tale.evaluation.placing import Box, places_of
from langchain_tale.evaluation.statistics import is_wide
from langchain_tale.evaluation.table import best_first, counts_of
from langchain_tale.evaluation.wording import usd

try:
    from matplotlib import pyplot as plt
    from matplotlib.patheffects import withStroke
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator
except ImportError:
    _msg = "plot needs an extra: pip install 'langchain-tale[notebook]'."
    raise ConfigurationError(_msg) from None

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from langchain_tale.evaluation.comparison import Comparison
    from langchain_tale.evaluation.statistics import Spread
    from langchain_tale.evaluation.summary import ModelSummary

INK: Final = "#23201C"
SOFT: Final = "#6B655C"
GRID: Final = "#E3DED3"
BLUE: Final = "#0072B2"
VERMILION: Final = "#D55E00"
GREEN: Final = "#009E73"
ORANGE: Final = "#E69F00"
LINE_IN: Final = 0.27
"""Inches for each model."""


@dataclass(frozen=True, slots=True)
class _Panel:
    """One quantity."""

    title: str
    colour: str
    read: Callable[[ModelSummary], Spread | None]
    is_share: bool = False
    is_usd: bool = False


class _Mark(NamedTuple):
    """A model among the axes."""

    number: str
    x: float
    y: float


_FIT: Final = _Panel(
    "fit stories (95 % interval)", BLUE, lambda each: each.share_fit, is_share=True
)
_SCORE: Final = _Panel("score (quartiles)", GREEN, lambda each: each.score, is_share=True)
_LATENCY: Final = _Panel("seconds (quartiles)", VERMILION, lambda each: each.latency_s)
_COST: Final = _Panel("USD a story (quartiles)", ORANGE, lambda each: each.cost_usd, is_usd=True)
_PANELS: Final = (_FIT, _SCORE, _LATENCY, _COST)


def figure_of(comparison: Comparison) -> Figure:
    """The figure; `Comparison.plot` documents it."""
    summaries = [each for each in best_first(comparison.summary()) if each.asked]
    if not summaries:
        msg = "There is nothing to plot: no story has been asked for."
        raise ConfigurationError(msg)
    front = frozenset(comparison.front())
    dots_in = LINE_IN * len(summaries) + 0.75
    below_in = 3.4
    figure = plt.figure(
        figsize=(11, dots_in + below_in + 0.9), layout="constrained", facecolor="white"
    )
    plt.close(figure)  # a notebook would else show it twice
    parts: Any = figure.subfigures(2, 1, height_ratios=[dots_in, below_in], hspace=0.03)
    dots, below = parts
    _draw_dots(dots, summaries, front)
    columns = tuple(zip(below.subplots(1, 2, sharey=True), (_COST, _LATENCY), strict=True))
    marks = [_draw_against(axes, panel, summaries, front) for axes, panel in columns]
    figure.suptitle(
        f"{counts_of(comparison)} Filled: no other is as fit, as quick and as cheap.",
        x=0.01, ha="left", fontsize=10, color=SOFT,
    )  # fmt: skip
    figure.draw_without_rendering()  # only now it is known where everything is
    figure.set_layout_engine("none")  # and there it stays
    for (axes, _), numbered in zip(columns, marks, strict=True):
        _number(axes, numbered)
    return figure


# ── a line for each model ───────────────────────────────────────────────────


def _draw_dots(figure: Any, summaries: Sequence[ModelSummary], front: frozenset[str]) -> None:
    columns = figure.subplots(1, len(_PANELS), sharey=True)
    for axes, panel in zip(columns, _PANELS, strict=True):
        _style(axes)
        _scale(axes, "x", panel, summaries)
        axes.set_title(panel.title, fontsize=10, color=INK, loc="left")
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        for line, summary in enumerate(summaries):
            _draw_dot(axes, panel, summary, line, is_filled=summary.model in front)
    first = columns[0]
    first.set_ylim(len(summaries) - 0.4, -0.6)
    named = [f"{each.model}  {number}" for number, each in enumerate(summaries, 1)]
    first.set_yticks(range(len(summaries)), named, fontsize=9, color=INK)


def _draw_dot(
    axes: Axes, panel: _Panel, summary: ModelSummary, line: int, *, is_filled: bool
) -> None:
    spread = panel.read(summary)
    if spread is None:
        axes.text(
            0.02, line, "unknown" if summary.told else "no story", va="center", fontsize=8,
            color=SOFT, transform=axes.get_yaxis_transform(),
        )  # fmt: skip
        return
    axes.plot(
        [spread.low, spread.high], [line, line], color=panel.colour, linewidth=2.4, alpha=0.55,
        solid_capstyle="butt", zorder=2,
    )  # fmt: skip
    axes.plot(
        spread.middle, line, "o", markersize=7.5, markeredgewidth=1.8, zorder=3, clip_on=False,
        markeredgecolor=panel.colour, markerfacecolor=panel.colour if is_filled else "white",
    )  # fmt: skip


# ── quality against the others ──────────────────────────────────────────────


def _draw_against(
    axes: Axes, panel: _Panel, summaries: Sequence[ModelSummary], front: frozenset[str]
) -> list[_Mark]:
    """Draw a mark for each model, and return the marks."""
    _style(axes)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    _scale(axes, "x", panel, summaries)
    _scale(axes, "y", _FIT, summaries)
    axes.set_xlabel(panel.title, fontsize=10, color=INK)
    axes.set_title(f"fit stories against {panel.title.split(' (')[0]}", fontsize=10, loc="left")
    marks = []
    for number, summary in enumerate(summaries, 1):
        across, up = panel.read(summary), summary.share_fit
        if across is None or up is None:
            continue
        axes.plot([across.low, across.high], [up.middle] * 2, color=panel.colour, alpha=0.4)
        axes.plot([across.middle] * 2, [up.low, up.high], color=BLUE, alpha=0.3)
        is_filled = summary.model in front
        axes.plot(
            across.middle, up.middle, "o", markersize=7.5, markeredgewidth=1.8, clip_on=False,
            markeredgecolor=panel.colour, markerfacecolor=panel.colour if is_filled else "white",
            zorder=3,
        )  # fmt: skip
        marks.append(_Mark(str(number), across.middle, up.middle))
    return marks


def _number(axes: Axes, marks: Sequence[_Mark]) -> None:
    """A number beside each mark, where it covers neither a mark nor a number."""
    figure = axes.get_figure(root=True)
    if figure is None:
        return
    to_points = 72 / figure.dpi
    at = [axes.transData.transform((x, y)) * to_points for _, x, y in marks]
    box = axes.get_window_extent()
    field = Box(*(end * to_points for end in (box.x0, box.y0, box.x1, box.y1)))
    places = places_of([(float(x), float(y)) for x, y in at], field=field)
    for (text, x, y), (dx, dy) in zip(marks, places, strict=True):
        is_far = hypot(dx, dy) > 20  # noqa: PLR2004 (points: further than beside it)
        axes.annotate(
            text, (x, y), xytext=(dx, dy), textcoords="offset points", ha="center", va="center",
            fontsize=9, color=INK, zorder=4,
            arrowprops={"arrowstyle": "-", "color": SOFT, "linewidth": 0.6} if is_far else None,
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )  # fmt: skip


# ── axes ────────────────────────────────────────────────────────────────────


def _style(axes: Axes) -> None:
    axes.set_facecolor("white")
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(SOFT)
    axes.tick_params(axis="both", length=0, colors=SOFT, labelsize=8.5)


def _scale(axes: Axes, which: str, panel: _Panel, summaries: Sequence[ModelSummary]) -> None:
    """From nothing to a little more than the most; logarithmic where amounts differ much."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    limit = axes.set_xlim if which == "x" else axes.set_ylim
    if panel.is_share:
        limit(-0.02, 1.02)
        axis.set_major_locator(FixedLocator((0, 0.25, 0.5, 0.75, 1)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
        return
    ends = [end for each in summaries for end in (panel.read(each) or ())]
    low, high = min(ends, default=0.0), max(ends, default=0.0)
    if is_wide([panel.read(each) for each in summaries]):
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
        limit(low / 1.4, high * 1.4)
        axis.set_major_locator(LogLocator(numticks=4))
        axis.set_minor_locator(NullLocator())
    else:
        most = high or 1.0
        limit(-0.03 * most, 1.08 * most)
        axis.set_major_locator(MaxNLocator(3 if panel.is_usd else 4))
    axis.set_major_formatter(FuncFormatter(_amount(panel)))


def _amount(panel: _Panel) -> Callable[[float, Any], str]:
    """How the ticks of an axis read; matplotlib asks for some beyond its ends too."""
    if panel.is_usd:
        return lambda value, _: "" if value < 0 else _short(usd(value))
    return lambda value, _: f"{value:g}"


def _short(amount: str) -> str:
    return amount.rstrip("0").rstrip(".") if "." in amount else amount
