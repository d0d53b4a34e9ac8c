"""`tell` and `tell_many` in a real Jupyter kernel."""

from __future__ import annotations

import threading
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from langchain_tale.sandbox import Fault, Sandbox
from tests.display.kernel import (
    Notebook,
    becomes,
    button_of,
    chain_code,
    error_of,
    html_of,
    is_idle,
    notebook,
    printed,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = pytest.mark.slow  # a kernel takes seconds to start
ENDLESS = Fault(kind="keepalive", after_chunks=15, delay_s=0.05)
"""It begins well and never ends."""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(engine="scripted", faults={"a/down": [Fault(status=503)] * 9}) as running:
        yield running


@pytest.fixture(scope="module")
def endless() -> Iterator[Sandbox]:
    """One that tells nothing but stories without end, so that it counts who leaves them."""
    with Sandbox(engine="scripted", faults={"*": lambda _request: ENDLESS}) as running:
        yield running


@pytest.fixture(scope="module")
def jupyter(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    with notebook(tmp_path_factory.mktemp("kernel")) as running:
        running.run(chain_code(sandbox, "a/fine"))
        yield running


def test_a_story_is_a_card_in_the_cell_that_a_program_runs(jupyter: Notebook) -> None:
    messages = jupyter.run("story = tell(chain, 'a fox')", is_watched=False)

    assert not error_of(messages)
    drawn = [html_of(m) for m in messages if html_of(m)]
    assert "Asking" in drawn[0]
    assert "Once upon a time" in drawn[-1]
    assert "told by" in drawn[-1]
    assert not [m for m in messages if m["msg_type"] == "comm_open"]


def test_a_cell_that_ends_with_a_telling_shows_it_once(jupyter: Notebook) -> None:
    drawn = [m for m in jupyter.run("told = tell(chain, 'a fox', wait=True)\ntold") if html_of(m)]
    again = [m for m in jupyter.run("told") if html_of(m)]

    assert [m["msg_type"] for m in drawn].count("display_data") == 1
    assert [m["msg_type"] for m in again] == ["display_data"]
    assert "Once upon a time" in html_of(again[0])


def test_the_button_cancels_the_request(jupyter: Notebook, endless: Sandbox) -> None:
    cancelled = endless.cancelled

    jupyter.messages.clear()
    messages = jupyter.run(
        f"{chain_code(endless, 'a/endless')}\nstory = tell(chain, 'a fox without end')"
    )
    jupyter.wait_for(lambda m: "words so far" in html_of(m))
    jupyter.click(button_of(messages))
    jupyter.wait_for(lambda m: "Stopped after" in html_of(m))
    messages = jupyter.run("print(story.is_over)\nstory.title")

    assert printed(messages) == "True\n"
    assert becomes(lambda: endless.cancelled == cancelled + 1)
    assert "StoryStoppedError" in error_of(messages)["ename"]


def test_interrupting_a_cell_that_waits_cancels_the_request(
    jupyter: Notebook, endless: Sandbox
) -> None:
    cancelled = endless.cancelled

    jupyter.messages.clear()
    jupyter.run(f"{chain_code(endless, 'a/endless')}\nstory = tell(chain, 'a boat without end')")
    jupyter.wait_for(lambda m: "words so far" in html_of(m))
    waiting = jupyter.begin("print('waiting')\nstory.title")
    jupyter.wait_for(lambda m: m["msg_type"] == "stream" and "waiting" in m["content"]["text"])
    jupyter.interrupt()
    jupyter.wait_for(lambda m: is_idle(m, waiting))

    error = error_of(jupyter.of(waiting))
    assert error["ename"] == "KeyboardInterrupt"
    assert "In this notebook, line 2: story.title" in "\n".join(error["traceback"])
    assert len(error["traceback"]) == 3
    assert becomes(lambda: endless.cancelled == cancelled + 1)


def test_interrupting_a_cell_that_awaits_cancels_the_request(
    jupyter: Notebook, endless: Sandbox
) -> None:
    cancelled = endless.cancelled

    jupyter.messages.clear()
    waiting = jupyter.begin(
        f"{chain_code(endless, 'a/endless')}\nawait tell(chain, 'an owl without end')"
    )
    jupyter.wait_for(lambda m: "words so far" in html_of(m))
    jupyter.interrupt()
    jupyter.wait_for(lambda m: is_idle(m, waiting))

    error = error_of(jupyter.of(waiting))
    assert "the story was stopped" in error["traceback"][0]
    assert len(error["traceback"]) == 3
    assert becomes(lambda: endless.cancelled == cancelled + 1)


def test_a_cell_that_is_run_again_stops_what_it_told_before(
    jupyter: Notebook, endless: Sandbox
) -> None:
    cancelled = endless.cancelled
    code = "story = tell(chain, 'a kite without end')"

    jupyter.messages.clear()
    jupyter.run(chain_code(endless, "a/endless"))
    jupyter.run(code, cell_id="one")
    jupyter.wait_for(lambda m: "words so far" in html_of(m))
    jupyter.messages.clear()
    jupyter.run(code, cell_id="one")
    assert becomes(lambda: endless.cancelled == cancelled + 1)

    jupyter.wait_for(lambda m: "words so far" in html_of(m))
    jupyter.run("story.stop()")
    assert becomes(lambda: endless.cancelled == cancelled + 2)


def test_sync_and_async_calls_work_inside_the_running_loop(
    jupyter: Notebook, sandbox: Sandbox
) -> None:
    code = (
        f"{chain_code(sandbox, 'a/fine')}\nimport asyncio\nawait asyncio.sleep(0)\n"
        "print(chain.invoke('a fox').title, (await tell(chain, 'a fox')).title, sep='; ')\n"
        "print(tell(chain, 'a fox', wait=True).title, len(tell_many(chain, ['an owl']).told))"
    )

    messages = jupyter.run(code)

    assert not error_of(messages)
    assert printed(messages).count("The Tale of") == 3


def test_an_error_is_told_in_a_few_lines_and_whole_by_tb(
    jupyter: Notebook, sandbox: Sandbox
) -> None:
    down = f"{chain_code(sandbox, 'a/down', 'b/fine')}\nchain = create_story_chain(['a/down'], "
    down += (
        f"retry=RetryPolicy(max_retries=1, retry_delay=0), api_key={sandbox.api_key!r}, "
        f"base_url={sandbox.base_url!r})\nchain.invoke('a fox')"
    )

    short = "\n".join(error_of(jupyter.run(down))["traceback"])
    whole = "\n".join(error_of(jupyter.run("%tb"))["traceback"])

    assert "No model answered in 2 tries" in short
    assert "In this notebook, line 5: chain.invoke('a fox')" in short
    assert len(short.splitlines()) < 10
    assert len(whole.splitlines()) > 40


def test_many_stories_interrupted_at_50_of_100_cost_50_requests_more(
    jupyter: Notebook,
) -> None:
    asked = count(1)
    is_full = threading.Event()

    def fault(_request: Mapping[str, Any]) -> Fault | None:
        number = next(asked)
        if number == 58:  # 50 are told, and all 8 workers wait
            is_full.set()
        return Fault(kind="hang") if 50 < number <= 58 else None

    code = "stories = tell_many(chain, [f'fox {n}' for n in range(100)], max_concurrency=8)\n"
    code += "print(len(stories.told), stories.missing)"
    with Sandbox(engine="scripted", faults={"a/b": fault}) as sandbox:
        jupyter.run(f"{chain_code(sandbox, 'a/b')}")
        running = jupyter.begin(code)
        assert is_full.wait(60)
        jupyter.interrupt()
        jupyter.wait_for(lambda m: is_idle(m, running))
        again = jupyter.run(code)

        assert "50 50\n" in printed(jupyter.of(running))
        assert "100 0\n" in printed(again)
        assert sandbox.requests == {"a/b": 58 + 50}


def test_a_bar_is_text_once_all_is_done(jupyter: Notebook, sandbox: Sandbox) -> None:
    jupyter.run(chain_code(sandbox, "a/fine"))

    messages = jupyter.run("stories = tell_many(chain, ['a fox', 'an owl'])")

    assert not error_of(messages)
    shown = [m for m in messages if m["msg_type"].endswith("display_data")]
    assert "application/vnd.jupyter.widget-view+json" in shown[0]["content"]["data"]
    last = shown[-1]["content"]
    assert last["transient"] == shown[0]["content"]["transient"], "it takes the widget's place"
    assert list(last["data"]) == ["text/plain"]
    assert "2/2" in last["data"]["text/plain"]


def test_a_cell_that_is_run_again_pays_nothing(jupyter: Notebook, sandbox: Sandbox) -> None:
    ask = "tell(chain, 'a kept fox', wait=True).cost_usd, chain.invoke('a kept fox').cost_usd"

    jupyter.run(chain_code(sandbox, "a/kept"))
    first, again = (jupyter.run(ask)[-2]["content"]["data"]["text/plain"] for _ in range(2))

    assert sandbox.requests["a/kept"] == 3, "what is no tale of a notebook's is not kept"
    assert not first.startswith("(0.0, ")
    assert again.startswith("(0.0, ")
