"""Error bodies in, exceptions out; the shapes are those of §8 of OpenRouter's documentation."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.exceptions import ContextOverflowError

from langchain_tale import errors
from langchain_tale.openrouter.failures import Source, error_from_body
from langchain_tale.openrouter.protocol import read_reply
from tests.openrouter.replies import ASKED, failed, reply

INSIDE_200 = Source("a/b", 200, {"x-generation-id": "gen-1", "x-request-id": "req-1"})


# ── one class each ──────────────────────────────────────────────────────────

BY_TYPE = {
    (400, "context_length_exceeded"): errors.ContextLengthError,
    (400, "max_tokens_exceeded"): errors.ContextLengthError,
    (400, "token_limit_exceeded"): errors.ContextLengthError,
    (400, "string_too_long"): errors.ContextLengthError,
    (400, "invalid_request"): errors.InvalidRequestError,
    (400, "invalid_prompt"): errors.InvalidRequestError,
    (400, "content_policy_violation"): errors.ModerationError,
    (400, "refusal"): errors.ModerationError,
    (400, "invalid_image"): errors.InvalidRequestError,
    (400, "image_too_large"): errors.InvalidRequestError,
    (400, "image_too_small"): errors.InvalidRequestError,
    (400, "unsupported_image_format"): errors.InvalidRequestError,
    (400, "image_download_failed"): errors.InvalidRequestError,
    (401, "authentication"): errors.AuthenticationError,
    (402, "payment_required"): errors.InsufficientCreditsError,
    (403, "permission_denied"): errors.PermissionDeniedError,
    (404, "not_found"): errors.ModelNotFoundError,
    (412, "precondition_failed"): errors.InvalidRequestError,
    (413, "payload_too_large"): errors.InvalidRequestError,
    (422, "unprocessable"): errors.InvalidRequestError,
    (429, "rate_limit_exceeded"): errors.RateLimitError,
    (500, "server"): errors.UnavailableError,
    (500, "unmapped"): errors.UnavailableError,
    (502, "provider_unavailable"): errors.UnavailableError,
    (503, "provider_overloaded"): errors.UnavailableError,
    (504, "timeout"): errors.RequestTimeoutError,
}


@pytest.mark.parametrize(("status", "error_type"), BY_TYPE, ids=str)
def test_a_type_of_error_has_one_class_wherever_it_stands(status: int, error_type: str) -> None:
    classic = {"code": status, "message": "x", "metadata": {"error_type": error_type}}
    available = {"http_status": status, "message": "x", "error_type": error_type}
    found = [
        failed(classic, status),
        failed(available, status),
        error_from_body({"error": classic}, INSIDE_200),
    ]
    with pytest.raises(errors.ExternalServiceError) as caught:
        read_reply(reply({"content": "Once"}, choice={"error": classic}), INSIDE_200)

    for error in (*found, caught.value):
        assert type(error) is BY_TYPE[status, error_type]
        assert (error.status_code, error.error_type, error.model) == (status, error_type, "a/b")


TELLING = [name for (_, name), kind in BY_TYPE.items() if kind is not errors.InvalidRequestError]


@pytest.mark.parametrize("error_type", TELLING)
def test_a_type_needs_no_status_beside_it(error_type: str) -> None:
    kind = next(kind for (_status, name), kind in BY_TYPE.items() if name == error_type)
    places: list[dict[str, Any]] = [
        {"metadata": {"error_type": error_type}},
        {"error_type": error_type},
        {"code": error_type},
    ]

    for place in places:
        error = error_from_body({"error": {"message": "x", **place}}, INSIDE_200)
        assert (type(error), error.status_code) == (kind, None)


BY_STATUS = {
    400: errors.InvalidRequestError,
    401: errors.AuthenticationError,
    402: errors.InsufficientCreditsError,
    403: errors.PermissionDeniedError,
    404: errors.ModelNotFoundError,
    408: errors.RequestTimeoutError,
    412: errors.InvalidRequestError,
    413: errors.InvalidRequestError,
    418: errors.InvalidRequestError,
    422: errors.InvalidRequestError,
    429: errors.RateLimitError,
    500: errors.UnavailableError,
    502: errors.UnavailableError,
    503: errors.UnavailableError,
    504: errors.RequestTimeoutError,
    524: errors.RequestTimeoutError,
    529: errors.UnavailableError,
}


@pytest.mark.parametrize("status", BY_STATUS)
@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "x", "code": None}},
        {"error": {"message": "x", "metadata": {"error_type": "a new word"}}},
        {"error": "x"},
        {"error": None},
        {},
        [],
        None,
        "<html>cloudflare</html>",
    ],
    ids=["no code", "a new type", "a string", "null", "nothing", "a list", "no body", "html"],
)
def test_without_a_known_type_the_status_decides(status: int, body: Any) -> None:
    error = error_from_body(body, Source("a/b", status))

    assert type(error) is BY_STATUS[status]
    assert error.status_code == status
    assert error.raw == body
    assert "html" not in str(error)


@pytest.mark.parametrize(
    ("inner", "status", "kind"),
    [
        ({"code": 429}, 429, errors.RateLimitError),
        ({"code": "429"}, 429, errors.RateLimitError),
        ({"code": "server_error"}, None, errors.UnavailableError),
        ({"code": "rate_limit_exceeded"}, None, errors.RateLimitError),
        ({"http_status": 503}, 503, errors.UnavailableError),
        ({}, None, errors.UnavailableError),
    ],
    ids=str,
)
def test_the_code_inside_a_200_is_the_status(
    inner: dict[str, Any], status: int | None, kind: type[Exception]
) -> None:
    error = error_from_body({"error": {"message": "x", **inner}}, INSIDE_200)

    assert (type(error), error.status_code) == (kind, status)


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("model_not_found", 400, errors.ModelNotFoundError),
        ("wrong_endpoint", 400, errors.ModelNotFoundError),
        ("no_endpoints", 404, errors.ModelNotFoundError),
        ("model_deprecated", 404, errors.ModelNotFoundError),
        ("privacy_restricted", 404, errors.ModelNotFoundError),
        ("region_restricted", 403, errors.PermissionDeniedError),
        ("capacity_exhausted", 429, errors.RateLimitError),
        ("temporarily_unavailable", 503, errors.UnavailableError),
    ],
)
def test_the_availability_envelope_is_read(
    code: str, status: int, kind: type[errors.ExternalServiceError]
) -> None:
    availability = {"code": code, "retryable": status >= 429, "retry_after": 4}
    error = failed({"message": "x", "http_status": status, "availability": availability}, status)

    assert (type(error), error.status_code) == (kind, status)
    assert (error.retryable, error.retry_after_s) == (status >= 429, 4.0)


def test_the_older_metadata_tells_the_provider_and_what_it_said() -> None:
    raw = json.dumps(
        {"error": {"type": "invalid_request_error", "code": "context_length_exceeded"}}
    )
    error = failed({"code": 400, "metadata": {"raw": raw, "provider_name": "Azure"}}, 400)

    assert type(error) is errors.ContextLengthError
    assert error.provider_name == "Azure"


@pytest.mark.parametrize("raw", ["no JSON", None, 7, ["x"], {"error": "x"}, '{"error": {}}'])
def test_what_a_provider_said_may_be_anything(raw: Any) -> None:
    error = failed({"code": 429, "metadata": {"raw": raw, "provider_name": None}}, 429)

    assert type(error) is errors.RateLimitError
    assert error.provider_name is None


@pytest.mark.parametrize(
    "error",
    [
        {"code": 400, "metadata": {"error_type": "context_length_exceeded"}},
        {"code": 400, "message": "This endpoint's maximum context length is 8192 tokens."},
    ],
    ids=["typed", "as recorded"],
)
def test_a_prompt_that_is_too_long_is_langchains_overflow_too(error: dict[str, Any]) -> None:
    assert isinstance(failed(error, 400), ContextOverflowError)


def test_moderation_tells_its_reasons_and_not_the_text() -> None:
    metadata = {"reasons": ["violence"], "provider_name": "P", "flagged_input": "my secret tale"}
    error = failed({"code": 403, "message": "flagged", "metadata": metadata}, 403)

    assert isinstance(error, errors.ModerationError)
    assert (error.reasons, error.provider_name) == (("violence",), "P")
    assert "secret tale" not in str(error)


# ── inside a 200 ────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "choice",
    [
        {"error": {"code": 502, "message": "x"}, "finish_reason": "error"},
        {"error": {"code": 502, "message": "x"}, "finish_reason": "stop"},
        {"error": None, "finish_reason": "error"},
    ],
    ids=["both", "whatever the finish reason", "the finish reason alone"],
)
def test_an_error_in_a_choice_is_no_answer_and_keeps_what_came(choice: dict[str, Any]) -> None:
    body = reply({"content": "Once"}, choice=choice)

    with pytest.raises(errors.UnavailableError) as caught:
        read_reply(body, ASKED)
    assert caught.value.partial_text == "Once"
    assert caught.value.generation_id == "gen-1"
    assert caught.value.provider_name == "P"


def test_an_error_beside_a_whole_answer_is_an_error() -> None:
    with pytest.raises(errors.RateLimitError):
        read_reply({**reply({"content": "Once"}), "error": {"code": 429, "message": "x"}}, ASKED)
