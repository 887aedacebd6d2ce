"""Long scans: values in the sort order of the tables, by kind, key and step, or kind, key, writer and step.

Each page is read from the position at which the previous page ended; the cost does not depend on the number of keys.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any, Final

import pyarrow as pa

from stepwell_query.rows.format_arrow import LongTables
from stepwell_query.rows.scan_cursor import Cursor, ScanRange, kind_start
from stepwell_query.rows.value_reader import LastRow, ValuePage, ValueReader
from stepwell_schemas.limits import VERSION_ROW_BITS
from stepwell_schemas.rules.kinds import Kind

_STEPS: Final = "step BETWEEN {low:Int64} AND {high:Int64}"
_AFTER: Final = "(key > {from_key:String} OR (key = {from_key:String} AND step > {from_step:Int64}))"
_UP_TO: Final = "(key < {to_key:String} OR (key = {to_key:String} AND step <= {to_step:Int64}))"
_AFTER_OF_WRITERS: Final = (
    "(key > {from_key:String} OR key = {from_key:String} AND (writer > {from_writer:String}"
    " OR writer = {from_writer:String} AND step > {from_step:Int64}))"
)
_UP_TO_OF_WRITERS: Final = (
    "(key < {to_key:String} OR key = {to_key:String} AND (writer < {to_writer:String}"
    " OR writer = {to_writer:String} AND step <= {to_step:Int64}))"
)
_SINCE: Final = "version >= {since:UInt64}"

_PAGE_VALUES: Final = 1_000_000
# The first page is small, so that the answer starts without delay; each further page may be larger by this factor.
_FIRST_VALUES: Final = 62_500
_GROWTH: Final = 4


def read_tables(reader: ValueReader, cursor: Cursor, steps: tuple[int, int], most: int) -> Generator[pa.Table]:
    """Yield the values at steps `steps[0]`..`steps[1]` that `cursor` does not cover, as tables of `LONG_SCHEMA`.

    In a range that was sent up to an offset, these are the values logged after that offset.
    """
    low, high = steps
    if low > high:
        return
    tables = LongTables(reader.series, with_writers=reader.selection.of_several)
    size = min(most, _FIRST_VALUES)
    for kind in reader.kinds:
        begin = kind_start(kind)
        for span in cursor.spans(begin, begin._replace(kind=begin.kind + 1)):
            for page in _read_pages(reader, kind, span, {"low": low, "high": high}, size, most):
                yield tables.table(page.tables)
                size = min(most, _PAGE_VALUES)


def _read_pages(
    reader: ValueReader, kind: Kind, span: ScanRange, steps: dict[str, Any], size: int, most: int
) -> Iterator[ValuePage]:
    last_row: LastRow | None = LastRow(span.low.key, span.low.writer, span.low.step - 1)
    while last_row is not None:
        condition, parameters = _condition(span, last_row, of_writers=reader.shared)
        page = reader.read_page(kind, condition, size, reader.limits.max_bytes, **steps, **parameters)
        if page.tables:
            yield page
        last_row = page.last_row
        size = min(most, _PAGE_VALUES, size * _GROWTH)


def _condition(span: ScanRange, last_row: LastRow, *, of_writers: bool) -> tuple[str, dict[str, Any]]:
    after, up_to = (_AFTER_OF_WRITERS, _UP_TO_OF_WRITERS) if of_writers else (_AFTER, _UP_TO)
    conditions = [_STEPS, after]
    parameters: dict[str, Any] = {"from_key": last_row.key, "from_step": last_row.step}
    if of_writers:
        parameters |= {"from_writer": last_row.writer, "to_writer": span.high.writer}
    if span.high.key:
        conditions.append(up_to)
        parameters |= {"to_key": span.high.key, "to_step": span.high.step - 1}
    if span.since is not None:
        conditions.append(_SINCE)
        parameters["since"] = (span.since + 1) << VERSION_ROW_BITS
    return " AND ".join(conditions), parameters
