"""What a choice of models comes to: an order, each place with its reason; values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, overload

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from typing import Self


class ModelWeights(BaseModel):
    """How much each mark counts; only their proportions matter.

    Attributes:
        language: That it writes the language of the story.
        length: That the story fits.
        price: That it is cheap.
        health: That it answers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: Annotated[float, Field(ge=0)] = 3.0
    length: Annotated[float, Field(ge=0)] = 1.0
    price: Annotated[float, Field(ge=0)] = 2.0
    health: Annotated[float, Field(ge=0)] = 3.0

    @model_validator(mode="after")
    def _some_weight(self) -> Self:
        if not sum(self.model_dump().values()) > 0:
            msg = "at least one weight must be above 0"
            raise ValueError(msg)
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedModel:
    """A candidate that can tell the story.

    Attributes:
        model: Its slug, or an `OpenRouterModel`.
        score: The weighted mean of its marks, 0 to 1.
        marks: The marks by name: `language`, `length`, `price`, `health`.
        cost_usd: What the story will about cost, where prices are known.
        reason: One line.
    """

    model: str
    score: float
    marks: dict[str, float]
    cost_usd: float | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A candidate that cannot tell the story.

    Attributes:
        model: Its slug, or an `OpenRouterModel`.
        reason: Why, in a few words.
        successor: What to ask instead of a retired one, where that is known.
    """

    model: str
    reason: str
    successor: str | None = None


@dataclass(frozen=True, slots=True)
class ModelChoice(Sequence[str]):
    """Models in the order in which to ask them; give it to `create_story_chain(models=…)`.

    Attributes:
        ranked: The models, best first, each with its reason.
        left_out: Candidates that cannot tell the story.
    """

    ranked: tuple[RankedModel, ...]
    left_out: tuple[LeftOut, ...] = field(default=())

    @property
    def reason(self) -> str:
        """Why this order, in one line."""
        if not self.ranked:
            return f"No model is left. {self._omissions}".strip()
        others = f", before {len(self) - 1} more" if len(self) > 1 else ""
        return f"{self.ranked[0].reason}{others}. {self._omissions}".strip()

    @property
    def _omissions(self) -> str:
        each = "; ".join(f"{one.model}: {one.reason}" for one in self.left_out)
        return f"Left out: {each}." if each else ""

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        models = tuple(one.model for one in self.ranked)
        return models[index]

    def __len__(self) -> int:
        return len(self.ranked)
