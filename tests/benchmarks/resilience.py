"""The drill: our policy and its peers through the same failures.

```
uv run --group bench python -m tests.benchmarks.resilience
uv run python -m tests.benchmarks.resilience --policy ours --scenario "dead primary"
```

prints one Markdown table of one run. Each cell is 200 logical calls over three models (`all dead`:
20), 20 at once, in a process of its own, beside a server in another; after 45 s it is cut off.
`tests/benchmarks/scenarios.py` says what goes wrong. A peer that is not installed is left out.

- *served*: calls that got the story they asked for, whole. *wrong*: calls that were given an
  empty, partial or foreign text as if it were one.
- *early returns*: requests to a model within the Retry-After that it had given: to the same
  call, or to any other before this one began.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.benchmarks.calling import CAP_S
from tests.benchmarks.fault_server import ROOT, FaultServer, Request
from tests.benchmarks.policies import POLICIES, Policy
from tests.benchmarks.scenarios import AT_ONCE, PRIMARY, SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SETTING_UP_S: Final = 180
_ON_ITS_WAY_S: Final = 0.01
"""How long a reply takes to be known to the client's next call, at most."""

COLUMNS: Final = (
    "scenario",
    "policy",
    "served",
    "wrong",
    "requests",
    "per call",
    "to the primary",
    "early returns",
    "wall s",
)


class NotRunError(Exception):
    """A policy that cannot be run here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One policy in one scenario.

    Attributes:
        calls: Logical calls.
        served: Those that got their story.
        wrong: Those that got another text for it.
        unfinished: Those that had not ended when time was up.
        errors: How often a call failed with which error.
        wall_s: From the first call's beginning to the last one's end.
        log: What the server saw.
    """

    calls: int
    served: int
    wrong: int
    failed: int
    unfinished: int
    errors: dict[str, int]
    wall_s: float
    log: Sequence[Request]

    @property
    def requests(self) -> int:
        return len(self.log)

    @property
    def to_primary(self) -> int:
        return sum(request.model == PRIMARY for request in self.log)

    @property
    def early_returns(self) -> int:
        return early_returns(self.log)


def early_returns(log: Sequence[Request]) -> int:
    """How many requests came to a model that had asked to be left alone for longer."""
    refusals = [request for request in log if request.retry_after_s is not None]
    return sum(any(_is_early(request, told) for told in refusals) for request in log)


def _is_early(request: Request, told: Request) -> bool:
    since_s = request.came_s if request.call == told.call else request.begun_s
    rest_s = told.retry_after_s or 0
    return (
        request.model == told.model
        and request is not told
        and since_s > told.left_s + (0.0 if request.call == told.call else _ON_ITS_WAY_S)
        and request.came_s < told.left_s + rest_s
    )


def run(policy: str, scenario: str, at_once: int = AT_ONCE) -> Cell:
    """Send all calls of a scenario through a policy, so many at once.

    Raises:
        NotRunError: It ended with an error; mostly what it needs is not here.
    """
    command = [*_python(POLICIES[policy]), "-m", "tests.benchmarks.calling", policy]
    calls = SCENARIOS[scenario].calls
    with FaultServer(scenario) as server:
        ran = subprocess.run(  # noqa: S603 (ourselves)
            [*command, server.url, str(calls), str(at_once)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=CAP_S + _SETTING_UP_S,
            check=False,
        )
        if ran.returncode:
            said = ran.stderr.strip().splitlines() or [f"exit code {ran.returncode}"]
            raise NotRunError(said[-1])
        return Cell(calls=calls, log=server.requests(), **json.loads(ran.stdout.splitlines()[-1]))


def _python(policy: Policy) -> list[str]:
    if policy.requirement is None:
        return [sys.executable]
    uv = shutil.which("uv")
    if uv is None:
        msg = f"uv is not there to install {policy.requirement} apart from the rest"
        raise NotRunError(msg)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    with_it = ("--no-project", "--python", version, "--with", policy.requirement)
    return [uv, "run", "--quiet", *with_it, "python"]


def row(scenario: str, title: str, cell: Cell) -> str:
    """A line of the table."""
    wall = f"> {CAP_S:.0f}" if cell.unfinished else f"{cell.wall_s:.1f}"
    values = (
        scenario,
        title,
        f"{cell.served} of {cell.calls}",
        cell.wrong,
        cell.requests,
        f"{cell.requests / cell.calls:.2f}",
        cell.to_primary,
        cell.early_returns,
        wall,
    )
    return _line(values)


def _line(values: Iterable[object]) -> str:
    return f"| {' | '.join(map(str, values))} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--policy", action="append", choices=POLICIES, metavar="NAME")
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, metavar="NAME")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, metavar="N")
    chosen = parser.parse_args()
    lines = [_line(COLUMNS), _line("---" for _ in COLUMNS)]
    for scenario in chosen.scenario or SCENARIOS:
        for policy in chosen.policy or POLICIES:
            title = POLICIES[policy].title
            try:
                cell = run(policy, scenario, chosen.at_once)
            except NotRunError as error:
                sys.stderr.write(f"{scenario}, {title}: not run ({error})\n")
                continue
            lines.append(row(scenario, title, cell))
            sys.stderr.write(f"{lines[-1]} {cell.errors or ''}\n")
    sys.stdout.write("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
