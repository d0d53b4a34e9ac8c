"""The events of what outlives a call: circuits, the Redis that shares them, keys and models."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import ClassVar

from langchain_tale.telemetry.event import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitOpened(Event):
    """A model failed too often in a row, and is passed over.

    Attributes:
        model: The model.
        base_url: Where it is asked.
        cooldown_s: Seconds until a probe finds out whether it is well.
    """

    name: ClassVar[str] = "circuit.opened"
    level: ClassVar[int] = logging.WARNING

    model: str
    base_url: str
    cooldown_s: float

    @property
    def message(self) -> str:
        """The event as a sentence."""
        return f"the circuit of {self.model} opened; it is left alone for {self.cooldown_s:.0f} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitClosed(Event):
    """A model is well again.

    Attributes:
        model: The model.
        base_url: Where it is asked.
    """

    name: ClassVar[str] = "circuit.closed"
    level: ClassVar[int] = logging.INFO

    model: str
    base_url: str

    @property
    def message(self) -> str:
        """The event as a sentence."""
        return f"the circuit of {self.model} closed; it is asked again"


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisLost(Event):
    """The Redis that shares circuits does not answer.

    Attributes:
        address: Host and port, or the socket's path; never a password.
        error: Class of the error.
    """

    name: ClassVar[str] = "redis.lost"
    level: ClassVar[int] = logging.WARNING

    address: str
    error: str

    @property
    def message(self) -> str:
        """The event as a sentence."""
        return (
            f"Redis at {self.address} is away ({self.error}); "
            "circuits of this process alone until it is back"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRetired(Event):
    """OpenRouter refused an API key; it is used no more.

    Attributes:
        key_hint: Its last four characters, or None where that would be most of it.
        error: Class of the error.
        status_code: HTTP status.
    """

    name: ClassVar[str] = "key.retired"
    level: ClassVar[int] = logging.WARNING

    key_hint: str | None
    error: str
    status_code: int | None = None

    @property
    def message(self) -> str:
        """The event as a sentence."""
        return f"The API key that ends in {self.key_hint or '…'} is used no more: {self.error}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRetired(Event):
    """A model is gone, and others may answer in its place. Emitted once for each in a process.

    Attributes:
        model: The model that is gone.
        successors: Who may answer, joined by commas.
    """

    name: ClassVar[str] = "model.retired"
    level: ClassVar[int] = logging.WARNING

    model: str
    successors: str

    @property
    def message(self) -> str:
        """The event as a sentence."""
        return f"{self.model} is not available; {self.successors} may answer in its place"
