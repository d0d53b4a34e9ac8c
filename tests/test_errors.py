from __future__ import annotations

import inspect
import json
import pickle
import re
from typing import Annotated, Any

import pytest
from langchain_core import exceptions as core
from pydantic import BaseModel, Field, ValidationError, model_validator

from langchain_tale import errors
from langchain_tale.errors import (
    AllModelsFailedError,
    Attempt,
    ConfigurationError,
    ExternalServiceError,
    TaleError,
    checking,
    one_sentence,
)

OURS = [
    kind
    for kind in vars(errors).values()
    if inspect.isclass(kind) and issubclass(kind, TaleError) and kind.__module__ == errors.__name__
]
SERVICE = [kind for kind in OURS if issubclass(kind, ExternalServiceError)]
FACTS: dict[str, Any] = {
    "status_code": 429,
    "error_type": "rate_limit_exceeded",
    "model": "openai/gpt-4o",
    "provider_name": "OpenAI",
    "generation_id": "gen-1",
    "request_id": "req-1",
    "retry_after_s": 2.5,
    "partial_text": "Once",
    "raw": {"error": {"code": 429}},
    "retryable": True,
}
TWINS = {
    "ExternalServiceError": core.ModelError,
    "InvalidRequestError": core.ModelInvalidRequestError,
    "ContextLengthError": core.ContextOverflowError,
    "AuthenticationError": core.ModelAuthenticationError,
    "PermissionDeniedError": core.ModelPermissionDeniedError,
    "ModerationError": core.ModelRefusalError,
    "ModelNotFoundError": core.ModelNotFoundError,
    "RateLimitError": core.ModelRateLimitError,
    "RequestTimeoutError": core.ModelTimeoutError,
    "UnavailableError": core.ModelAPIError,
    "ConnectionFailedError": core.ModelConnectionError,
    "MalformedReplyError": core.ModelAPIError,
}


def drawn_parents() -> dict[str, str]:
    """Each class of the drawing in the docstring → the class that it hangs on."""
    drawing = (errors.__doc__ or "").split("```")[1].strip()
    parents: dict[str, str] = {}
    path: list[str] = []
    for line in drawing.splitlines():
        found = re.search(r"[A-Z]\w+Error", line)
        assert found, line
        depth = found.start() // 4
        path[depth:] = [found.group()]
        parents[found.group()] = path[depth - 1] if depth else "Exception"
    return parents


def test_the_drawing_is_the_tree() -> None:
    real = {
        kind.__name__: next(
            base.__name__ for base in kind.__bases__ if issubclass(base, (TaleError, Exception))
        )
        for kind in OURS
    }

    assert drawn_parents() == real


@pytest.mark.parametrize(("name", "twin"), TWINS.items(), ids=TWINS)
def test_a_class_is_also_langchains(name: str, twin: type[Exception]) -> None:
    assert issubclass(getattr(errors, name), twin)


def test_every_twin_that_langchain_has_is_taken() -> None:
    theirs = {
        kind
        for kind in vars(core).values()
        if inspect.isclass(kind) and issubclass(kind, core.ModelError)
    }

    assert theirs <= {base for kind in OURS for base in kind.__mro__}


def test_a_bad_setting_is_a_value_error_and_did_not_come_from_the_service() -> None:
    assert issubclass(ConfigurationError, ValueError)
    assert not issubclass(ConfigurationError, ExternalServiceError)
    assert not issubclass(ExternalServiceError, ValueError)


@pytest.mark.parametrize(
    "kind",
    [k for k in SERVICE if not issubclass(k, AllModelsFailedError)],
    ids=lambda k: k.__name__,
)
def test_an_error_survives_pickling_with_all_it_knows(kind: type[ExternalServiceError]) -> None:
    error = kind("slow down", **FACTS)

    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 (made here)

    assert type(copy) is kind
    assert str(copy) == "slow down"
    assert {name: getattr(copy, name) for name in FACTS} == FACTS


@pytest.mark.parametrize("kind", [TaleError, ConfigurationError], ids=lambda k: k.__name__)
def test_an_error_without_facts_survives_pickling(kind: type[TaleError]) -> None:
    copy = pickle.loads(pickle.dumps(kind("no key")))  # noqa: S301 (made here)

    assert (type(copy), str(copy)) == (kind, "no key")


def test_the_reasons_of_a_refusal_survive_pickling() -> None:
    error = errors.ModerationError("refused")
    error.reasons = ("violence",)

    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 (made here)

    assert copy.reasons == ("violence",)


@pytest.mark.parametrize("kind", SERVICE, ids=lambda k: k.__name__)
def test_what_is_unknown_is_none(kind: type[ExternalServiceError]) -> None:
    error = kind("failed")

    assert {name for name in FACTS if getattr(error, name) is not None} == set()


