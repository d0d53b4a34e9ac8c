"""Content blocks: LangChain's into OpenRouter's parts, and an answer into LangChain's; pure.

Parts of a request are those of §18 of the documentation; blocks are LangChain's standard ones
(v1), its older ones (`source_type`), Anthropic's (`source`) and OpenRouter's own, which pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from langchain_core.messages.block_translators import register_translator

from langchain_tale.errors import ConfigurationError
from langchain_tale.openrouter import reasoning

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage, AIMessageChunk
    from langchain_core.messages.content import ContentBlock

_CACHE_MARKS: Final = ("cache_control", "prompt_cache_breakpoint")
_AUDIO_FORMATS: Final = {
    "mpeg": "mp3",
    "x-wav": "wav",
    "wave": "wav",
    "vnd.wave": "wav",
    "mp4": "m4a",
    "x-m4a": "m4a",
    "x-flac": "flac",
    "x-aiff": "aiff",
    "l16": "pcm16",
}
_NO_PARTS: Final = frozenset(
    {
        "reasoning",
        "reasoning_content",
        "thinking",
        "redacted_thinking",
        "tool_use",
        "tool_call",
        "tool_call_chunk",
        "invalid_tool_call",
        "function_call",
        "server_tool_call",
        "server_tool_call_chunk",
        "server_tool_result",
        "code_interpreter_call",
    }
)
"""What a message says elsewhere: in its tool calls, in its reasoning, or to its own provider."""


# ── into OpenRouter's parts ─────────────────────────────────────────────────


def parts(content: Any) -> Any:
    """The content of a message as OpenRouter takes it: a string, or a list of parts.

    Raises:
        ConfigurationError: A block that OpenRouter has no part for.
    """
    if not isinstance(content, list):
        return content
    return [part for block in content if (part := _part(block)) is not None]


def _part(block: Any) -> dict[str, Any] | None:
    if isinstance(block, str):
        return {"type": "text", "text": block}
    kind = block.get("type")
    if kind in _NO_PARTS:
        return None
    if kind == "non_standard":
        return _part(block.get("value") or {"type": "text", "text": ""})
    extras = block.get("extras")
    hidden = extras if isinstance(extras, Mapping) else {}
    marks = {m: value for m in _CACHE_MARKS if (value := block.get(m, hidden.get(m))) is not None}
    build = _BUILDERS.get(str(kind))
    return {**(dict(block) if build is None else build({**hidden, **block})), **marks}


def _text_part(block: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "text", "text": block.get("text") or ""}


def _plain_text_part(block: Mapping[str, Any]) -> dict[str, Any]:
    return _text_part(block) if "text" in block else _file_part(block)


def _image_part(block: Mapping[str, Any]) -> dict[str, Any]:
    detail = {"detail": block["detail"]} if block.get("detail") else {}
    return {"type": "image_url", "image_url": {"url": _address(block), **detail}}


def _video_part(block: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "video_url", "video_url": {"url": _address(block)}}


def _url_part(block: Mapping[str, Any]) -> dict[str, Any]:
    """OpenRouter's own `image_url` and `video_url`, also where the address stands bare."""
    kind = block["type"]
    address = block.get(kind)
    return {"type": kind, kind: {"url": address} if isinstance(address, str) else address}


