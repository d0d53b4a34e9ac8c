"""`tell` outside of a notebook, where it prints."""

from __future__ import annotations

import asyncio
import signal
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableLambda

from langchain_tale import ConfigurationError, StoryGenerationResult, create_story_chain
from langchain_tale.display import StoryStoppedError, Telling, tell
from langchain_tale.errors import BrokenStreamError
from langchain_tale.sandbox import Fault
from tests.display.kernel import becomes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_core.runnables import Runnable

    from langchain_tale.sandbox import Sandbox
    from langchain_tale.sandbox.pytest_plugin import StartSandbox

ENDLESS = Fault(kind="keepalive", after_chunks=15, delay_s=0.02)


def chain_of(*models: str, **options: Any) -> Runnable[Any, StoryGenerationResult]:
    return create_story_chain(list(models), **options)


@pytest.fixture
def sandbox(faulty: StartSandbox) -> Sandbox:
    broken = Fault(kind="cut", after_chunks=15)
    return faulty({"a/endless": [ENDLESS] * 9, "a/broken": [broken] * 9})


def grown(telling: Telling) -> Telling:
    """A telling that has shown something."""
    assert becomes(lambda: bool(telling.text_so_far))
    return telling


def test_a_story_is_printed_as_it_grows(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    telling = tell(chain_of("a/b"), "a fox")
    printed = capsys.readouterr().out

    assert printed.startswith(f"{telling.title}\n\n{telling.content}\n\n")
    assert "\ntold by: a/b" in printed
    assert telling.is_over
    assert telling.text_so_far == telling.content
    assert isinstance(telling.result(), StoryGenerationResult)


def test_stopping_cancels_the_request(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    telling = grown(tell(chain_of("a/endless"), "a fox", wait=False))

    telling.stop()

    assert telling.is_over
    assert becomes(lambda: sandbox.cancelled == 1)
    with pytest.raises(StoryStoppedError) as caught:
        telling.result()
    assert caught.value.partial_text == telling.text_so_far != ""
    assert "the request was cancelled" in capsys.readouterr().out


@pytest.mark.usefixtures("_ctrl_c")
def test_ctrl_c_cancels_the_request(
    faulty: StartSandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    main = threading.main_thread().ident
    assert main is not None

    def interrupting(_request: Mapping[str, Any]) -> Fault:
        signal.pthread_kill(main, signal.SIGINT)
        return ENDLESS

    sandbox = faulty({"a/b": interrupting})

    with pytest.raises(KeyboardInterrupt):
        tell(chain_of("a/b"), "a fox", wait=True)

    assert becomes(lambda: sandbox.cancelled == 1)
    assert "the request was cancelled" in capsys.readouterr().out


def test_stopping_what_is_over_changes_nothing(sandbox: Sandbox) -> None:
    telling = tell(chain_of("a/b"), "a fox")

    telling.stop()

    assert telling.content


def test_a_story_that_breaks_raises_and_keeps_what_was_told(sandbox: Sandbox) -> None:
    with pytest.raises(BrokenStreamError) as caught:
        tell(chain_of("a/broken"), "a fox")

    assert caught.value.partial_text


def test_a_story_that_begins_again_is_told_again(
    faulty: StartSandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    faulty({"a/b": [Fault(kind="cut", after_chunks=15), None]})

    telling = tell(chain_of("a/b", "c/d", on_broken_stream="restart"), "a fox")
    printed = capsys.readouterr().out

    assert printed.count("(It begins again.)") == 1
    assert telling.content in printed.partition("(It begins again.)")[2]


def test_a_request_that_is_not_allowed_is_an_error_of_one_sentence(sandbox: Sandbox) -> None:
    with pytest.raises(ConfigurationError, match=r"StoryRequest\.age"):
        tell(chain_of("a/b"), {"theme": "a fox", "age": 99})

    assert not sandbox.requests


def test_another_chain_is_refused() -> None:
    chain: Any = RunnableLambda(str.upper)

    with pytest.raises(ConfigurationError, match="this chain gave a str"):
        tell(chain, "a fox")


def test_whatever_is_raised_reaches_whoever_waits() -> None:
    def interrupted(_request: str) -> str:
        raise KeyboardInterrupt

    for _ in range(2):  # and the next telling works all the same
        with pytest.raises(KeyboardInterrupt):
            tell(RunnableLambda(interrupted), "a fox")  # type: ignore[arg-type]  # on purpose


def test_only_what_a_result_has_can_be_asked_of_a_telling(sandbox: Sandbox) -> None:
    telling = tell(chain_of("a/b"), "a fox")

    assert telling.to_dict()["title"] == telling.title
    with pytest.raises(AttributeError, match="'Telling' object has no attribute 'moral'"):
        _ = telling.moral
    assert repr(telling).startswith("<Telling: over, ")


def test_looking_at_a_telling_does_not_wait(sandbox: Sandbox) -> None:
    telling = tell(chain_of("a/endless"), "a fox", wait=False)

    assert repr(telling).startswith("<Telling: being told, ")
    assert not hasattr(telling, "_repr_html_")
    telling.stop()


async def test_a_telling_can_be_awaited(sandbox: Sandbox) -> None:
    story = await tell(chain_of("a/b"), "a fox", wait=False)

    assert story.content


async def test_whoever_is_cancelled_cancels_the_story(sandbox: Sandbox) -> None:
    telling = tell(chain_of("a/endless"), "a fox", wait=False)
    waiting = asyncio.ensure_future(telling._aresult())
    await asyncio.sleep(0)

    waiting.cancel()
    await asyncio.wait([waiting])

    assert waiting.cancelled()
    assert telling.is_over


def test_callbacks_and_context_of_the_caller_are_kept(sandbox: Sandbox) -> None:
    mark: ContextVar[str] = ContextVar("mark", default="")
    seen: list[str] = []

    class Handler(BaseCallbackHandler):
        def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
            seen.append(mark.get())

    mark.set("mine")
    tell(chain_of("a/b"), "a fox", config={"callbacks": [Handler()]})

    assert set(seen) == {"mine"}
