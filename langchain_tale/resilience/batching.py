"""Chat models whose batches wait on the network, and so may have many calls under way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_core.language_models import BaseChatModel as Base
else:
    Base = object  # a second pydantic base would bring its fields along

MOST_AT_ONCE: Final = 64
"""langchain-core would ask as many at once as there are processors, and four more."""


class BatchesWidely(Base):
    """Makes `batch` keep up to 64 calls under way, unless `max_concurrency` says otherwise."""

    def batch(self, inputs: Any, config: Any = None, **kwargs: Any) -> list[Any]:
        """As on any chat model."""
        return super().batch(inputs, _widened(config), **kwargs)

    def batch_as_completed(
        self, inputs: Any, config: Any = None, **kwargs: Any
    ) -> Iterator[tuple[int, Any]]:
        """As on any chat model."""
        return super().batch_as_completed(inputs, _widened(config), **kwargs)


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
