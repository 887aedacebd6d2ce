"""Series for drawing."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from stepwell_query.context import Run, Shared, chosen_format, encoded
from stepwell_query.encode import Format, json_bytes, table_bytes
from stepwell_query.errors import RunNotFoundError
from stepwell_query.parameters import AnyFormat, ManySeriesBody, RunSeriesQuery
from stepwell_query.series import read_series
from stepwell_query.series_answer import series_json, series_table
from stepwell_query.series_model import RunSeries
from stepwell_schemas.identifiers import RunPath

router = APIRouter(prefix="/api/v1", tags=["series"])


@router.get("/runs/{entity}/{project}/{run_id}/series")
async def series(path: Run, query: Annotated[RunSeriesQuery, Query()], context: Shared, request: Request) -> Response:
    """Return metrics of one run by at most `points` points each, without losing a spike.

    Long series are cut into buckets of a power of two of steps. A bucket gives its last value (`value`, at `step`),
    `min`, `max` and `mean` (NaN left out; the mean is of the finite values), `counts` and how many were NaN
    (`nans`). The same request gives the same points; a closer range gives finer ones, down to the rows themselves.
    """
    fmt = chosen_format(request, query.format, tuple(Format))
    asked = query.of_keys(query.key, context.settings)

    def read() -> bytes:
        answer = read_series(context.store, path, asked, context.settings.query_max_seconds)
        return (
            json_bytes(series_json(answer, query.nan))
            if fmt is Format.JSON
            else table_bytes(series_table([answer]), fmt)
        )

    return encoded(await context.in_thread(read), fmt)


@router.post("/series")
async def many_series(
    body: ManySeriesBody,
    context: Shared,
    request: Request,
    named: Annotated[AnyFormat, Query(alias="format")] = None,
) -> Response:
    """Return the same metrics of several runs; runs that do not exist are listed in `unknown_runs`."""
    fmt = chosen_format(request, named, tuple(Format))
    paths = [RunPath.parse(path) for path in dict.fromkeys(body.runs)]
    asked = body.of_keys(body.keys, context.settings, runs=len(paths))

    def read() -> bytes:
        answers: list[RunSeries] = []
        unknown: list[str] = []
        for path in paths:
            try:
                answers.append(read_series(context.store, path, asked, context.settings.query_max_seconds))
            except RunNotFoundError:
                unknown.append(str(path))
        if fmt is not Format.JSON:
            return table_bytes(series_table(answers), fmt)
        found: dict[str, Any] = {"runs": [series_json(answer, body.nan) for answer in answers], "unknown_runs": unknown}
        return json_bytes(found)

    return encoded(await context.in_thread(read), fmt)
