"""Calls of one attempt are counted once; the books are the same as if all were counted twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from langchain_tale.telemetry.calls import Call
from langchain_tale.telemetry.readings import Tried
from langchain_tale.telemetry.tally import MOST_NAMES, OTHERS, Book

if TYPE_CHECKING:
    from langchain_tale.telemetry.calls import Outcome

MODELS = st.sampled_from(["a/b", "c/d", None])
SECONDS = st.floats(0, 100)


@st.composite
def calls(draw: st.DrawFn) -> Call:
    outcomes: list[Outcome] = ["answered", "failed", "cancelled"]
    outcome = draw(st.sampled_from(outcomes))
    tried = [
        Tried(
            model=draw(MODELS),
            answered_by=draw(MODELS),
            error=draw(st.sampled_from([None, "RateLimitError"])),
            waited_s=draw(SECONDS),
            latency_s=draw(SECONDS),
            input_tokens=draw(st.integers(0, 9)),
            output_tokens=draw(st.integers(0, 9)),
            cost_usd=draw(st.sampled_from([0.0, 0.25])),
        )
        for _ in range(draw(st.integers(1, 3)))
    ]
    first_token_s = draw(st.none() | SECONDS)
    error = draw(st.sampled_from([None, None, "BudgetSpentError"]))
    latency_s = draw(SECONDS)
    return Call(draw(MODELS), outcome, tried, latency_s, first_token_s=first_token_s, error=error)


def counted_twice(of: list[Call]) -> Book:
    """The book without the short way."""
    book = Book()
    for call in of:
        book._add_overall(book.overall, call)
        for model in dict.fromkeys(attempt.model for attempt in call.tried):
            book._add_model(book.of(model), model, call)
    return book


def plain(value: Any) -> Any:
    """Without what floats lose when they are added up in another order."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return round(value, 6) if isinstance(value, float) else value


@given(st.lists(calls(), max_size=12), st.lists(calls(), max_size=6))
def test_one_way_is_as_good_as_the_other(mine: list[Call], theirs: list[Call]) -> None:
    book, other = Book(), Book()
    for call in mine:
        book.add(call)
    for call in theirs:
        other.add(call)

    book.merge(other)

    assert plain(book.to_dict()) == plain(counted_twice([*mine, *theirs]).to_dict())
    assert plain(Book.from_dict(book.to_dict()).to_dict()) == plain(book.to_dict())


def test_made_up_names_do_not_fill_the_memory() -> None:
    book = Book()
    for n in range(3 * MOST_NAMES):
        tried = [Tried(model=f"made/up-{n}")] * (1 + n % 2)
        book.add(Call(None, "answered", tried, 1.0))

    snapshot = book.snapshot()

    assert len(snapshot.models) <= MOST_NAMES + 1
    assert snapshot.overall.calls == 3 * MOST_NAMES
    assert sum(row.attempts for row in snapshot.models.values()) == snapshot.overall.attempts


def test_what_was_told_stays_told() -> None:
    book = Book()

    def call(name: str, tries: int) -> None:
        book.add(Call(None, "answered", [Tried(model=name)] * tries, 1.0))

    for n in range(MOST_NAMES):
        call(f"plain-{n}", 1)
    before = list(book.snapshot().models)
    for n in range(MOST_NAMES):
        call(f"retried-{n}", 2)

    assert before == [f"plain-{n}" for n in range(MOST_NAMES)]
    assert list(book.snapshot().models) == [*before, OTHERS]
