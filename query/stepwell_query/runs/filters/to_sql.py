"""Translation of a filter's tree to a condition in SQL. Every value becomes a parameter.

Each reference is a column with the tuple (kind, number, text). Kinds are the types of JSON, and a comparison is true
only between values of one kind: `1`, `"1"`, `true` and `null` differ. NaN and the infinities are numbers even where
JSON holds their names as texts. A missing value has no kind, so that every comparison with it is false.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from stepwell_query.runs.filters.ast import All, AnyOf, Compare, Exists, Has, Matches, Node, Not, Ref, Sign, Value
from stepwell_schemas.limits import FLOAT64_EXACT_INT

_DIGITS: Final = "'^-?[0-9]+$'"


@dataclass
class SqlParameters:
    """The parameters of a statement, collected while its text is built."""

    values: dict[str, Any] = field(default_factory=dict)

    def __call__(self, value: Any, kind: str) -> str:
        """Add a value, and return its placeholder."""
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"{{{name}:{kind}}}"


@dataclass(frozen=True, slots=True)
class ValueSql:
    """The expressions of one reference; `elements` is the array of texts of a list field."""

    kind: str
    number: str
    text: str
    exists: str
    elements: str = ""

    @property
    def numeric(self) -> str:
        """The condition that the value counts as a number."""
        return f"({self.kind} = 'number' OR NOT isFinite({self.number}))"


def condition(node: Node, typed: Callable[[Ref], ValueSql], parameters: SqlParameters) -> str:
    """Return the condition of a tree."""
    match node:
        case All(parts) | AnyOf(parts):
            if not parts:
                return "1"
            joint = " AND " if isinstance(node, All) else " OR "
            return f"({joint.join(condition(part, typed, parameters) for part in parts)})"
        case Not(part):
            return f"(NOT {condition(part, typed, parameters)})"
        case Exists(ref):
            return f"({typed(ref).exists})"
        case Matches(ref, pattern):
            value = typed(ref)
            return f"({value.kind} = 'string' AND match({value.text}, {parameters(pattern, 'String')}))"
        case Has(ref, element):
            return _has(typed(ref), element, parameters)
        case Compare(ref, sign, value):
            return _compared(typed(ref), sign, value, parameters)


def _compared(of: ValueSql, sign: Sign, value: Value, parameters: SqlParameters) -> str:
    match value:
        case None:
            return f"({of.kind} = 'null')"
        case bool():
            return f"({of.kind} = 'bool' AND {of.number} = {int(value)})"
        case str():
            return f"({of.kind} = 'string' AND {of.text} {sign} {parameters(value, 'String')})"
    number = _nearest(value)
    if math.isnan(number):
        return f"isNaN({of.number})" if sign == "=" else "0"
    compared = f"{of.numeric} AND {of.number} {sign} {parameters(number, 'Float64')}"
    whole = value if isinstance(value, int) else int(value) if value.is_integer() else None
    if sign == "=" and whole is not None and abs(whole) >= FLOAT64_EXACT_INT:
        return f"({compared} AND {_same_digits(of.text, whole, number, parameters)})"
    return f"({compared})"


def _same_digits(text: str, whole: int, number: float, parameters: SqlParameters) -> str:
    """Return the condition that integers with the same float64 have the same digits, where digits are stored.

    A metric's value that float64 holds exactly has none; config stores floats and integers beyond 64 bits as floats.
    """
    unkept = math.isfinite(number) and int(number) == whole
    other = f"NOT match({text}, {_DIGITS})" if unkept else f"({text} != '' AND NOT match({text}, {_DIGITS}))"
    return f"({text} = {parameters(str(whole), 'String')} OR {other})"


def _has(of: ValueSql, element: Value, parameters: SqlParameters) -> str:
    if of.elements:
        return f"has({of.elements}, {parameters(element, 'String')})"
    items = f"JSONExtractArrayRaw({of.text})"
    match element:
        case None | bool():
            return f"({of.kind} = 'list' AND has({items}, {parameters(orjson.dumps(element).decode(), 'String')}))"
        case str():
            found = f"startsWith(item, '\"') AND JSONExtractString(item) = {parameters(element, 'String')}"
        case _ if math.isfinite(_nearest(element)):
            found = f"match(item, '^-?[0-9]') AND JSONExtractFloat(item) = {parameters(_nearest(element), 'Float64')}"
        case _:
            name = {math.inf: "Infinity", -math.inf: "-Infinity"}.get(_nearest(element), "NaN")
            found = f"JSONExtractString(item) = {parameters(name, 'String')}"
    return f"({of.kind} = 'list' AND arrayExists(item -> {found}, {items}))"


def _nearest(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
