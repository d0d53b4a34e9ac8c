from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from langchain_tale.catalogue import DEFAULT_MODEL
from langchain_tale.errors import ConfigurationError
from langchain_tale.settings import (
    OPENROUTER_BASE_URL,
    AIServiceSettings,
    checked_base_url,
    get_settings,
)

SECRET = "sk-or-v1-very-secret"


def read() -> AIServiceSettings:
    return get_settings().ai_service


def key_of(settings: AIServiceSettings) -> str | None:
    return settings.api_key.get_secret_value() if settings.api_key else None


def test_without_an_environment_there_are_defaults_and_no_key() -> None:
    assert read().model_dump() == {
        "api_key": None,
        "base_url": OPENROUTER_BASE_URL,
        "default_model": DEFAULT_MODEL.value,
        "max_tokens": 1000,
        "max_retries": 3,
        "retry_delay": 1.0,
        "timeout_s": 30.0,
        "app_url": None,
        "app_title": None,
    }


@pytest.mark.parametrize(
    ("variable", "value", "name", "expected"),
    [
        ("OPENROUTER_API_BASE", "https://proxy.example/v1", "base_url", "https://proxy.example/v1"),
        (
            "TALE_AI_SERVICE__BASE_URL",
            "https://proxy.example/v1/",
            "base_url",
            "https://proxy.example/v1",
        ),
        (
            "TALE_AI_SERVICE__DEFAULT_MODEL",
            "anthropic/claude-3-haiku",
            "default_model",
            "anthropic/claude-3-haiku",
        ),
        ("TALE_AI_SERVICE__MAX_TOKENS", "2048", "max_tokens", 2048),
        ("TALE_AI_SERVICE__MAX_RETRIES", "0", "max_retries", 0),
        ("TALE_AI_SERVICE__RETRY_DELAY", "0.25", "retry_delay", 0.25),
        ("TALE_AI_SERVICE__TIMEOUT_S", "90", "timeout_s", 90.0),
        ("TALE_AI_SERVICE__APP_URL", "https://tales.example", "app_url", "https://tales.example"),
        ("TALE_AI_SERVICE__APP_TITLE", "2026", "app_title", "2026"),
    ],
)
def test_each_variable_sets_its_setting(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, name: str, expected: object
) -> None:
    monkeypatch.setenv(variable, value)

    assert getattr(read(), name) == expected


@pytest.mark.parametrize("variable", ["OPENROUTER_API_KEY", "TALE_AI_SERVICE__API_KEY"])
def test_either_variable_sets_the_key(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, f" {SECRET}\n")

    assert key_of(read()) == SECRET


def test_a_json_object_sets_several_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALE_AI_SERVICE", '{"max_tokens": 7, "max_retries": 1}')

    assert (read().max_tokens, read().max_retries) == (7, 1)


def test_our_own_variables_win_over_openrouters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", "theirs")
    monkeypatch.setenv("OPENROUTER_API_BASE", "https://theirs.example/v1")
    monkeypatch.setenv("TALE_AI_SERVICE__API_KEY", "ours")
    monkeypatch.setenv("TALE_AI_SERVICE__BASE_URL", "https://ours.example/v1")

    assert key_of(read()) == "ours"
    assert read().base_url == "https://ours.example/v1"


def test_a_file_in_the_working_directory_is_read() -> None:
    Path(".env").write_text(
        f"OPENROUTER_API_KEY={SECRET}\nTALE_AI_SERVICE__MAX_TOKENS=7\nUNRELATED=1\n",
        encoding="utf-8",
    )

    assert key_of(read()) == SECRET
    assert read().max_tokens == 7


def test_the_process_wins_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text(
        "OPENROUTER_API_KEY=file\nTALE_AI_SERVICE__MAX_TOKENS=7\n", encoding="utf-8"
    )
    monkeypatch.setenv("OPENROUTER_API_KEY", "process")
    monkeypatch.setenv("TALE_AI_SERVICE__MAX_TOKENS", "8")

    assert key_of(read()) == "process"
    assert read().max_tokens == 8


def test_reading_the_file_changes_nothing_in_the_process() -> None:
    Path(".env").write_text(f"OPENROUTER_API_KEY={SECRET}\n", encoding="utf-8")

    read()

    assert "OPENROUTER_API_KEY" not in os.environ


def test_nothing_is_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    assert key_of(read()) is None
    monkeypatch.setenv("OPENROUTER_API_KEY", SECRET)
    assert key_of(read()) == SECRET


@pytest.mark.parametrize("blank", ["", "   ", "\t\n"])
@pytest.mark.parametrize("variable", ["OPENROUTER_API_KEY", "TALE_AI_SERVICE__API_KEY"])
def test_a_blank_key_is_none(monkeypatch: pytest.MonkeyPatch, variable: str, blank: str) -> None:
    monkeypatch.setenv(variable, blank)

    assert read().api_key is None


