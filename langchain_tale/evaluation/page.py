"""A comparison as one HTML page that loads nothing, in light and dark; pure.

Bars stand for intervals and dots for figures; the same is beside them in words. All text that
came from a model or a server is escaped.
"""

from __future__ import annotations

from html import escape
from math import log
from typing import TYPE_CHECKING, Final

from langchain_tale.evaluation import wording
from langchain_tale.evaluation.records import checks_of
from langchain_tale.evaluation.statistics import is_wide
from langchain_tale.evaluation.table import best_first, counts_of
from langchain_tale.evaluation.theme import STYLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from langchain_tale.evaluation.comparison import Comparison
    from langchain_tale.evaluation.row import Row
    from langchain_tale.evaluation.statistics import Spread

_PAGE: Final = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="referrer" content="no-referrer">
<title>Models for stories</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""
_LEGEND: Final = (
    "Fit: stories that pass all checks, of all that were asked for, with Wilson's 95 % interval; "
    "a failure is no fit story. Score: share of the checks' bounds that are kept, by weight. "
    "Score, seconds and cost: the median of stories told, with quartiles. A filled dot: no other "
    "model is as fit, as quick and as cheap. Amounts that differ more than twentyfold are on a "
    "logarithmic line."
)


def page_of(comparison: Comparison) -> str:
    """The page; `Comparison.to_html` documents it."""
    return _PAGE.format(style=STYLE, body="\n".join(_blocks(comparison)))


def _blocks(comparison: Comparison) -> Iterator[str]:
    yield "<h1>Models for stories</h1>"
    yield f"<p>{escape(counts_of(comparison))} {escape(_when(comparison.rows))}</p>"
    if comparison.stopped is not None:
        yield f'<p class="warning">Not complete. {escape(comparison.stopped)}</p>'
    yield from _models(comparison)
    yield f'<p class="soft">{escape(_LEGEND)}</p>'
    yield from _checks(comparison)
    yield from _stories(comparison)


def _when(rows: Sequence[Row]) -> str:
    days = sorted({row.ended_at[:10] for row in rows if row.ended_at})
    return f"Told on {' to '.join(dict.fromkeys([days[0], days[-1]]))}." if days else ""


# ── models ──────────────────────────────────────────────────────────────────


def _models(comparison: Comparison) -> Iterator[str]:
    summaries = best_first(comparison.summary())
    front = frozenset(comparison.front())
    pace = _line([each.latency_s for each in summaries])
    price = _line([each.cost_usd for each in summaries])
    yield '<div class="wide"><table><thead><tr>'
    for heading in ("model", "fit", "score", "seconds", "cost of a story", "in all", "failed"):
        yield f'<th scope="col">{heading}</th>'
    yield "</tr></thead><tbody>"
    for each in summaries:
        dot = "dot" if each.model in front else "dot hollow"
        yield (
            f'<tr><th scope="row">{escape(each.model)}</th>'
            f"{_bar(each.share_fit, _share, wording.fit_words(each), f'blue {dot}')}"
            f"{_bar(each.score, _share, wording.score_words(each.score), f'green {dot}')}"
            f"{_bar(each.latency_s, pace, wording.seconds_words(each.latency_s), f'red {dot}')}"
            f"{_bar(each.cost_usd, price, wording.cost_words(each.cost_usd), f'amber {dot}')}"
            f"<td>{wording.usd(each.total_usd)}</td>"
            f"<td>{escape(wording.counted_words(each.errors)) or '0'}</td></tr>"
        )
    yield "</tbody></table></div>"


def _share(part: float) -> float:
    return 100 * part


def _line(spreads: Sequence[Spread | None]) -> Callable[[float], float]:
    """Where an amount is on a line from nothing to the most, in percent.

    Where amounts differ much, the line is logarithmic and begins with the least.
    """
    ends = [end for spread in spreads for end in (spread or ())]
    most = max(ends, default=0.0) or 1.0
    if not is_wide(spreads):
        return lambda amount: 100 * amount / most
    least = min(ends)
    return lambda amount: 100 * log(amount / least) / log(most / least)


def _bar(spread: Spread | None, on: Callable[[float], float], words: str, kind: str) -> str:
    """An interval on a line, and its words."""
    if spread is None:
        return f'<td class="soft">{escape(words)}</td>'
    low, middle, high = map(on, spread)
    return (
        f'<td><span class="track {kind.split(maxsplit=1)[0]}" aria-hidden="true">'
        f'<i style="left:{low:.1f}%;width:{high - low:.1f}%"></i>'
        f'<b class="{kind.split(maxsplit=1)[1]}" style="left:{middle:.1f}%"></b></span>'
        f"{escape(words)}</td>"
    )


# ── checks ──────────────────────────────────────────────────────────────────


def _checks(comparison: Comparison) -> Iterator[str]:
    names = checks_of(comparison.rows)
    if not names:
        return
    models = [each.model for each in best_first(comparison.summary())]
    yield '<h2>Checks</h2><p class="soft">Stories that pass, of those held to it.</p>'
    yield '<div class="wide"><table class="checks"><thead><tr><th scope="col">check</th>'
    yield "".join(f'<th scope="col">{escape(model)}</th>' for model in models)
    yield "</tr></thead><tbody>"
    for name in names:
        cells = "".join(_passed(comparison.rows, model, name) for model in models)
        yield f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>'
    yield "</tbody></table></div>"


def _passed(rows: Sequence[Row], model: str, name: str) -> str:
    held = [
        each["ok"]
        for row in rows
        if row.model == model
        for each in row.findings
        if each["name"] == name and each["is_bounded"]
    ]
    if not held:
        return f'<td class="soft">{wording.UNKNOWN}</td>'
    weak = "" if all(held) else ' class="weak"'
    return f"<td{weak}>{sum(held)} of {len(held)}</td>"


# ── stories ─────────────────────────────────────────────────────────────────


def _stories(comparison: Comparison) -> Iterator[str]:
    themes = {case.digest: case.request for case in comparison.cases}
    yield "<h2>Stories</h2>"
    for case in comparison.cases:
        request = themes[case.digest]
        age = "" if request.age is None else f", {request.age} years"
        yield f"<h3>{escape(case.name)}: {escape(request.theme)}{age}</h3>"
        for row in comparison.rows:
            if row.digest == case.digest:
                yield from _story(row, is_one_of_many=comparison.repeats > 1)


def _story(row: Row, *, is_one_of_many: bool) -> Iterator[str]:
    if row.error is not None:
        verdict = f"failed: {row.error.kind}"
    else:
        verdict = "fit" if row.is_fit else f"not fit: {', '.join(row.failed_checks)}"
    number = f" · no. {row.repeat}" if is_one_of_many else ""
    yield (
        f'<details><summary>{escape(row.model)}{number} · <span class="{_tone(row)}">'
        f"{escape(verdict)}</span></summary>"
    )
    if row.error is not None:
        yield f"<p>{escape(row.error.message)}</p>"
    if row.sentences:
        yield f'<ul class="soft">{_each("li", row.sentences)}</ul>'
    if row.title:
        yield f'<h4 dir="auto">{escape(row.title)}</h4>'
    if row.content:
        yield _each('p class="story" dir="auto"', row.content.split("\n\n"))
    yield "</details>"


def _tone(row: Row) -> str:
    return "good" if row.is_fit else "weak"


def _each(tag: str, texts: Sequence[str]) -> str:
    return "".join(f"<{tag}>{escape(text)}</{tag.split(maxsplit=1)[0]}>" for text in texts)
