"""Syntax tree of a filter, to which both notations are parsed, and their common error."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from stepwell_query.errors import RequestError

MAX_CHARS: Final = 20_000
MAX_TERMS: Final = 200
MAX_DEPTH: Final = 60
"""Bounds of one filter: characters, comparisons, and parentheses within one another."""

Value = str | int | float | bool | None
Sign = Literal["=", "<", "<=", ">", ">="]


class FilterError(RequestError):
    """A filter that can't be used; `column` is the position in its text, counted from 1, if there is one."""

    def __init__(self, text: str, rule: str, remedy: str, column: int | None = None, field: str = "filter") -> None:
        where = "" if column is None else f"column {column}: "
        super().__init__(field, text, f"{where}{rule}", remedy, column)


class Source(StrEnum):
    """The source of a value."""

    FIELD = "field"
    CONFIG = "config"
    SUMMARY = "summary"


@dataclass(frozen=True, slots=True)
class Ref:
    """A reference: to a field of the run, or to a path of keys in its config or summary (`optimizer.lr`)."""

    source: Source
    name: str

    def __str__(self) -> str:
        return self.name if self.source is Source.FIELD else f"{self.source}.{self.name}"


@dataclass(frozen=True, slots=True)
class Compare:
    """The value exists, has the type of the given one, and this relation to it."""

    ref: Ref
    sign: Sign
    value: Value


@dataclass(frozen=True, slots=True)
class Has:
    """The value is a list with this element."""

    ref: Ref
    value: Value


@dataclass(frozen=True, slots=True)
class Matches:
    """The value is a text that contains a match of the regular expression."""

    ref: Ref
    pattern: str


@dataclass(frozen=True, slots=True)
class Exists:
    """The value exists."""

    ref: Ref


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: Node


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part holds."""

    parts: tuple[Node, ...]


Term = Compare | Has | Matches | Exists
Node = Term | Not | All | AnyOf


def terms(node: Node) -> list[Term]:
    """Return the comparisons of a tree, from left to right."""
    match node:
        case Not(part):
            return terms(part)
        case All(parts) | AnyOf(parts):
            return [term for part in parts for term in terms(part)]
    return [node]
