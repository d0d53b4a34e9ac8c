"""The audit: one JSON line in a file for each request to OpenRouter."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from langchain_tale.errors import ConfigurationError
from langchain_tale.telemetry.audit_lines import line_of, records_in
from langchain_tale.telemetry.emitting import LOGGER, listen
from langchain_tale.telemetry.events import ApiCalled
from langchain_tale.telemetry.line_file import LineFile
from langchain_tale.telemetry.rotation import open_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

MAX_BYTES: Final = 100_000_000
"""About 250,000 requests."""


class AuditLog:
    """A file that gets one line of JSON for each request that this process makes to OpenRouter.

    It listens from the moment it is made until `close` or the end of its `with` block. A line is
    in the file before the call returns to its caller, and so outlives a process that is killed
    at any moment; nothing is forced to the disk, so it need not outlive a loss of power.
    A last line that a crash left half-written is set aside, into `<path>.torn`, when the file is
    opened or written next.

    Threads and processes may write one file, each with an `AuditLog` of its own; a second one on
    the same path in the same process shares the first one's lines. A forked child goes on by
    itself; an unpickled or copied log is another one on the same path. On Windows let one
    process write a file.

    A full disk, a removed folder or a lost permission breaks no call: it is said once, as a
    warning of the logger `langchain_tale`, and lines are written again as soon as they can be.

    A line holds the last four characters of the key, and neither prompts nor names nor answers.
    `audit_lines.line_of` lists what it has.

    Args:
        path: The file; its folder must exist.
        max_bytes: It becomes `<path>.1`, and an older one `.2` …, before a line would make it
            longer; at least 1, None for never.
        backups: Older files to keep, at least 1; None keeps all.

    Attributes:
        path: The file, absolute.

    Raises:
        ConfigurationError: It cannot be written, or a limit is below 1.

    Example:
        ```python
        with AuditLog("audit.jsonl"):
            chain.batch(requests)
        sum(record["cost_usd"] or 0 for record in AuditLog.read("audit.jsonl"))
        ```
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int | None = MAX_BYTES,
        backups: int | None = None,
    ) -> None:
        for name, limit in (("max_bytes", max_bytes), ("backups", backups)):
            if limit is not None and limit < 1:
                msg = f"AuditLog takes a {name} of at least 1, or None."
                raise ConfigurationError(msg)
        self.path = Path(os.path.realpath(path))
        self._limits = (max_bytes, backups)
        self._trail: _Trail | None = _TRAILS.join(self.path, max_bytes, backups)

    def __repr__(self) -> str:
        state = "closed" if self._trail is None else "open"
        return f"AuditLog({str(self.path)!r}, {state})"

    def close(self) -> None:
        """Write no more lines; again is harmless."""
        trail, self._trail = self._trail, None
        if trail is not None:
            _TRAILS.leave(trail)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Callable[..., AuditLog], tuple[Any, ...]]:
        return _again, (str(self.path), *self._limits, self._trail is not None)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self.read(self.path)

    @staticmethod
    def read(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
        """The lines of a file and of the older ones that rotation made of it, oldest first.

        Lines that are no whole records are passed over, and their number is logged as a warning.

        Args:
            path: The file; `<path>.1` and so on are read too.

        Returns:
            Records as they were written, one at a time.

        Raises:
            ConfigurationError: There is no such file, or one cannot be read.
        """
        try:
            files = open_all(Path(os.path.realpath(path)))
        except OSError as error:
            msg = f"Cannot read the audit log {path}: {error.strerror}."
            raise ConfigurationError(msg) from None
        return records_in(files)


def _again(path: str, max_bytes: int | None, backups: int | None, is_open: bool) -> AuditLog:  # noqa: FBT001 (pickle passes by position)
    log = AuditLog(path, max_bytes=max_bytes, backups=backups)
    if not is_open:
        log.close()
    return log


# ── one file in one process ─────────────────────────────────────────────────


class _Trail:
    """One file, for however many logs of this process are open on it."""

    def __init__(self, file: LineFile) -> None:
        self.file = file
        self.logs = 0
        self.stop: Callable[[], None] | None = None
        self._lost = 0

    def hear(self, event: Any) -> None:
        """Write the line of a request, an `ApiCalled`."""
        try:
            self.file.append(line_of(event))
        except OSError as error:
            self._lose(error)
        else:
            if self._lost:
                self._go_on()

    def _lose(self, error: OSError) -> None:
        if not self._lost:
            LOGGER.warning(
                "The audit log %s cannot be written (%s): calls go on, and are not in it.",
                self.file.path,
                error.strerror or type(error).__name__,
            )
        self._lost += 1

    def _go_on(self) -> None:
        lost, self._lost = self._lost, 0
        LOGGER.warning("The audit log %s goes on; it lacks %d calls.", self.file.path, lost)


class _Trails:
    """The files that this process writes, by path."""

    def __init__(self) -> None:
        self._by_path: dict[Path, _Trail] = {}
        self._lock = threading.Lock()

    def join(self, path: Path, max_bytes: int | None, backups: int | None) -> _Trail:
        """Begin to write a file, or be another one to do so; the limits given last count."""
        with self._lock:
            trail = self._by_path.get(path)
            if trail is None:
                trail = _Trail(LineFile(path, max_bytes=max_bytes, keep=backups))
                _open(trail.file)
                trail.stop = listen(trail.hear, only=ApiCalled)
                self._by_path[path] = trail
            trail.file.limit(max_bytes, backups)
            trail.logs += 1
            return trail

    def leave(self, trail: _Trail) -> None:
        """Be one less; the last one closes the file."""
        with self._lock:
            trail.logs -= 1
            if trail.logs == 0 and trail.stop is not None:
                trail.stop()
                trail.file.close()
                del self._by_path[trail.file.path]

    def begin_in_child(self) -> None:
        """A forked child opens its files anew, and waits for no thread of its parent's."""
        self._lock = threading.Lock()
        for trail in self._by_path.values():
            trail.file.begin_in_child()


def _open(file: LineFile) -> None:
    try:
        if file.path.exists() and not file.path.is_file():
            msg = f"Cannot write the audit log {file.path}: it is no regular file."
            raise ConfigurationError(msg)
        file.append()
    except OSError as error:
        msg = f"Cannot write the audit log {file.path}: {error.strerror}; choose another file."
        raise ConfigurationError(msg) from None


_TRAILS: Final = _Trails()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_TRAILS.begin_in_child)
