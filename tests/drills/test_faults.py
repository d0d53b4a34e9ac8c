"""Every fault in every way of asking, a crowd under mixed faults, and a server that dies."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from langchain_tale import RetryPolicy
from langchain_tale.errors import ConfigurationError
from langchain_tale.resilience.chat_models import ResilientChatModel, resilient
from langchain_tale.sandbox import FAULT_KINDS, Fault, FaultMix, Sandbox
from langchain_tale.sandbox.engines import ScriptedEngine
from tests.conftest import chat_model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

pytestmark = pytest.mark.slow
PRIMARY, SECOND, THIRD = "a/primary", "b/second", "c/third"
HARMLESS = {"drip", "no_done"}
"""What a reader should not even notice."""


def echo(body: Mapping[str, Any]) -> str:
    return f"Once upon a time {body['messages'][0]['content']} slept soundly in a nest of leaves."


def fault_of(kind: Any) -> Fault:
    status = 502 if kind == "html" else 503
    return Fault(kind=kind, status=status, delay_s=0.001, after_chunks=4)


def safe(sandbox: Sandbox, *models: str, **options: Any) -> ResilientChatModel:
    policy = RetryPolicy(max_retries=8, retry_delay=0.05)
    given = {"retry": policy, "on_broken_stream": "continue", **options}
    return resilient([chat_model(sandbox, model) for model in models], **given)


def streamed(model: ResilientChatModel, question: str) -> str:
    return "".join(chunk.text for chunk in model.stream(question))


async def astreamed(model: ResilientChatModel, question: str) -> str:
    return "".join([chunk.text async for chunk in model.astream(question)])


@pytest.mark.parametrize("kind", FAULT_KINDS)
@pytest.mark.parametrize("mode", ["continue", "restart"])
async def test_every_fault_is_served_in_every_way(
    faulty: Callable[..., Sandbox], kind: str, mode: Any
) -> None:
    sandbox = faulty({PRIMARY: [fault_of(kind)] * 6}, engine=ScriptedEngine(echo))
    policy = RetryPolicy(max_retries=8, retry_delay=0.05, attempt_timeout_s=2)
    model = safe(sandbox, PRIMARY, SECOND, on_broken_stream=mode, retry=policy)
    expected = echo({"messages": [{"content": "a fox"}]})

    answers: tuple[Any, ...] = await asyncio.gather(
        asyncio.to_thread(lambda: model.invoke("a fox").text),
        asyncio.to_thread(lambda: model.batch(["a fox"])[0].text),
        asyncio.to_thread(streamed, model, "a fox"),
        model.ainvoke("a fox"),
        astreamed(model, "a fox"),
    )

    texts: list[str] = [getattr(answer, "text", answer) for answer in answers]
    assert all(text.endswith(expected) for text in texts)
    if mode == "continue":
        assert set(texts) == {expected}
    assert sandbox.requests[PRIMARY] == 5
    assert (SECOND in sandbox.requests) is (kind not in HARMLESS)


async def test_a_crowd_under_mixed_faults_is_served_each_its_own(
    faulty: Callable[..., Sandbox],
) -> None:
    kinds: list[Fault] = [Fault(status=500), Fault(status=429), Fault(kind="body", status=502)]
    kinds += [Fault(kind="choice"), Fault(kind="starved"), Fault(kind="html")]
    kinds += [Fault(kind="reset"), Fault(kind="truncated")]
    mix = FaultMix(share=0.3, kinds=kinds, seed=7)
    models = (PRIMARY, SECOND, THIRD)
    sandbox = faulty(dict.fromkeys(models, mix), engine=ScriptedEngine(echo))
    model = safe(sandbox, *models, breaker=None)
    questions = [f"fox {number}" for number in range(500)]

    halves = await asyncio.gather(
        asyncio.gather(*(model.ainvoke(question) for question in questions[:250])),
        asyncio.gather(*(astreamed(model, question) for question in questions[250:])),
    )

    told = [answer.text for answer in halves[0]] + list(halves[1])
    assert told == [echo({"messages": [{"content": question}]}) for question in questions]
    assert 600 < sum(sandbox.requests.values()) < 900


def test_each_input_of_a_batch_keeps_its_own_answer(faulty: Callable[..., Sandbox]) -> None:
    mix = FaultMix(share=0.5, kinds=[Fault(status=500), Fault(kind="cut")], seed=3)
    sandbox = faulty({PRIMARY: mix, SECOND: mix}, engine=ScriptedEngine(echo))
    questions: list[Any] = [f"hedgehog {number}" for number in range(60)]

    answers = safe(sandbox, PRIMARY, SECOND, breaker=None).batch(questions)

    assert [answer.text for answer in answers] == [
        echo({"messages": [{"content": question}]}) for question in questions
    ]


def test_a_server_that_dies_and_comes_back_is_waited_for() -> None:
    first = Sandbox(engine=ScriptedEngine(echo), faults={PRIMARY: [Fault(kind="hang")]}).start()
    port = first.port
    policy = RetryPolicy(max_retries=50, retry_delay=0.05, max_delay_s=0.2)
    model = resilient([chat_model(first, PRIMARY)], retry=policy)
    answers: list[str] = []
    asking = threading.Thread(target=lambda: answers.append(model.invoke("a fox").text))

    asking.start()
    while not first.requests:  # until it hangs on the server that is about to die
        asking.join(0.01)
    first.stop()
    with Sandbox(engine=ScriptedEngine(echo), port=port):
        asking.join(30)

    assert answers == [echo({"messages": [{"content": "a fox"}]})]


def test_no_fault_is_left_out() -> None:
    with pytest.raises((ConfigurationError, ValueError)):
        Fault(kind="unheard-of")  # type: ignore[arg-type]  # what is tested
