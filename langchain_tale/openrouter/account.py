"""What OpenRouter knows besides completions: generations, models and their health, the key.

Everything takes a `ChatOpenRouter` for its key, address, timeout, retries and connections, and
raises what asking a model raises: `ExternalServiceError`, or `ConfigurationError` before
anything is sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from langchain_tale import catalogue
from langchain_tale.errors import ConfigurationError, MalformedReplyError, ModelNotFoundError
from langchain_tale.openrouter import transport
from langchain_tale.openrouter.model_records import (
    Health,
    ModelEndpoints,
    ModelRecord,
    unroutable,
)
from langchain_tale.openrouter.records import GenerationRecord, KeyRecord
from langchain_tale.resilience.attempts import Timing
from langchain_tale.resilience.lateness import aask_until_found, ask_until_found

if TYPE_CHECKING:
    from langchain_tale.openrouter.chat_models import ChatOpenRouter
    from langchain_tale.openrouter.failures import Source

_REAL_TIME: Final = Timing()
_SLUG: Final = re.compile(r"~?\w[\w.-]*/\w[\w.:-]*", re.ASCII)


# ── generations ─────────────────────────────────────────────────────────────


def generation(
    llm: ChatOpenRouter, generation_id: str, *, timing: Timing = _REAL_TIME
) -> GenerationRecord | None:
    """The stats of one finished generation.

    OpenRouter answers 404 for up to a few seconds after the end (Appendix B4 of its facts), so
    it is asked up to six times within about six seconds.

    Args:
        llm: The account to ask.
        generation_id: From `response_metadata["id"]`.
        timing: Clock and sleep, for tests.

    Returns:
        The record, or None where OpenRouter has none.
    """
    call = _generation_call(llm, generation_id)

    def ask() -> GenerationRecord | None:
        try:
            return GenerationRecord.from_body(*transport.fetch(sync_client(llm), call))
        except ModelNotFoundError:  # the 404 of this path is about the generation
            return None

    return ask_until_found(ask, timing)


async def ageneration(
    llm: ChatOpenRouter, generation_id: str, *, timing: Timing = _REAL_TIME
) -> GenerationRecord | None:
    """The twin of `generation`."""
    call = _generation_call(llm, generation_id)

    async def ask() -> GenerationRecord | None:
        try:
            return GenerationRecord.from_body(*await transport.afetch(llm.root_async_client, call))
        except ModelNotFoundError:  # as above
            return None

    return await aask_until_found(ask, timing)


def _generation_call(llm: ChatOpenRouter, generation_id: str) -> transport.Call:
    return _call(llm, "/generation", f"The generation {generation_id}", {"id": generation_id})


# ── models ──────────────────────────────────────────────────────────────────


def models(llm: ChatOpenRouter, **query: Any) -> list[ModelRecord]:
    """The models of OpenRouter's catalogue that write text, or those that `query` asks for.

    Args:
        llm: The account to ask.
        **query: OpenRouter's filters and order, e.g. `supported_parameters=["tools"]`,
            `max_price=1`, `zdr=True`, `output_modalities="all"`, `sort="newest"`; None is left
            out. `limit` is the size of a page: all pages are fetched.

    Returns:
        All that match, in OpenRouter's order.
    """
    pages = _Pages(_models_call(llm, query))
    while pages.call is not None:
        pages.read(*transport.fetch(sync_client(llm), pages.call))
    return pages.found


async def amodels(llm: ChatOpenRouter, **query: Any) -> list[ModelRecord]:
    """The twin of `models`."""
    pages = _Pages(_models_call(llm, query))
    while pages.call is not None:
        pages.read(*await transport.afetch(llm.root_async_client, pages.call))
    return pages.found


def refresh_catalogue(llm: ChatOpenRouter) -> list[ModelRecord]:
    """Fetch the catalogue, and let `OpenRouterModel.….info` and model profiles speak from it.

    It holds for the whole process, until `catalogue.forget_refresh`; see `catalogue.refresh`.

    Args:
        llm: The account to ask.

    Returns:
        What was fetched.

    Raises:
        MalformedReplyError: The catalogue is empty; nothing has changed.
        ExternalServiceError: It could not be fetched; nothing has changed.
    """
    found = models(llm)
    catalogue.refresh(_by_slug(found))
    return found


async def arefresh_catalogue(llm: ChatOpenRouter) -> list[ModelRecord]:
    """The twin of `refresh_catalogue`."""
    found = await amodels(llm)
    catalogue.refresh(_by_slug(found))
    return found


def _by_slug(found: list[ModelRecord]) -> dict[str, ModelRecord]:
    if not found:
        msg = "OpenRouter's list of models is empty; what was known of them stays."
        raise MalformedReplyError(msg)
    return {record.id: record for record in found}


def _models_call(llm: ChatOpenRouter, query: Mapping[str, Any]) -> transport.Call:
    given = {name: value for name, value in query.items() if value is not None}
    listed = {
        name: ",".join(map(str, value))
        for name, value in given.items()
        if isinstance(value, list | tuple | set | frozenset)
    }
    return _call(llm, "/models", "OpenRouter's list of models", {**given, **listed})


@dataclass(slots=True)
class _Pages:
    """A list that comes in pages: what to ask next, and what has been found."""

    call: transport.Call | None
    found: list[ModelRecord] = field(default_factory=list)

    def read(self, body: Any, source: Source) -> None:
        """Take in the answer to `call`."""
        page = ModelRecord.list_from_body(body, source)
        self.found += page
        self.call = _following(self.call, body) if page and self.call else None


def _following(call: transport.Call, body: Mapping[str, Any]) -> transport.Call | None:
    """The call for the next page.

    Of the server's link only the query is taken, and asked of the path that answered: so the
    key stays where the caller sent it, wherever a link may point.
    """
    links = body.get("links")
    link = links.get("next") if isinstance(links, Mapping) else None
    if not isinstance(link, str):
        return None
    query = {**call.query, **dict(parse_qsl(link.partition("?")[2]))}
    return None if query == call.query else replace(call, query=query)


# ── endpoints ───────────────────────────────────────────────────────────────


def endpoints(llm: ChatOpenRouter, model: str) -> ModelEndpoints:
    """Everyone who serves a model, with prices, limits, uptime, latency and throughput.

    Args:
        llm: The account to ask.
        model: A slug or an `OpenRouterModel`; a preset and variants such as `:nitro` are
            left out, since they only choose among its endpoints.

    Returns:
        The model and its endpoints; its `health()` is the verdict on them.

    Raises:
        ModelNotFoundError: OpenRouter does not know it.
        ConfigurationError: It is no slug; nothing was sent.
    """
    call = _endpoints_call(llm, model)
    return ModelEndpoints.from_body(*transport.fetch(sync_client(llm), call))


async def aendpoints(llm: ChatOpenRouter, model: str) -> ModelEndpoints:
    """The twin of `endpoints`."""
    call = _endpoints_call(llm, model)
    return ModelEndpoints.from_body(*await transport.afetch(llm.root_async_client, call))


def health(llm: ChatOpenRouter, model: str) -> Health:
    """Whether a model can be expected to answer; an unknown one is `"unroutable"`.

    Args:
        llm: The account to ask.
        model: As for `endpoints`.

    Returns:
        The verdict; `ModelEndpoints.health` says how it is found.
    """
    try:
        return endpoints(llm, model).health()
    except ModelNotFoundError:
        return unroutable(str(model))


async def ahealth(llm: ChatOpenRouter, model: str) -> Health:
    """The twin of `health`."""
    try:
        return (await aendpoints(llm, model)).health()
    except ModelNotFoundError:
        return unroutable(str(model))


def listed_slug(model: str) -> str:
    """The slug under which OpenRouter lists a model.

    Args:
        model: As for `endpoints`.

    Raises:
        ConfigurationError: It is no slug.

    Example:
        >>> listed_slug("openai/gpt-4o-mini:nitro")
        'openai/gpt-4o-mini'
    """
    slug = catalogue.served_slug(str(model))
    if not _SLUG.fullmatch(slug):
        msg = "model must be a slug such as 'openai/gpt-4o-mini'."
        raise ConfigurationError(msg)
    return slug


def _endpoints_call(llm: ChatOpenRouter, model: str) -> transport.Call:
    slug = listed_slug(model)
    return _call(llm, f"/models/{slug}/endpoints", slug)


# ── the key ─────────────────────────────────────────────────────────────────


def key(llm: ChatOpenRouter) -> KeyRecord:
    """What the key may spend, and has spent.

    The balance of the account behind it is for management keys only.

    Args:
        llm: The account to ask.

    Returns:
        The key's limits and usage; never the key itself.
    """
    return KeyRecord.from_body(*transport.fetch(sync_client(llm), _key_call(llm)))


async def akey(llm: ChatOpenRouter) -> KeyRecord:
    """The twin of `key`."""
    return KeyRecord.from_body(*await transport.afetch(llm.root_async_client, _key_call(llm)))


def _key_call(llm: ChatOpenRouter) -> transport.Call:
    return _call(llm, "/key", "The record of the API key")


# ── asking ──────────────────────────────────────────────────────────────────


def _call(
    llm: ChatOpenRouter, path: str, what: str, query: dict[str, Any] | None = None
) -> transport.Call:
    return transport.Call(
        path=path,
        model=what,
        query=query or {},
        timeout=llm.request_timeout,
        max_retries=llm.max_retries or 0,
    )


def sync_client(llm: ChatOpenRouter) -> Any:
    """The blocking client, which a key that only a coroutine can tell rules out."""
    if llm.root_client is None:
        msg = "The api_key function is a coroutine: await the twin of this call, such as amodels."
        raise ConfigurationError(msg)
    return llm.root_client
