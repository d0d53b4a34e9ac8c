"""A policy is a chat model like any other: it copies, pickles, binds and is configured."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING

import pytest
from langchain_core.runnables import ConfigurableField

from langchain_tale import BreakerPolicy, RetryPolicy, circuits, reset_circuits
from langchain_tale.errors import CircuitOpenError, ConfigurationError
from langchain_tale.resilience.chat_models import ResilientChatModel, resilient
from langchain_tale.sandbox import Fault, Sandbox
from tests.conftest import chat_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import FakeTime

DOWN = Fault(status=503)
MINI = "openai/gpt-4o-mini"


def test_it_pickles_without_its_keys(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    model = chat_model(sandbox).with_retry(RetryPolicy(max_retries=7)).with_fallbacks(["a/b"])

    pickled = pickle.dumps(model)
    monkeypatch.setenv("OPENROUTER_API_KEY", sandbox.api_key)
    loaded = pickle.loads(pickled)  # noqa: S301 (our own)

    assert sandbox.api_key.encode() not in pickled
    assert isinstance(loaded, ResilientChatModel)
    assert loaded.retry == RetryPolicy(max_retries=7)
    assert loaded.invoke("x").text == model.invoke("x").text


def test_a_deep_copy_works(sandbox: Sandbox) -> None:
    assert copy.deepcopy(chat_model(sandbox).with_retry()).invoke("x").text


def test_arguments_are_bound_for_every_model(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    sandbox = faulty({"a/b": [DOWN]})
    models = [chat_model(sandbox, "a/b"), chat_model(sandbox)]
    model = resilient(models, timing=fake_time.timing())

    answer = model.bind(max_tokens=3).with_config(tags=["short"]).invoke("x")

    assert answer.response_metadata["finish_reason"] == "length"
    assert len(answer.response_metadata["attempts"]) == 2


def test_the_policy_can_be_configured_for_a_call(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    sandbox = faulty({MINI: [DOWN] * 9})
    model = resilient([chat_model(sandbox)], timing=fake_time.timing())
    flexible = model.configurable_fields(retry=ConfigurableField(id="retry"))

    with pytest.raises(Exception, match="unavailable"):
        flexible.with_config(configurable={"retry": RetryPolicy(max_retries=1)}).invoke("x")
    assert sandbox.requests == {MINI: 2}


def test_options_of_the_loop_are_kept_by_what_is_made_of_it(sandbox: Sandbox) -> None:
    model = chat_model(sandbox).with_retry(on_broken_stream="continue", breaker=None)

    made = model.with_fallbacks(["a/b"])

    assert isinstance(made, ResilientChatModel)
    assert (made.on_broken_stream, made.breaker) == ("continue", None)
    assert made.with_retry(RetryPolicy(max_retries=1)).on_broken_stream == "continue"


def test_an_unknown_option_is_one_sentence(sandbox: Sandbox) -> None:
    with pytest.raises(ConfigurationError, match="on_broken_stream"):
        chat_model(sandbox).with_retry(on_broken_streams="continue")


# ── circuits ────────────────────────────────────────────────────────────────


def test_a_dead_model_costs_no_request_once_its_circuit_is_open(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    sandbox = faulty({"a/b": [DOWN] * 99})
    models = [chat_model(sandbox, "a/b"), chat_model(sandbox)]
    model = resilient(models, breaker=BreakerPolicy(fail_max=3), timing=fake_time.timing())

    answers = [model.invoke("x") for _ in range(9)]

    assert sandbox.requests == {"a/b": 3, MINI: 9}
    assert [len(a.response_metadata["attempts"]) for a in answers] == [2] * 3 + [1] * 6
    assert circuits()[sandbox.base_url, "a/b"] == "open"
    reset_circuits()
    model.invoke("x")
    assert sandbox.requests["a/b"] == 4


def test_a_request_that_is_wrong_says_nothing_of_health(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    sandbox = faulty({"a/b": [Fault(status=404)] * 99})
    models = [chat_model(sandbox, "a/b"), chat_model(sandbox)]
    model = resilient(models, breaker=BreakerPolicy(fail_max=2), timing=fake_time.timing())

    for _ in range(5):
        model.invoke("x")

    assert sandbox.requests["a/b"] == 5


def test_when_all_circuits_are_open_nothing_is_sent(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    sandbox = faulty({"a/b": [DOWN] * 99, "c/d": [DOWN] * 99})
    models = [chat_model(sandbox, "a/b"), chat_model(sandbox, "c/d")]
    breaker = BreakerPolicy(fail_max=1, reset_timeout_s=20)
    model = resilient(models, breaker=breaker, timing=fake_time.timing())

    with pytest.raises(Exception, match="No model answered in 2 tries"):
        model.invoke("x")
    with pytest.raises(CircuitOpenError, match="a/b, c/d failed too often") as caught:
        model.invoke("x")

    assert sandbox.requests == {"a/b": 1, "c/d": 1}
    assert 0 < (caught.value.retry_after_s or 0) <= 20


def test_a_model_without_fallbacks_is_asked_all_the_same(
    faulty: Callable[..., Sandbox], fake_time: FakeTime
) -> None:
    sandbox = faulty({MINI: [DOWN] * 4})
    breaker = BreakerPolicy(fail_max=1)
    model = resilient([chat_model(sandbox)], retry=RetryPolicy(max_retries=4), breaker=breaker)

    assert model.model_copy(update={"timing": fake_time.timing()}).invoke("x").text