def _file_part(block: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(block.get("file"), Mapping):
        return {"type": "file", "file": block["file"]}
    if "text" in (_of_source(block, "type"), block.get("source_type")):
        return {"type": "text", "text": block.get("text") or _data(block) or ""}
    if file_id := block.get("file_id") or _of_source(block, "id"):
        return {"type": "file", "file": {"file_id": file_id}}
    address = _address(block)
    named = (
        block.get("filename") or block.get("title") or (block.get("metadata") or {}).get("filename")
    )
    return {"type": "file", "file": {"filename": named or _filename(address), "file_data": address}}


def _audio_part(block: Mapping[str, Any]) -> dict[str, Any]:
    data = _data(block)
    if not data:
        msg = "An audio block needs base64: OpenRouter takes no addresses of audio."
        raise ConfigurationError(msg)
    subtype = _mime_type(block).rpartition("/")[2].partition(";")[0].lower()
    named = {"data": data, "format": _AUDIO_FORMATS.get(subtype, subtype)}
    return {"type": "input_audio", "input_audio": named}


_BUILDERS: Final = {
    "text": _text_part,
    "text-plain": _plain_text_part,
    "image": _image_part,
    "image_url": _url_part,
    "video": _video_part,
    "video_url": _url_part,
    "file": _file_part,
    "document": _file_part,
    "audio": _audio_part,
}


def _address(block: Mapping[str, Any]) -> str:
    """Where the data of a block is: its URL, or a data URL that holds it."""
    if url := block.get("url") or _of_source(block, "url"):
        return str(url)
    data = _data(block)
    if not data:
        msg = f"A block of type {block['type']!r} needs url or base64."
        raise ConfigurationError(msg)
    return f"data:{_mime_type(block)};base64,{data}"


def _data(block: Mapping[str, Any]) -> Any:
    return block.get("base64") or block.get("data") or _of_source(block, "data")


def _mime_type(block: Mapping[str, Any]) -> str:
    found = block.get("mime_type") or _of_source(block, "media_type")
    if not found:
        msg = f"A block of type {block['type']!r} with base64 needs its mime_type."
        raise ConfigurationError(msg)
    return str(found)


def _of_source(block: Mapping[str, Any], name: str) -> Any:
    """A field of Anthropic's `source`, or of the older blocks that say `source_type`."""
    source = block.get("source")
    if isinstance(source, Mapping):
        return source.get(name)
    return block.get(name) if block.get("source_type") == name else None


def _filename(address: str) -> str:
    """A name for a file that has none; OpenRouter wants one."""
    if not address.startswith("data:"):
        return address.partition("?")[0].rpartition("/")[2] or "file"
    subtype = address.partition(";")[0].rpartition("/")[2]
    return f"file.{'txt' if subtype == 'plain' else subtype}"


# ── into LangChain's blocks ─────────────────────────────────────────────────


def blocks_of(message: AIMessage) -> list[ContentBlock]:
    """An answer as LangChain's standard content blocks; its `content_blocks` calls this."""
    blocks = [*reasoning.as_blocks(message), *_said(message)]
    calls = [_call_block(call) for call in message.tool_calls]
    return cast("list[ContentBlock]", [*blocks, *calls, *_broken_calls(message)])


def chunk_blocks_of(chunk: AIMessageChunk) -> list[ContentBlock]:
    """A part of a streamed answer as blocks, each with an `index` to be joined by.

    Indexes are strings: LangChain numbers blocks that have none, and joins equal numbers
    whatever their type.
    """
    blocks = [*_numbered("rs", reasoning.as_blocks(chunk, is_chunk=True)), *_said(chunk)]
    calls = chunk.tool_call_chunks
    if chunk.chunk_position == "last" and all(call.get("name") for call in calls):
        blocks += [*map(_call_block, chunk.tool_calls), *_broken_calls(chunk)]
    else:
        blocks += [
            {**call, "type": "tool_call_chunk", "index": f"lc_tc_{call.get('index')}"}
            for call in calls
        ]
    return cast("list[ContentBlock]", blocks)


def _said(message: AIMessage) -> list[dict[str, Any]]:
    if not isinstance(message.content, str):
        raise NotImplementedError  # langchain-core then does its best with a list
    kwargs = message.additional_kwargs
    citations = [_citation(annotation) for annotation in kwargs.get("annotations") or ()]
    citations = citations or [
        {"type": "citation", "url": url} for url in kwargs.get("citations") or ()
    ]
    text = {"type": "text", "text": message.content, "annotations": citations}
    texts = [{k: v for k, v in text.items() if v != []}] if message.content or citations else []
    images = [_media("image", _url_of(image)) for image in kwargs.get("images") or ()]
    sound = kwargs.get("audio")
    audio = [_audio_block(sound)] if sound else []
    refusal = kwargs.get("refusal")
    refused = [{"type": "refusal", "refusal": refusal}] if refusal else []
    said = {"txt": texts, "img": images, "au": audio, "no": refused}
    if not hasattr(message, "tool_call_chunks"):
        return [block for blocks in said.values() for block in blocks]
    return [block for name, blocks in said.items() for block in _numbered(name, blocks)]


def _numbered(name: str, blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**block, "index": f"lc_{name}_{number}"} for number, block in enumerate(blocks)]


def _call_block(call: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "tool_call", **{name: call.get(name) for name in ("name", "args", "id")}}


def _broken_calls(message: AIMessage) -> list[dict[str, Any]]:
    return [{**call, "type": "invalid_tool_call"} for call in message.invalid_tool_calls]


def _citation(annotation: Mapping[str, Any]) -> dict[str, Any]:
    cited = annotation.get("url_citation")
    if annotation.get("type") != "url_citation" or not isinstance(cited, Mapping):
        return {"type": "non_standard_annotation", "value": dict(annotation)}
    known = {"url": "url", "title": "title", "start_index": "start_index"}
    known |= {"end_index": "end_index", "content": "cited_text"}
    named = {ours: cited[theirs] for theirs, ours in known.items() if cited.get(theirs) is not None}
    extras = {name: value for name, value in cited.items() if name not in known}
    return {"type": "citation", **named, **({"extras": extras} if extras else {})}


def _url_of(image: Any) -> str:
    address = image.get("image_url") if isinstance(image, Mapping) else image
    return str(address.get("url") if isinstance(address, Mapping) else address)


def _media(kind: str, url: str) -> dict[str, Any]:
    head, is_data, data = url.partition(";base64,")
    if is_data and head.startswith("data:"):
        return {"type": kind, "base64": data, "mime_type": head.removeprefix("data:")}
    return {"type": kind, "url": url}


def _audio_block(audio: Mapping[str, Any]) -> dict[str, Any]:
    extras = {name: value for name, value in audio.items() if name not in ("data", "id")}
    named = {"id": audio.get("id"), "base64": audio.get("data"), "extras": extras or None}
    return {"type": "audio", **{name: value for name, value in named.items() if value is not None}}


register_translator(reasoning.MODEL_PROVIDER, blocks_of, chunk_blocks_of)
