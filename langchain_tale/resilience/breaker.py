"""The circuits of a process, one per model: while a model is down, nobody waits for it.

pybreaker is imported with the first circuit: where redis is installed it brings that along, and
17 MB (measured), which a chat model without a policy has no use for.
"""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from langchain_tale.errors import ConfigurationError
from langchain_tale.resilience.policy import BreakerPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_tale.resilience.circuit import Circuit, CircuitState, LocalStorage
    from langchain_tale.resilience.circuit_redis import RedisLink

_NO_REDIS: Final = "Sharing circuits needs an extra: pip install 'langchain-tale[scale]'."
_DEFAULT: Final = BreakerPolicy()
_GRAVITY: Final[tuple[CircuitState, ...]] = ("closed", "half-open", "open")


class Circuits:
    """One circuit per base URL and model.

    Args:
        policy: When circuits open and for how long, and the Redis that shares them, if any.
        clock: Seconds since the epoch, which processes agree on.

    Raises:
        ConfigurationError: `policy.redis_url` is no Redis URL, or the extra is missing.

    Example:
        >>> permit = Circuits().of("https://openrouter.ai/api/v1", "openai/gpt-4o").admit()
        >>> permit.succeeded()
    """

    def __init__(
        self, policy: BreakerPolicy = _DEFAULT, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.policy = policy
        self._clock = clock
        self._circuits: dict[tuple[str, str], Circuit] = {}
        self._link = self._redis()
        _alive.add(self)

    def of(self, base_url: str, model: str) -> Circuit:
        """The circuit of `model` at `base_url`: always the same one."""
        key = base_url.rstrip("/"), model
        known = self._circuits.get(key)
        # Of two threads that come first together, setdefault lets one win; no lock to fork.
        return known or self._circuits.setdefault(key, self._circuit(key))

    def states(self) -> dict[tuple[str, str], CircuitState]:
        """The state of every circuit, by base URL and model."""
        return {key: circuit.state for key, circuit in list(self._circuits.items())}

    def reset(self) -> None:
        """Close all circuits, also those in Redis that this process has used."""
        for circuit in list(self._circuits.values()):
            circuit.reset()

    def forget(self) -> None:
        """Close all circuits, and know none."""
        self.reset()
        self._circuits.clear()

    def start_anew(self) -> None:
        """Begin as if just made, in a process that has just been forked."""
        self._link = self._redis()
        for circuit in self._circuits.values():
            circuit.start_anew()

    def _circuit(self, key: tuple[str, str]) -> Circuit:
        # Holding a method of this registry, a circuit keeps it alive; and so known to a fork.
        from langchain_tale.resilience.circuit import Circuit  # noqa: PLC0415 (see above)

        base_url, model = key
        storage = partial(self._storage, key)
        return Circuit(self.policy, self._clock, storage, base_url=base_url, model=model)

    def _storage(self, key: tuple[str, str]) -> LocalStorage:
        from langchain_tale.resilience.circuit import LocalStorage  # noqa: PLC0415 (see above)

        if self._link is None:
            return LocalStorage(self._clock)
        return self._link.storage("|".join(("langchain_tale", *key)))

    def _redis(self) -> RedisLink | None:
        if self.policy.redis_url is None:
            return None
        try:
            from langchain_tale.resilience.circuit_redis import RedisLink  # noqa: PLC0415 (extra)
        except ImportError:
            raise ConfigurationError(_NO_REDIS) from None
        return RedisLink(
            self.policy.redis_url, retry_after_s=self.policy.reset_timeout_s, clock=self._clock
        )


_alive: Final[WeakSet[Circuits]] = WeakSet()
_shared: Final[dict[BreakerPolicy, Circuits]] = {}


def shared_circuits(policy: BreakerPolicy) -> Circuits:
    """The process's one registry for a policy; equal policies share it."""
    return _shared.get(policy) or _shared.setdefault(policy, Circuits(policy))


def known_policy(policy: BreakerPolicy) -> BreakerPolicy:
    """An equal policy that has circuits already, or this one: the same one is found at once."""
    registry = _shared.get(policy)
    return policy if registry is None else registry.policy


def circuits() -> dict[tuple[str, str], CircuitState]:
    """The state of every circuit of the process, by base URL and model.

    Returns:
        The graver state where two policies watch the same model.
    """
    found: dict[tuple[str, str], CircuitState] = {}
    for registry in list(_shared.values()):
        for key, state in registry.states().items():
            found[key] = max(found.get(key, state), state, key=_GRAVITY.index)
    return found


def reset_circuits() -> None:
    """Close every circuit of the process, and forget them."""
    for registry in list(_shared.values()):
        registry.forget()


def _after_fork() -> None:
    for registry in _alive:
        registry.start_anew()


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(after_in_child=_after_fork)
