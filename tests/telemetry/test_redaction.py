"""Secrets go in, failures of every kind happen, and nothing that comes out holds a secret.

`PATHS` has every way out of the process that text may take: add to it what is new. Each is
given a `Trial`, after all of it is over, and returns texts. What LangChain itself shows is left
out: it hands the messages to callbacks and traces, by contract.
"""

from __future__ import annotations

import io
import json
import logging
import pickle
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from pythonjsonlogger.json import JsonFormatter

from langchain_tale.client import OpenRouterClient
from langchain_tale.errors import AllModelsFailedError, ExternalServiceError, UnparsableReplyError
from langchain_tale.openrouter.chat_models import ChatOpenRouter
from langchain_tale.resilience.policy import RetryPolicy
from langchain_tale.sandbox import Fault, Sandbox
from langchain_tale.sandbox.faults import FAULT_KINDS
from langchain_tale.sandbox.script import ScriptedEngine
from langchain_tale.story.chain import create_story_chain
from langchain_tale.story.request import StoryRequest
from langchain_tale.telemetry.audit import AuditLog
from langchain_tale.telemetry.emitting import LOGGER, listen
from langchain_tale.telemetry.logs import ConsoleLines, JsonLines
from langchain_tale.telemetry.metrics import StoryMetrics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_tale.telemetry.events import Event

KEY: Final = "sk-or-v1-0123456789abcdef-zanzibar"
OTHER_KEY: Final = "a key of some other shape: oxbow-lake"
NAME: Final = "Xanthippe"
WORDS: Final = ("quokka", "marzipan", "lighthouse", "periwinkle")
REQUEST: Final = StoryRequest(
    theme="a quokka who bakes marzipan",
    child_name=NAME,
    age=5,
    interests=("periwinkle",),
    setting="a lighthouse",
)
ENDLESS: Final = ("hang", "hang_midway", "keepalive")
RETRY: Final = RetryPolicy(max_retries=2, retry_delay=0.0)
SECRET_KEYS: Final = (KEY, OTHER_KEY, "zanzibar"[:-2], "oxbow")
PERSONAL: Final = (NAME, *WORDS)


@dataclass
class Trial:
    """One call, and what came of it.

    Attributes:
        logs: What each formatter wrote at DEBUG.
        events: What listeners heard.
        custom: What LangChain's handlers heard of them.
        error: What was raised, if anything.
        things: Public objects that took part or came out.
        metrics: What was counted.
        audit: The file that has each request.
    """

    logs: dict[str, io.StringIO] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    custom: list[Any] = field(default_factory=list)
    error: BaseException | None = None
    things: list[Any] = field(default_factory=list)
    metrics: StoryMetrics = field(default_factory=StoryMetrics)
    audit: Path = Path()

    @property
    def errors(self) -> list[BaseException]:
        """The error, all that led to it, and those of the attempts."""
        found: list[BaseException] = []
        todo = [self.error]
        while todo:
            error = todo.pop()
            if error is None or error in found:
                continue
            found.append(error)
            todo += [error.__cause__, error.__context__]
            if isinstance(error, AllModelsFailedError):
                todo += [attempt.error for attempt in error.attempts]
        return found


# ── the ways out ────────────────────────────────────────────────────────────


def lines_of_logs(trial: Trial) -> Iterable[str]:
    return (log.getvalue() for log in trial.logs.values())


def events(trial: Trial) -> Iterable[str]:
    for event in trial.events:
        yield from (str(event), repr(event), json.dumps(event.to_dict()))


def custom_events(trial: Trial) -> Iterable[str]:
    return map(repr, trial.custom)


def own_errors(trial: Trial) -> Iterable[str]:
    for error in trial.errors:
        if isinstance(error, ExternalServiceError):
            yield from (str(error), repr(error), repr(error.args), *getattr(error, "__notes__", ()))
        if isinstance(error, AllModelsFailedError):
            yield from (repr(error.attempts), json.dumps([a.to_dict() for a in error.attempts]))


def tracebacks(trial: Trial) -> Iterable[str]:
    for error in trial.errors[:1]:
        yield "".join(traceback.format_exception(error))


def reprs(trial: Trial) -> Iterable[str]:
    for thing in trial.things:
        yield from (repr(thing), str(thing))


def pickles(trial: Trial) -> Iterable[bytes]:
    return (pickle.dumps(thing) for thing in (*trial.things[:-2], *trial.events))


def pickled_errors(trial: Trial) -> Iterable[bytes]:
    """They keep what the server and the model said, as attributes: but no key."""
    return (
        pickle.dumps(error) for error in trial.errors if isinstance(error, ExternalServiceError)
    )


def bodies_of_errors(trial: Trial) -> Iterable[str]:
    return (repr(vars(error)) for error in trial.errors if isinstance(error, ExternalServiceError))


def counts(trial: Trial) -> Iterable[str | bytes]:
    metrics = trial.metrics
    yield from (metrics.to_prometheus(), repr(metrics.snapshot()), json.dumps(metrics.to_dict()))
    yield pickle.dumps(metrics)


