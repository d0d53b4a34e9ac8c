from __future__ import annotations

import asyncio
import copy
import logging
import os
import pickle
import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation

from langchain_tale import ConfigurationError, StoryCache
from langchain_tale.caching.values import key_of, packed, unpacked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import FakeTime


def answer(text: str = "Once.", **metadata: Any) -> list[Generation]:
    facts = {"finish_reason": "stop", "id": "gen-1", **metadata}
    return [ChatGeneration(message=AIMessage(text, response_metadata=facts))]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answers.cache"


@pytest.fixture
def cache(path: Path) -> Iterator[StoryCache]:
    cache = StoryCache(path)
    yield cache
    cache.close()


# ── values ──────────────────────────────────────────────────────────────────

RICH = AIMessage(
    [{"type": "text", "text": "Ünï 🦊"}, {"type": "reasoning", "reasoning": "hm"}],
    additional_kwargs={"reasoning_details": [{"lc": 1, "type": "constructor", "id": ["os"]}]},
    response_metadata={"cost": 0.1, "attempts": [{"error": None}]},
    tool_calls=[{"name": "f", "args": {"a": 1}, "id": "c1", "type": "tool_call"}],
    usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
)


def test_an_answer_comes_back_as_it_was() -> None:
    kept = packed([ChatGeneration(message=RICH, generation_info={"a": 1})])

    assert kept is not None
    [found] = unpacked(kept) or []
    assert isinstance(found, ChatGeneration)
    assert found.message == RICH
    assert found.generation_info == {"a": 1}


def test_the_answer_of_a_plain_llm_does_too() -> None:
    kept = packed([Generation(text="Once.", generation_info={"a": 1})])

    assert kept is not None
    assert unpacked(kept) == [Generation(text="Once.", generation_info={"a": 1})]


def test_chunks_are_kept_as_the_message_they_make() -> None:
    chunk = AIMessageChunk(content="Once.", response_metadata={"finish_reason": "stop"})

    [found] = unpacked(packed([ChatGenerationChunk(message=chunk)]) or "") or []

    assert isinstance(found, ChatGeneration)
    assert type(found.message) is AIMessage


@pytest.mark.parametrize(
    "generations",
    [
        pytest.param([], id="nothing"),
        pytest.param(answer(finish_reason="length"), id="cut off"),
        pytest.param(answer(stop_reason="max_tokens"), id="cut off elsewhere"),
        pytest.param([Generation(text="a", generation_info={"finish_reason": "length"})], id="llm"),
        pytest.param(answer(odd=object()), id="what JSON cannot hold"),
        pytest.param([ChatGeneration(message=HumanMessage("a"))], id="no answer"),
    ],
)
def test_what_is_no_whole_answer_is_not_kept(generations: list[Generation]) -> None:
    assert packed(generations) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nil",
        "7",
        "[7]",
        "[{}]",
        '[{"message": {"content": 7, "type": "ai"}, "info": null}]',
        '[{"lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {"command": "x"}}]',
    ],
)
def test_what_was_not_written_by_us_is_no_hit(text: str) -> None:
    assert unpacked(text) is None


def test_the_key_is_of_prompt_and_model_and_tells_nothing() -> None:
    assert key_of("a", "b") == key_of("a", "b")
    assert len({key_of("a", "b"), key_of("ab", ""), key_of("", "ab"), key_of("b", "a")}) == 4
    assert "Mia" not in key_of("a story for Mia", "model")
    assert key_of("\ud800", "b")


# ── looking and keeping ─────────────────────────────────────────────────────


def test_what_was_kept_is_found(cache: StoryCache) -> None:
    assert cache.lookup("p", "m") is None
    cache.update("p", "m", answer())

    assert cache.lookup("p", "m") == answer()
    assert cache.lookup("p", "other") is None
    assert len(cache) == 1


def test_it_outlives_the_process_that_wrote_it(cache: StoryCache, path: Path) -> None:
    cache.update("p", "m", answer())
    cache.close()

    other = StoryCache(path)
    assert other.lookup("p", "m") == answer()
    other.close()


def test_a_later_answer_takes_the_place_of_an_earlier_one(cache: StoryCache) -> None:
    cache.update("p", "m", answer("Once."))
    cache.update("p", "m", answer("Twice."))

    assert cache.lookup("p", "m") == answer("Twice.")
    assert len(cache) == 1


def test_old_answers_are_none(path: Path, fake_time: FakeTime) -> None:
    cache = StoryCache(path, max_age_s=60, clock=lambda: fake_time.now)
    cache.update("p", "m", answer())

    fake_time.now += 59
    assert cache.lookup("p", "m") is not None
    fake_time.now += 2
    assert cache.lookup("p", "m") is None
    cache.update("q", "m", answer())
    assert len(cache) == 1
    cache.close()


def test_the_oldest_make_room(path: Path) -> None:
    cache = StoryCache(path, max_entries=3)
    for prompt in "abcde":
        cache.update(prompt, "m", answer())

    assert [prompt for prompt in "abcde" if cache.lookup(prompt, "m")] == ["c", "d", "e"]
    cache.close()


def test_clearing_leaves_nothing_on_the_disk(cache: StoryCache, path: Path) -> None:
    cache.update("p", "m", answer("a story for Mia " * 500))
    cache.clear()

    assert cache.lookup("p", "m") is None
    assert all(b"Mia" not in file.read_bytes() for file in path.parent.iterdir())


