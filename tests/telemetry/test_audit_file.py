"""The file of the audit: whole lines from threads, processes and forks, on a disk that fails."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from fcntl import LOCK_EX, LOCK_UN, flock
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from langchain_tale.telemetry import line_file
from langchain_tale.telemetry.line_file import LineFile
from langchain_tale.telemetry.rotation import moves, numbered, open_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def line(number: int, *, chars: int = 20) -> bytes:
    return json.dumps({"n": number, "pad": "x" * chars}).encode() + b"\n"


def numbers_in(path: Path) -> list[int]:
    """The numbers of the lines of all files, oldest first; every line must be whole."""
    found = []
    for file in open_all(path):
        with file:
            found += [json.loads(each)["n"] for each in file]
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def file(path: Path) -> Iterator[LineFile]:
    opened = LineFile(path, max_bytes=None, keep=None)
    yield opened
    opened.close()


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


# ── many writers ────────────────────────────────────────────────────────────


def test_a_line_is_in_the_file_when_append_returns(file: LineFile, path: Path) -> None:
    file.append(line(1))
    assert path.read_bytes() == line(1)
    file.append(line(2))
    assert path.read_bytes() == line(1) + line(2)


def test_what_was_in_the_file_stays(file: LineFile, path: Path) -> None:
    path.write_bytes(line(1))
    file.append(line(2))
    assert numbers_in(path) == [1, 2]


def test_threads_write_whole_lines(path: Path) -> None:
    file = LineFile(path, max_bytes=3_000, keep=None)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: file.append(line(n)), range(1_000)))
    file.close()

    assert sorted(numbers_in(path)) == list(range(1_000))
    assert all(each.stat().st_size <= 3_000 for each in path.parent.iterdir())


WRITER = """
import sys
from pathlib import Path
from langchain_tale.telemetry.line_file import LineFile
path, first = Path(sys.argv[1]), int(sys.argv[2])
file = LineFile(path, max_bytes=5_000, keep=None)
print("ready", flush=True)
sys.stdin.readline()
for n in range(first, first + 300):
    file.append(b'{"n": %d, "pad": "xxxxxxxxxxxxxxxxxxxx"}\\n' % n)
