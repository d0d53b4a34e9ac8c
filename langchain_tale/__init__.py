"""A LangChain provider for OpenRouter, and a storyteller for children on top of it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_tale.bulk.batching.letters import Batching
    from langchain_tale.bulk.cluster.output import untold_requests
    from langchain_tale.bulk.cluster.shared import SharedRun
    from langchain_tale.bulk.cluster.writer import StoryWriter
    from langchain_tale.bulk.summary import BulkSummary
    from langchain_tale.bulk.telling import atell_all, tell_all
    from langchain_tale.caching.shared import RedisStoryCache
    from langchain_tale.caching.sqlite import StoryCache
    from langchain_tale.catalogue import ModelInfo, OpenRouterModel
    from langchain_tale.client import OpenRouterClient
    from langchain_tale.errors import (
        AllModelsFailedError,
        Attempt,
        BudgetSpentError,
        ConfigurationError,
        ExternalServiceError,
        SharedStateError,
        TaleError,
        UnfitRequestError,
        UnfitStoryError,
    )
    from langchain_tale.evaluation.comparison import Comparison
    from langchain_tale.evaluation.running import acompare, compare
    from langchain_tale.openrouter.chat_models import ChatOpenRouter
    from langchain_tale.resilience.breaker import circuits, reset_circuits
    from langchain_tale.resilience.chat_models import ResilientChatModel
    from langchain_tale.resilience.policy import BreakerPolicy, RetryPolicy
    from langchain_tale.resilience.rate_redis import RedisRateLimiter
    from langchain_tale.settings import get_settings
    from langchain_tale.story.book.chain import create_storybook_chain
    from langchain_tale.story.book.result import StorybookResult
    from langchain_tale.story.book.story import Story
    from langchain_tale.story.chain import create_story_chain
    from langchain_tale.story.checks import StoryReport, check_story
    from langchain_tale.story.choice import ModelWeights
    from langchain_tale.story.choosing import achoose_models, choose_models
    from langchain_tale.story.request import StoryRequest
    from langchain_tale.story.result import StoryGenerationResult
    from langchain_tale.story.unfit.guard import RequestGuard
    from langchain_tale.telemetry.audit import AuditLog
    from langchain_tale.telemetry.budget import Budget
    from langchain_tale.telemetry.context import request_id
    from langchain_tale.telemetry.ledger_redis import RedisLedger
    from langchain_tale.telemetry.logs import configure_logging
    from langchain_tale.telemetry.metrics import StoryMetrics

__all__ = [
    "AllModelsFailedError",
    "Attempt",
    "AuditLog",
    "Batching",
    "BreakerPolicy",
    "Budget",
    "BudgetSpentError",
    "BulkSummary",
    "ChatOpenRouter",
    "Comparison",
    "ConfigurationError",
    "ExternalServiceError",
    "ModelInfo",
    "ModelWeights",
    "OpenRouterClient",
    "OpenRouterModel",
    "RedisLedger",
    "RedisRateLimiter",
    "RedisStoryCache",
    "RequestGuard",
    "ResilientChatModel",
    "RetryPolicy",
    "SharedRun",
    "SharedStateError",
    "Story",
    "StoryCache",
    "StoryGenerationResult",
    "StoryMetrics",
    "StoryReport",
    "StoryRequest",
    "StoryWriter",
    "StorybookResult",
    "TaleError",
    "UnfitRequestError",
    "UnfitStoryError",
    "achoose_models",
    "acompare",
    "atell_all",
    "check_story",
    "choose_models",
    "circuits",
    "compare",
    "configure_logging",
    "create_story_chain",
    "create_storybook_chain",
    "get_settings",
    "request_id",
    "reset_circuits",
    "tell_all",
    "untold_requests",
]

# Each name is imported when it is first used: the openai SDK alone takes a second or two.
_HOMES = {
    "bulk.batching.letters": ("Batching",),
    "bulk.cluster.output": ("untold_requests",),
    "bulk.cluster.shared": ("SharedRun",),
    "bulk.cluster.writer": ("StoryWriter",),
    "bulk.summary": ("BulkSummary",),
    "bulk.telling": ("atell_all", "tell_all"),
    "caching.shared": ("RedisStoryCache",),
    "caching.sqlite": ("StoryCache",),
    "catalogue": ("ModelInfo", "OpenRouterModel"),
    "client": ("OpenRouterClient",),
    "errors": (
        "AllModelsFailedError",
        "Attempt",
        "BudgetSpentError",
        "ConfigurationError",
        "ExternalServiceError",
        "SharedStateError",
        "TaleError",
        "UnfitRequestError",
        "UnfitStoryError",
    ),
    "evaluation.comparison": ("Comparison",),
    "evaluation.running": ("acompare", "compare"),
    "openrouter.chat_models": ("ChatOpenRouter",),
    "resilience.breaker": ("circuits", "reset_circuits"),
    "resilience.chat_models": ("ResilientChatModel",),
    "resilience.policy": ("BreakerPolicy", "RetryPolicy"),
    "resilience.rate_redis": ("RedisRateLimiter",),
    "settings": ("get_settings",),
    "story.book.chain": ("create_storybook_chain",),
    "story.book.result": ("StorybookResult",),
    "story.book.story": ("Story",),
    "story.chain": ("create_story_chain",),
    "story.checks": ("StoryReport", "check_story"),
    "story.choice": ("ModelWeights",),
    "story.choosing": ("achoose_models", "choose_models"),
    "story.request": ("StoryRequest",),
    "story.result": ("StoryGenerationResult",),
    "story.unfit.guard": ("RequestGuard",),
    "telemetry.audit": ("AuditLog",),
    "telemetry.budget": ("Budget",),
    "telemetry.context": ("request_id",),
    "telemetry.ledger_redis": ("RedisLedger",),
    "telemetry.logs": ("configure_logging",),
    "telemetry.metrics": ("StoryMetrics",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
