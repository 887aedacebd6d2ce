"""A scan value by value, in the order in which the tables hold them: by kind, key and step.

Piece after piece is read from where the one before ended, which costs the same for any number of keys.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any, Final

import pyarrow as pa

from stepwell_query.rows.format_arrow import LongTables
from stepwell_query.rows.scan_cursor import Cursor, ScanRange, kind_start
from stepwell_query.rows.value_reader import ValuePage, ValueReader
from stepwell_schemas.limits import VERSION_ROW_BITS
from stepwell_schemas.rules.kinds import Kind

_STEPS: Final = "step BETWEEN {low:Int64} AND {high:Int64}"
_AFTER: Final = "(key > {from_key:String} OR (key = {from_key:String} AND step > {from_step:Int64}))"
_UP_TO: Final = "(key < {to_key:String} OR (key = {to_key:String} AND step <= {to_step:Int64}))"
_SINCE: Final = "version >= {since:UInt64}"

_PAGE_VALUES: Final = 1_000_000
# The first piece is small, so that an answer begins at once; then each may hold this many times as much.
_FIRST_VALUES: Final = 62_500
_GROWTH: Final = 4


def read_tables(reader: ValueReader, cursor: Cursor, steps: tuple[int, int], most: int) -> Generator[pa.Table]:
    """Yield the values at steps `steps[0]`..`steps[1]` that `cursor` does not have, as tables of `LONG_SCHEMA`.

    Of what was sent up to an offset, the values that were logged since.
    """
    low, high = steps
    if low > high:
        return
    tables = LongTables(reader.series)
    size = min(most, _FIRST_VALUES)
    for kind in reader.kinds:
        begin = kind_start(kind)
        for span in cursor.spans(begin, begin._replace(kind=begin.kind + 1)):
            for read_page in _read_pages(reader, kind, span, {"low": low, "high": high}, size, most):
                yield tables.table(read_page.tables)
                size = min(most, _PAGE_VALUES)


def _read_pages(
    reader: ValueReader, kind: Kind, span: ScanRange, steps: dict[str, Any], size: int, most: int
) -> Iterator[ValuePage]:
    last_row: tuple[str, int] | None = (span.low.key, span.low.step - 1)
    while last_row is not None:
        condition, parameters = _condition(span, last_row)
        read_page = reader.read_page(kind, condition, size, reader.limits.max_bytes, **steps, **parameters)
        if read_page.tables:
            yield read_page
        last_row = read_page.last_row
        size = min(most, _PAGE_VALUES, size * _GROWTH)


def _condition(span: ScanRange, last_row: tuple[str, int]) -> tuple[str, dict[str, Any]]:
    conditions, parameters = [_STEPS, _AFTER], {"from_key": last_row[0], "from_step": last_row[1]}
    if span.high.key:
        conditions.append(_UP_TO)
        parameters |= {"to_key": span.high.key, "to_step": span.high.step - 1}
    if span.since is not None:
        conditions.append(_SINCE)
        parameters["since"] = (span.since + 1) << VERSION_ROW_BITS
    return " AND ".join(conditions), parameters
