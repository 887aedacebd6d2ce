"""Rows of a run by step: sampled (`history`) or all (`scan`)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Query, Request, Response

from stepwell_query.api.cancellation import (
    ClosingStreamingResponse,
    canceller,
    iterate_in_threads,
    run_until_disconnect,
)
from stepwell_query.api.dependencies import ContextDep, RunDep
from stepwell_query.api.negotiation import RAW_FROM, encode_response, negotiate_format
from stepwell_query.api.params.rows import Having, HistoryQuery, RowsQuery, ScanQuery
from stepwell_query.catalog.retained import raw_from_json
from stepwell_query.encoding import MEDIA_TYPES, Format, json_bytes, table_bytes
from stepwell_query.errors import UnknownKeysError
from stepwell_query.query_limits import QueryLimits
from stepwell_query.rows.format_arrow import wide_schema, wide_table
from stepwell_query.rows.format_json import wide_lines
from stepwell_query.rows.history import History, HistoryRequest, read_history
from stepwell_query.rows.scan import Scan, begin_long_scan, begin_scan
from stepwell_query.rows.stream import RowFormat, long_bytes, wide_bytes
from stepwell_query.telemetry import ROWS_CANCELLED
from stepwell_schemas.access.authorize import requires
from stepwell_schemas.access.grants import Scope
from stepwell_schemas.access.routes import AccessRoute
from stepwell_schemas.arrow_pieces import Pieces
from stepwell_schemas.rules.identifiers import RunPath

router = APIRouter(prefix="/api/v1/runs/{entity}/{project}/{run_id}", tags=["rows"], route_class=AccessRoute)

T = TypeVar("T")
_SCANNED: Final = (Format.NDJSON, Format.ARROW, Format.CSV, Format.PARQUET, Format.JSON)


@router.get("/history")
@requires(Scope.READ)
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

    def read() -> Response:
        history_rows = read_history(context.store, path, history_request, limits, context.settings.query_max_cells)
        response = encode_response(_history_bytes(path, history_request, history_rows, fmt, query), fmt)
        response.headers.update(_raw_from_header(history_rows.raw_from))
        return response

    end = canceller(ROWS_CANCELLED, partial(limits.mark.end, context.store))
    return await run_until_disconnect(context, request, read, end)


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
        **history_rows.raw_from,
    }
    lines = wide_lines(history_rows.rows, query.nan, ",", filled=filled)
    return json_bytes(head)[:-1] + b',"rows":[' + lines.removesuffix(b",") + b"]}"


def _raw_from_header(field: dict[str, int]) -> dict[str, str]:
    """Return the header with the first step whose rows are complete, if retention has removed any."""
    return {RAW_FROM: str(field["raw_from"])} if field else {}


def _other_writers(numbers: dict[str, int]) -> dict[str, Any]:
    """Return the field with the numbers of writers that were not selected, if there are any."""
    return {"other_writers": numbers} if numbers else {}


@router.get("/scan")
@requires(Scope.READ)
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
    end = canceller(ROWS_CANCELLED, partial(limits.mark.end, context.store))

    def answer(begun: Scan[T], written: Callable[[Scan[T], RowFormat, dict[str, Any]], Generator[Pieces]]) -> Response:
        reached, following = begun.progress, str(begun.next)
        removed = raw_from_json(begun.selection.series)
        headers = {
            "stepwell-complete-to-step": str(reached.step),
            "stepwell-complete-to-offset": str(reached.offset),
            "stepwell-next": following,
            **_raw_from_header(removed),
        }
        head = {"run": str(path), "complete_to": reached.as_json(), "next": following}
        head |= _other_writers(begun.selection.other_writers) | removed
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
