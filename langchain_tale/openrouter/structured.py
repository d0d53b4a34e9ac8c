"""Asking for answers that fit a schema, in three ways; `resilience.structured` reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from langchain_core.utils.function_calling import convert_to_openai_tool

from langchain_tale.errors import ConfigurationError
from langchain_tale.openrouter.requests import response_format
from langchain_tale.resilience.structured import StructuredReply, with_raw

if TYPE_CHECKING:
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.messages import AIMessage
    from langchain_core.runnables import Runnable

    from langchain_tale.openrouter.chat_models import ChatOpenRouter

Method = Literal["function_calling", "json_schema", "json_mode"]
METHODS: Final = ("function_calling", "json_schema", "json_mode")


def asking_for(
    llm: ChatOpenRouter,
    schema: Any,
    *,
    method: Method,
    include_raw: bool,
    strict: bool | None,
    **options: Any,
) -> Runnable[LanguageModelInput, Any]:
    """`ChatOpenRouter.with_structured_output`, which documents the arguments.

    OpenRouter drops parameters that a provider does not know, a schema among them, unless
    `require_parameters` is set (§16 of the documentation, C22).
    """
    if method not in METHODS:
        msg = f"method must be one of {', '.join(METHODS)}, not {method!r}."
        raise ConfigurationError(msg)
    if schema is None and method != "json_mode":
        msg = f"with_structured_output needs a schema where the method is {method!r}."
        raise ConfigurationError(msg)
    if (
        method == "json_schema"
        and not hasattr(schema, "model_json_schema")
        and hasattr(schema, "parse_obj")
    ):
        method = "function_calling"  # langchain-core makes no strict schema of pydantic's version 1
    traced = {"kwargs": {"method": method, "strict": strict}, "schema": schema}
    shared = {"require_parameters": True, "ls_structured_output_format": traced, **options}
    try:
        bound, tool = _bound(llm, schema, method, strict=strict, **shared)
    except ValueError as error:
        reason = str(error).partition("\n")[0]
        msg = f"with_structured_output cannot use this schema: {reason}"
        raise ConfigurationError(msg) from None
    parser = StructuredReply(wanted=schema, tool=tool)
    return with_raw(bound, parser) if include_raw else bound | parser


def _bound(
    llm: ChatOpenRouter, schema: Any, method: Method, *, strict: bool | None, **shared: Any
) -> tuple[Runnable[LanguageModelInput, AIMessage], str | None]:
    """The model with its arguments, and the tool whose arguments are the answer, if any."""
    if method == "function_calling":
        tool = convert_to_openai_tool(schema)["function"]["name"]
        return llm.bind_tools([schema], tool_choice=tool, strict=strict, **shared), tool
    if method == "json_schema":
        return llm.bind(response_format=response_format(schema, strict=strict), **shared), None
    return llm.bind(response_format={"type": "json_object"}, **shared), None
