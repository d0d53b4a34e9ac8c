"""A sandbox that outlives the processes that ask it."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Final

from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

SERVER: Final = """
import asyncio, os, re, sys
from langchain_tale.sandbox import BatchManner, Sandbox
from langchain_tale.sandbox.engines import ScriptedEngine
from langchain_tale.sandbox.pieces import text_of

log = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def reply(body):
    [theme] = re.findall('about "([^"]*)"', text_of(body["messages"][-1]))
    os.write(log, (theme + "\\n").encode())
    return f"# A story\\n\\nOnce upon a time there was {theme}."

class Engine(ScriptedEngine):
    async def generate(self, request):
        items = [item async for item in super().generate(request)]
        await asyncio.sleep(float(sys.argv[4]))
        for item in items:
            yield item

manner = BatchManner(looks=int(sys.argv[3]))
with Sandbox(Engine(reply), port=int(sys.argv[1]), batches=manner) as sandbox:
    print(sandbox.port, sandbox.api_key, flush=True)
    sandbox.wait()
"""


class Server:
    """A scripted sandbox in a process of its own, which writes down what it is asked for.

    Args:
        log: Where it writes.
        looks: So often a batch is in progress when it is looked at.
        takes_s: Seconds that an answer takes.
    """

    def __init__(self, log: Path, looks: int = 0, *, takes_s: float = 0.0) -> None:
        self.log = log
        self.looks = looks
        self.takes_s = takes_s
        self.port = 0
        self.key = ""

    def start(self) -> Server:
        given = map(str, (self.port, self.log, self.looks, self.takes_s))
        command = [sys.executable, "-c", SERVER, *given]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)  # noqa: S603 (our own)
        assert self._process.stdout is not None
        port, self.key = self._process.stdout.readline().split()
        self.port = int(port)
        return self

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1"

    def asked(self) -> Counter[str]:
        return Counter(self.log.read_text().splitlines())
