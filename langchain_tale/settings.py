"""Settings from the environment and from `.env`; no other module of the client reads either.

| variable | setting |
| --- | --- |
| `OPENROUTER_API_KEY` | `ai_service.api_key` |
| `OPENROUTER_API_BASE` | `ai_service.base_url` |
| `TALE_AI_SERVICE__<NAME>` | `ai_service.<name>`, and wins over the two above |

A variable of the process wins over the same variable in `.env`; one that is blank counts as
not set.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic import field_validator as validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from langchain_tale.catalogue import DEFAULT_MODEL
from langchain_tale.errors import ConfigurationError, one_sentence

ENV_FILE: Final = Path(".env")
OPENROUTER_BASE_URL: Final = "https://openrouter.ai/api/v1"
LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def checked_base_url(url: str) -> str:
    """`url` without a trailing slash, if a key may be sent there.

    Args:
        url: Where OpenRouter's API lives, up to and including `/v1`.

    Returns:
        The URL, ready for a path to be appended.

    Raises:
        ConfigurationError: If it is neither https nor on loopback, or no plain URL.

    Example:
        >>> checked_base_url("http://127.0.0.1:8000/api/v1/")
        'http://127.0.0.1:8000/api/v1'
    """
    url = url.strip()
    try:
        parts = urlsplit(url)
        _ = parts.port  # read to be checked
    except ValueError:
        msg = "The base URL is no URL; it looks like https://openrouter.ai/api/v1."
        raise ConfigurationError(msg) from None
    is_loopback = parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS
    if not parts.hostname or not (parts.scheme == "https" or is_loopback):
        msg = "The base URL must begin with https:// (http:// only on loopback)."
        raise ConfigurationError(msg)
    if "@" in parts.netloc or parts.query or parts.fragment:
        msg = "The base URL must not carry a user name, a password, a query or a fragment."
        raise ConfigurationError(msg)
    return url.rstrip("/")


class AIServiceSettings(BaseModel):
    """How to reach OpenRouter, and what to ask for where a call does not say.

    Attributes:
        api_key: OpenRouter's key, or None.
        base_url: OpenRouter's API; https, or http on loopback.
        default_model: Slug of the model that tells a story when none is named.
        max_tokens: Least room for one story, 1 to 1,000,000; longer stories get more.
        max_retries: More tries after the first, 0 to 100.
        retry_delay: Seconds before the second try, doubling from there, 0 to 3600.
        timeout_s: Seconds to wait for an answer, above 0.
        app_url: Sent as `HTTP-Referer`: who OpenRouter's rankings credit.
        app_title: Sent as `X-OpenRouter-Title`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    api_key: SecretStr | None = None
    base_url: str = OPENROUTER_BASE_URL
    default_model: Annotated[str, Field(min_length=1)] = DEFAULT_MODEL.value
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    max_retries: Annotated[int, Field(ge=0, le=100)] = 3
    retry_delay: Annotated[float, Field(ge=0, le=3600)] = 1.0
    timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 30.0
    app_url: str | None = None
    app_title: str | None = None

    @validator("base_url")
    @classmethod
    def _is_safe(cls, url: str) -> str:
        return checked_base_url(url)

    @validator("api_key")
    @classmethod
    def _is_trimmed(cls, key: SecretStr | None) -> SecretStr | None:
        trimmed = key.get_secret_value().strip() if key else ""
        return SecretStr(trimmed) if trimmed else None


class _Environment(BaseSettings):
    """The raw variables, before they are merged into one `Settings`."""

    model_config = SettingsConfigDict(
        env_prefix="TALE_",
        env_nested_delimiter="__",
        env_file=ENV_FILE,
        env_ignore_empty=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    ai_service: dict[str, Any] = Field(default_factory=dict)
    openrouter_api_key: SecretStr | None = Field(
        None, validation_alias=AliasChoices("OPENROUTER_API_KEY")
    )
    openrouter_api_base: str | None = Field(
        None, validation_alias=AliasChoices("OPENROUTER_API_BASE")
    )


class Settings(BaseModel):
    """All settings; see `AIServiceSettings`."""

    model_config = ConfigDict(frozen=True)

    ai_service: AIServiceSettings


def get_settings() -> Settings:
    """The settings as the environment has them now.

    Nothing is cached, so a key that is set in a running notebook is picked up.

    Returns:
        Validated settings.

    Raises:
        ConfigurationError: A variable has a value that is not allowed, or no setting
            has its name; the message names the variable and what is allowed.
    """
    found = _environment()
    values = {name: value for name, value in found.ai_service.items() if not _is_blank(value)}
    variables = {name: f"TALE_AI_SERVICE__{name.upper()}" for name in values}
    for name, variable, value in (
        ("api_key", "OPENROUTER_API_KEY", found.openrouter_api_key),
        ("base_url", "OPENROUTER_API_BASE", found.openrouter_api_base),
    ):
        if not _is_blank(value) and name not in values:
            values[name], variables[name] = value, variable
    try:
        return Settings(ai_service=AIServiceSettings(**values))
    except ValidationError as error:
        raise ConfigurationError(_naming_variables(error, variables)) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundKey:
    """An API key as somebody wrote it, which may be wrong.

    Attributes:
        variable: The variable that holds it.
        is_in_file: Whether it is in `.env`, and not in the environment of the process.
        value: Exactly as it is there, white space included.
    """

    variable: str
    is_in_file: bool
    value: SecretStr


def find_api_key() -> FoundKey | None:
    """Where the API key is, and exactly what is there; None where there is none.

    Raises:
        ConfigurationError: As `get_settings`.
    """
    found = _environment()
    for variable, value in (
        ("TALE_AI_SERVICE__API_KEY", found.ai_service.get("api_key")),
        ("OPENROUTER_API_KEY", found.openrouter_api_key),
    ):
        if isinstance(value, str | SecretStr) and not _is_blank(value):
            of_process = {name.upper() for name, text in os.environ.items() if text}
            return FoundKey(
                variable=variable,
                is_in_file=not of_process & {variable, variable.partition("__")[0]},
                value=value if isinstance(value, SecretStr) else SecretStr(value),
            )
    return None


def _environment() -> _Environment:
    try:
        return _Environment()
    except UnicodeDecodeError:
        msg = "The file .env must be written in UTF-8."
    except OSError as error:
        msg = f"The file .env cannot be read: {error.strerror}."
    except ValueError:
        msg = "TALE_AI_SERVICE must be a JSON object, or be set as TALE_AI_SERVICE__<NAME>."
    raise ConfigurationError(msg)


def _is_blank(value: Any) -> bool:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    return text is None or (isinstance(text, str) and not text.strip())


def _naming_variables(error: ValidationError, variables: dict[str, str]) -> str:
    sentence = one_sentence(error, of="").replace(
        "Extra inputs are not permitted", _NO_SUCH_SETTING
    )
    for name, variable in variables.items():
        sentence = sentence.replace(f".{name}:", f"{variable}:")
    return sentence


_NO_SUCH_SETTING: Final = "no such setting; there are " + ", ".join(AIServiceSettings.model_fields)
