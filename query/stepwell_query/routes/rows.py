"""A run's rows by step: sampled (`history`) and all of them (`scan`)."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Final

import pyarrow as pa
from fastapi import APIRouter, Query, Request, Response
from starlette.responses import StreamingResponse

from stepwell_query.context import Run, Shared, chosen_format, encoded
from stepwell_query.encode import MEDIA_TYPES, Format, csv_bytes, json_bytes, json_lines, table_bytes
from stepwell_query.history import History, HistoryRequest, read_history
from stepwell_query.metrics import SCAN_ROWS
from stepwell_query.parameters import HistoryQuery, RowsQuery, ScanQuery
from stepwell_query.rows import table_schema
from stepwell_query.scan import Scan, ScanRequest, begin_scan
from stepwell_schemas.identifiers import RunPath

router = APIRouter(prefix="/api/v1/runs/{entity}/{project}/{run_id}", tags=["rows"])

_STREAMED: Final = (Format.NDJSON, Format.ARROW, Format.CSV)


@router.get("/history")
async def history(path: Run, query: Annotated[HistoryQuery, Query()], context: Shared, request: Request) -> Response:
    """Return a run's rows by step, at most `samples`, evenly chosen: always the same ones, first and last included.

    With keys, the rows that have a value for all of them. `_timestamp` is in seconds since the epoch, `_runtime` in
    seconds since the run began.
    """
    fmt = chosen_format(request, query.format, tuple(Format))
    asked = HistoryRequest(query.all_keys(), query.samples, query.min_step, query.max_step, query.stream_name())
    settings = context.settings

    def read() -> bytes:
        found = read_history(
            context.store, path, asked, max_seconds=settings.query_max_seconds, max_cells=settings.query_max_cells
        )
        return _history_bytes(path, asked, found, fmt, query)

    return encoded(await context.in_thread(read), fmt)


def _history_bytes(path: RunPath, asked: HistoryRequest, found: History, fmt: Format, query: RowsQuery) -> bytes:
    if fmt is Format.NDJSON:
        return json_lines(found.rows.as_json(query.nan))
    if fmt is not Format.JSON:
        return table_bytes(found.rows.as_table(exact=query.exact), fmt)
    return json_bytes(
        {
            "run": str(path),
            "samples": asked.samples,
            "sampled": found.sampled,
            "rows": found.rows.as_json(query.nan),
            "unknown_keys": found.unknown,
            "complete_to": found.progress.as_json(),
        }
    )


@router.get("/scan")
async def scan(path: Run, query: Annotated[ScanQuery, Query()], context: Shared, request: Request) -> Response:
    """Stream all of a run's rows by step, also while it goes on: those stored when the scan begins.

    With keys, the rows that have a value for all of them. An answer that breaks off (no end of the chunked body) is
    not whole: go on with `min_step` after the last row.
    """
    fmt = chosen_format(request, query.format, _STREAMED)
    asked = ScanRequest(query.all_keys(), query.min_step, query.max_step, query.page_size, query.stream_name())
    settings = context.settings
    begun = await context.in_thread(
        begin_scan,
        context.store,
        path,
        asked,
        max_seconds=settings.query_max_seconds,
        most_values=settings.query_scan_values,
    )
    headers = {
        "stepwell-complete-to-step": str(begun.progress.step),
        "stepwell-complete-to-offset": str(begun.progress.offset),
    }
    chunks: AsyncIterator[bytes] = context.each_in_thread(_chunks(begun, fmt, query))
    return StreamingResponse(chunks, media_type=MEDIA_TYPES[fmt], headers=headers)


def _chunks(begun: Scan, fmt: Format, query: RowsQuery) -> Iterator[bytes]:
    if fmt is Format.NDJSON:
        for page in begun.pages:
            rows = page.as_json(query.nan)
            SCAN_ROWS.inc(len(rows))
            if rows:
                yield json_lines(rows)
        return
    tables = (page.as_table(exact=query.exact) for page in begun.pages)
    schema = table_schema(begun.series, exact=query.exact)
    yield from _csv(tables, schema) if fmt is Format.CSV else _arrow(tables, schema)


def _csv(tables: Iterator[pa.Table], schema: pa.Schema) -> Iterator[bytes]:
    yield csv_bytes(schema.empty_table(), header=True)
    for table in tables:
        SCAN_ROWS.inc(table.num_rows)
        if table.num_rows:
            yield csv_bytes(table, header=False)


def _arrow(tables: Iterator[pa.Table], schema: pa.Schema) -> Iterator[bytes]:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, schema) as writer:
        yield _taken(sink)
        for table in tables:
            SCAN_ROWS.inc(table.num_rows)
            if table.num_rows:
                writer.write_table(table)
                yield _taken(sink)
    yield _taken(sink)


def _taken(sink: io.BytesIO) -> bytes:
    """Return what was written since the last call."""
    written = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return written