def lines_of_the_audit(trial: Trial) -> Iterable[str]:
    yield trial.audit.read_text()


Texts = Iterable[str | bytes]
PATHS: Final[dict[Callable[[Trial], Texts], tuple[str, ...]]] = {
    lines_of_logs: (*SECRET_KEYS, *PERSONAL),
    events: (*SECRET_KEYS, *PERSONAL),
    custom_events: (*SECRET_KEYS, *PERSONAL),
    own_errors: (*SECRET_KEYS, *PERSONAL),
    tracebacks: (*SECRET_KEYS, *PERSONAL),
    reprs: (*SECRET_KEYS, *PERSONAL),
    pickles: (*SECRET_KEYS, *PERSONAL),
    counts: (*SECRET_KEYS, *PERSONAL),
    lines_of_the_audit: (*SECRET_KEYS, *PERSONAL),
    pickled_errors: SECRET_KEYS,
    bodies_of_errors: SECRET_KEYS,
}
"""Each way out, and what must not come out of it."""


def leaks(trial: Trial) -> list[str]:
    """What came out that must not."""
    found = []
    for path, secrets in PATHS.items():
        for text in path(trial):
            plain = text.decode("latin-1") if isinstance(text, bytes) else text
            told = [secret for secret in secrets if secret.casefold() in plain.casefold()]
            found += [f"{path.__name__}: {secret!r} in {plain[:2000]}" for secret in told]
    return found


# ── trying ──────────────────────────────────────────────────────────────────


class Hearing(BaseCallbackHandler):
    """Keeps the custom events, and nothing that LangChain shows by contract."""

    def __init__(self, heard: list[Any]) -> None:
        self.heard = heard

    def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        self.heard.append((name, data))


FORMATTERS: Final[dict[str, logging.Formatter]] = {
    "json": JsonLines(),
    "console": ConsoleLines(),
    "of the standard library": logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"),
    "of the caller's own": JsonFormatter(),
}


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    """A trial that hears everything there is."""
    found = Trial(audit=tmp_path / "audit.jsonl")
    stop, root = listen(found.events.append), logging.getLogger()
    handlers: list[logging.Handler] = []
    for name, formatter in FORMATTERS.items():
        found.logs[name] = io.StringIO()
        handlers.append(logging.StreamHandler(found.logs[name]))
        handlers[-1].setFormatter(formatter)
        LOGGER.addHandler(handlers[-1])
    found.logs["of everybody"] = io.StringIO()  # the SDK and the HTTP library log too
    handlers.append(logging.StreamHandler(found.logs["of everybody"]))
    root.addHandler(handlers[-1])
    level = root.level
    root.setLevel(logging.DEBUG)
    LOGGER.setLevel(logging.DEBUG)
    with AuditLog(found.audit):
        yield found
    stop()
    root.setLevel(level)
    for handler in handlers:
        LOGGER.removeHandler(handler)
        root.removeHandler(handler)


def teller(request: Mapping[str, Any]) -> str:
    """A model that tells everything it was told."""
    return " ".join(str(message["content"]) for message in request["messages"])


class Server:
    """One sandbox for each key, for all trials: what goes wrong is said anew for each."""

    def __init__(self) -> None:
        self._running: dict[str, Sandbox] = {}
        self._fault: Callable[[Mapping[str, Any]], Fault | None] = lambda _request: None

    def __call__(self, faults: Any, key: str = KEY) -> Sandbox:
        """The sandbox, with faults in order, or as a function of the request says."""
        several = iter(()) if callable(faults) else iter(faults)
        self._fault = faults if callable(faults) else lambda _request: next(several, None)
        return self._running.get(key) or self._running.setdefault(key, self._started(key))

    def _started(self, key: str) -> Sandbox:
        faults = {"*": self._next}
        engine = ScriptedEngine(teller)
        return Sandbox(engine=engine, api_key=key, faults=faults, lateness_s=0).start()

    def _next(self, request: Mapping[str, Any]) -> Fault | None:
        return self._fault(request)

    def stop(self) -> None:
        for sandbox in self._running.values():
            sandbox.stop()


@pytest.fixture(scope="module")
def serve() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


def try_chain(
    trial: Trial, *, sandbox: Sandbox, streamed: bool, timeout_s: float = 20, **options: Any
) -> None:
    """Have a story told, and note what comes of it."""
    address = {"api_key": sandbox.api_key, "base_url": sandbox.base_url, "timeout": timeout_s}
    models: list[Any] = [ChatOpenRouter(model=name, **address) for name in ("a/b", "c/d")]
    policy = models[0].with_fallbacks(models[1:], retry=RETRY, breaker=None, **options)
    chain = create_story_chain(policy)
    results: list[Any] = []
    try:
        config: Any = {"callbacks": [Hearing(trial.custom), trial.metrics]}
        results = (
            list(chain.stream(REQUEST, config)) if streamed else [chain.invoke(REQUEST, config)]
        )
    except Exception as error:  # noqa: BLE001 (whatever it is, it must not tell)
        trial.error = error
    client = OpenRouterClient(sandbox.api_key, base_url=sandbox.base_url)
    trial.things = [*models, policy, RETRY, client, trial.metrics, REQUEST, *results[-1:]]
    if not results:
        trial.things.append(None)


STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


@STREAMED
def test_success_tells_nothing(trial: Trial, serve: Server, *, streamed: bool) -> None:
    try_chain(trial, streamed=streamed, sandbox=serve([]))

    assert trial.error is None
    assert NAME in trial.things[-1].content, "it was told"
    assert leaks(trial) == []


@STREAMED
@pytest.mark.parametrize("kind", [kind for kind in FAULT_KINDS if kind != "drip"])
def test_no_failure_tells(trial: Trial, serve: Server, kind: Any, *, streamed: bool) -> None:
    try_chain(
        trial,
        streamed=streamed,
        timeout_s=0.2 if kind in ENDLESS else 20,
        sandbox=serve([Fault(kind=kind, status=502, delay_s=0.1)] * 3),
    )

    assert trial.events
    assert leaks(trial) == []


ECHOES: Final[dict[str, Callable[[str], Fault]]] = {
    "a message": lambda said: Fault(status=400, message=said),
    "a message that may be tried again": lambda said: Fault(status=503, message=said),
    "a message inside a 200": lambda said: Fault(kind="body", status=500, message=said),
    "a message amid a stream": lambda said: Fault(kind="midstream", status=502, message=said),
    "a message of a choice": lambda said: Fault(kind="choice", status=502, message=said),
    "a refusal": lambda said: Fault.moderated("violence", flagged_input=said),
    "a provider's words": lambda said: Fault.provider_error(500, raw=said),
    "a key that is none": lambda said: Fault(status=401, message=said),
    "a page of the edge": lambda said: Fault(kind="html", status=502, message=said),
    "a page of the edge, with 200": lambda said: Fault(kind="html", status=200, message=said),
}
"""What a careless server does with what it says."""


@STREAMED
@pytest.mark.parametrize("key", [KEY, OTHER_KEY], ids=["usual key", "other key"])
@pytest.mark.parametrize("how", ECHOES)
def test_a_server_that_echoes_is_not_quoted(
    trial: Trial, serve: Server, how: str, key: str, *, streamed: bool
) -> None:
    def echo(request: Mapping[str, Any]) -> Fault:
        said = json.dumps(request["messages"])
        return ECHOES[how](f"{key} may not ask: {said}; with {key}")

    try_chain(trial, streamed=streamed, sandbox=serve(echo, key))

    assert trial.error is not None
    assert leaks(trial) == []


class QuotingError(ValueError):
    """As parsers raise it: it quotes what it cannot read."""


def quoting(message: Any) -> None:
    raise QuotingError(message.text)


@STREAMED
def test_a_check_that_quotes_the_answer_does_not_tell(
    trial: Trial, serve: Server, *, streamed: bool
) -> None:
    try_chain(trial, streamed=streamed, accept=quoting, sandbox=serve([]))

    assert isinstance(trial.error, AllModelsFailedError)
    assert leaks(trial) == []


def test_an_answer_that_does_not_fit_a_schema_does_not_tell(trial: Trial, serve: Server) -> None:
    sandbox = serve([])
    llm = ChatOpenRouter(model="a/b", api_key=sandbox.api_key, base_url=sandbox.base_url)
    schema = {"title": "Scene", "type": "object", "properties": {}, "required": ["place"]}
    with pytest.raises(UnparsableReplyError) as caught:
        llm.with_structured_output(schema, method="json_mode").invoke(f'Of a "{WORDS[0]}"')

    trial.error = caught.value
    assert WORDS[0] in (caught.value.partial_text or "")
    assert leaks(trial) == []


@pytest.mark.parametrize("given", [{"theme": ""}, {"age": NAME}, {"child_name": f"{NAME} 7!"}, 7])
def test_a_request_that_is_none_does_not_tell(trial: Trial, given: Any) -> None:
    fields = {"theme": REQUEST.theme, "child_name": NAME, **given} if given != 7 else given
    try:
        create_story_chain("a/b", api_key=KEY, base_url="http://127.0.0.1:9").invoke(fields)
    except Exception as error:  # noqa: BLE001 (whatever it is, it must not tell)
        trial.error = error

    assert trial.error is not None
    assert leaks(trial) == []


# ── the trial itself ────────────────────────────────────────────────────────


def test_every_path_is_walked_and_would_be_heard(trial: Trial, serve: Server) -> None:
    try_chain(trial, streamed=False, sandbox=serve([Fault(status=503)] * 3))

    for path in PATHS:
        assert any(path(trial)), f"{path.__name__} says nothing"
    assert trial.error is not None
    trial.error.args = (f"for {NAME}",)
    trial.logs["json"].write(f"Bearer {KEY}")
    with trial.audit.open("a") as file:
        file.write(NAME)
    assert {leak.partition(":")[0] for leak in leaks(trial)} == {
        "lines_of_logs",
        "lines_of_the_audit",
        "own_errors",
        "tracebacks",
    }
