"""What an error tells beside its class: how long to wait, and whom to ask about it (§8.6)."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import Any

import pytest

from tests.openrouter.replies import failed

NOW = 1_800_000_000.0
IN_30_S = NOW + 30


@pytest.mark.parametrize(
    ("headers", "inner"),
    [
        ({"retry_after": "30"}, {}),
        ({"retry_after": "30.0", "x_ratelimit_reset": "1"}, {}),
        ({"retry_after": formatdate(IN_30_S, usegmt=True)}, {}),
        ({"retry_after": "soon"}, {"availability": {"retry_after": 30}}),
        ({}, {"availability": {"retry_after": 30}}),
        ({}, {"metadata": {"headers": {"Retry-After": "30"}}}),
        ({}, {"metadata": {"headers": {"X-RateLimit-Reset": str(IN_30_S)}}}),
        ({}, {"metadata": {"headers": {"X-RateLimit-Reset": int(IN_30_S * 1000)}}}),
        ({"x_ratelimit_reset": str(int(IN_30_S))}, {}),
        ({"x_ratelimit_reset": str(int(IN_30_S * 1000))}, {}),
    ],
    ids=[
        "seconds",
        "seconds before reset",
        "date",
        "unreadable",
        "availability",
        "repeated",
        "repeated reset",
        "repeated reset in ms",
        "reset",
        "reset in ms",
    ],
)
def test_the_wait_is_read_from_wherever_it_stands(
    monkeypatch: pytest.MonkeyPatch, headers: dict[str, str], inner: dict[str, Any]
) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)

    wait_s = failed({"code": 429, "message": "x", **inner}, 429, **headers).retry_after_s
    assert wait_s == pytest.approx(30)


@pytest.mark.parametrize("hint", ["soon", "nan", "inf", "", "-", "1970-13-45"])
def test_a_wait_that_cannot_be_read_is_none(hint: str) -> None:
    assert failed({}, 429, retry_after=hint, x_ratelimit_reset="soon").retry_after_s is None


@pytest.mark.parametrize("hint", ["-5", formatdate(0, usegmt=True)])
def test_a_wait_is_never_negative(hint: str) -> None:
    assert failed({}, 429, retry_after=hint).retry_after_s == 0.0


@pytest.mark.parametrize(
    ("headers", "request_id"),
    [
        ({"x_request_id": "req", "cf_ray": "ray"}, "req"),
        ({"cf_ray": "ray"}, "ray"),
        ({}, None),
    ],
    ids=["the server's", "the edge's", "none"],
)
def test_an_error_tells_its_request_and_its_generation(
    headers: dict[str, str], request_id: str | None
) -> None:
    error = failed({"code": 502, "message": "x"}, 502, x_generation_id="gen-1", **headers)

    assert (error.request_id, error.generation_id) == (request_id, "gen-1")
    assert error.partial_text is None


def test_a_message_quotes_little_and_no_key() -> None:
    error = failed({"code": 500, "message": "sk-or-v1-0123456789 " + "x" * 1000})

    assert "0123456789" not in str(error)
    assert len(str(error)) < 400
    assert "a/b" in str(error)
