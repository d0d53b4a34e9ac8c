"""A batch under mixed faults, and a server that dies and comes back."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from langchain_tale import RetryPolicy
from langchain_tale.resilience.chat_models import ResilientChatModel, resilient
from langchain_tale.sandbox import Fault, FaultMix, Sandbox
from langchain_tale.sandbox.engines import ScriptedEngine
from tests.conftest import chat_model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

pytestmark = pytest.mark.slow
PRIMARY, SECOND = "a/primary", "b/second"


def echo(body: Mapping[str, Any]) -> str:
    return f"Once upon a time {body['messages'][0]['content']} slept soundly in a nest of leaves."


def safe(sandbox: Sandbox, *models: str, **options: Any) -> ResilientChatModel:
    policy = RetryPolicy(max_retries=8, retry_delay=0.05)
    given = {"retry": policy, "on_broken_stream": "continue", **options}
    return resilient([chat_model(sandbox, model) for model in models], **given)


def test_each_input_of_a_batch_keeps_its_own_answer(faulty: Callable[..., Sandbox]) -> None:
    mix = FaultMix(share=0.3, kinds=[Fault(status=500), Fault(kind="cut")], seed=3)
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
