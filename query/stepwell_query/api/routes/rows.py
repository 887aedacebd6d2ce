"""Rows of a run by step: sampled (`history`) or all (`scan`)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Annotated, Any, Final, TypeVar

import structlog
from fastapi import APIRouter, Query, Request, Response

from stepwell_query.api.cancellation import ClosingStreamingResponse, iterate_in_threads, run_until_disconnect
from stepwell_query.api.dependencies import Context, ContextDep, RunDep
from stepwell_query.api.negotiation import encode_response, negotiate_format
from stepwell_query.api.params.rows import Having, HistoryQuery, RowsQuery, ScanQuery
from stepwell_query.encoding import MEDIA_TYPES, Format, json_bytes, table_bytes
from stepwell_query.errors import UnknownKeysError
from stepwell_query.query_limits import QueryLimits
from stepwell_query.rows.format_arrow import wide_schema, wide_table
from stepwell_query.rows.format_json import wide_lines
from stepwell_query.rows.history import History, HistoryRequest, read_history
from stepwell_query.rows.scan import Scan, begin_long_scan, begin_scan
from stepwell_query.rows.stream import RowFormat, long_bytes, wide_bytes
from stepwell_query.telemetry import ROWS_CANCELLED
from stepwell_schemas.errors import StoreError
from stepwell_schemas.rules.identifiers import RunPath

router = APIRouter(prefix="/api/v1/runs/{entity}/{project}/{run_id}", tags=["rows"])
_log = structlog.get_logger("stepwell.query")

T = TypeVar("T")
_SCANNED: Final = (Format.NDJSON, Format.ARROW, Format.CSV, Format.PARQUET, Format.JSON)


@router.get("/history")
async def history(
    path: RunDep, query: Annotated[HistoryQuery, Query()], context: ContextDep, request: Request
) -> Response:
    """Return at most `samples` rows of a run by step, sampled evenly and deterministically, with the first and last.

    With keys, rows have a value for all of them or, with `interpolate`, for any of them. `_timestamp` is in seconds
    since the epoch, `_runtime` in seconds since the start of the run. If several of the selected writers logged the
    same key, each has rows of its own, with its name as `_writer`. `other_writers` has the number of writers of each
    key that are not selected. The request is cancelled if the client disconnects.
    """
    fmt = negotiate_format(request, query.format, tuple(Format))
    history_request = query.request()
    limits = QueryLimits.from_settings(context.settings)

    def read() -> bytes:
        history_rows = read_history(context.store, path, history_request, limits, context.settings.query_max_cells)
        return _history_bytes(path, history_request, history_rows, fmt, query)

    return encode_response(await run_until_disconnect(context, request, read, _canceller(context, limits)), fmt)


def _history_bytes(
    path: RunPath, history_request: HistoryRequest, history_rows: History, fmt: Format, query: RowsQuery
) -> bytes:
    filled = history_request.interpolation is not None
    if fmt is not Format.JSON and history_rows.unknown:
        remedy = "remove them, or use format=json, which lists them as unknown_keys"
        raise UnknownKeysError(history_rows.unknown, remedy)
    if fmt is Format.NDJSON:
        return wide_lines(history_rows.rows, query.nan, filled=filled)
    if fmt is not Format.JSON:
        rows = history_rows.rows
        schema = wide_schema(rows.series, exact=query.exact, filled=filled, with_writers=rows.writers is not None)
        return table_bytes(wide_table(rows, schema, exact=query.exact, filled=filled), fmt)
    head = {
        "run": str(path),
        "samples": history_request.samples,
        "sampled": history_rows.sampled,
        "unknown_keys": history_rows.unknown,
        "complete_to": history_rows.progress.as_json(),
        **_other_writers(history_rows.other_writers),
    }
    lines = wide_lines(history_rows.rows, query.nan, ",", filled=filled)
    return json_bytes(head)[:-1] + b',"rows":[' + lines.removesuffix(b",") + b"]}"


def _other_writers(numbers: dict[str, int]) -> dict[str, Any]:
    """Return the field with the numbers of writers that were not selected, if there are any."""
    return {"other_writers": numbers} if numbers else {}


@router.get("/scan")
async def scan(path: RunDep, query: Annotated[ScanQuery, Query()], context: ContextDep, request: Request) -> Response:
    """Stream all rows of a run by step that are stored when the scan starts; the run may still be running.

    With keys, rows have a value for all of them (`having=any`: for any of them); rows of several writers are as in
    `history`. The answer is complete up to the
    offset in its header `stepwell-complete-to-offset`; a later request with `cursor` set to its `stepwell-next` returns
    the values logged since. An answer without the end of its chunked body is incomplete; see `cursor` for how to
    continue. The scan is cancelled if the client disconnects.
    """
    fmt = negotiate_format(request, query.format, _SCANNED)
    how = RowFormat(fmt, query.exact, query.nan, query.page_size)
    history_request = query.request(digits=how.needs_digits)
    limits = QueryLimits.from_settings(context.settings)
    most_values = context.settings.query_scan_values
    end = _canceller(context, limits)

    def answer(begun: Scan[T], written: Callable[[Scan[T], RowFormat, dict[str, Any]], Generator[bytes]]) -> Response:
        reached, following = begun.progress, str(begun.next)
        headers = {
            "stepwell-complete-to-step": str(reached.step),
            "stepwell-complete-to-offset": str(reached.offset),
            "stepwell-next": following,
        }
        head = {"run": str(path), "complete_to": reached.as_json(), "next": following}
        head |= _other_writers(begun.selection.other_writers)
        chunks = iterate_in_threads(context, written(begun, how, head), end)
        return ClosingStreamingResponse(chunks, MEDIA_TYPES[fmt], headers)

    def begin() -> Response:
        if query.long:
            return answer(begin_long_scan(context.store, path, history_request, limits, most_values), long_bytes)
        any_key = query.having is Having.ANY
        return answer(
            begin_scan(context.store, path, history_request, limits, most_values, any_key=any_key), wide_bytes
        )

    return await run_until_disconnect(context, request, begin, end)


def _canceller(context: Context, limits: QueryLimits) -> Callable[[], None]:
    """Return a function that ends a request's statements after its client has disconnected."""

    def end() -> None:
        ROWS_CANCELLED.inc()
        try:
            limits.end(context.store)
        except StoreError as error:
            _log.warning("statement_cancel_failed", error=str(error))

    return end
