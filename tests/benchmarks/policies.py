"""The policies under test: ours, and those of its peers as their own documentation shows them.

Each function is given a base URL and returns a coroutine function from a prompt to a text. What
a policy needs is imported by its function only, since not all of it can be installed together.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final

from tests.benchmarks.scenarios import MODELS

KEY: Final = "sk-or-v1-drill"
Ask = Callable[[str], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Policy:
    """A way to survive.

    Attributes:
        title: What the table calls it.
        build: From a base URL to a function that asks.
        requirement: What is installed in an environment apart from ours to run it, or None.
    """

    title: str
    build: Callable[[str], Ask] = field(repr=False)
    requirement: str | None = None


def _asking(model: Any) -> Ask:
    async def ask(prompt: str) -> str:
        return str((await model.ainvoke(prompt)).text)

    return ask


def _ours(max_retries: int | None) -> Callable[[str], Ask]:
    def build(base_url: str) -> Ask:
        from langchain_tale import ChatOpenRouter, RetryPolicy

        retry = RetryPolicy() if max_retries is None else RetryPolicy(max_retries=max_retries)
        first = ChatOpenRouter(model=MODELS[0], api_key=KEY, base_url=base_url)
        return _asking(first.with_retry(retry).with_fallbacks(list(MODELS[1:])))

    return build


def _chat_openai(*, stop_after_attempt: int | None) -> Callable[[str], Ask]:
    def build(base_url: str) -> Ask:
        from langchain_openai import ChatOpenAI

        def one(model: str) -> Any:
            chat_model: Any = ChatOpenAI(model=model, api_key=KEY, base_url=base_url)
            if stop_after_attempt is None:
                return chat_model
            return chat_model.with_retry(stop_after_attempt=stop_after_attempt)

        first, *others = (one(model) for model in MODELS)
        return _asking(first.with_fallbacks(others))

    return build


def _langchain_openrouter(base_url: str) -> Ask:
    chat_model = import_module("langchain_openrouter").ChatOpenRouter
    first, *others = (chat_model(model=model, api_key=KEY, base_url=base_url) for model in MODELS)
    return _asking(first.with_fallbacks(others))


def _litellm(base_url: str) -> Ask:
    litellm: Any = import_module("litellm")
    litellm.suppress_debug_info = True
    known = {"api_base": base_url, "api_key": KEY}
    router = litellm.Router(
        model_list=[
            {"model_name": model, "litellm_params": {"model": f"openrouter/{model}", **known}}
            for model in MODELS
        ],
        fallbacks=[{MODELS[0]: list(MODELS[1:])}],
        num_retries=0,
        allowed_fails=0,
        cooldown_time=30,
    )

    async def ask(prompt: str) -> str:
        messages = [{"role": "user", "content": prompt}]
        reply = await router.acompletion(model=MODELS[0], messages=messages)
        return str(reply.choices[0].message.content)

    return ask


def _pydantic_ai(base_url: str) -> Ask:
    agent = import_module("pydantic_ai").Agent
    fallback = import_module("pydantic_ai.models.fallback").FallbackModel
    openai = import_module("pydantic_ai.models.openai").OpenAIChatModel
    provider = import_module("pydantic_ai.providers.openai").OpenAIProvider
    models = [openai(m, provider=provider(base_url=base_url, api_key=KEY)) for m in MODELS]
    asking = agent(fallback(*models))

    async def ask(prompt: str) -> str:
        return str((await asking.run(prompt)).output)

    return ask


OURS: Final = "ours"
POLICIES: Final = {
    OURS: Policy("langchain_tale, `RetryPolicy(max_retries=8)`", _ours(8)),
    "ours-default": Policy("langchain_tale, `RetryPolicy()`", _ours(None)),
    "chat-openai": Policy("ChatOpenAI + fallbacks", _chat_openai(stop_after_attempt=None)),
    "chat-openai-retry": Policy(
        "ChatOpenAI + with_retry(3) + fallbacks", _chat_openai(stop_after_attempt=3)
    ),
    "langchain-openrouter": Policy("langchain-openrouter + fallbacks", _langchain_openrouter),
    # It needs openai below 3. Exactly this version: others have been tampered with.
    "litellm": Policy("litellm.Router + fallbacks + cooldown", _litellm, "litellm==1.106.2"),
    "pydantic-ai": Policy("pydantic-ai FallbackModel", _pydantic_ai),
}
