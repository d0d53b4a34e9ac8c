"""Server-sent events out of bytes as they come; pure, no I/O.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field
from typing import Final

_DATA: Final = b"data"
_CR: Final = b"\r"
_LF: Final = b"\n"


@dataclass(slots=True)
class EventDecoder:
    r"""The data of one stream's events. All else that an event may say is passed over.

    Example:
        >>> decoder = EventDecoder()
        >>> decoder.feed(b": keep-alive\n\ndata: {}\n\ndata: [DO"), decoder.feed(b"NE]\n\n")
        ([b'{}'], [b'[DONE]'])
    """

    _line: list[bytes] = field(default_factory=list)
    _data: list[bytes] = field(default_factory=list)
    _is_after_cr: bool = False
    _is_first_line: bool = True

    def feed(self, part: bytes) -> list[bytes]:
        """Take in what has come.

        Args:
            part: Bytes, cut anywhere.

        Returns:
            The data of each event that is whole now; its lines are joined by LF.
        """
        part = self._with_plain_line_ends(part)
        if _LF not in part:
            self._line.append(part)
            return []
        if self._line:
            part, self._line = b"".join([*self._line, part]), []
        *lines, rest = part.split(_LF)
        if rest:
            self._line.append(rest)
        if self._is_first_line:
            self._is_first_line = False
            lines[0] = lines[0].removeprefix(codecs.BOM_UTF8)
        return self._events(lines)

    def finish(self) -> list[bytes]:
        """What an end of the stream completes: some servers leave the last line end out."""
        return self.feed(b"\n\n")

    def _with_plain_line_ends(self, part: bytes) -> bytes:
        """CR and CRLF as LF; a CRLF may be cut in two."""
        if self._is_after_cr and part:
            self._is_after_cr = False
            part = part.removeprefix(_LF)
        if _CR not in part:
            return part
        self._is_after_cr = part.endswith(_CR)
        return part.replace(b"\r\n", _LF).replace(_CR, _LF)

    def _events(self, lines: list[bytes]) -> list[bytes]:
        found: list[bytes] = []
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
            elif not line:
                if data := _LF.join(self._data):
                    found.append(data)
                self._data.clear()
            elif line == _DATA:
                self._data.append(b"")
        return found
