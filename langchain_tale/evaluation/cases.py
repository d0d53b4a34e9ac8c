"""The requests that every model is given."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_tale.bulk.asked import digest_of
from langchain_tale.bulk.reading import read_file, read_items
from langchain_tale.errors import ConfigurationError
from langchain_tale.story.request import StoryRequest

if TYPE_CHECKING:
    from langchain_tale.bulk.asked import Asked

    Requests = str | Path | Iterable[Any] | None


@dataclass(frozen=True, slots=True)
class Case:
    """One request.

    Attributes:
        name: Its `id`, else its line or its place, counted from 1.
        request: What is asked for.
        digest: A short hash of what it says: the same words are the same case.
    """

    name: str
    request: StoryRequest
    digest: str


def cases_of(requests: Requests) -> tuple[Case, ...]:
    """The cases among what the caller gave.

    Args:
        requests: A `.jsonl`, `.csv` or `.parquet` file; `StoryRequest`s, dicts of their fields
            and perhaps an `id`, and themes; or None for the ten of this package.

    Raises:
        ConfigurationError: There are none, one cannot be read, or two are the same.
    """
    cases = tuple(_case(one) for one in _asked(requests))
    if not cases:
        msg = "There are no requests to compare models on."
        raise ConfigurationError(msg)
    _check(cases)
    return cases


def _asked(requests: Requests) -> list[Asked]:
    if requests is None:
        with as_file(files("langchain_tale.evaluation") / "requests.jsonl") as path:
            return list(read_file(path))
    if isinstance(requests, str | Path):
        return list(read_file(Path(requests)))
    if isinstance(requests, StoryRequest | dict | bytes) or not isinstance(requests, Iterable):
        kind = type(requests).__name__
        msg = f"Requests are a file's path or several requests, not {kind}."
        raise ConfigurationError(msg)
    return list(read_items(requests))


def _case(asked: Asked) -> Case:
    request = asked.request()
    said = request.model_dump(mode="json", exclude_defaults=True)
    return Case(asked.id or str(asked.line), request, digest_of(said))


def _check(cases: tuple[Case, ...]) -> None:
    """Two of one name could not be told apart, and two of the same words would count twice."""
    names: dict[str, Case] = {}
    digests: dict[str, Case] = {}
    for case in cases:
        if case.name in names:
            msg = f"Two requests are called {case.name!r}; give each an id of its own."
            raise ConfigurationError(msg)
        if case.digest in digests:
            first = digests[case.digest].name
            msg = f"Requests {first!r} and {case.name!r} ask for the same; use repeats instead."
            raise ConfigurationError(msg)
        names[case.name] = digests[case.digest] = case