def failed_twice() -> AllModelsFailedError:
    last = errors.RateLimitError("slow down", **FACTS)
    return AllModelsFailedError(
        "Nobody answered.",
        attempts=[
            Attempt(number=1, model="a/b", error=errors.UnavailableError("down")),
            Attempt(number=2, model="c/d", error=last, waited_s=1.0),
        ],
    )


def test_when_all_failed_the_facts_are_those_of_the_last_attempt() -> None:
    error = failed_twice()

    assert error.model == "c/d"
    assert (error.status_code, error.error_type) == (429, "rate_limit_exceeded")
    assert (error.provider_name, error.generation_id) == ("OpenAI", "gen-1")
    assert error.retry_after_s == 2.5


def test_when_all_failed_every_attempt_survives_pickling() -> None:
    copy = pickle.loads(pickle.dumps(failed_twice()))  # noqa: S301 (made here)

    assert [(a.number, a.model, str(a.error)) for a in copy.attempts] == [
        (1, "a/b", "down"),
        (2, "c/d", "slow down"),
    ]
    assert type(copy.attempts[1].error) is errors.RateLimitError
    assert copy.attempts[1].error.retry_after_s == 2.5


def test_an_attempt_that_succeeded_makes_the_round_trip() -> None:
    attempt = Attempt(
        number=2,
        model="openrouter/auto",
        answered_by="openai/gpt-4o-mini",
        provider_name="OpenAI",
        waited_s=1.5,
        latency_s=0.25,
        cost_usd=0.001,
        input_tokens=12,
        output_tokens=345,
    )

    assert attempt.succeeded
    assert Attempt.from_dict(json.loads(json.dumps(attempt.to_dict()))) == attempt


def test_a_failure_tells_what_it_used_where_the_server_does() -> None:
    usage = {"cost": 0.25, "prompt_tokens": 3, "completion_tokens": 4}
    told = errors.EmptyReplyError("empty", raw={"usage": usage})
    silent = [errors.EmptyReplyError("empty", raw=raw) for raw in (None, "<html>", {"usage": None})]

    assert (told.cost_usd, told.input_tokens, told.output_tokens) == (0.25, 3, 4)
    for error in silent:
        assert (error.cost_usd, error.input_tokens, error.output_tokens) == (None, None, None)


@pytest.mark.parametrize("kind", SERVICE, ids=lambda k: k.__name__)
def test_an_attempt_that_failed_makes_the_round_trip(kind: type[ExternalServiceError]) -> None:
    error = kind("it failed")
    error.status_code = 503
    attempt = Attempt(number=1, model="a/b", provider_name="B", error=error)

    facts = json.loads(json.dumps(attempt.to_dict()))
    copy = Attempt.from_dict(facts)

    assert not attempt.succeeded
    assert not copy.succeeded
    assert type(copy.error) is kind
    assert str(copy.error) == "it failed"
    assert getattr(copy.error, "status_code", None) == 503
    assert copy.to_dict() == facts


@pytest.mark.parametrize("name", ["KeyError", "TaleError", "Attempt", "dataclass"])
def test_an_unknown_class_of_error_becomes_one_of_ours(name: str) -> None:
    facts = {"number": 1, "model": "a/b", "error": name, "error_message": "oops"}

    error = Attempt.from_dict(facts).error

    assert type(error) is ExternalServiceError
    assert str(error) == "oops"


class Toy(BaseModel):
    name: str
    ages: list[Annotated[int, Field(ge=1)]] = []

    @model_validator(mode="after")
    def _no_secrets(self) -> Toy:
        if self.name == "secret":
            msg = "name must be public"
            raise ValueError(msg)
        return self


def complaint(**fields: Any) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        Toy(**fields)
    return caught.value


def test_a_complaint_names_the_place_and_what_is_allowed() -> None:
    error = complaint(name="x", ages=[1, 0])

    assert one_sentence(error, of="Toy") == (
        "Toy.ages.1: Input should be greater than or equal to 1"
    )


def test_several_complaints_are_one_sentence() -> None:
    sentence = one_sentence(complaint(ages="sk-secret"), of="Toy")

    assert sentence == "Toy.name: Field required; Toy.ages: Input should be a valid list"


def test_a_complaint_of_ours_has_no_prefix_and_quotes_no_input() -> None:
    assert one_sentence(complaint(name="secret"), of="Toy") == "Toy: name must be public"


def test_checking_turns_complaints_into_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match=r"^Toy\.name: ") as caught, checking("Toy"):
        Toy(name=["sk-secret"])

    assert "sk-secret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_checking_lets_everything_else_through() -> None:
    with pytest.raises(KeyError), checking("Toy"):
        raise KeyError
