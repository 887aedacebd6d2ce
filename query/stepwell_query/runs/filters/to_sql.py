"""A filter's tree as a condition of SQL: every value is a parameter, names are those of columns made beside. Pure.

Each thing looked at is a column of the tuple (kind, number, text). A value has the kind of JSON, and a comparison is
true only for a value of the other side's kind: `1`, `"1"`, `true` and `null` differ. NaN and the infinities are numbers
even where JSON holds their names as texts. What is not there is of no kind, so that every comparison with it is false.
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
class Bound:
    """The parameters of a statement, gathered as its text is made."""

    values: dict[str, Any] = field(default_factory=dict)

    def __call__(self, value: Any, kind: str) -> str:
        """Return what stands for a value in the text."""
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"{{{name}:{kind}}}"


@dataclass(frozen=True, slots=True)
class Typed:
    """The expressions of one thing looked at; `elements` is an array of texts, where it is a field that is one."""

    kind: str
    number: str
    text: str
    exists: str
    elements: str = ""

    @property
    def numeric(self) -> str:
        """The condition that the value counts as a number."""
        return f"({self.kind} = 'number' OR NOT isFinite({self.number}))"


def condition(node: Node, typed: Callable[[Ref], Typed], bound: Bound) -> str:
    """Return the condition that a tree means."""
    match node:
        case All(parts) | AnyOf(parts):
            if not parts:
                return "1"
            joint = " AND " if isinstance(node, All) else " OR "
            return f"({joint.join(condition(part, typed, bound) for part in parts)})"
        case Not(part):
            return f"(NOT {condition(part, typed, bound)})"
        case Exists(ref):
            return f"({typed(ref).exists})"
        case Matches(ref, pattern):
            value = typed(ref)
            return f"({value.kind} = 'string' AND match({value.text}, {bound(pattern, 'String')}))"
        case Has(ref, element):
            return _has(typed(ref), element, bound)
        case Compare(ref, sign, value):
            return _compared(typed(ref), sign, value, bound)


def _compared(of: Typed, sign: Sign, value: Value, bound: Bound) -> str:
    match value:
        case None:
            return f"({of.kind} = 'null')"
        case bool():
            return f"({of.kind} = 'bool' AND {of.number} = {int(value)})"
        case str():
            return f"({of.kind} = 'string' AND {of.text} {sign} {bound(value, 'String')})"
    number = _nearest(value)
    if math.isnan(number):
        return f"isNaN({of.number})" if sign == "=" else "0"
    compared = f"{of.numeric} AND {of.number} {sign} {bound(number, 'Float64')}"
    whole = value if isinstance(value, int) else int(value) if value.is_integer() else None
    if sign == "=" and whole is not None and abs(whole) >= FLOAT64_EXACT_INT:
        return f"({compared} AND {_same_digits(of.text, whole, number, bound)})"
    return f"({compared})"


def _same_digits(text: str, whole: int, number: float, bound: Bound) -> str:
    """Return the condition that tells integers which are one float64 apart by their digits, where they are kept.

    None are kept of a metric's value that float64 holds; config keeps floats and integers beyond 64 bits as floats.
    """
    unkept = math.isfinite(number) and int(number) == whole
    other = f"NOT match({text}, {_DIGITS})" if unkept else f"({text} != '' AND NOT match({text}, {_DIGITS}))"
    return f"({text} = {bound(str(whole), 'String')} OR {other})"


def _has(of: Typed, element: Value, bound: Bound) -> str:
    if of.elements:
        return f"has({of.elements}, {bound(element, 'String')})"
    items = f"JSONExtractArrayRaw({of.text})"
    match element:
        case None | bool():
            return f"({of.kind} = 'list' AND has({items}, {bound(orjson.dumps(element).decode(), 'String')}))"
        case str():
            found = f"startsWith(item, '\"') AND JSONExtractString(item) = {bound(element, 'String')}"
        case _ if math.isfinite(_nearest(element)):
            found = f"match(item, '^-?[0-9]') AND JSONExtractFloat(item) = {bound(_nearest(element), 'Float64')}"
        case _:
            name = {math.inf: "Infinity", -math.inf: "-Infinity"}.get(_nearest(element), "NaN")
            found = f"JSONExtractString(item) = {bound(name, 'String')}"
    return f"({of.kind} = 'list' AND arrayExists(item -> {found}, {items}))"


def _nearest(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
