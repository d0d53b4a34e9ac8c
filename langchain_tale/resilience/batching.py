"""Chat models and chains whose batches wait on the network, and so keep many calls under way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from langchain_core.runnables import Runnable, RunnableBinding

if TYPE_CHECKING:
    from collections.abc import Iterator

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")

MOST_AT_ONCE: Final = 64
"""langchain-core would ask as many at once as there are processors, and four more."""


class BatchesWidely:
    """Makes `batch` keep up to 64 calls under way, unless `max_concurrency` says otherwise."""

    def batch(self, inputs: Any, config: Any = None, **kwargs: Any) -> list[Any]:
        """As on any chat model."""
        return super().batch(inputs, _widened(config), **kwargs)  # type: ignore[misc,no-any-return]  # a runnable has it

    def batch_as_completed(
        self, inputs: Any, config: Any = None, **kwargs: Any
    ) -> Iterator[tuple[int, Any]]:
        """As on any chat model."""
        return super().batch_as_completed(inputs, _widened(config), **kwargs)  # type: ignore[misc,no-any-return]  # likewise


class _WideBinding(BatchesWidely, RunnableBinding[Any, Any]):  # type: ignore[no-redef]  # its field `kwargs`
    """A runnable as it is, but for its batches."""


def widely(runnable: Runnable[InputT, OutputT]) -> Runnable[InputT, OutputT]:
    """The same runnable, whose `batch` keeps up to 64 calls under way."""
    return _WideBinding(bound=runnable)


def _widened(config: Any) -> Any:
    """A batch's config; of several langchain-core looks at the first one's concurrency.

    Example:
        >>> _widened({"max_concurrency": 2}), _widened(None)
        ({'max_concurrency': 2}, {'max_concurrency': 64})
    """
    if isinstance(config, Sequence):
        return [_widened(first) for first in config[:1]] + list(config[1:])
    given = {name: value for name, value in (config or {}).items() if value is not None}
    return {"max_concurrency": MOST_AT_ONCE, **given}
