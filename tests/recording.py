"""How cassettes are made and kept clean; see cassettes/README.md."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from vcr.errors import CannotOverwriteExistingCassetteException

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vcr.cassette import Cassette

OPENROUTER = ("https", "openrouter.ai")
KEPT_REQUEST_HEADERS = {"accept", "content-type", "http-referer", "x-openrouter-title"}
KEPT_RESPONSE_HEADERS = {"content-type", "retry-after", "server", "x-generation-id"}
PRIVATE_FIELDS = {"user_id", "creator_user_id", "label"}


def clean_request(request: Any) -> Any:
    """Only the headers that matter; the sandbox's address as OpenRouter's."""
    parts = urlsplit(request.uri)
    if parts.hostname == "127.0.0.1":
        request.uri = urlunsplit((*OPENROUTER, parts.path, parts.query, ""))
    for name in [name for name in request.headers if name.lower() not in KEPT_REQUEST_HEADERS]:
        del request.headers[name]
    return request


def clean_response(response: dict[str, Any]) -> dict[str, Any]:
    """Only the headers that matter, and no account."""
    headers = response["headers"]
    kept = {k: v for k, v in headers.items() if k.lower() in KEPT_RESPONSE_HEADERS}
    body = dict(response["body"])
    try:
        content = json.loads(body["string"])
    except ValueError:
        content = None
    if isinstance(content, dict) and content.keys() & PRIVATE_FIELDS:
        clean = {k: v for k, v in content.items() if k not in PRIVATE_FIELDS}
        body["string"] = json.dumps(clean).encode()
    return {**response, "headers": kept, "body": body}


VCR_CONFIG: dict[str, Any] = {
    "match_on": ["method", "scheme", "host", "path", "query", "body"],
    "allow_playback_repeats": False,
    "decode_compressed_response": True,
    "before_record_request": clean_request,
    "before_record_response": clean_response,
}


@contextmanager
def every_request_recorded(cassette: Cassette, *, is_replay: bool) -> Iterator[None]:
    """Fail on a request that the cassette does not have, whatever became of its exception.

    vcrpy raises inside the HTTP library, the SDK makes a lost connection of it, and a policy
    may retry that or fall back: without this the test could pass.
    """
    misses: list[str] = []
    plain = CannotOverwriteExistingCassetteException.__init__

    def noting(self: Any, *args: Any, **kwargs: Any) -> None:
        plain(self, *args, **kwargs)
        misses.append(str(kwargs["failed_request"]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CannotOverwriteExistingCassetteException, "__init__", noting)
        yield
    if misses:
        pytest.fail(f"not in the cassette: {', '.join(misses)}")
    if is_replay and not cassette.all_played:
        pytest.fail(
            f"the cassette has {len(cassette)} answers; {cassette.play_count} were asked for"
        )
