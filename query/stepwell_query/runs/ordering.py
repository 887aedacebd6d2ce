"""The order of a list of runs, and the place where a page of it ends. Pure.

Numbers come first, then NaN, texts, false and true; last come what has no order (null, lists, dicts) and runs that have
nothing there, in both directions. Texts are ordered by their first TEXT_CHARS characters, since a cursor holds them.
Runs that are equal in it are ordered by their id.
"""

from __future__ import annotations

import base64
import binascii
import math
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson

from stepwell_query.errors import RequestError
from stepwell_query.runs.fields import FIELDS
from stepwell_query.runs.filters.ast import FilterError, Ref, Source
from stepwell_query.runs.filters.parser import parse_ref, quoted_ref
from stepwell_query.runs.filters.to_sql import Bound, Typed

TEXT_CHARS: Final = 200
_NUMBERS, _NANS, _TEXTS, _BOOLS, _UNORDERED, _MISSING = range(6)


class Place(NamedTuple):
    """Where a run stands: the class of its value, the value as a number and as a text, the run's id."""

    rank: int
    number: float
    text: str
    run_id: str


@dataclass(frozen=True, slots=True)
class Order:
    """An order of runs by one thing; a `-` in front of its name reverses it."""

    by: Ref
    descending: bool

    @classmethod
    def parse(cls, text: str) -> Order:
        """Read `name`, `-created_at`, `config.lr`, `-summary."val loss"`. Raises: RequestError."""
        name = text[1:] if text[:1] in {"-", "+"} else text
        try:
            by = parse_ref(name.strip(), "order")
        except FilterError as error:
            raise RequestError("order", text, error.rule, f"{error.remedy}; a - in front reverses") from error
        if by.source is Source.FIELD and not FIELDS[by.name].sortable:
            raise RequestError("order", text, f"{by.name} is a list, which has no order", "order by something else")
        return cls(by, text.startswith("-"))

    def __str__(self) -> str:
        return f"-{quoted_ref(self.by)}" if self.descending else quoted_ref(self.by)

    def columns(self, value: Typed) -> str:
        """Return the expressions `rank`, `number` and `text` of a run's place."""
        rank = (
            f"multiIf(NOT ({value.exists}), {_MISSING}, isNaN({value.number}), {_NANS}, {value.numeric}, {_NUMBERS},"
            f" {value.kind} = 'string', {_TEXTS}, {value.kind} = 'bool', {_BOOLS}, {_UNORDERED})"
        )
        return (
            f"{rank} AS rank, if(rank IN ({_NUMBERS}, {_BOOLS}), {value.number}, 0) AS number,"
            f" if(rank = {_TEXTS}, substringUTF8({value.text}, 1, {TEXT_CHARS}), '') AS text"
        )

    def clause(self) -> str:
        """Return the ORDER BY of these columns."""
        way = "DESC" if self.descending else "ASC"
        return f"rank ASC, number {way}, text {way}, run_id {way}"

    def behind(self, place: Place, bound: Bound) -> str:
        """Return the condition that a run stands behind a place."""
        rank = bound(place.rank, "UInt8")
        values = f"{bound(place.number, 'Float64')}, {bound(place.text, 'String')}, {bound(place.run_id, 'String')}"
        sign = "<" if self.descending else ">"
        return f"(rank > {rank} OR (rank = {rank} AND (number, text, run_id) {sign} ({values})))"


def write_cursor(order: Order, place: Place) -> str:
    """Return the text of a place, for the client to give back."""
    content = [str(order), place.rank, place.number.hex(), place.text, place.run_id]
    return base64.urlsafe_b64encode(orjson.dumps(content)).decode().rstrip("=")


def read_cursor(text: str, order: Order) -> Place:
    """Read what an earlier page gave. Raises: RequestError when it is no cursor, or one of another order."""
    try:
        content: Any = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        named, rank, number, of_text, run_id = content
        place = Place(rank, float.fromhex(number), of_text, run_id)
    except (binascii.Error, ValueError, TypeError, OverflowError):
        named, place = None, None
    if named != str(order) or place is None or not _plausible(place):
        remedy = "send the `next` of a page that you asked for in the same order, or no cursor"
        raise RequestError("cursor", text, "is no cursor of this list", remedy)
    return place


def _plausible(place: Place) -> bool:
    ranked = type(place.rank) is int and _NUMBERS <= place.rank <= _MISSING
    return ranked and not math.isnan(place.number) and isinstance(place.text, str) and isinstance(place.run_id, str)
