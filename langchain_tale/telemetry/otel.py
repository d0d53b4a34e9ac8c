"""OpenTelemetry's instruments for attempts, under its semantic conventions for generative AI.

As of 2026-10 (`docs/gen-ai/gen-ai-metrics.md` of `open-telemetry/semantic-conventions-genai`,
status "development"): names, units, buckets and attributes are theirs. One operation is one
attempt, so that failed ones appear beside their model; what was never sent is none.
"""

from __future__ import annotations

from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from langchain_tale.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.metrics import MeterProvider

    from langchain_tale.telemetry.calls import Call

_DURATION_BUCKETS_S: Final = [0.01 * 2**power for power in range(14)]
_TOKEN_BUCKETS: Final = [4**power for power in range(14)]
_PROVIDERS: Final = {
    "amazon_bedrock": "aws.bedrock",
    "azure": "azure.ai.openai",
    "google_genai": "gcp.gemini",
    "google_vertexai": "gcp.vertex_ai",
    "ibm": "ibm.watsonx.ai",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "moonshot": "moonshot_ai",
    "xai": "x_ai",
}
"""LangChain's words for providers, where the conventions have others; the rest is passed on."""


_TO_COME: Final = "_real_instrument"
"""Where an instrument of the API keeps that of an SDK; None as long as there is none."""


def is_installed() -> bool:
    """Whether OpenTelemetry's API can be imported."""
    try:
        import opentelemetry.metrics  # noqa: F401, PLC0415 (an extra: only looked for)
    except ImportError:
        return False
    return True


class Instruments:
    """The histograms that attempts are recorded in.

    Args:
        meter_provider: Where they report; None for the process's global one, which does
            nothing until an OpenTelemetry SDK is set up.

    Raises:
        ConfigurationError: OpenTelemetry's API is not installed.
    """

    def __init__(self, meter_provider: MeterProvider | None = None) -> None:
        try:
            from opentelemetry.metrics import get_meter  # noqa: PLC0415 (an extra)
        except ImportError:
            msg = "OpenTelemetry needs an extra: pip install 'langchain-tale[otel]'."
            raise ConfigurationError(msg) from None
        meter = get_meter("langchain_tale", meter_provider=meter_provider)
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            unit="s",
            description="GenAI operation duration.",
            explicit_bucket_boundaries_advisory=_DURATION_BUCKETS_S,
        )
        self._first_chunk = meter.create_histogram(
            "gen_ai.client.operation.time_to_first_chunk",
            unit="s",
            description="Time to the first chunk that has content, of streams.",
            explicit_bucket_boundaries_advisory=_DURATION_BUCKETS_S,
        )
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=_TOKEN_BUCKETS,
        )

    @property
    def are_read(self) -> bool:
        """Whether they may report anywhere: the API's own, as long as no SDK is set up, do not."""
        return getattr(self._duration, _TO_COME, self) is not None

    def record(self, call: Call, *, provider: str | None, ended_by: str | None = None) -> None:
        """Record the attempts of a call.

        Args:
            call: The call.
            provider: LangChain's name for the provider, its `ls_provider`.
            ended_by: What a cancelled call was ended by, e.g. `"CancelledError"`.
        """
        for attempt in call.tried:
            names = (provider or "unknown", attempt.model, attempt.answered_by)
            is_last = attempt is call.tried[-1]
            error = attempt.error or (ended_by if is_last else None)
            self._duration.record(attempt.latency_s or 0.0, _attributes(*names, error=error))
            if is_last and (first_chunk_s := call.first_token_of_last_s()) is not None:
                self._first_chunk.record(first_chunk_s, _attributes(*names))
            if attempt.input_tokens:
                self._tokens.record(attempt.input_tokens, _attributes(*names, tokens="input"))
            if attempt.output_tokens:
                self._tokens.record(attempt.output_tokens, _attributes(*names, tokens="output"))


@lru_cache(maxsize=4096)
def _attributes(
    provider: str,
    model: str | None,
    answered_by: str | None,
    *,
    error: str | None = None,
    tokens: str | None = None,
) -> Mapping[str, str]:
    known = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _PROVIDERS.get(provider, provider),
        "gen_ai.request.model": model,
        "gen_ai.response.model": answered_by,
        "error.type": error,
        "gen_ai.token.type": tokens,
    }
    return MappingProxyType({key: value for key, value in known.items() if value is not None})
