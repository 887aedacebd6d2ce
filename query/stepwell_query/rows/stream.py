"""Encoding of scans: rows as a stream of bytes, block by block, in every format."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet

from stepwell_query.encoding import Format, NotFinite, csv_bytes, json_bytes
from stepwell_query.rows.format_arrow import in_seconds, long_schema, wide_schema, wide_table
from stepwell_query.rows.format_json import long_lines, wide_lines
from stepwell_query.rows.scan import Scan
from stepwell_query.rows.step_rows import StepRows
from stepwell_query.telemetry import SCAN_ROWS
from stepwell_schemas.arrow_pieces import Pieces, PieceSink

# A wide table has a cell for each row and column, whatever the number of values.
_TABLE_CELLS: Final = 4_000_000
_TEXT_VALUES: Final = 100_000
_LONG_ROWS: Final = 100_000
# The end of a row.
_LINES: Final = {Format.NDJSON: "\n", Format.JSON: ","}


@dataclass(frozen=True, slots=True)
class RowFormat:
    """Options of encoding rows; `page_rows` limits the rows of a batch, None uses the default limits."""

    fmt: Format
    exact: bool = False
    non_finite: NotFinite = NotFinite.TEXT
    page_rows: int | None = None

    @property
    def needs_digits(self) -> bool:
        """True if the output contains the digits of integers that float64 can't represent."""
        return self.exact or self.fmt in _LINES


def wide_bytes(scan: Scan[StepRows], how: RowFormat, head: dict[str, Any]) -> Generator[Pieces]:
    """Yield the encoded rows of a scan; a JSON document has the fields of `head` before its `rows`."""
    with closing(scan.blocks):
        parts = (part for block in scan.blocks for part in block.parts(_most_rows(block, how)))
        if how.fmt in _LINES:
            lines = (_counted(wide_lines(part, how.non_finite, _LINES[how.fmt]), len(part)) for part in parts)
            yield from ([line] for line in (lines if how.fmt is Format.NDJSON else _document(lines, head)))
        else:
            named = bool(scan.selection.shared)
            schema = wide_schema(scan.selection.columns, exact=how.exact, with_writers=named)
            tables = (wide_table(part, schema, exact=how.exact) for part in parts)
            yield from _WRITERS[how.fmt](_counted_tables(tables), schema)


def long_bytes(scan: Scan[pa.Table], how: RowFormat, head: dict[str, Any]) -> Generator[Pieces]:
    """Yield the encoded values of a long scan, as `wide_bytes` does for rows."""
    with closing(scan.blocks):
        tables = (part for block in scan.blocks for part in _cut(block, how.page_rows or _LONG_ROWS))
        if how.fmt in _LINES:
            lines = (_counted(long_lines(part, how.non_finite, _LINES[how.fmt]), part.num_rows) for part in tables)
            yield from ([line] for line in (lines if how.fmt is Format.NDJSON else _document(lines, head)))
        else:
            # Seconds since the epoch, as in JSON; formatting times as text costs ten times as much.
            plain = map(in_seconds, tables) if how.fmt is Format.CSV else tables
            schema = long_schema(with_writers=scan.selection.of_several)
            schema = in_seconds(schema.empty_table()).schema if how.fmt is Format.CSV else schema
            yield from _WRITERS[how.fmt](_counted_tables(plain), schema)


def _most_rows(block: StepRows, how: RowFormat) -> int:
    """Return the number of rows of a block to encode at a time."""
    if how.fmt in {Format.JSON, Format.NDJSON, Format.CSV}:
        most = _TEXT_VALUES * len(block) // block.values
    else:
        most = _TABLE_CELLS // max(1, len(block.series))
    return max(1, min(most, how.page_rows or most))


def _cut(table: pa.Table, rows: int) -> Iterator[pa.Table]:
    for start in range(0, table.num_rows, rows):
        yield table.slice(start, rows)


def _counted(written: bytes, rows: int) -> bytes:
    SCAN_ROWS.inc(rows)
    return written


def _counted_tables(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    for table in tables:
        SCAN_ROWS.inc(table.num_rows)
        yield table


def _document(pieces: Iterator[bytes], head: dict[str, Any]) -> Iterator[bytes]:
    yield json_bytes(head)[:-1] + b',"rows":['
    before = b""
    for piece in pieces:
        yield before
        before = piece
    yield before.removesuffix(b",") + b"]}"


def _csv(tables: Iterator[pa.Table], schema: pa.Schema) -> Iterator[Pieces]:
    yield [csv_bytes(schema.empty_table(), header=True)]
    for table in tables:
        yield [csv_bytes(table, header=False)]


def _arrow(tables: Iterator[pa.Table], schema: pa.Schema) -> Iterator[Pieces]:
    sink = PieceSink()
    with pa.ipc.new_stream(pa.PythonFile(sink, "w"), schema) as writer:
        yield sink.drain()
        for table in tables:
            writer.write_table(table)
            yield sink.drain()
    yield sink.drain()


def _parquet(tables: Iterator[pa.Table], schema: pa.Schema) -> Iterator[Pieces]:
    sink = PieceSink()
    # Dictionary encoding of floats costs eight times as much as the floats and saves nothing.
    texts = [field.name for field in schema if not pa.types.is_floating(field.type)]
    file = pa.PythonFile(sink, "w")
    with pyarrow.parquet.ParquetWriter(file, schema, compression="zstd", use_dictionary=texts) as writer:
        for table in tables:
            writer.write_table(table, row_group_size=max(1, table.num_rows))
            yield sink.drain()
    yield sink.drain()


_WRITERS: Final = {Format.CSV: _csv, Format.ARROW: _arrow, Format.PARQUET: _parquet}
