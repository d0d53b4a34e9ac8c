"""What all tests share: a scripted sandbox, a clock that only moves when told, no environment."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from langchain_tale.openrouter.chat_models import ChatOpenRouter
from langchain_tale.resilience.attempts import Timing
from langchain_tale.resilience.breaker import reset_circuits
from langchain_tale.sandbox import Sandbox
from langchain_tale.settings import OPENROUTER_BASE_URL
from langchain_tale.telemetry.disclosure import ALLOWED
from langchain_tale.telemetry.emitting import LOGGER
from langchain_tale.telemetry.logs import TaleHandler
from tests.recording import VCR_CONFIG, every_request_recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vcr.cassette import Cassette

    from langchain_tale.sandbox.pytest_plugin import StartSandbox

pytest_plugins = ["langchain_tale.sandbox.pytest_plugin"]
settings.register_profile("langchain_tale", deadline=None)  # a busy machine is no failure
settings.load_profile("langchain_tale")
ROOT = Path(__file__).parent.parent
LIVE_KEY = os.environ.get("OPENROUTER_API_KEY")
RECORDED_KEY = "sk-or-v1-cassette"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--live",
        action="store_true",
        help="record cassettes from OpenRouter itself; needs OPENROUTER_API_KEY and a record mode",
    )


@pytest.fixture(scope="session")
def _empty_directory(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """A function that gives an empty directory: the same one, until something was left in it.

    A new one for each of thousands of tests costs more than many of them, to make and to remove.
    """
    made: list[Path] = []

    def empty() -> Path:
        if not (made and made[-1].is_dir() and not any(made[-1].iterdir())):
            made.append(tmp_path_factory.mktemp("cwd"))
        return made[-1]

    return empty


@pytest.fixture(autouse=True)
def _bare_environment(
    monkeypatch: pytest.MonkeyPatch, _empty_directory: Callable[[], Path]
) -> None:
    """No key, no `.env` and nothing of OpenAI's or ours reaches a test by accident."""
    for name in list(os.environ):
        if name.startswith(("OPENROUTER_", "OPENAI_", "TALE_", "LANGSMITH_", "LANGCHAIN_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(_empty_directory())
    reset_circuits()  # recordings share one base URL


@pytest.fixture(autouse=True)
def _bare_logger() -> Iterator[None]:
    """No test leaves its logging behind."""
    yield
    for handler in list(LOGGER.handlers):
        if isinstance(handler, TaleHandler):
            LOGGER.removeHandler(handler)
    LOGGER.setLevel(logging.NOTSET)
    LOGGER.propagate = True
    ALLOWED.prompts = ALLOWED.responses = False


class FakeTime:
    """A clock that moves only when somebody sleeps; `slept` has every wait."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)

    def timing(self) -> Timing:
        return Timing(
            clock=lambda: self.now,
            sleep=self.sleep,
            asleep=self.asleep,
            uniform=lambda low, _high: low,
        )


@pytest.fixture
def fake_time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(engine="scripted", lateness_s=0.0) as running:
        yield running


@pytest.fixture
def faulty(openrouter_sandbox: StartSandbox) -> StartSandbox:
    """A function that starts a scripted sandbox with faults: `faulty({"a/b": [Fault(...)]})`."""
    return openrouter_sandbox


@pytest.fixture
def llm(sandbox: Sandbox) -> ChatOpenRouter:
    return chat_model(sandbox)


def chat_model(
    sandbox: Sandbox, model: str = "openai/gpt-4o-mini", **options: Any
) -> ChatOpenRouter:
    """A chat model that talks to `sandbox`, without retries of its own."""
    given = {"max_retries": 0, "api_key": sandbox.api_key, "base_url": sandbox.base_url, **options}
    return ChatOpenRouter(model=model, **given)


# ── cassettes ───────────────────────────────────────────────────────────────


@pytest.fixture(scope="session")
def vcr_config() -> dict[str, Any]:
    return VCR_CONFIG


@pytest.fixture(scope="module")
def vcr_cassette_dir(request: pytest.FixtureRequest) -> str:
    return str(ROOT / "cassettes" / request.path.stem)


@pytest.fixture(autouse=True)
def _no_cassette_miss(
    request: pytest.FixtureRequest, vcr: Cassette | None, record_mode: str
) -> Iterator[None]:
    if vcr is None:
        yield
        return
    with every_request_recorded(vcr, is_replay=record_mode == "none"):
        yield


@pytest.fixture
def recorded(
    request: pytest.FixtureRequest, record_mode: str
) -> Iterator[Callable[..., dict[str, Any]]]:
    """`recorded(**sandbox_options)`: the `api_key` and `base_url` that a recorded test talks to.

    On replay nothing is started. When recording it is a sandbox with those options, or with
    `--live` OpenRouter.
    """
    running: list[Sandbox] = []

    def address(**options: Any) -> dict[str, Any]:
        if record_mode == "none":
            return {"api_key": RECORDED_KEY, "base_url": OPENROUTER_BASE_URL}
        if request.config.getoption("--live"):
            if LIVE_KEY is None:
                pytest.fail("--live needs OPENROUTER_API_KEY")
            return {"api_key": LIVE_KEY, "base_url": OPENROUTER_BASE_URL}
        running.append(Sandbox(lateness_s=0.0, **options).start())
        return {"api_key": running[-1].api_key, "base_url": running[-1].base_url}

    yield address
    for one in running:
        one.stop()
