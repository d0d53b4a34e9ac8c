from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from langchain_tale import ConfigurationError, untold_requests
from langchain_tale.bulk.cluster.output import _without, done_ids

if TYPE_CHECKING:
    from pathlib import Path


def put(path: Path, **statuses: str) -> Path:
    """A file of an output: a row for each id, with its status."""
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({"id": list(statuses), "status": list(statuses.values())}), path)
    return path


def ids_in(folder: Path) -> list[str]:
    found: list[str] = pq.read_table(folder)["id"].to_pylist()
    return sorted(found)


def done(out: Path | str, *, retry_failed: bool = False) -> list[str]:
    found: list[str] = done_ids(out, retry_failed=retry_failed).to_pylist()
    return sorted(found)


def test_what_is_told_or_failed_is_done_and_what_is_untold_leaves(tmp_path: Path) -> None:
    out = tmp_path / "stories"
    put(out / "1.parquet", a="told", b="failed", c="untold")
    put(out / "2.parquet", d="untold")

    assert done(out) == ["a", "b"]
    assert ids_in(out) == ["a", "b"]
    assert [path.name for path in out.iterdir()] == ["1.parquet"]


def test_what_failed_is_done_again_on_wish(tmp_path: Path) -> None:
    put(tmp_path / "1.parquet", a="told", b="failed")

    assert done(tmp_path.as_uri(), retry_failed=True) == ["a"]
    assert ids_in(tmp_path) == ["a"]


def test_half_a_file_is_put_aside_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path / "1.parquet", a="told")
    half = put(tmp_path / "2.parquet", b="told")
    half.write_bytes(half.read_bytes()[:-8])

    with caplog.at_level(logging.WARNING):
        assert done(tmp_path) == ["a"]

    assert len(caplog.messages) == 1
    assert (tmp_path / "_2.parquet.torn").exists()
    assert ids_in(tmp_path) == ["a"]  # readers pass over it


def test_somebody_elses_table_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"price": [1]}), path)

    with pytest.raises(ConfigurationError, match=r"x\.parquet holds no rows that a StoryWriter"):
        done(tmp_path)
    assert pq.read_table(path)["price"].to_pylist() == [1]


def test_without_an_output_all_requests_are_left(tmp_path: Path) -> None:
    requests = object()

    assert untold_requests(requests, tmp_path / "none") is requests


def test_ids_are_compared_as_text() -> None:
    left = _without(pa.table({"id": [1, 2, 3]}), done=pa.array(["1", "3"]))

    assert left["id"].to_pylist() == [2]


def test_without_ray_it_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray.data", None)

    with pytest.raises(ConfigurationError, match=r"pip install 'langchain-tale\[scale\]'"):
        untold_requests("requests.jsonl", tmp_path)
