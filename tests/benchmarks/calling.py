"""All calls of one policy through one scenario, in a process of its own.

`python -m tests.benchmarks.calling POLICY URL CALLS AT_ONCE` prints a line of JSON: how many calls
were served, got a text that is not the story they asked for, failed, or had not ended after 45 s.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from tests.benchmarks.policies import POLICIES, Policy
from tests.benchmarks.scenarios import prompt_of, story

if TYPE_CHECKING:
    from tests.benchmarks.policies import Ask

CAP_S: Final = 45.0
_NOT_OURS: Final = ("OPENAI_", "OPENROUTER_", "LANGSMITH_", "LANGCHAIN_", "TALE_")


async def _one(ask: Ask, call: int, seats: asyncio.Semaphore) -> str:
    async with seats:
        try:
            text = await ask(prompt_of(call, time.monotonic()))
        except Exception as error:  # noqa: BLE001 (peers raise what they like)
            return f"failed: {type(error).__name__}"
        return "served" if text == story(call) else "wrong"


async def _all(policy: Policy, url: str, calls: int, at_once: int) -> dict[str, object]:
    await policy.build(f"{url}/warm/api/v1")(prompt_of(0, 0.0))  # imports, caches
    ask, seats = policy.build(f"{url}/api/v1"), asyncio.Semaphore(at_once)
    began_s = time.monotonic()
    tasks = [asyncio.create_task(_one(ask, call, seats)) for call in range(1, calls + 1)]
    done, waiting = await asyncio.wait(tasks, timeout=CAP_S)
    wall_s = time.monotonic() - began_s
    ends = Counter(task.result() for task in done)
    errors = {end: n for end, n in ends.items() if end.startswith("failed")}
    return {
        "served": ends["served"],
        "wrong": ends["wrong"],
        "failed": sum(errors.values()),
        "unfinished": len(waiting),
        "wall_s": wall_s,
        "errors": errors,
    }


async def _main() -> None:
    name, url, calls, at_once = sys.argv[1:]
    counts = await _all(POLICIES[name], url, int(calls), int(at_once))
    print(json.dumps(counts), flush=True)  # noqa: T201 (its result)
    os._exit(0)  # what never ends ends here


if __name__ == "__main__":
    logging.disable()
    for variable in list(os.environ):
        if variable.startswith(_NOT_OURS) or variable.lower().endswith("_proxy"):
            del os.environ[variable]
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it is fetched, and asked for again
    asyncio.run(_main())
