from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from langchain_tale import ConfigurationError
from langchain_tale.bulk import reading
from langchain_tale.bulk.reading import read_file
from tests.bulk.stories import written

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_tale.bulk.asked import Asked


def read(path: Path, content: bytes | str) -> list[Asked]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_file(path))


def problems(requests: list[Asked]) -> dict[int, str]:
    return {one.line: one.problem for one in requests if one.problem}


# ── JSON lines ──────────────────────────────────────────────────────────────


def test_lines_are_requests(tmp_path: Path) -> None:
    found = read(tmp_path / "r.jsonl", '{"theme": "a fox", "id": 1}\n\n  \n"a hen"')

    assert [(one.line, one.id, one.request().theme) for one in found] == [
        (1, "1", "a fox"),
        (4, None, "a hen"),
    ]


def test_a_byte_order_mark_is_no_part_of_a_request(tmp_path: Path) -> None:
    [found] = read(tmp_path / "r.jsonl", b'\xef\xbb\xbf{"theme": "a fox"}\r\n')

    assert found.request().theme == "a fox"


def test_a_bad_line_is_a_problem_and_the_next_is_read(tmp_path: Path) -> None:
    lines = [b"{bad", b'"\xff"', b"[" * 100_000, b"1" * 5000, b'"a fox"', b'{"theme": "a"', b"nil"]

    found = read(tmp_path / "r.jsonl", b"\n".join(lines))

    assert problems(found) == {
        1: "Line 1: it is no JSON (Expecting property name enclosed in double quotes at column 2).",
        2: "Line 2: it is not UTF-8.",
        3: "Line 3: it is no JSON that can be read.",
        4: "Line 4: it is no JSON that can be read.",
        6: "Line 6: it is no JSON (Expecting ',' delimiter at column 14).",
        7: "Line 7: it is no JSON (Expecting value at column 1).",
    }
    assert [one.line for one in found if not one.problem] == [5]


def test_a_line_without_end_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LONGEST_LINE", 32)

    found = read(tmp_path / "r.jsonl", b'"' + b"x" * 1000 + b'"\n"a fox"\n' + b'"' + b"y" * 99)

    assert problems(found) == {
        1: "Line 1: it is longer than 32 bytes.",
        3: "Line 3: it is longer than 32 bytes.",
    }
    assert found[1].request().theme == "a fox"


def test_a_pipe_is_read_as_well(tmp_path: Path) -> None:
    pipe = tmp_path / "r.jsonl"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=('"a fox"\n"a hen"\n',))
    writer.start()

    found = [one.request().theme for one in read_file(pipe)]

    writer.join()
    assert found == ["a fox", "a hen"]


# ── CSV ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_rows_are_requests_whatever_the_spreadsheet_puts_between(
    tmp_path: Path, delimiter: str
) -> None:
    lines = [
        "id,theme,age,interests",
        "x,a fox,5,",
        'y,"a hen\nand a fox",,"trains; the sea"',
        ",,,",
    ]
    text = "\n".join(lines).replace(",", delimiter).encode("utf-8-sig")

    found = read(tmp_path / "r.csv", text)

    assert [(one.line, one.id) for one in found] == [(2, "x"), (3, "y")]
    assert found[0].request().age == 5
    assert found[1].request().theme == "a hen and a fox"
    assert found[1].request().interests == ("trains", "the sea")
    assert found[1].request().age is None


def test_a_bad_row_is_a_problem_and_the_next_is_read(tmp_path: Path) -> None:
    rows = [b"theme,age", b"a fox,5,6", b"\xff\xfe,5", b"a" * 200_000 + b",5", b"a hen,5"]

    found = read(tmp_path / "r.csv", b"\n".join(rows))

    assert problems(found) == {
        2: "Line 2: it has 3 cells for 2 columns.",
        3: "Line 3: it is not UTF-8.",
        4: "Line 4: it is no CSV (field larger than field limit (131072)).",
    }
    assert found[-1].request().theme == "a hen"


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (
            "theme,colour",
            "r.csv has the column 'colour', which no request has; columns may be id, ",
        ),
        ("theme,age,theme", "r.csv has the column 'theme' twice; "),
        ("age", "r.csv has no column 'theme'; "),
        ("", "r.csv has no column 'theme'; "),
    ],
)
def test_a_header_that_fits_no_request_is_one_sentence(
    tmp_path: Path, header: str, said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        read(tmp_path / "r.csv", f"{header}\n")


# ── Parquet ─────────────────────────────────────────────────────────────────


def test_rows_of_parquet_are_requests(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    records = [
        {"id": n, "theme": f"fox {n}", "age": None, "interests": ["trains"]} for n in range(1500)
    ]
    pq.write_table(pa.Table.from_pylist(records), path, row_group_size=400)

    found = list(read_file(path))

    assert [(one.line, one.id) for one in found] == [(n + 1, str(n)) for n in range(1500)]
    assert found[1400].request().theme == "fox 1400"
    assert found[1400].request().interests == ("trains",)


def test_parquet_with_a_column_of_no_request_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    pq.write_table(pa.Table.from_pylist([{"theme": "a fox", "colour": "red"}]), path)

    with pytest.raises(ConfigurationError, match=r"r\.parquet has the column 'colour'"):
        list(read_file(path))


def test_what_is_no_parquet_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is no Parquet file that can be read"):
        read(tmp_path / "r.parquet", "no parquet at all")


def test_without_the_extra_parquet_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)

    with pytest.raises(ConfigurationError, match=r"pip install 'langchain-tale\[scale\]'"):
        read(tmp_path / "r.parquet", "")


# ── files ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["r.txt", "r", "r.json"])
def test_another_kind_of_file_is_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"requests are read from \.jsonl, \.csv"):
        read(tmp_path / name, "")


@pytest.mark.parametrize("name", ["none.jsonl", "."])
def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="There is no file"):
        list(read_file(tmp_path / name))


def test_a_file_that_may_not_be_read_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path: Any = written(tmp_path / "r.jsonl", ["a fox"])

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(ConfigurationError, match=r"Cannot read .*: Permission denied\."):
        list(read_file(path))
