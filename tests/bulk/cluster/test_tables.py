from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from langchain_tale import ConfigurationError, StoryGenerationResult
from langchain_tale.bulk.asked import asked
from langchain_tale.bulk.cluster.tables import (
    ROW_COLUMNS,
    checked,
    failed,
    records_of,
    table_of,
    told,
    untold,
    why_unreadable,
)

STORY = StoryGenerationResult("Once.", "a/b", {}, cost_usd=0.5)
COLUMNS: dict[str, list[Any]] = {
    "id": ["a", "b"],
    "theme": ["a fox", "a hen"],
    "age": [5, None],
    "avoid": [["wolves", "storms"], None],
}
RECORDS = [
    {"id": "a", "theme": "a fox", "age": 5, "avoid": ["wolves", "storms"]},
    {"id": "b", "theme": "a hen"},
]


@pytest.mark.parametrize(
    "batch",
    [
        pytest.param(pa.table(COLUMNS), id="arrow"),
        pytest.param(pd.DataFrame(COLUMNS), id="pandas"),
        pytest.param(
            {
                "id": np.array(["a", "b"], dtype=object),
                "theme": np.array(["a fox", "a hen"], dtype=object),
                "age": np.array([5, float("nan")]),
                "avoid": np.array([np.array(["wolves", "storms"]), None], dtype=object),
            },
            id="numpy",
        ),
    ],
)
def test_a_batch_is_the_same_requests_in_every_format(batch: Any) -> None:
    records = records_of(batch)

    assert records == RECORDS
    assert [asked(1, record).digest for record in records] == [
        asked(1, record).digest for record in RECORDS
    ]


@pytest.mark.parametrize(
    ("batch", "sentence"),
    [
        ({"theme": ["a fox"]}, "The batch has no column 'id': a request needs an id"),
        ({"id": ["a"]}, "The batch has no column 'theme'; columns may be id, theme"),
        ({"id": ["a"], "theme": ["x"], "hat": [1]}, "has the column 'hat', which no request has"),
    ],
)
def test_a_table_of_something_else_is_one_sentence(batch: Any, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        records_of(batch)


def test_a_request_without_an_id_is_a_failure_of_its_own() -> None:
    one = asked(3, {"theme": "a fox"})

    assert why_unreadable(one) == (
        "A request needs an id on many machines, where nobody knows its line."
    )


def test_no_line_of_a_batch_is_named() -> None:
    one = asked(3, {"id": True, "theme": "a fox"})

    assert why_unreadable(one) == "Its id must be a string or a whole number."


def test_a_table_has_its_columns_whatever_is_in_it() -> None:
    one = asked(1, {"id": "a", "theme": "a fox"})
    rows = [
        told(one, STORY, 0.5),
        failed(one, ValueError("no"), (), 0.25),
        untold(one, "The budget is spent."),
    ]

    tables = [table_of(rows[:n]) for n in range(4)]

    assert len({str(table.schema) for table in tables}) == 1
    assert tables[3].column_names == list(ROW_COLUMNS)
    assert tables[3]["status"].to_pylist() == ["told", "failed", "untold"]
    assert tables[3]["spent_usd"].to_pylist() == [0.5, 0.25, None]
    assert tables[3]["error"].to_pylist() == [None, "ValueError", None]


def test_an_id_that_stood_for_another_request_gives_no_story_of_that() -> None:
    one, other = (asked(1, {"id": "a", "theme": theme}) for theme in ("a fox", "a hen"))
    row = told(one, STORY, 0.5)

    assert checked(one, row) is row
    assert checked(other, row)["status"] == "failed"
    assert checked(other, row)["content"] is None
    assert "choose another id" in checked(other, row)["message"]


def test_without_the_extra_it_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(ConfigurationError, match=r"pip install 'langchain-tale\[scale\]'"):
        table_of([])
