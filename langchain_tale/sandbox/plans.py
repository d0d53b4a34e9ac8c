"""Which requests go wrong, and counters of what was asked and of what was ordered to fail."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, repeat
from typing import Any, Final

from langchain_tale.sandbox.faults import Fault, Kind

ANY_MODEL: Final = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultMix:
    """Failures at random and without end, the same ones each time.

    Whether the n-th request of a model fails, and how, depends on the seed, the model and n, and
    so not on what else is asked at the time.

    Attributes:
        share: Of the requests, how many fail, from 0 to 1.
        kinds: The faults to choose from, each as likely as the others; one may be there twice.
        seed: Another seed makes another mix.

    Raises:
        ValueError: `share` is not within its limits, or there is nothing to choose from.

    Example:
        >>> mix = FaultMix(share=0.5, kinds=[Fault(status=429), Fault(kind="hangup")], seed=8)
        >>> [fault and fault.kind for fault in (mix.nth(n, "a/b") for n in (1, 2, 3, 4))]
        ['hangup', None, None, 'hangup']
    """

    share: float
    kinds: Sequence[Fault]
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1 or not self.kinds:
            msg = "A FaultMix needs a share from 0 to 1, and kinds to choose from."
            raise ValueError(msg)

    def nth(self, number: int, model: str) -> Fault | None:
        """What goes wrong with one request of a model.

        Args:
            number: 1 for the first request of that model.
            model: As it is asked for.
        """
        chance = random.Random(f"{self.seed}/{model}/{number}")  # noqa: S311 (no secret)
        return chance.choice(self.kinds) if chance.random() < self.share else None


FaultFunction = Callable[[Mapping[str, Any]], Fault | None]
Faults = FaultMix | Iterable[Fault | None] | FaultFunction
"""What goes wrong with the requests of a model: at random, in order, or by their bodies."""


class FaultPlanError(TypeError):
    """A plan gave something that is no fault; whoever asked is told so."""


class FaultPlan:
    """What goes wrong, by model, and counters.

    Args:
        faults: By model; those of `"*"` are for each model that is not named.

    Attributes:
        requests: Completions asked of each model so far.
        failures: Faults ordered so far, by model and kind.
        most_at_once: The greatest number of requests that were answered at the same time.

    Raises:
        TypeError: A single fault where several are expected.
    """

    def __init__(self, faults: Mapping[str, Faults] | None = None) -> None:
        self._faults = dict(faults or {})
        for model, given in self._faults.items():
            if isinstance(given, Fault):
                msg = f"The faults of {model} must be a sequence, a FaultMix or a function."
                raise TypeError(msg)
        self._by_model: dict[str, Iterator[Fault | None]] = {}
        self.requests: Counter[str] = Counter()
        self.failures: Counter[tuple[str, Kind]] = Counter()
        self.most_at_once = 0
        self._at_once = 0

    def next_for(self, model: str, body: Mapping[str, Any]) -> Fault | None:
        """Count a request, and say what goes wrong with it; None where nothing does.

        Raises:
            FaultPlanError: The plan gave something else.
        """
        self.requests[model] += 1
        given = self._faults.get(model, self._faults.get(ANY_MODEL, ()))
        if callable(given):
            fault = given(body)
        else:
            if model not in self._by_model:
                self._by_model[model] = _in_order(given, model)
            fault = next(self._by_model[model], None)
        if not isinstance(fault, Fault | None):
            msg = f"The faults of {model} gave {fault!r}; each must be a Fault, or None."
            raise FaultPlanError(msg)
        if fault is not None:
            self.failures[model, fault.kind] += 1
        return fault

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Around the answer to a request, from its first byte to its last."""
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            yield
        finally:
            self._at_once -= 1


def _in_order(faults: FaultMix | Iterable[Fault | None], model: str) -> Iterator[Fault | None]:
    if isinstance(faults, FaultMix):
        return map(faults.nth, count(1), repeat(model))
    return iter(faults)
