"""Series for drawing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from stepwell_query.api.context import Context, Run, Shared, chosen_format, encoded
from stepwell_query.api.etag import entity_tag, has_tag
from stepwell_query.api.params.common import AnyFormat
from stepwell_query.api.params.series import GroupsBody, ManySeriesBody, RunSeriesQuery, ViewParameters
from stepwell_query.catalog.models import Activity
from stepwell_query.catalog.progress import read_activity
from stepwell_query.encoding import Format, json_bytes, table_bytes
from stepwell_query.errors import RunNotFoundError
from stepwell_query.series.groups.read import read_groups
from stepwell_query.series.groups.serialize import groups_json, groups_table
from stepwell_query.series.read import read_series
from stepwell_query.series.serialize import series_json, series_table
from stepwell_schemas.rules.identifiers import RunPath

router = APIRouter(prefix="/api/v1", tags=["series"])

Stored = dict[RunPath, Activity]


@router.get("/runs/{entity}/{project}/{run_id}/series", responses={304: {"description": "Nothing has changed."}})
async def series(path: Run, query: Annotated[RunSeriesQuery, Query()], context: Shared, request: Request) -> Response:
    """Return metrics of one run by at most `points` points each, without losing a spike.

    Long series are cut into buckets of a power of two of steps. A bucket gives its last value (`value`, at `step`),
    `min`, `max` and `mean` (NaN left out; the mean is of the finite values), `counts` and how many were NaN
    (`nans`). The same request gives the same points; a closer range gives finer ones, down to the rows themselves.
    Other samplings, and what `x` may be, are told in docs/sampling.md.

    The answer has an `ETag`: send it as `If-None-Match`, and while nothing has changed the answer is 304.
    """
    fmt = chosen_format(request, query.format, tuple(Format))
    asked = query.of_keys(query.key, context.settings)

    def read(activity: Stored) -> bytes:
        answers = read_series(context.store, [path], activity, asked, context.settings.query_max_seconds)
        if not answers:
            raise RunNotFoundError(path)
        return (
            json_bytes(series_json(answers[0], query.nan))
            if fmt is Format.JSON
            else table_bytes(series_table(answers), fmt)
        )

    return await _answer(context, request, [path], query, fmt, read)


@router.post("/series", responses={304: {"description": "Nothing has changed."}})
async def many_series(
    body: ManySeriesBody,
    context: Shared,
    request: Request,
    named: Annotated[AnyFormat, Query(alias="format")] = None,
) -> Response:
    """Return the same metrics of several runs; runs that do not exist are listed in `unknown_runs`.

    It only reads: `If-None-Match` works as for GET.
    """
    fmt = chosen_format(request, named, tuple(Format))
    paths = [RunPath.parse(path) for path in dict.fromkeys(body.runs)]
    asked = body.of_keys(body.keys, context.settings, runs=len(paths))

    def read(activity: Stored) -> bytes:
        answers = read_series(context.store, paths, activity, asked, context.settings.query_max_seconds)
        if fmt is not Format.JSON:
            return table_bytes(series_table(answers), fmt)
        known = {answer.run for answer in answers}
        unknown = [str(path) for path in paths if path not in known]
        found: dict[str, Any] = {"runs": [series_json(one, body.nan) for one in answers], "unknown_runs": unknown}
        return json_bytes(found)

    return await _answer(context, request, paths, body, fmt, read)


@router.post("/groups", responses={304: {"description": "Nothing has changed."}})
async def groups(
    body: GroupsBody,
    context: Shared,
    request: Request,
    named: Annotated[AnyFormat, Query(alias="format")] = None,
) -> Response:
    """Return metrics of many runs summed up by group, over buckets of steps that all runs share.

    A run counts in a bucket with the mean of its finite values there. `mean`, `min`, `max` and `std` (of a sample) are
    of those, `count` is how many runs they are of, `low` and `high` are the extremes of all values. Nothing is
    interpolated or carried on where a run has no values. It only reads: `If-None-Match` works as for GET.
    """
    fmt = chosen_format(request, named, tuple(Format))
    paths = body.paths()
    asked = body.of_runs(context.settings, len(paths))
    by = body.values() or body.group_by

    def read(activity: Stored) -> bytes:
        seconds = context.settings.query_max_seconds
        answer = read_groups(context.store, paths, activity, asked, by, seconds, filled=body.filled)
        if fmt is not Format.JSON:
            return table_bytes(groups_table(answer), fmt)
        return json_bytes(groups_json(answer, body.group_by, body.points, body.nan))

    return await _answer(context, request, paths, body, fmt, read)


async def _answer(
    context: Context,
    request: Request,
    paths: Sequence[RunPath],
    asked: ViewParameters,
    fmt: Format,
    read: Callable[[Stored], bytes],
) -> Response:
    """Answer by what `read` gives, or gave for the same tag, or that it would be what the client has."""
    held = request.headers.get("if-none-match")

    def answer() -> Response:
        activity = read_activity(context.store, paths)
        tag = entity_tag([request.url.path, fmt, asked.model_dump(mode="json")], paths, activity)
        if has_tag(held, tag):
            response = Response(status_code=304)
        else:
            content = context.answers.get(tag)
            if content is None:
                content = read(activity)
                context.answers.put(tag, content)
            response = encoded(content, fmt)
        response.headers["etag"] = tag
        return response

    return await context.in_thread(answer)
