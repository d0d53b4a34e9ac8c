"""Fragments of tool calls and of sound, so that LangChain's way of joining them is right; pure."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from langchain_core.utils.json import parse_partial_json

from langchain_tale.openrouter.protocol import NULL, arguments_of

if TYPE_CHECKING:
    from collections.abc import Mapping


_MARKS: Final = ('""]', '""}', '"]', '"}', "]", "}")


@dataclass(slots=True)
class CallSlots:
    """Which fragments belong to which tool call; providers number them in their own ways."""

    ids: list[str | None] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    slot_of: dict[int, int] = field(default_factory=dict)

    def chunk(self, call: Mapping[str, Any]) -> ToolCallChunk:
        """One fragment, numbered; what its call has said of itself before is left out."""
        function = call.get("function") or {}
        call_id, name = call.get("id") or None, function.get("name") or None
        slot = self._slot(call.get("index"), call_id, name)
        new_id = None if self.ids[slot] else call_id
        new_name = None if self.names[slot] else name
        self.ids[slot], self.names[slot] = self.ids[slot] or call_id, self.names[slot] or name
        arguments = self._arguments(slot, arguments_of(function))
        return tool_call_chunk(name=new_name, args=arguments, id=new_id, index=slot)

    def marks(self) -> list[ToolCallChunk]:
        """Last fragments for the calls that are not whole.

        langchain-core completes the JSON of a call that was cut off, and an agent would act on
        half an argument. After these it is an invalid call, as it is in a whole answer.
        """
        return [
            tool_call_chunk(name=None, args=_beyond_repair(text), id=None, index=slot)
            for slot, text in enumerate(self.texts)
            if not _is_whole(text) and _is_repaired(text)
        ]

    def _arguments(self, slot: int, fragment: str | None) -> str | None:
        """What to hand on; "null" only once it is known to be a part of more."""
        before = self.texts[slot]
        self.texts[slot] += fragment or ""
        if self.texts[slot] == NULL:
            return None
        return before + (fragment or "") if before == NULL else fragment

    def _slot(self, index: int | None, call_id: str | None, name: str | None) -> int:
        if call_id is not None and call_id in self.ids:
            return self.ids.index(call_id)
        slot = self.slot_of.get(index) if index is not None else len(self.ids) - 1
        if slot is None or slot < 0 or self._is_other(slot, index, call_id, name):
            slot = len(self.ids)
            self.ids.append(None)
            self.names.append(None)
            self.texts.append("")
        if index is not None:
            self.slot_of[index] = slot
        return slot

    def _is_other(
        self, slot: int, index: int | None, call_id: str | None, name: str | None
    ) -> bool:
        """Whether a fragment begins another call than the one that its number points at."""
        if call_id is not None:
            return self.ids[slot] is not None
        known = self.names[slot]
        return index is None and name is not None and known is not None and name != known


def _is_whole(text: str) -> bool:
    try:
        json.loads(text, strict=False)
    except ValueError:
        return False
    return True


def _beyond_repair(text: str) -> str:
    """A closing mark that does not fit, whether or not the text ends inside a string."""
    return next((mark for mark in _MARKS if not _is_repaired(text + mark)), "")


def unmarked(text: str) -> str:
    """The arguments of an invalid call as the model wrote them, without the mark of `marks`."""
    for mark in _MARKS:
        plain = text.removesuffix(mark)
        if plain != text and _is_repaired(plain) and not _is_whole(plain):
            return plain
    return text


def _is_repaired(text: str) -> bool:
    try:
        return isinstance(parse_partial_json(text), dict)
    except ValueError:
        return False


@dataclass(slots=True)
class Sound:
    """Spoken audio, whose pieces of base64 can be joined: each is a multiple of three bytes."""

    held: bytes = b""
    collected: dict[str, Any] = field(default_factory=dict)

    def more(self, audio: Mapping[str, Any]) -> dict[str, Any]:
        """The part of a fragment that can be handed on now."""
        self.collected |= {k: v for k, v in audio.items() if k not in ("data", "transcript") and v}
        said = {"transcript": audio["transcript"]} if audio.get("transcript") else {}
        try:
            self.held += base64.b64decode(audio.get("data") or "")
        except binascii.Error:
            return {**said, "data": audio["data"]}
        whole = len(self.held) - len(self.held) % 3
        ready, self.held = self.held[:whole], self.held[whole:]
        return {**said, "data": base64.b64encode(ready).decode()} if ready else said

    def rest(self) -> dict[str, Any]:
        """What is left at the end, its id included."""
        last = {"data": base64.b64encode(self.held).decode()} if self.held else {}
        return {**self.collected, **last}