"""


def test_processes_share_a_file_that_rotates_under_them(path: Path) -> None:
    argv = [sys.executable, "-c", WRITER, str(path)]
    writers = [
        subprocess.Popen(  # noqa: S603 (our own program)
            [*argv, str(first)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for first in (0, 300, 600)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"  # they all begin at once
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=60)

    assert [writer.returncode for writer in writers] == [0, 0, 0]
    found = numbers_in(path)
    assert sorted(found) == list(range(900))
    for first in (0, 300, 600):  # and those of one process are in its order
        own = [n for n in found if first <= n < first + 300]
        assert own == sorted(own)
    assert len(list(path.parent.iterdir())) > 5
    assert all(each.stat().st_size <= 5_000 for each in path.parent.iterdir())


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # since 3.12, beside threads
def test_a_forked_child_has_a_lock_of_its_own(file: LineFile, path: Path) -> None:
    file.append(line(1))
    assert file._fd is not None
    flock(file._fd, LOCK_EX)  # as if the parent were amid a line

    child = os.fork()
    if child == 0:
        status = 1
        try:
            line_file._PATIENCE_S = 0  # type: ignore[misc]  # in this child alone
            file.begin_in_child()
            status = 0 if not file._lock(file._open()) else 2
            file.append(line(2))
        finally:
            os._exit(status)
    _, waited = os.waitpid(child, 0)
    flock(file._fd, LOCK_UN)
    file.append(line(3))

    assert os.waitstatus_to_exitcode(waited) == 0
    assert numbers_in(path) == [1, 2, 3]


def test_a_finalizer_amid_a_line_waits_for_its_end(path: Path) -> None:
    class LeftStream:
        def __del__(self) -> None:
            shared.append(line(2))

    left = [LeftStream()]

    class Collecting(LineFile):
        """What is collected amid a line is a stream that was left."""

        def _lock(self, fd: int) -> bool:
            left.clear()
            return super()._lock(fd)

    shared = Collecting(path, max_bytes=None, keep=None)
    shared.append(line(1))
    shared.close()

    assert numbers_in(path) == [1, 2]


# ── rotation ────────────────────────────────────────────────────────────────


def test_a_line_that_does_not_fit_begins_a_new_file(path: Path) -> None:
    file = LineFile(path, max_bytes=2 * len(line(0)), keep=None)
    for number in range(5):
        file.append(line(number))
    file.close()

    assert path.read_bytes() == line(4)
    assert numbered(path, 1).read_bytes() == line(2) + line(3)
    assert numbered(path, 2).read_bytes() == line(0) + line(1)
    assert numbers_in(path) == [0, 1, 2, 3, 4]


def test_a_line_longer_than_a_file_has_one_to_itself(path: Path) -> None:
    file = LineFile(path, max_bytes=10, keep=None)
    file.append(line(1))
    file.append(line(2))
    file.close()

    assert path.read_bytes() == line(2)
    assert numbers_in(path) == [1, 2]


def test_only_so_many_older_files_are_kept(path: Path) -> None:
    file = LineFile(path, max_bytes=1, keep=2)
    for number in range(6):
        file.append(line(number))
    file.close()

    assert numbers_in(path) == [3, 4, 5]
    assert len(list(path.parent.iterdir())) == 3


def test_who_holds_the_old_file_notices(file: LineFile, path: Path) -> None:
    file.append(line(1))
    other = LineFile(path, max_bytes=1, keep=None)
    other.append(line(2))
    other.close()

    file.append(line(3))

    assert path.read_bytes() == line(2) + line(3)
    assert numbers_in(path) == [1, 2, 3]


@given(taken=st.sets(st.integers(1, 12)), keep=st.none() | st.integers(1, 12))
def test_no_rotation_loses_a_file_that_is_to_be_kept(taken: set[int], keep: int | None) -> None:
    files = {number: f"file {number}" for number in (0, *taken)}
    before = dict(files)
    lost = []
    for old, new in moves(taken, keep):
        if new in files:
            lost.append((new, files[new]))
        files[new] = files.pop(old)

    assert 0 not in files
    assert lost in ([], [(keep, before.get(keep or 0))])
    if lost:  # there was no room below
        assert set(range(1, (keep or 0) + 1)) <= taken
    assert [files[number] for number in sorted(files)] == [
        before[number] for number in sorted(before) if (number, before[number]) not in lost
    ]


def test_reading_finds_each_line_once_though_the_file_rotates_meanwhile(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = LineFile(path, max_bytes=1, keep=None)
    for number in range(4):
        file.append(line(number))
    real, count = type(path).open, Counter[str]()

    def opening(self: Path, *args: Any, **kwargs: Any) -> Any:
        count["opened"] += 1
        opened = real(self, *args, **kwargs)
        if count["opened"] in {1, 3}:
            file.append(line(100 + count["opened"]))
        return opened

    monkeypatch.setattr(type(path), "open", opening)
    found = numbers_in(path)
    file.close()

    assert [n for n in found if n < 100] == [0, 1, 2, 3]


def test_where_it_cannot_rotate_it_says_so_and_grows_on(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    numbered(path, 1).mkdir()
    file = LineFile(path, max_bytes=3 * len(line(0)), keep=1)
    for number in range(6):
        file.append(line(number))
    said = warnings_in(caplog)
    assert said == [f"{path} cannot be rotated (Is a directory): it grows on."]

    numbered(path, 1).rmdir()
    file.append(line(6))
    file.close()
    assert path.read_bytes() == line(6)
    assert numbers_in(path) == list(range(7))
    assert warnings_in(caplog) == said


# ── torn lines ──────────────────────────────────────────────────────────────


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(whole=st.integers(0, 3), cut=st.integers(1, len(line(9)) - 1), is_opened=st.booleans())
def test_a_line_cut_anywhere_costs_no_other(
    path: Path, whole: int, cut: int, *, is_opened: bool
) -> None:
    for each in path.parent.iterdir():
        each.unlink()
    kept = b"".join(line(n) for n in range(whole))
    file = LineFile(path, max_bytes=None, keep=None)
    if is_opened:
        file.append()
    path.write_bytes(kept + line(9)[:cut])

    file.append(line(10))
    file.close()

    is_all_there = cut == len(line(9)) - 1  # only its line break was missing
    assert numbers_in(path) == [*range(whole), *([9] if is_all_there else []), 10]
    aside = path.with_name("audit.jsonl.torn")
    assert is_all_there or aside.read_bytes() == line(9)[:cut] + b"\n"
    assert aside.exists() is not is_all_there


def test_opening_mends(file: LineFile, path: Path) -> None:
    path.write_bytes(line(1) + b'{"n": 2')
    file.append()
    assert path.read_bytes() == line(1)


def test_what_cannot_be_set_aside_is_ended_by_a_line_break(file: LineFile, path: Path) -> None:
    path.with_name("audit.jsonl.torn").mkdir()
    path.write_bytes(line(1) + b'{"n": 2')

    file.append(line(3))

    assert path.read_bytes() == line(1) + b'{"n": 2\n' + line(3)


def test_a_file_without_lines_is_not_read_through(
    file: LineFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("langchain_tale.telemetry.torn._LONGEST_BYTES", 10)
    path.write_bytes(b"x" * 30)
    file.append(line(1))
    assert path.read_bytes() == b"x" * 30 + b"\n" + line(1)


# ── a disk that fails ───────────────────────────────────────────────────────


FULL_DISK = """
import json, resource, sys
from pathlib import Path
from langchain_tale.telemetry.line_file import LineFile
file = LineFile(Path(sys.argv[1]), max_bytes=None, keep=None)
line = b'{"n": %d, "pad": "xxxxxxxxxxxxxxxxxxxx"}\\n'
file.append(line % 1)
resource.setrlimit(resource.RLIMIT_FSIZE, (len(line % 1) + 10, resource.RLIM_INFINITY))
for n in (2, 3):
    try:
        file.append(line % n)
    except OSError as error:
        print(n, error.strerror, Path(sys.argv[1]).stat().st_size == len(line % 1))
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
file.append(line % 4)
"""


def test_a_line_that_only_half_fits_on_the_disk_leaves_nothing(path: Path) -> None:
    done = subprocess.run(  # noqa: S603 (our own program)
        [sys.executable, "-c", FULL_DISK, str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert done.stdout == "2 No space left on device True\n3 No space left on device True\n"
    assert path.read_bytes().count(b"\n") == 2
    assert numbers_in(path) == [1, 4]


def test_a_file_that_was_removed_is_made_anew(file: LineFile, path: Path) -> None:
    file.append(line(1))
    path.unlink()
    file.append(line(2))
    assert path.read_bytes() == line(2)


def test_it_goes_on_when_its_folder_is_back(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "audit.jsonl"
    path.parent.mkdir()
    file = LineFile(path, max_bytes=None, keep=None)
    file.append(line(1))
    path.unlink()
    path.parent.rmdir()

    for number in (2, 3):
        with pytest.raises(FileNotFoundError):
            file.append(line(number))
    path.parent.mkdir()
    file.append(line(4))
    file.close()

    assert path.read_bytes() == line(4)


# ── without the lock ────────────────────────────────────────────────────────


def test_who_holds_the_lock_too_long_is_not_waited_for(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(line_file, "_PATIENCE_S", 0)
    file = LineFile(path, max_bytes=len(line(0)), keep=None)
    file.append(line(1))
    with path.open("rb") as suspended:
        flock(suspended, LOCK_EX)
        file.append(line(2))
        file.append(line(3))
        assert path.read_bytes() == line(1) + line(2) + line(3)  # and no rotation
    file.append(line(4))
    file.close()

    assert path.read_bytes() == line(4)
    assert numbers_in(path) == [1, 2, 3, 4]
    assert len(warnings_in(caplog)) == 1
    assert "lock of" in warnings_in(caplog)[0]


def test_a_lock_that_is_let_go_in_time_is_waited_for(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = LineFile(path, max_bytes=None, keep=None)
    file.append(line(1))
    holder = path.open("rb")
    flock(holder, LOCK_EX)
    monkeypatch.setattr(time, "sleep", lambda _seconds: holder.close())

    file.append(line(2))
    file.close()

    assert holder.closed
    assert numbers_in(path) == [1, 2]
    assert warnings_in(caplog) == []


def test_where_there_are_no_locks_one_process_writes_and_rotates(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_file, "_HAS_LOCKS", False)  # as on Windows
    file = LineFile(path, max_bytes=2 * len(line(0)), keep=None)
    for number in range(5):
        file.append(line(number))
    file.close()

    assert path.read_bytes() == line(4)
    assert numbers_in(path) == [0, 1, 2, 3, 4]
