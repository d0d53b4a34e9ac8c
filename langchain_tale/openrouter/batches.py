"""OpenRouter's batch API: many requests at once, within 24 hours, at about half the price.

The API is beta (§23b of the facts this was built on): its paths and shapes may change.
Everything takes a `ChatOpenRouter` for its key, address, timeout and request fields, and raises
what asking a model raises.

Example:
    ```python
    llm = ChatOpenRouter(model="openai/gpt-4o-mini")
    batch = submit(llm, {"mia": "Tell me of a fox.", "leo": "Tell me of an owl."})
    batch = poll(llm, batch.id)  # from any process that has the id, and the key
    batch.replies()["mia"].text
    ```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tenacity import AsyncRetrying, Retrying, retry_if_result, stop_after_delay

from langchain_tale.errors import ConfigurationError
from langchain_tale.openrouter import requests, transport
from langchain_tale.openrouter.account import sync_client
from langchain_tale.openrouter.batch_records import Batch
from langchain_tale.resilience.attempts import Timing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_core.language_models import LanguageModelInput

    from langchain_tale.openrouter.chat_models import ChatOpenRouter

ENDPOINT: Final = "/v1/chat/completions"
BATCHES_PATH: Final = "/beta/batches"
"""Beside `/v1`, and not below it."""
WINDOW_S: Final = 24 * 3600.0
POLL_S: Final = 30.0
_REAL_TIME: Final = Timing()
_PER_BATCH: Final = ("model", "stream", "models")


def submit(
    llm: ChatOpenRouter, conversations: Mapping[str, LanguageModelInput], **kwargs: Any
) -> Batch:
    """Hand in a batch.

    Nothing is retried: a batch whose answer was lost may have been taken, and would be paid
    for twice.

    Args:
        llm: Whom to ask, and the fields of every request.
        conversations: What to ask, by an id of the caller's own; at least one.
        **kwargs: More fields of every request, as for `invoke`.

    Returns:
        The batch as it begins; keep its `id`.

    Raises:
        ConfigurationError: There is nothing to ask, or the model has server-side fallbacks.
    """
    call = _submission(llm, conversations, kwargs)
    return Batch.from_body(*transport.fetch(sync_client(llm), call))


async def asubmit(
    llm: ChatOpenRouter, conversations: Mapping[str, LanguageModelInput], **kwargs: Any
) -> Batch:
    """The twin of `submit`."""
    call = _submission(llm, conversations, kwargs)
    return Batch.from_body(*await transport.afetch(llm.root_async_client, call))


async def asubmit_bodies(
    llm: ChatOpenRouter, model: str, bodies: Mapping[str, Mapping[str, Any]]
) -> Batch:
    """Hand in requests that are made already; else as `asubmit`.

    Args:
        llm: Whose key, address and timeout.
        model: Whom to ask.
        bodies: What would be sent to ask it alone, by an id of the caller's own; at least one.
    """
    return Batch.from_body(
        *await transport.afetch(llm.root_async_client, _handing_in(llm, model, bodies))
    )


def fetch(llm: ChatOpenRouter, batch_id: str) -> Batch:
    """A batch as it stands.

    Args:
        llm: The account that submitted it.
        batch_id: From `submit`.
    """
    return Batch.from_body(*transport.fetch(sync_client(llm), _look(llm, batch_id)))


async def afetch(llm: ChatOpenRouter, batch_id: str) -> Batch:
    """The twin of `fetch`."""
    return Batch.from_body(*await transport.afetch(llm.root_async_client, _look(llm, batch_id)))


def poll(
    llm: ChatOpenRouter,
    batch_id: str,
    *,
    poll_s: float = POLL_S,
    timeout_s: float = WINDOW_S,
    timing: Timing = _REAL_TIME,
) -> Batch:
    """Look at a batch until it has ended.

    Args:
        llm: The account that submitted it.
        batch_id: From `submit`.
        poll_s: Seconds between two looks.
        timeout_s: Seconds after which it is returned as it stands.
        timing: Clock and sleep, for tests.

    Returns:
        The batch; `is_over` tells whether it has ended.
    """
    rules = _patience(poll_s, timeout_s)
    return Retrying(sleep=timing.sleep, **rules)(lambda: fetch(llm, batch_id))


async def apoll(
    llm: ChatOpenRouter,
    batch_id: str,
    *,
    poll_s: float = POLL_S,
    timeout_s: float = WINDOW_S,
    timing: Timing = _REAL_TIME,
) -> Batch:
    """The twin of `poll`."""
    rules = _patience(poll_s, timeout_s)

    async def look() -> Batch:  # tenacity awaits only what is declared a coroutine function
        return await afetch(llm, batch_id)

    return await AsyncRetrying(sleep=timing.asleep, **rules)(look)


def _patience(poll_s: float, timeout_s: float) -> dict[str, Any]:
    return {
        "retry": retry_if_result(lambda batch: not batch.is_over),
        "wait": lambda _state: poll_s,
        "stop": stop_after_delay(timeout_s),
        "retry_error_callback": lambda state: state.outcome.result(),
    }


def _submission(
    llm: ChatOpenRouter, conversations: Mapping[str, LanguageModelInput], kwargs: dict[str, Any]
) -> transport.Call:
    if not conversations:
        msg = "A batch needs at least one request."
        raise ConfigurationError(msg)
    bodies = {name: _body(llm, asked, kwargs) for name, asked in conversations.items()}
    return _handing_in(llm, str(llm.model_name), bodies)


def _handing_in(
    llm: ChatOpenRouter, model: str, bodies: Mapping[str, Mapping[str, Any]]
) -> transport.Call:
    fitting = {name: in_batch(body) for name, body in bodies.items()}
    body = {  # in this order: OpenRouter reads it as it comes
        "endpoint": ENDPOINT,
        "model": model,
        "requests": [{"custom_id": name, "body": body} for name, body in fitting.items()],
    }
    return transport.Call(
        path=address_of(llm),
        model=f"The batch API for {model}",
        body=body,
        timeout=llm.request_timeout,
    )


def _body(llm: ChatOpenRouter, asked: LanguageModelInput, kwargs: dict[str, Any]) -> dict[str, Any]:
    payload = llm._get_request_payload(asked, **kwargs)  # noqa: SLF001 (langchain-openai's hook)
    payload = {k: v for k, v in payload.items() if k not in {"timeout", "max_retries"}}
    return requests.request(payload, stream=False).body


def in_batch(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a request without what is said once for the batch.

    Raises:
        ConfigurationError: It asks several models.
    """
    if body.get("models"):
        msg = "A batch asks one model; leave models out."
        raise ConfigurationError(msg)
    return {name: value for name, value in body.items() if name not in _PER_BATCH}


def _look(llm: ChatOpenRouter, batch_id: str) -> transport.Call:
    if not batch_id.replace("_", "").replace("-", "").isalnum():
        msg = "batch_id must be the id of a batch, such as 'batch_abc'."
        raise ConfigurationError(msg)
    return transport.Call(
        path=f"{address_of(llm)}/{batch_id}",
        model=f"The batch {batch_id}",
        timeout=llm.request_timeout,
        max_retries=llm.max_retries or 0,
    )


def address_of(llm: ChatOpenRouter) -> str:
    """Where batches are: the absolute URL, as the SDK joins paths to the base URL.

    That ends in `/v1`, and they are beside it.
    """
    return str(llm.openai_api_base).removesuffix("/").removesuffix("/v1") + BATCHES_PATH
