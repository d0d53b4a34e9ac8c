from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from langchain_tale.bulk.batching.register import Register, path_beside
from langchain_tale.errors import ConfigurationError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HERE = "http://127.0.0.1/api/beta/batches"
KEY = bytes(range(16))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return path_beside(tmp_path / "stories.csv")


@pytest.fixture
def opened(path: Path) -> Iterator[Callable[..., Register]]:
    """A function that opens the register as another process would; all are closed at the end."""
    with ExitStack() as stack:

        def opening(*, goes_on: bool = True) -> Register:
            register = Register(path)
            register.open(goes_on=goes_on)
            stack.callback(register.close, is_needed=True)
            return register

        yield opening


def batch_of(register: Register, letter: str) -> str | None:
    posting = register.find(letter)
    return None if posting is None else posting.batch


def test_the_next_process_knows_which_batch_a_request_is_in(
    opened: Callable[..., Register], path: Path
) -> None:
    first = opened(goes_on=False)
    first.posted(first.posting(HERE, "a/b", ["x-0-1", "x-0-2"]), "batch_1")
    first.refused(first.posting(HERE, "a/b", ["y-0-1"]), "RateLimitError")
    first.posted(first.posting(HERE, "a/b", ["y-0-1"]), "batch_2")
    first.close(is_needed=True)

    second = opened()

    assert [batch_of(second, name) for name in ("x-0-1", "x-0-2", "y-0-1", "z")] == [
        "batch_1",
        "batch_1",
        "batch_2",
        None,
    ]
    assert (second.has_any("x-0-"), second.has_any("x-1-"), second.has_any("z")) == (
        True,
        False,
        False,
    )
    assert second.doubtful == 0
    second.close(is_needed=False)
    assert not path.exists()


def test_a_submission_without_an_end_is_in_doubt_once(
    opened: Callable[..., Register], path: Path
) -> None:
    first = opened()
    first.posting(HERE, "a/b", ["x", "y"])
    first.close(is_needed=True)

    second = opened()
    assert (second.doubtful, second.find("x")) == (2, None)
    second.close(is_needed=True)
    third = opened()
    assert third.doubtful == 0
    third.posted(third.posting(HERE, "a/b", ["x"]), "batch_1")
    third.close(is_needed=True)
    assert batch_of(opened(), "x") == "batch_1"


@pytest.mark.parametrize("kept", range(1, 60, 7))
def test_half_a_line_was_followed_by_no_submission(
    opened: Callable[..., Register], path: Path, kept: int
) -> None:
    first = opened()
    first.posted(first.posting(HERE, "a/b", ["x"]), "batch_1")
    whole = path.read_bytes()
    first.posting(HERE, "a/b", ["y"])
    first.close(is_needed=True)
    path.write_bytes(path.read_bytes()[: len(whole) + kept])

    second = opened()

    assert (second.doubtful, batch_of(second, "x"), second.find("y")) == (0, "batch_1", None)
    assert path.read_bytes() == whole


def test_failures_are_counted_by_request(opened: Callable[..., Register], path: Path) -> None:
    first = opened()
    assert first.failures(KEY) == 0
    first.failed(KEY)
    first.failed(KEY)
    assert first.failures(KEY) == 2
    first.close(is_needed=True)

    second = opened()

    assert second.failures(KEY) == 2
    assert second.failures(KEY[::-1]) == 0


def test_an_empty_file_is_not_left_behind(opened: Callable[..., Register], path: Path) -> None:
    opened().close(is_needed=True)

    assert not path.exists()


def test_a_file_of_another_kind_is_left_alone(opened: Callable[..., Register], path: Path) -> None:
    path.write_text(json.dumps({"id": None}) + "\n")

    with pytest.raises(OutputError, match="no row that a run has written"):
        opened()
    with pytest.raises(ConfigurationError, match="batches of an earlier run"):
        opened(goes_on=False)


def test_two_runs_do_not_share_it(opened: Callable[..., Register], path: Path) -> None:
    first = opened()

    with pytest.raises(OutputError, match="Another run is writing"):
        opened()
    first.close(is_needed=True)
