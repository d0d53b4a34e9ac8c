"""Every fault, in every way of asking: the healthy fallback's story is told, or nothing is.

The eight rows of the table that no other client passes are the ones marked so.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from langchain_tale import RetryPolicy, errors
from langchain_tale.sandbox import FAULT_KINDS, Fault
from tests.drills.telling import NUMBERS, SICK, WAYS, WELL, ask, sick_model, story_of, storyteller

if TYPE_CHECKING:
    from langchain_tale.sandbox import Sandbox
    from langchain_tale.sandbox.pytest_plugin import StartSandbox

pytestmark = pytest.mark.slow
STREAMS = ("stream", "astream")

EIGHT = [
    pytest.param(Fault(status=500), id="500"),
    pytest.param(Fault.rate_limited(retry_after_s=1), id="429 with Retry-After"),
    pytest.param(Fault(kind="body", status=502), id="error in 200"),
    pytest.param(Fault(kind="choice", after_chunks=3), id="finish_reason error"),
    pytest.param(Fault(kind="starved"), id="no content, length"),
    pytest.param(Fault(kind="midstream", status=502, after_chunks=0), id="first event an error"),
    pytest.param(Fault(kind="midstream", status=502), id="error in mid-stream"),
    pytest.param(Fault(kind="midstream", code="server_error"), id="string code in mid-stream"),
]
STATUSES = [pytest.param(Fault(status=code), id=str(code)) for code in (404, 408, 429, 503, 529)]
DOCUMENTED = [
    pytest.param(Fault.provider_error(), id="provider error"),
    pytest.param(Fault.unavailable(), id="capacity exhausted"),
    pytest.param(Fault.unavailable("temporarily_unavailable", retry_after_s=1), id="unavailable"),
    pytest.param(Fault.unavailable("no_endpoints"), id="no endpoints"),
    pytest.param(Fault.context_exceeded(), id="context length"),
    pytest.param(Fault(kind="html", status=200), id="html in 200"),
    pytest.param(Fault(kind="empty", finish_reason=None), id="empty without a reason"),
    pytest.param(
        Fault(kind="midstream", finish_reason="stop", followed_by="usage"), id="as recorded"
    ),
    pytest.param(Fault(kind="midstream", followed_by="done"), id="error, then done"),
    pytest.param(Fault(kind="cut", after_chunks=0), id="cut at once"),
    pytest.param(Fault(kind="keepalive", after_chunks=0, delay_s=0.01), id="only keep-alives"),
]
KINDS = [pytest.param(Fault(kind=kind, delay_s=0.01), id=kind) for kind in FAULT_KINDS]
SILENT = ("hang", "hang_midway", "keepalive", "drip")
HARMLESS = {
    "drip": STREAMS,
    "length_over": STREAMS,
    "no_done": WAYS,
    "no_finish": ("invoke", "ainvoke", "batch"),
}
"""The faults that a client need not notice, and in which ways of asking."""


def storytellers(sandbox: Sandbox, fault: Fault, **options: Any) -> Any:
    limit_s = 1.0 if fault.kind in SILENT else None
    policy = RetryPolicy(retry_delay=0.0, attempt_timeout_s=limit_s)
    llm = sick_model(sandbox)
    return llm.with_retry(policy, breaker=None, **options).with_fallbacks([WELL])


@pytest.mark.parametrize(
    ("way", "mode"),
    [*((way, "continue") for way in WAYS), *((way, "restart") for way in STREAMS)],
)
@pytest.mark.parametrize("fault", [*EIGHT, *STATUSES, *DOCUMENTED, *KINDS])
def test_the_story_is_told(
    openrouter_sandbox: StartSandbox, fault: Fault, way: str, mode: str
) -> None:
    sandbox = openrouter_sandbox({SICK: lambda _body: fault}, engine=storyteller())

    told = ask(storytellers(sandbox, fault, on_broken_stream=mode), way)

    for number, (text, log) in told.items():
        assert text == story_of(number)
        first, *others = log
        assert first["model"] == SICK
        if way in HARMLESS.get(fault.kind, ()):
            assert (first["error"], others) == (None, [])
        else:
            assert first["error"] is not None
            assert [(one["model"], one["error"]) for one in others] == [(WELL, None)]
    assert sandbox.requests[SICK] == len(told)


BROKEN = ("choice", "midstream", "cut", "drop", "truncated", "reset_midway", *SILENT[1:3])


@pytest.mark.parametrize("way", STREAMS)
@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_stream_raises_with_what_came(
    openrouter_sandbox: StartSandbox, kind: Any, way: str
) -> None:
    fault = Fault(kind=kind, after_chunks=4, delay_s=0.01)
    sandbox = openrouter_sandbox({SICK: lambda _body: fault}, engine=storyteller())

    with pytest.raises(errors.ExternalServiceError) as caught:
        ask(storytellers(sandbox, fault), way)

    assert caught.value.partial_text == "# Story 3\n\nOnce upon"
    assert isinstance(caught.value, errors.RequestTimeoutError) is (kind in SILENT)
    assert sandbox.requests == {SICK: 1}


@pytest.mark.parametrize("way", [way for way in WAYS if way != "batch"])
@pytest.mark.parametrize("kind", SILENT)
def test_a_deadline_holds_against_any_silence(
    openrouter_sandbox: StartSandbox, kind: Any, way: str
) -> None:
    fault = Fault(kind=kind, delay_s=0.05)
    sandbox = openrouter_sandbox({"*": lambda _body: fault}, engine=storyteller())
    policy = RetryPolicy(retry_delay=0.0, deadline_s=0.3)
    llm = sick_model(sandbox).with_retry(policy, on_broken_stream="continue", breaker=None)
    model: Any = llm.with_fallbacks([WELL])

    started_at = time.monotonic()
    with pytest.raises(errors.ExternalServiceError):
        ask(model, way)

    assert 0.3 <= time.monotonic() - started_at < 5.0  # a busy machine; a hang would be longer


MISTAKES = [
    (Fault(status=400), errors.InvalidRequestError),
    (Fault(status=413), errors.InvalidRequestError),
    (Fault(status=422), errors.InvalidRequestError),
    (Fault(status=401), errors.AuthenticationError),
    (Fault.no_credit(), errors.InsufficientCreditsError),
    (Fault(status=403), errors.PermissionDeniedError),
    (Fault.moderated("violence"), errors.ModerationError),
    (Fault(kind="body", error_type="content_policy_violation"), errors.ModerationError),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("fault", "error"), MISTAKES, ids=lambda value: str(value)[:40])
def test_what_no_other_model_can_mend_is_raised_at_once(
    openrouter_sandbox: StartSandbox, fault: Fault, error: type[Exception], way: str
) -> None:
    sandbox = openrouter_sandbox({SICK: lambda _body: fault}, engine=storyteller())

    with pytest.raises(error):
        ask(storytellers(sandbox, fault), way)

    assert sandbox.requests[WELL] == 0
    assert 1 <= sandbox.requests[SICK] <= len(NUMBERS)
