"""Failures that nobody can order from OpenRouter, recorded from the sandbox."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from langchain_tale.errors import UnavailableError
from langchain_tale.openrouter.chat_models import ChatOpenRouter
from langchain_tale.resilience.chat_models import resilient
from langchain_tale.resilience.policy import RetryPolicy
from langchain_tale.sandbox import Fault
from tests.conftest import ROOT, FakeTime

pytestmark = pytest.mark.vcr
Recorded = Callable[..., dict[str, Any]]
MODEL = "openai/gpt-4o-mini"


@pytest.fixture(scope="module")
def vcr_cassette_dir() -> str:
    return str(ROOT / "cassettes" / "faults")


@pytest.fixture(autouse=True)
def _not_live(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--live"):
        pytest.skip("OpenRouter fails when it does, not when asked")


def llm(recorded: Recorded, *faults: Fault) -> ChatOpenRouter:
    address = recorded(engine="scripted", faults={MODEL: faults})
    return ChatOpenRouter(model=MODEL, max_retries=0, **address)


def test_rate_limit_then_success(recorded: Recorded, fake_time: FakeTime) -> None:
    limited = Fault(status=429, error_type="rate_limit_exceeded", headers={"Retry-After": "2"})
    safe = resilient(
        [llm(recorded, limited)], retry=RetryPolicy(max_retries=1), timing=fake_time.timing()
    )

    message = safe.invoke("Tell me of a fox.")

    assert message.text.startswith("# The Tale")
    assert [a["status_code"] for a in message.response_metadata["attempts"]] == [429, None]
    assert fake_time.slept == [2.0]


def test_error_inside_a_200(recorded: Recorded) -> None:
    with pytest.raises(UnavailableError, match="unavailable") as caught:
        llm(recorded, Fault(kind="body", status=502, error_type="provider_unavailable")).invoke("x")
    assert caught.value.status_code == 502
    assert caught.value.error_type == "provider_unavailable"


def test_stream_that_breaks_off(recorded: Recorded) -> None:
    from langchain_tale.errors import BrokenStreamError

    with pytest.raises(BrokenStreamError) as caught:
        list(llm(recorded, Fault(kind="cut", after_chunks=4)).stream("x"))
    assert caught.value.partial_text == "# The Tale of"
