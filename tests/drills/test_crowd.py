"""Five hundred calls at once while three in ten requests fail, and a server that is killed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from langchain_tale import ChatOpenRouter, RetryPolicy
from langchain_tale.sandbox import Fault, FaultMix
from tests.conftest import ROOT, chat_model
from tests.drills.telling import SICK, WELL, asking_for, heard, story_of, storyteller

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessageChunk

    from langchain_tale.sandbox.pytest_plugin import StartSandbox

pytestmark = pytest.mark.slow
CALLS = 500
MODELS = (SICK, WELL, "third/model")
LOUD: Any = [
    "http", "body", "html", "hangup", "reset", "choiceless", "starved", "choice", "midstream",
    "cut", "drop", "reset_midway", "gzip", "truncated", "length_under",
]  # fmt: skip
"""The kinds that a client notices, and without waiting for it."""
Told = tuple[str, list[dict[str, Any]]]


async def invoked(model: BaseChatModel, number: int) -> Told:
    answer = await model.ainvoke(asking_for(number))
    return answer.text, answer.response_metadata["attempts"]


async def streamed(
    model: BaseChatModel, number: int, begun: asyncio.Semaphore | None = None
) -> Told:
    chunks: list[AIMessageChunk] = []
    async for chunk in model.astream(asking_for(number)):
        if begun is not None and not chunks:
            begun.release()
        chunks.append(chunk)
    return heard(chunks), chunks[-1].response_metadata["attempts"]


async def test_each_of_a_crowd_has_its_own_story(openrouter_sandbox: StartSandbox) -> None:
    mix = FaultMix(share=0.3, kinds=[Fault(kind=kind, status=502) for kind in LOUD], seed=7)
    sandbox = openrouter_sandbox({"*": mix}, engine=storyteller())
    policy = RetryPolicy(max_retries=9, retry_delay=0.05)
    llm = chat_model(sandbox, SICK).with_retry(policy, breaker=None, on_broken_stream="continue")
    model: Any = llm.with_fallbacks(MODELS[1:])

    ways = (invoked, streamed)
    told = await asyncio.gather(*(ways[n % 2](model, n) for n in range(CALLS)))

    assert [text for text, _ in told] == [story_of(number) for number in range(CALLS)]
    attempts = [attempt for _, log in told for attempt in log]
    failed = Counter(attempt["model"] for attempt in attempts if attempt["error"])
    ordered: Counter[str] = Counter()
    for (name, _), times in sandbox.failures.items():
        ordered[name] += times
    assert failed == ordered
    assert Counter(attempt["model"] for attempt in attempts) == sandbox.requests
    assert 0.25 < sandbox.failures.total() / len(attempts) < 0.35
    assert {kind for _, kind in sandbox.failures} == set(LOUD)
    assert sandbox.most_at_once > CALLS / 10


# ── a server that is killed ─────────────────────────────────────────────────

SERVER = """
import sys
from langchain_tale.sandbox import Fault, Sandbox
from tests.drills.telling import storyteller

slowly = {"*": lambda body: Fault(kind="drip", delay_s=0.02 if body.get("stream") else 0.002)}
with Sandbox(storyteller(), port=int(sys.argv[1]), faults=slowly) as sandbox:
    print(sandbox.port, sandbox.api_key, flush=True)
    sandbox.wait()
"""


class Server:
    """A sandbox in a process of its own, which can be killed, and started again where it was."""

    port = 0
    key = ""

    def start(self) -> Server:
        command = [sys.executable, "-c", SERVER, str(self.port)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)  # noqa: S603 (our own)
        assert self._process.stdout is not None
        port, self.key = self._process.stdout.readline().split()
        self.port = int(port)
        return self

    def kill(self) -> None:
        """As `kill -9` does: nothing is said to anybody."""
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server().start()
    yield server
    server.kill()


async def test_who_was_amid_a_story_hears_the_rest_of_it(server: Server) -> None:
    calls = 40
    policy = RetryPolicy(max_retries=100, retry_delay=0.2, multiplier=1, attempt_timeout_s=20)
    url = f"http://127.0.0.1:{server.port}/api/v1"
    llm = ChatOpenRouter(model=SICK, api_key=server.key, base_url=url)
    model = llm.with_retry(policy, on_broken_stream="continue")
    begun = asyncio.Semaphore(0)

    asked = [
        asyncio.create_task(streamed(model, n, begun) if n % 2 else invoked(model, n))
        for n in range(calls)
    ]
    for _ in range(calls // 4):
        await begun.acquire()
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)
    told = await asyncio.gather(*asked)

    assert [text for text, _ in told] == [story_of(number) for number in range(calls)]
    first = Counter(log[0]["error"] for _, log in told)
    assert first["ConnectionFailedError"] >= calls // 4
