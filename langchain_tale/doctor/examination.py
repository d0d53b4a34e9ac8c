"""All checks at once, each with a limit of time; nothing that a network does raises here."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.request import getproxies

from langchain_tale.doctor import keys, models, network
from langchain_tale.doctor.finding import Finding, skipped
from langchain_tale.errors import ConfigurationError, RequestTimeoutError, TaleError
from langchain_tale.openrouter import account
from langchain_tale.openrouter.chat_models import ChatOpenRouter
from langchain_tale.openrouter.reach import Reach, explained, http_client, reach
from langchain_tale.settings import ENV_FILE, find_api_key, get_settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    import httpx2

    from langchain_tale.openrouter.model_records import ModelEndpoints
    from langchain_tale.openrouter.records import KeyRecord
    from langchain_tale.settings import AIServiceSettings, FoundKey

T = TypeVar("T")

TIMEOUT_S: Final = 5.0
_ONLINE: Final = ("connection", "clock", "key accepted", "key limit", "key expiry", "model")
_LATE: Final = "no answer in time"
_NO_KEY: Final = "not asked: there is no key that could be sent"
_NO_WAY: Final = "not asked: there is no connection"
_SETTINGS_FIRST: Final = "not looked at: the settings come first"
_PROXY_FIRST: Final = "not asked: the proxy comes first"
_REFUSED: Final = "not known: the key is not accepted"


async def examine(
    slugs: Sequence[str] = (),
    *,
    timeout_s: float = TIMEOUT_S,
    now: Callable[[], float] = time.time,
) -> list[Finding]:
    """Look at everything that asking OpenRouter needs.

    Args:
        slugs: The models to look at; else the one that settings name.
        timeout_s: Seconds for each question; all are asked at once.
        now: Seconds since 1970 by this machine's clock.

    Returns:
        What was found, in the order in which one thing needs another.
    """
    env_file = env_file_found()
    try:
        settings, key = get_settings().ai_service, find_api_key()
    except ConfigurationError as error:
        is_file = env_file.status == "failed"
        wrong = Finding(
            check="settings",
            status="failed",
            text=str(error).rstrip("."),
            advice="correct it or take it out",
        )
        seen = skipped("settings", "not read: the file comes first") if is_file else wrong
        return [env_file, seen, *(skipped(check, _SETTINGS_FIRST) for check in ("key", *_ONLINE))]
    local = [env_file, Finding(check="settings", status="ok", text="all valid")]
    slugs = slugs or [settings.default_model]
    proxies = getproxies()
    http = _client(settings.base_url, proxies)
    if isinstance(http, Finding):
        written = keys.key_found(key, is_accepted=False)
        return [*local, written, http, *(skipped(check, _PROXY_FIRST) for check in _ONLINE)]
    async with http:
        ask = _Questions.of(settings, key, http, timeout_s)
        way, record, served = await asyncio.gather(ask.way(now), ask.key(), ask.models(slugs))
    is_accepted = not isinstance(record, TaleError | None)
    return [
        *local,
        keys.key_found(key, is_accepted=is_accepted),
        network.proxy_found(settings.base_url, proxies, way),
        network.connection_found(settings.base_url, way),
        skipped("clock", _NO_WAY) if way.error else network.clock_found(way),
        *_of_key(record, way, now()),
        *(_of_model(slug, found, way) for slug, found in zip(slugs, served, strict=True)),
    ]


def env_file_found() -> Finding:
    """Whether `.env` can be read, where there is one."""
    if not ENV_FILE.is_file():
        return skipped(".env", "there is none in this folder")
    try:
        ENV_FILE.read_text(encoding="utf-8")
    except OSError as error:
        text = f"{ENV_FILE.absolute()} cannot be read ({error.strerror})"
        return Finding(check=".env", status="failed", text=text, advice="change its permissions")
    except UnicodeDecodeError:
        text = f"{ENV_FILE.absolute()} is not written in UTF-8"
        return Finding(check=".env", status="failed", text=text, advice="save it as UTF-8")
    return Finding(check=".env", status="ok", text=f"{ENV_FILE.absolute()} is read")


def _client(base_url: str, proxies: Mapping[str, str]) -> httpx2.AsyncClient | Finding:
    """What asks, or why nothing can: the proxy."""
    if network.is_unreadable(base_url, proxies):
        return network.proxy_unusable(base_url, proxies)
    try:
        return http_client()
    except (ImportError, ConfigurationError) as error:
        return network.proxy_unusable(base_url, proxies, error)


def _of_key(record: KeyRecord | TaleError | None, way: Reach, now_s: float) -> list[Finding]:
    if record is None or (way.error and isinstance(record, TaleError)):
        why = _NO_KEY if record is None else _NO_WAY
        return [skipped("key accepted", why), *_no_terms(why)]
    if isinstance(record, TaleError):
        return [keys.key_refused(record), *_no_terms(_REFUSED)]
    return keys.key_accepted(record, datetime.fromtimestamp(now_s, UTC))


def _no_terms(why: str) -> list[Finding]:
    return [skipped("key limit", why), skipped("key expiry", why)]


def _of_model(slug: str, found: ModelEndpoints | TaleError | None, way: Reach) -> Finding:
    if models.is_preset(slug):
        return models.model_unasked(slug, "only the account knows which models a preset has")
    if found is None or (way.error and isinstance(found, TaleError)):
        return models.model_unasked(slug, _NO_KEY if found is None else _NO_WAY)
    if isinstance(found, TaleError):
        return models.model_failed(slug, found)
    return models.model_found(slug, found)


@dataclass(frozen=True, slots=True)
class _Questions:
    """What is asked of OpenRouter; answers and errors alike are results."""

    base_url: str
    http: httpx2.AsyncClient
    timeout_s: float
    llm: ChatOpenRouter | None

    @classmethod
    def of(
        cls,
        settings: AIServiceSettings,
        key: FoundKey | None,
        http: httpx2.AsyncClient,
        timeout_s: float,
    ) -> _Questions:
        """With a model to ask through, where there is a key that can be sent."""
        llm = None
        if key is not None and not keys.unusable(key.value.get_secret_value()):
            secret = key.value.get_secret_value()

            async def tell() -> str:  # no blocking client is needed, so none is made
                return secret

            llm = ChatOpenRouter(
                api_key=tell,
                http_async_client=http,
                timeout=timeout_s,
                max_retries=0,
            )
        return cls(settings.base_url, http, timeout_s, llm)

    async def way(self, now: Callable[[], float]) -> Reach:
        """Whether there is a way to OpenRouter, asked without the key."""
        asked = reach(self.http, self.base_url, timeout_s=self.timeout_s, now=now)
        answer = await self._answer(asked)
        if isinstance(answer, Reach):
            return answer
        why, advice = explained(TimeoutError())
        return Reach(error=why, advice=advice)

    async def key(self) -> KeyRecord | TaleError | None:
        """What OpenRouter says of the key; None where there is none to be sent."""
        return None if self.llm is None else await self._answer(account.akey(self.llm))

    async def models(self, slugs: Sequence[str]) -> list[ModelEndpoints | TaleError | None]:
        """Who serves each model; None likewise."""
        return await asyncio.gather(*(self._model(slug) for slug in slugs))

    async def _model(self, slug: str) -> ModelEndpoints | TaleError | None:
        if self.llm is None or models.is_preset(slug):
            return None
        return await self._answer(account.aendpoints(self.llm, slug))

    async def _answer(self, question: Awaitable[T]) -> T | TaleError:
        try:
            async with asyncio.timeout(self.timeout_s):
                return await question
        except TimeoutError:
            return RequestTimeoutError(_LATE)
        except TaleError as error:
            return error
