"""What LangChain wants to know of a model before it asks it: model profiles; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from langchain_tale import catalogue
from langchain_tale.openrouter.model_records import ModelRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from langchain_core.language_models import ModelProfile

_INPUTS: Final = {
    "text_inputs": "text",
    "image_inputs": "image",
    "image_url_inputs": "image",
    "pdf_inputs": "file",
    "audio_inputs": "audio",
    "video_inputs": "video",
}
_OUTPUTS: Final = {
    "text_outputs": "text",
    "image_outputs": "image",
    "audio_outputs": "audio",
    "video_outputs": "video",
}
_PARAMETERS: Final = {
    "tool_calling": "tools",
    "tool_choice": "tool_choice",
    "structured_output": "structured_outputs",
    "reasoning_output": "reasoning",
    "temperature": "temperature",
}


def known_profile(slug: str) -> ModelProfile | None:
    """What is known of a model without asking the network.

    Args:
        slug: The model; variants such as `:nitro`, which change nothing of this, may follow.

    Returns:
        The profile from the listing of `catalogue.refresh` where it has the model; else, of
        an `OpenRouterModel`, its context length and that it reads and writes text; else None.
    """
    served = catalogue.served_slug(slug)
    record = catalogue.listed(served)
    if isinstance(record, ModelRecord):
        return profile_of(record)
    model = catalogue.known_model(served)
    if not isinstance(model, catalogue.OpenRouterModel):
        return None
    return _without_unknown(
        max_input_tokens=model.info.context_length, text_inputs=True, text_outputs=True
    )


def profile_of(record: ModelRecord) -> ModelProfile:
    """The profile of a model in OpenRouter's catalogue.

    Says nothing of what the record leaves open. PDFs count where the model reads them itself;
    with OpenRouter's `file-parser` every model reads their text.

    Args:
        record: From `account.models`.

    Returns:
        A dict of one's own. It has no `max_input_tokens` for a router, whose listed length is
        that of the longest model it may pick.
    """
    reasoning = record.reasoning
    efforts = reasoning.efforts if reasoning else None
    return _without_unknown(
        name=record.name,
        max_input_tokens=None if record.is_router else record.context_length,
        max_output_tokens=record.max_output_tokens,
        **_flags(_INPUTS, record.input_modalities),
        **_flags(_OUTPUTS, record.output_modalities),
        **_flags(_PARAMETERS, record.supported_parameters)
        | ({"reasoning_output": True} if reasoning else {}),
        reasoning_effort_levels=list(efforts) if efforts else None,
        reasoning_effort_default=reasoning.default_effort if reasoning and efforts else None,
    )


def _flags(names: Mapping[str, str], offered: Iterable[str] | None) -> dict[str, bool]:
    """Which of the flags hold; none at all where nothing is said."""
    offered = set(offered or ())
    return {flag: name in offered for flag, name in names.items()} if offered else {}


def _without_unknown(**profile: Any) -> ModelProfile:
    return cast("ModelProfile", {key: fact for key, fact in profile.items() if fact is not None})
