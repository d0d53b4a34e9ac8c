"""Values that fit a JSON schema, for the scripted engine; pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.sandbox.mentions import Mentions, mentions_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

WORD: Final = "fox"
_LIMITS: Final = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
_FORMATS: Final = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "P1D",
    "email": "fox@example.com",
    "uri": "https://example.com/fox",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def example_of(schema: Mapping[str, Any], asked: str = "") -> Any:
    """A value that fits a JSON schema of the kind that tools and models are described with.

    Patterns are not looked at. Optional parts of a schema that contains itself are left out.

    Args:
        schema: What the value has to fit.
        asked: The numbers and quoted texts that it mentions become the numbers and the
            strings without a format of the value, in order, where they fit.

    Raises:
        ValueError: The schema has no finite value, or refers to what is not there.

    Example:
        >>> schema = {"type": "object", "properties": {"age": {"type": "integer"}}}
        >>> example_of(schema)
        {'age': 1}
        >>> example_of(schema, "She is 5.")
        {'age': 5}
    """
    return _Examples(schema, mentions_in(asked)).of(schema)


class _EndlessError(ValueError):
    """The schema contains itself here."""


@dataclass(frozen=True, slots=True)
class _Examples:
    """The examples of one schema; `inside` has the references on the way down."""

    root: Mapping[str, Any]
    mentions: Mentions
    inside: frozenset[str] = frozenset()

    def of(self, schema: Mapping[str, Any] | bool) -> Any:  # noqa: FBT001 (JSON schema's own type)
        if isinstance(schema, bool):
            return WORD
        if "const" in schema:
            return schema["const"]
        if (mentioned := self._mentioned(schema)) is not None:
            return mentioned
        for fixed in (schema.get("default"), *(schema.get("enum") or ())):
            if fixed is not None:
                return fixed
        return self._made(schema)

    def _mentioned(self, schema: Mapping[str, Any]) -> float | str | None:
        """The next number or quoted text of what was asked, where it fits."""
        options = schema.get("anyOf") or schema.get("oneOf") or (schema,)
        found = (self._next(option) for option in options if not isinstance(option, bool))
        return next((value for value in found if value is not None), None)

    def _next(self, schema: Mapping[str, Any]) -> float | str | None:
        kind = _kind(schema)
        if kind == "string" and "format" not in schema:
            return self.mentions.text(lambda text: _suits(text, schema))
        if kind not in ("integer", "number"):
            return None
        typed = {**schema, "type": kind}
        number = self.mentions.number(lambda n: _fits(n, typed) and _is_allowed(n, schema))
        return int(number) if number is not None and kind == "integer" else number

    def _made(self, schema: Mapping[str, Any]) -> Any:
        if "$ref" in schema:
            return self._referred(schema["$ref"])
        if options := schema.get("anyOf") or schema.get("oneOf"):
            return self._first(options)
        if parts := schema.get("allOf"):
            return self._all(parts)
        return self._typed(schema)

    def _referred(self, ref: str) -> Any:
        if ref in self.inside:
            msg = f"{ref} contains itself."
            raise _EndlessError(msg)
        found: Any = self.root
        for name in ref.removeprefix("#").split("/")[1:]:
            if name not in found:
                msg = f"The schema refers to {ref}, which is not there."
                raise ValueError(msg)
            found = found[name]
        return replace(self, inside=self.inside | {ref}).of(found)

    def _first(self, options: list[Mapping[str, Any]]) -> Any:
        for option in options[:-1]:
            try:
                return self.of(option)
            except _EndlessError:
                continue
        return self.of(options[-1])

    def _all(self, parts: list[Mapping[str, Any]]) -> Any:
        values = [self.of(part) for part in parts]
        if all(isinstance(value, dict) for value in values):
            return {name: inner for value in values for name, inner in value.items()}
        return values[0]

    def _typed(self, schema: Mapping[str, Any]) -> Any:
        kind = _kind(schema)
        by_kind: dict[str, Callable[[Mapping[str, Any]], Any]] = {
            "object": self._object,
            "array": self._array,
            "string": _string,
            "integer": lambda schema: _number({**schema, "type": "integer"}),
            "number": lambda schema: _number({**schema, "type": "number"}),
            "boolean": lambda _schema: True,
        }
        return by_kind[kind](schema) if kind in by_kind else None

    def _object(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        value = {}
        for name, inner in (schema.get("properties") or {}).items():
            try:
                value[name] = self.of(inner)
            except _EndlessError:
                if name in schema.get("required", ()):
                    raise
        return value

    def _array(self, schema: Mapping[str, Any]) -> list[Any]:
        least = schema.get("minItems", 0)
        if items := schema.get("prefixItems"):
            return [self.of(item) for item in items]
        if schema.get("maxItems") == 0:
            return []
        try:
            value = self.of(schema.get("items") or {"type": "string"})
        except _EndlessError:
            if least:
                raise
            return []
        return [value] * max(1, least)


def _kind(schema: Mapping[str, Any]) -> str:
    kind: str | list[str] = schema.get("type", "object")
    return kind[0] if isinstance(kind, list) else kind


def _is_allowed(value: Any, schema: Mapping[str, Any]) -> bool:
    return value == schema.get("const", value) and value in (schema.get("enum") or (value,))


def _suits(text: str, schema: Mapping[str, Any]) -> bool:
    fits = schema.get("minLength", 0) <= len(text) <= schema.get("maxLength", inf)
    return fits and _is_allowed(text, schema)


def _string(schema: Mapping[str, Any]) -> str:
    text = _FORMATS.get(schema.get("format", ""), WORD)
    while len(text) < schema.get("minLength", 0):
        text += f" {WORD}"
    return text[: schema.get("maxLength")]


def _number(schema: Mapping[str, Any]) -> float:
    """1 where it fits, else a number at, beside or between the limits."""
    step = schema.get("multipleOf", 1)
    limits = [schema[name] for name in _LIMITS if name in schema]
    beside = [(limit // step + by) * step for limit in limits for by in (0, 1, -1)]
    between = [sum(limits) / len(limits)] if limits else []
    found = next((n for n in (1, step, *beside, *between) if _fits(n, schema)), 1)
    return int(found) if schema["type"] == "integer" else found


def _fits(number: float, schema: Mapping[str, Any]) -> bool:
    whole = schema["type"] == "integer" or "multipleOf" in schema
    return (
        schema.get("minimum", -inf) <= number <= schema.get("maximum", inf)
        and schema.get("exclusiveMinimum", -inf) < number < schema.get("exclusiveMaximum", inf)
        and not (whole and number % schema.get("multipleOf", 1))
    )
