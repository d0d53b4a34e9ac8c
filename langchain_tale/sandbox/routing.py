"""What the router says of itself, and what it cannot route; the guide "Router metadata"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from langchain_tale.catalogue import OpenRouterModel
from langchain_tale.sandbox import bodies, plugins
from langchain_tale.sandbox.listings import UNSUPPORTED, concrete

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HEADERS: Final = ("x-openrouter-metadata", "x-openrouter-experimental-metadata")
_MASKED: Final = (401, 429, 500)
"""Statuses whose bodies never tell of the routing."""
_REGION: Final = "local"


def is_told(headers: Mapping[str, str]) -> bool:
    """Whether the caller opted in; any value but `enabled` is a no, and no header too."""
    return any(headers.get(name, "").lower() == "enabled" for name in _HEADERS)


def strategy(request: Mapping[str, Any], asked: str) -> str:
    """How the model was chosen, in OpenRouter's words."""
    if request.get("models"):
        return "fallback"
    if asked.startswith("~"):
        return "latest"
    kinds = {"auto": "auto", "auto-beta": "auto", "free": "free", "pareto-code": "pareto"}
    author, _, slug = asked.partition("/")
    return kinds.get(slug, "direct") if author == "openrouter" else "direct"


def metadata(
    request: Mapping[str, Any],
    attempts: Sequence[Mapping[str, Any]],
    *,
    provider: str,
    is_byok: bool,
    answered: bool = True,
) -> dict[str, Any]:
    """`openrouter_metadata` of an answer or of a refusal.

    Args:
        request: The body that was sent.
        attempts: Model, provider and status of those who were asked, in order.
        provider: Who serves.
        is_byok: Whether with the caller's own key.
        answered: Whether the last attempt did; no endpoint is selected where none answered.
    """
    asked = [name for name in (request.get("model"), *(request.get("models") or ())) if name]
    model = attempts[-1]["model"] if attempts else concrete(asked[0])
    endpoint = {"provider": provider, "model": model, "selected": answered}
    pipeline = plugins.stages(request) if answered else []
    return {
        "requested": asked[0],
        "strategy": strategy(request, asked[0]),
        "region": _REGION,
        "summary": f"available=1, selected={provider}" if answered else "available=1",
        "attempt": len(attempts),
        "is_byok": is_byok,
        "endpoints": {"total": 1, "available": [endpoint]},
        **({"attempts": list(attempts)} if attempts else {}),
        **({"pipeline": pipeline} if pipeline else {}),
    }


def unselected(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of an answer that broke, as a key of its body: nobody is selected."""
    endpoints = metadata["endpoints"]
    available = [{**endpoint, "selected": False} for endpoint in endpoints["available"]]
    broken = {**metadata, "endpoints": {**endpoints, "available": available}}
    return {"openrouter_metadata": broken}


def is_masked(status: int) -> bool:
    """Whether an error of this status keeps the routing to itself."""
    return status in _MASKED


def refusal(request: Mapping[str, Any], asked: str) -> tuple[int, dict[str, Any]] | None:
    """Why this model cannot be asked, as status and body; None where it can."""
    if "/" not in asked:
        message = f"{asked} is not a valid model ID"
        return 400, bodies.error(400, message, error_type="invalid_request")
    known = OpenRouterModel(asked) if asked in set(OpenRouterModel) else None
    if known is not None and known.info.status == "retired":
        return 404, bodies.retired(known)
    unmet = _unmet(request)
    if unmet:
        message = "No endpoints found that can handle the requested parameters."
        constraint = {"field": "provider.require_parameters", "detail": ", ".join(unmet)}
        return 404, bodies.unavailable(
            "constraint_filtered",
            message,
            requested=asked,
            excluded_by=["require_parameters"],
            constraint=constraint,
        )
    return None


def _unmet(request: Mapping[str, Any]) -> list[str]:
    """The parameters that the endpoint lacks and that the caller insists on."""
    if not (request.get("provider") or {}).get("require_parameters"):
        return []
    return [name for name in UNSUPPORTED if request.get(name) is not None]
