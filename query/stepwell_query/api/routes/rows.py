"""A run's rows by step: sampled (`history`) and all of them (`scan`)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Annotated, Any, Final, TypeVar

import structlog
from fastapi import APIRouter, Query, Request, Response

from stepwell_query.api.context import Context, Run, Shared, StreamedResponse, chosen_format, encoded
from stepwell_query.api.params.rows import Having, HistoryQuery, RowsQuery, ScanQuery
from stepwell_query.encoding import MEDIA_TYPES, Format, json_bytes, table_bytes
from stepwell_query.errors import RequestError
from stepwell_query.query_limits import Limits
from stepwell_query.rows.format_arrow import wide_schema, wide_table
from stepwell_query.rows.format_json import wide_lines
from stepwell_query.rows.history import History, HistoryRequest, read_history
from stepwell_query.rows.scan import Scan, begin_long_scan, begin_scan
from stepwell_query.rows.stream import Writing, long_bytes, wide_bytes
from stepwell_query.telemetry import ROWS_CANCELLED
from stepwell_schemas.errors import StoreError
from stepwell_schemas.rules.identifiers import RunPath

router = APIRouter(prefix="/api/v1/runs/{entity}/{project}/{run_id}", tags=["rows"])
_log = structlog.get_logger("stepwell.query")

T = TypeVar("T")
_SCANNED: Final = (Format.NDJSON, Format.ARROW, Format.CSV, Format.PARQUET, Format.JSON)


@router.get("/history")
async def history(path: Run, query: Annotated[HistoryQuery, Query()], context: Shared, request: Request) -> Response:
    """Return a run's rows by step, at most `samples`, evenly chosen: always the same ones, first and last included.

    With keys, the rows that have a value for all of them, or, with `interpolate`, for any of them. `_timestamp` is in
    seconds since the epoch, `_runtime` in seconds since the run began. A request ends when whoever sent it leaves.
    """
    fmt = chosen_format(request, query.format, tuple(Format))
    asked = query.request()
    limits = Limits.of(context.settings)

    def read() -> bytes:
        found = read_history(context.store, path, asked, limits, context.settings.query_max_cells)
        return _history_bytes(path, asked, found, fmt, query)

    return encoded(await context.while_wanted(request, read, _ending(context, limits)), fmt)


def _history_bytes(path: RunPath, asked: HistoryRequest, found: History, fmt: Format, query: RowsQuery) -> bytes:
    filled = asked.interpolation is not None
    if fmt is not Format.JSON and found.unknown:
        names = ", ".join(map(repr, found.unknown))
        remedy = "leave them out, or ask for format=json, which lists them as unknown_keys"
        raise RequestError("key", found.unknown[0], f"the run has not logged {names}", remedy)
    if fmt is Format.NDJSON:
        return wide_lines(found.rows, query.nan, filled=filled)
    if fmt is not Format.JSON:
        schema = wide_schema(found.rows.series, exact=query.exact, filled=filled)
        return table_bytes(wide_table(found.rows, schema, exact=query.exact, filled=filled), fmt)
    head = {
        "run": str(path),
        "samples": asked.samples,
        "sampled": found.sampled,
        "unknown_keys": found.unknown,
        "complete_to": found.progress.as_json(),
    }
    rows = wide_lines(found.rows, query.nan, ",", filled=filled)
    return json_bytes(head)[:-1] + b',"rows":[' + rows.removesuffix(b",") + b"]}"


@router.get("/scan")
async def scan(path: Run, query: Annotated[ScanQuery, Query()], context: Shared, request: Request) -> Response:
    """Stream all of a run's rows by step, also while it goes on: those stored when the scan begins.

    With keys, the rows that have a value for all of them (`having=any`: for any). The answer is complete to the offset
    in its header `stepwell-complete-to-offset`; `cursor` set to its `stepwell-next` gives what came since. An answer
    that breaks off (no end of the chunked body) is not whole: `cursor` says how to go on. A scan ends when whoever
    asked leaves.
    """
    fmt = chosen_format(request, query.format, _SCANNED)
    how = Writing(fmt, query.exact, query.nan, query.page_size)
    asked = query.request(digits=how.needs_digits)
    limits = Limits.of(context.settings)
    most_values = context.settings.query_scan_values
    end = _ending(context, limits)

    def answer(begun: Scan[T], written: Callable[[Scan[T], Writing, dict[str, Any]], Generator[bytes]]) -> Response:
        reached, following = begun.progress, str(begun.next)
        headers = {
            "stepwell-complete-to-step": str(reached.step),
            "stepwell-complete-to-offset": str(reached.offset),
            "stepwell-next": following,
        }
        head = {"run": str(path), "complete_to": reached.as_json(), "next": following}
        chunks = context.each_in_thread(written(begun, how, head), end)
        return StreamedResponse(chunks, MEDIA_TYPES[fmt], headers)

    def begin() -> Response:
        if query.long:
            return answer(begin_long_scan(context.store, path, asked, limits, most_values), long_bytes)
        any_key = query.having is Having.ANY
        return answer(begin_scan(context.store, path, asked, limits, most_values, any_key=any_key), wide_bytes)

    return await context.while_wanted(request, begin, end)


def _ending(context: Context, limits: Limits) -> Callable[[], None]:
    """Return what ends a request's statements when whoever asked has gone."""

    def end() -> None:
        ROWS_CANCELLED.inc()
        try:
            limits.end(context.store)
        except StoreError as error:
            _log.warning("statement_not_ended", error=str(error))

    return end