async def test_it_has_twins_for_coroutines(cache: StoryCache) -> None:
    await asyncio.gather(*(cache.aupdate(f"p{n}", "m", answer(str(n))) for n in range(50)))

    found = await asyncio.gather(*(cache.alookup(f"p{n}", "m") for n in range(50)))
    assert found == [answer(str(n)) for n in range(50)]
    await cache.aclear()
    assert len(cache) == 0


def test_threads_share_it(cache: StoryCache) -> None:
    def work(number: int) -> bool:
        cache.update(f"p{number}", "m", answer(str(number)))
        return cache.lookup(f"p{number}", "m") == answer(str(number))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(200)))


WRITING = """
import sys
from langchain_core.outputs import Generation
from langchain_tale import StoryCache
cache, name = StoryCache(sys.argv[1]), sys.argv[2]
for number in range(100):
    cache.update(f"{name}{number}", "m", [Generation(text=name)])
    assert cache.lookup(f"{name}{number}", "m")
cache.close()
"""


@pytest.mark.slow
def test_processes_share_it(cache: StoryCache, path: Path) -> None:
    command = [sys.executable, "-c", WRITING, str(path)]
    writers = [subprocess.Popen([*command, name]) for name in "ab"]  # noqa: S603 (our own)

    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    assert len(cache) == 200


def test_a_forked_child_opens_the_file_for_itself(cache: StoryCache) -> None:
    cache.update("p", "m", answer())
    child = os.fork()
    if child == 0:
        cache.update("q", "m", answer())
        os._exit(0 if cache.lookup("p", "m") else 1)

    assert os.waitpid(child, 0)[1] == 0
    assert cache.lookup("q", "m") == answer()


def pickled(cache: StoryCache) -> Any:
    return pickle.loads(pickle.dumps(cache))  # noqa: S301 (our own)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
def test_a_copy_opens_the_file_for_itself(cache: StoryCache, copied: Any) -> None:
    cache.update("p", "m", answer())
    other = copied(cache)

    assert other.lookup("p", "m") == answer()
    other.close()
    assert cache.lookup("p", "m") == answer()


# ── the file ────────────────────────────────────────────────────────────────


def test_only_its_owner_may_read_it(cache: StoryCache, path: Path) -> None:
    cache.update("p", "m", answer())

    modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {0o600}


@pytest.mark.parametrize("content", [b"SQLite format 3\0", b'{"theme": "a fox"}\n', b"x" * 5000])
def test_a_file_of_somebody_elses_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    with pytest.raises(ConfigurationError, match=r"is no cache of ours; choose another file\."):
        StoryCache(path)
    assert path.read_bytes() == content


def test_a_database_of_somebody_elses_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE answers (a)")
    db.close()

    with pytest.raises(ConfigurationError, match="is no cache of ours"):
        StoryCache(path)


def test_an_empty_file_is_begun(path: Path) -> None:
    path.touch()
    cache = StoryCache(path)
    cache.update("p", "m", answer())

    assert len(cache) == 1
    cache.close()


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"Cannot use .* as a cache .*No such file"):
        StoryCache(tmp_path / "nowhere" / "answers")


def broken(path: Path, cache: StoryCache) -> None:
    """Spoil all but the head of the file."""
    for number in range(50):
        cache.update(f"p{number}", "m", answer("x" * 1000))
    cache.close()
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xff" * (len(content) - 100))


def test_a_broken_file_is_set_aside_and_begun_anew(
    cache: StoryCache, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken(path, cache)

    with caplog.at_level(logging.WARNING):
        assert cache.lookup("p1", "m") is None
    cache.update("p1", "m", answer())

    assert cache.lookup("p1", "m") == answer()
    [message] = caplog.messages
    assert "was broken and is begun anew" in message
    assert path.with_name(f"{path.name}.broken").exists()


def test_a_file_that_breaks_under_way_is_no_hit(cache: StoryCache, path: Path) -> None:
    broken(path, cache)
    other = StoryCache.__new__(StoryCache)
    other.__setstate__(cache.__getstate__())

    assert other.lookup("p1", "m") is None
    other.update("p1", "m", answer())
    assert other.lookup("p1", "m") == answer()
    other.close()


def test_a_file_that_is_gone_is_begun_anew(cache: StoryCache, path: Path) -> None:
    cache.update("p", "m", answer())
    cache.close()
    path.unlink()

    assert cache.lookup("p", "m") is None
    cache.update("p", "m", answer())
    assert cache.lookup("p", "m") == answer()


def test_what_cannot_be_written_fails_no_call(
    cache: StoryCache, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.update("p", "m", answer())
    cache.close()
    path.unlink()
    path.parent.joinpath(f"{path.name}-wal").unlink(missing_ok=True)
    path.mkdir()

    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            cache.update("p", "m", answer())
            assert cache.lookup("p", "m") is None

    assert len(caplog.messages) == 1
    assert "does not work" in caplog.messages[0]


@pytest.mark.parametrize("options", [{"max_entries": 0}, {"max_age_s": 0}, {"max_age_s": -1}])
def test_limits_that_make_no_sense_are_one_sentence(path: Path, options: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_entries must be at least 1"):
        StoryCache(path, **options)
    assert not path.exists()
