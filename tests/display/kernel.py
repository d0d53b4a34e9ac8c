"""A real Jupyter kernel, spoken to as a front end does."""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from queue import Empty
from typing import TYPE_CHECKING, Any

from jupyter_client.manager import KernelManager

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from langchain_tale.sandbox import Sandbox

PATIENCE_S = 60.0
Message = dict[str, Any]


class Notebook:
    """A front end: runs cells, collects what they show, presses buttons and Jupyter's ■."""

    def __init__(self, manager: KernelManager) -> None:
        self._manager = manager
        self._client = manager.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=PATIENCE_S)
        self.messages: list[Message] = []

    def begin(self, code: str, *, is_watched: bool = True, cell_id: str | None = None) -> str:
        """Send a cell; the id of the request."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": is_watched,
            "stop_on_error": False,
        }
        message = self._client.session.msg("execute_request", content)
        message["metadata"] = {"cellId": cell_id} if cell_id else {}
        self._client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def run(self, code: str, **options: Any) -> list[Message]:
        """Run a cell to its end; what it sent."""
        request = self.begin(code, **options)
        self.wait_for(lambda message: is_idle(message, request))
        return self.of(request)

    def of(self, request: str) -> list[Message]:
        """What one cell has sent so far."""
        return [m for m in self.messages if m["parent_header"].get("msg_id") == request]

    def wait_for(self, is_it: Callable[[Message], bool]) -> Message:
        """The first message, of those seen and those to come, for which `is_it` holds."""
        for message in self.messages:
            if is_it(message):
                return message
        ends_at = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends_at:
            try:
                message = self._client.get_iopub_msg(timeout=1)
            except Empty:
                continue
            self.messages.append(message)
            if is_it(message):
                return message
        seen = [(m["msg_type"], str(m["content"])[:300]) for m in self.messages[-8:]]
        raise AssertionError(seen)

    def click(self, comm_id: str) -> None:
        """Press a button."""
        click = {"method": "custom", "content": {"event": "click"}, "buffers": []}
        message = self._client.session.msg("comm_msg", {"comm_id": comm_id, "data": click})
        self._client.shell_channel.send(message)

    def interrupt(self) -> None:
        """Press ■."""
        self._manager.interrupt_kernel()

    def close(self) -> None:
        self._client.stop_channels()


@contextmanager
def notebook(runtime: Path) -> Iterator[Notebook]:
    """A kernel for as long as the body runs."""
    manager = KernelManager(
        kernel_name="python3", transport="ipc", ip=str(runtime / "k"),
        connection_file=str(runtime / "kernel.json"),
    )  # fmt: skip
    here = {"HOME": str(runtime), "IPYTHONDIR": str(runtime / "ipython")}
    manager.start_kernel(cwd=str(runtime), env={**os.environ, **here})
    try:
        front_end = Notebook(manager)
        yield front_end
        front_end.close()
    finally:
        manager.shutdown_kernel(now=True)


def becomes(is_true: Callable[[], bool]) -> bool:
    """Whether it is true within the time that a server needs to see a connection close."""
    nap, ends_at = threading.Event(), time.monotonic() + PATIENCE_S
    while not is_true() and time.monotonic() < ends_at:
        nap.wait(0.01)
    return is_true()


def is_idle(message: Message, request: str) -> bool:
    is_of_it = message["parent_header"].get("msg_id") == request
    return is_of_it and bool(message["content"].get("execution_state") == "idle")


def html_of(message: Message) -> str:
    """The HTML of a display, new or redrawn; empty for other messages."""
    return str(message["content"].get("data", {}).get("text/html", ""))


def printed(messages: list[Message]) -> str:
    """What a cell printed to stdout and stderr."""
    return "".join(m["content"]["text"] for m in messages if m["msg_type"] == "stream")


def error_of(messages: list[Message]) -> Message:
    """The error of a cell; empty where there was none."""
    return next((m["content"] for m in messages if m["msg_type"] == "error"), {})


def button_of(messages: list[Message]) -> str:
    """The id of the button's comm."""
    opened = (m["content"] for m in messages if m["msg_type"] == "comm_open")
    models = ((each["comm_id"], each["data"]["state"]) for each in opened)
    return next(str(comm) for comm, state in models if state["_model_name"] == "ButtonModel")


def chain_code(sandbox: Sandbox, *models: str) -> str:
    """Python that makes `chain`."""
    return (
        "from langchain_tale import *\nfrom langchain_tale.display import *\n"
        f"chain = create_story_chain({list(models)!r}, api_key={sandbox.api_key!r}, "
        f"base_url={sandbox.base_url!r})"
    )
