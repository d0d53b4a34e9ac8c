"""What the typed records of OpenRouter's read-only endpoints share; pure.

Fields, values and status codes come and go at OpenRouter without notice, so a record is
tolerant: what is missing, null or unreadable is None, unknown values pass, and `raw` has the
body as it came. Only a body that is not the documented envelope, or that does not say what it
is about, raises. Money is `Decimal` in USD, durations are seconds, times know their zone.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from langchain_tale.errors import MalformedReplyError, one_sentence
from langchain_tale.openrouter.failures import Source, error_from_body

if TYPE_CHECKING:
    from pydantic import ValidatorFunctionWrapHandler

_OPENROUTER: Final = Source("OpenRouter")


def _seconds_of_ms(ms: float | None) -> float | None:
    return None if ms is None else ms / 1000


def _aware(moment: datetime | None) -> datetime | None:
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)


def _day_of(value: Any) -> Any:
    """Providers may name the hour as well; the day is what is documented."""
    return value[:10] if isinstance(value, str) else value


def _real_price(usd: Decimal | None) -> Decimal | None:
    """Routers are listed at -1: they cost what the model costs that they pick."""
    return None if usd is None or usd < 0 else usd


Price = Annotated[Decimal | None, AfterValidator(_real_price)]
FromMs = Annotated[float | None, AfterValidator(_seconds_of_ms)]
Moment = Annotated[datetime | None, AfterValidator(_aware)]
Day = Annotated[date | None, BeforeValidator(_day_of)]


class Record(BaseModel):
    """What all records share.

    Attributes:
        raw: The body as it came, unknown fields included; left out of `repr`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    raw: dict[str, Any] = Field(repr=False)

    @classmethod
    def from_body(cls, body: Any, source: Source = _OPENROUTER) -> Self:
        """Read the answer of an endpoint: `{"data": {…}}`.

        Args:
            body: Decoded JSON.
            source: Which request it answers.

        Returns:
            The record.

        Raises:
            MalformedReplyError: The body is not that envelope, or lacks what identifies it.
            ExternalServiceError: The body says that something failed.
        """
        return cls._read(_data(body, source), body, source)

    @classmethod
    def list_from_body(cls, body: Any, source: Source = _OPENROUTER) -> list[Self]:
        """Read the answer of an endpoint that lists: `{"data": [{…}, …]}`; else as `from_body`."""
        items = _data(body, source)
        if not isinstance(items, list):
            complaint = "data is no list"
            raise _malformed(complaint, body, source)
        return [cls._read(item, body, source) for item in items]

    @classmethod
    def _read(cls, data: Any, body: Any, source: Source) -> Self:
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            complaint = one_sentence(error, of="data").partition("; ")[0]
            raise _malformed(complaint, body, source) from None

    @model_validator(mode="before")
    @classmethod
    def _keep_raw(cls, body: Any) -> Any:
        return {**body, "raw": body} if isinstance(body, Mapping) else body

    @field_validator("*", mode="wrap")
    @classmethod
    def _tolerate(cls, value: Any, read: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        """What cannot be read counts as not said, unless the record is nothing without it."""
        try:
            return read(value)
        except ValidationError:
            field = cls.model_fields[info.field_name or ""]
            if field.is_required():
                raise
            return field.default


def _data(body: Any, source: Source) -> Any:
    if isinstance(body, Mapping) and body.get("error"):
        raise error_from_body(body, source)
    return body.get("data") if isinstance(body, Mapping) else None


def _malformed(complaint: str, body: Any, source: Source) -> MalformedReplyError:
    msg = f"{source.model} is not described as OpenRouter documents it ({complaint}); see .raw."
    return MalformedReplyError(msg, model=source.model, raw=body, **source.ids({}))