def test_a_blank_variable_does_not_hide_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", SECRET)
    monkeypatch.setenv("TALE_AI_SERVICE__API_KEY", " ")
    monkeypatch.setenv("OPENROUTER_API_BASE", " ")

    assert key_of(read()) == SECRET
    assert read().base_url == OPENROUTER_BASE_URL


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("OPENROUTER_API_BASE", "http://openrouter.ai/api/v1", "https://"),
        ("TALE_AI_SERVICE__BASE_URL", "ftp://openrouter.ai", "https://"),
        ("TALE_AI_SERVICE__MAX_TOKENS", "many", "valid integer"),
        ("TALE_AI_SERVICE__MAX_TOKENS", "0", "greater than or equal to 1"),
        ("TALE_AI_SERVICE__MAX_TOKENS", "1000001", "less than or equal to 1000000"),
        ("TALE_AI_SERVICE__MAX_RETRIES", "-1", "greater than or equal to 0"),
        ("TALE_AI_SERVICE__MAX_RETRIES", "101", "less than or equal to 100"),
        ("TALE_AI_SERVICE__RETRY_DELAY", "-0.1", "greater than or equal to 0"),
        ("TALE_AI_SERVICE__RETRY_DELAY", "3601", "less than or equal to 3600"),
        ("TALE_AI_SERVICE__RETRY_DELAY", "nan", "less than or equal to 3600"),
        ("TALE_AI_SERVICE__TIMEOUT_S", "0", "greater than 0"),
        ("TALE_AI_SERVICE__TIMEOUT_S", "inf", "less than or equal to 86400"),
        ("TALE_AI_SERVICE__TYPO", "1", "max_tokens"),
        ("TALE_AI_SERVICE", "{", "JSON object"),
        ("TALE_AI_SERVICE", "[]", "JSON object"),
    ],
)
def test_a_wrong_value_is_a_value_error_that_names_the_variable_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, allowed: str
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(ConfigurationError) as caught:
        get_settings()

    assert isinstance(caught.value, ValueError)
    assert variable in str(caught.value)
    assert allowed in str(caught.value)
    assert "\n" not in str(caught.value)


def test_several_wrong_values_are_all_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALE_AI_SERVICE__MAX_TOKENS", "0")
    monkeypatch.setenv("TALE_AI_SERVICE__TIMEOUT_S", "0")

    with pytest.raises(ConfigurationError, match=r"__MAX_TOKENS: .*; TALE_AI_SERVICE__TIMEOUT_S: "):
        get_settings()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TALE_AI_SERVICE", f'{{"api_key": "{SECRET}"'),
        ("TALE_AI_SERVICE", f'["{SECRET}"]'),
        ("TALE_AI_SERVICE", f'{{"api_key": ["{SECRET}"]}}'),
        ("TALE_AI_SERVICE__MAX_TOKENS", SECRET),
        ("TALE_AI_SERVICE__BASE_URL", f"https://user:{SECRET}@openrouter.ai/api/v1"),
        ("OPENROUTER_API_BASE", SECRET),
    ],
)
def test_no_error_quotes_a_secret(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setenv("OPENROUTER_API_KEY", SECRET)

    with pytest.raises(ConfigurationError) as caught:
        get_settings()

    shown = caught.value.__cause__ or (
        None if caught.value.__suppress_context__ else caught.value.__context__
    )
    assert SECRET not in f"{caught.value!s} {caught.value!r} {shown!s}"


def test_settings_made_by_hand_quote_no_secret_either() -> None:
    with pytest.raises(ValidationError) as caught:
        AIServiceSettings(api_key=[SECRET], max_tokens=SECRET)

    assert SECRET not in str(caught.value)


def test_a_file_that_is_no_text_is_said_to_be_none() -> None:
    Path(".env").write_bytes(b"OPENROUTER_API_KEY=\xff\xfe\n")

    with pytest.raises(ConfigurationError, match=r"\.env must be written in UTF-8"):
        get_settings()


def test_a_representation_hides_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", SECRET)
    settings = get_settings()

    assert SECRET not in f"{settings!r} {settings!s} {settings.model_dump_json()}"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://openrouter.ai/api/v1", "https://openrouter.ai/api/v1"),
        ("HTTPS://OpenRouter.ai/api/v1//", "HTTPS://OpenRouter.ai/api/v1"),
        (" https://openrouter.ai/api/v1\n", "https://openrouter.ai/api/v1"),
        ("http://localhost:1/v1", "http://localhost:1/v1"),
        ("http://127.0.0.1/v1/", "http://127.0.0.1/v1"),
        ("http://[::1]:80/v1", "http://[::1]:80/v1"),
    ],
)
def test_a_key_may_be_sent_over_https_or_on_loopback(url: str, expected: str) -> None:
    assert checked_base_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "openrouter.ai/api/v1",
        "https://",
        "http://openrouter.ai/api/v1",
        "http://127.0.0.1.evil.example/v1",
        "http://localhost@evil.example/v1",
        "http://evil.example\\@127.0.0.1/v1",
        "https://user@openrouter.ai",
        "https://@openrouter.ai",
        "https://user:pass@openrouter.ai",
        "https://openrouter.ai/api/v1?key=1",
        "https://openrouter.ai/api/v1#top",
        "https://[",
        "https://openrouter.ai:port/v1",
        "https://openrouter.ai:99999/v1",
        "file:///etc/passwd",
        "ftp://127.0.0.1/v1",
    ],
)
def test_a_key_is_sent_nowhere_else(url: str) -> None:
    with pytest.raises(ConfigurationError, match="base URL"):
        checked_base_url(url)
