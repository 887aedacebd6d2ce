"""Order of a list of runs, and the cursor of its pages.

Numbers come first, then NaN, texts, false and true. Values without an order (null, lists, dicts) and missing ones come
last in both directions. Texts are ordered by their first TEXT_CHARS characters, since a cursor holds them. Runs with
equal values are ordered by their id.
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
from stepwell_query.runs.filters.parser import format_ref, parse_ref
from stepwell_query.runs.filters.to_sql import SqlParameters, ValueSql

TEXT_CHARS: Final = 200
_NUMBERS, _NANS, _TEXTS, _BOOLS, _UNORDERED, _MISSING = range(6)


class SortKey(NamedTuple):
    """The position of a run in an order: the class of its value, the value as a number and as a text, the run's id."""

    rank: int
    number: float
    text: str
    run_id: str


@dataclass(frozen=True, slots=True)
class Order:
    """An order of runs by one reference; a leading `-` reverses it."""

    by: Ref
    descending: bool

    @classmethod
    def parse(cls, text: str) -> Order:
        """Read `name`, `-created_at`, `config.lr`, `-summary."val loss"`. Raises: RequestError."""
        name = text[1:] if text[:1] in {"-", "+"} else text
        try:
            by = parse_ref(name.strip(), "order")
        except FilterError as error:
            raise RequestError("order", text, error.rule, f"{error.remedy}; a leading - reverses") from error
        if by.source is Source.FIELD and not FIELDS[by.name].sortable:
            raise RequestError("order", text, f"{by.name} is a list, which has no order", "order by something else")
        return cls(by, text.startswith("-"))

    def __str__(self) -> str:
        return f"-{format_ref(self.by)}" if self.descending else format_ref(self.by)

    def columns(self, value: ValueSql) -> str:
        """Return the expressions `rank`, `number` and `text` of a run's sort key."""
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
        direction = "DESC" if self.descending else "ASC"
        return f"rank ASC, number {direction}, text {direction}, run_id {direction}"

    def after(self, key: SortKey, parameters: SqlParameters) -> str:
        """Return the condition that a run comes after a sort key."""
        rank = parameters(key.rank, "UInt8")
        given = (key.number, "Float64"), (key.text, "String"), (key.run_id, "String")
        values = ", ".join(parameters(value, kind) for value, kind in given)
        sign = "<" if self.descending else ">"
        return f"(rank > {rank} OR (rank = {rank} AND (number, text, run_id) {sign} ({values})))"


def write_cursor(order: Order, key: SortKey) -> str:
    """Return the cursor of the page after a sort key."""
    content = [str(order), key.rank, key.number.hex(), key.text, key.run_id]
    return base64.urlsafe_b64encode(orjson.dumps(content)).decode().rstrip("=")


def read_cursor(text: str, order: Order) -> SortKey:
    """Parse the cursor of an earlier page. Raises: RequestError if it is no cursor, or one of another order."""
    try:
        content: Any = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        named, rank, number, value, run_id = content
        key = SortKey(rank, float.fromhex(number), value, run_id)
    except (binascii.Error, ValueError, TypeError, OverflowError):
        named, key = None, None
    if named != str(order) or key is None or not _is_plausible(key):
        remedy = "send the `next` of a page that you asked for in the same order, or no cursor"
        raise RequestError("cursor", text, "is no cursor of this list", remedy)
    return key


def _is_plausible(key: SortKey) -> bool:
    ranked = type(key.rank) is int and _NUMBERS <= key.rank <= _MISSING
    return ranked and not math.isnan(key.number) and isinstance(key.text, str) and isinstance(key.run_id, str)
