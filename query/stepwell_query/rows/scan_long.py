"""A scan value by value, in the order in which the tables hold them: by kind, key and step.

Piece after piece is read from where the one before ended, which costs the same for any number of keys.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any, Final

import pyarrow as pa

from stepwell_query.rows.format_arrow import LongTables
from stepwell_query.rows.scan_cursor import Cursor, Span, kind_place
from stepwell_query.rows.value_reader import Piece, Source
from stepwell_schemas.limits import VERSION_ROW_BITS
from stepwell_schemas.rules.kinds import Kind

_STEPS: Final = "step BETWEEN {low:Int64} AND {high:Int64}"
_BEHIND: Final = "(key > {from_key:String} OR (key = {from_key:String} AND step > {from_step:Int64}))"
_UP_TO: Final = "(key < {to_key:String} OR (key = {to_key:String} AND step <= {to_step:Int64}))"
_SINCE: Final = "version >= {since:UInt64}"

_PIECE_VALUES: Final = 1_000_000
# The first piece is small, so that an answer begins at once; then each may hold this many times as much.
_FIRST_VALUES: Final = 62_500
_GROWTH: Final = 4


def tables_of(source: Source, cursor: Cursor, steps: tuple[int, int], most: int) -> Generator[pa.Table]:
    """Yield the values at steps `steps[0]`..`steps[1]` that `cursor` does not have, as tables of `LONG_SCHEMA`.

    Of what was sent up to an offset, the values that were logged since.
    """
    low, high = steps
    if low > high:
        return
    tables = LongTables(source.series)
    size = min(most, _FIRST_VALUES)
    for kind in source.kinds:
        begin = kind_place(kind)
        for span in cursor.spans(begin, begin._replace(kind=begin.kind + 1)):
            for piece in _pieces(source, kind, span, {"low": low, "high": high}, size, most):
                yield tables.table(piece.tables)
                size = min(most, _PIECE_VALUES)


def _pieces(source: Source, kind: Kind, span: Span, steps: dict[str, Any], size: int, most: int) -> Iterator[Piece]:
    place: tuple[str, int] | None = (span.low.key, span.low.step - 1)
    while place is not None:
        condition, parameters = _condition(span, place)
        piece = source.piece(kind, condition, size, source.limits.max_bytes, **steps, **parameters)
        if piece.tables:
            yield piece
        place = piece.behind
        size = min(most, _PIECE_VALUES, size * _GROWTH)


def _condition(span: Span, place: tuple[str, int]) -> tuple[str, dict[str, Any]]:
    conditions, parameters = [_STEPS, _BEHIND], {"from_key": place[0], "from_step": place[1]}
    if span.high.key:
        conditions.append(_UP_TO)
        parameters |= {"to_key": span.high.key, "to_step": span.high.step - 1}
    if span.since is not None:
        conditions.append(_SINCE)
        parameters["since"] = (span.since + 1) << VERSION_ROW_BITS
    return " AND ".join(conditions), parameters
