"""Series for drawing, of single runs or aggregated by group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response

from stepwell_query.api.cancellation import canceller, run_until_disconnect
from stepwell_query.api.dependencies import Context, ContextDep, RunDep
from stepwell_query.api.etag import entity_tag, has_tag
from stepwell_query.api.negotiation import RAW_FROM, encode_response, negotiate_format
from stepwell_query.api.params.common import AnyFormat
from stepwell_query.api.params.series import GroupsBody, ManySeriesBody, RunSeriesQuery, ViewParameters
from stepwell_query.catalog.models import Activity
from stepwell_query.catalog.progress import read_activity
from stepwell_query.catalog.retained import boundaries_of
from stepwell_query.encoding import Format, json_bytes, table_bytes
from stepwell_query.errors import RunNotFoundError
from stepwell_query.query_limits import QueryLimits
from stepwell_query.runs.fields import STATE
from stepwell_query.series.groups.across import across_json, across_table, read_across_writers
from stepwell_query.series.groups.read import read_groups, read_states
from stepwell_query.series.groups.serialize import groups_json, groups_table
from stepwell_query.series.read import read_series
from stepwell_query.series.serialize import series_json, series_table
from stepwell_query.telemetry import SERIES_CANCELLED
from stepwell_schemas.access.authorize import Target, requires
from stepwell_schemas.access.grants import Scope
from stepwell_schemas.access.identity import Identity
from stepwell_schemas.access.routes import AccessRoute, IdentityDep
from stepwell_schemas.rules.identifiers import RunPath

router = APIRouter(prefix="/api/v1", tags=["series"], route_class=AccessRoute)

# Roughly, of a view read from rollups: it only orders the requests that wait.
_CELL_SECONDS: Final = 2e-6

ActivityByRun = dict[RunPath, Activity]


@router.get("/runs/{entity}/{project}/{run_id}/series", responses={304: {"description": "Nothing has changed."}})
@requires(Scope.READ)
async def series(
    path: RunDep, query: Annotated[RunSeriesQuery, Query()], context: ContextDep, request: Request
) -> Response:
    """Return metrics of one run with at most `points` points each, without losing extremes.

    Long series are aggregated into buckets whose width in steps is a power of two. A bucket has its last value (`value`
    at `step`), `min`, `max` and `mean` (without NaN; the mean is of the finite values), the number of rows (`counts`)
    and of NaN values (`nans`). The same request returns the same points; a smaller range returns finer buckets, down to
    single rows. docs/sampling.md describes other samplings and the values of `x`. Where writers are named, each series
    has its `writer`, and `other_writers`, the number of other writers of its key.

    The answer has an `ETag`. If it is sent as `If-None-Match`, the answer is 304 while nothing has changed.
    """
    fmt = negotiate_format(request, query.format, tuple(Format))
    series_request = query.to_request(query.key, context.settings)

    def read(activity: ActivityByRun, limits: QueryLimits) -> bytes:
        if query.across is not None:
            band = read_across_writers(context.store, path, activity, series_request, limits)
            if fmt is Format.JSON:
                return json_bytes(across_json(band, path, query.points, query.nan))
            return table_bytes(across_table(band), fmt)
        answers = read_series(context.store, [path], activity, series_request, limits, context.known)
        if not answers:
            raise RunNotFoundError(path)
        return (
            json_bytes(series_json(answers[0], query.nan))
            if fmt is Format.JSON
            else table_bytes(series_table(answers), fmt)
        )

    return await _answer(context, request, [path], query, len(query.key), fmt, read)


@router.post("/series", responses={304: {"description": "Nothing has changed."}})
@requires(Scope.READ, Target.ANYTHING)
async def many_series(
    body: ManySeriesBody,
    identity: IdentityDep,
    context: ContextDep,
    request: Request,
    named: Annotated[AnyFormat, Query(alias="format")] = None,
) -> Response:
    """Return the same metrics of several runs; runs that do not exist are listed in `unknown_runs`.

    The request only reads, and `If-None-Match` works as for GET.
    """
    fmt = negotiate_format(request, named, tuple(Format))
    paths = [RunPath.parse(path) for path in dict.fromkeys(body.runs)]
    readable = _readable(identity, paths)
    series_request = body.to_request(body.keys, context.settings, runs=len(paths))

    def read(activity: ActivityByRun, limits: QueryLimits) -> bytes:
        answers = read_series(context.store, readable, activity, series_request, limits, context.known)
        if fmt is not Format.JSON:
            return table_bytes(series_table(answers), fmt)
        known = {answer.run for answer in answers}
        unknown = [str(path) for path in paths if path not in known]
        found: dict[str, Any] = {"runs": [series_json(answer, body.nan) for answer in answers], "unknown_runs": unknown}
        return json_bytes(found)

    return await _answer(context, request, paths, body, len(paths) * len(body.keys), fmt, read, readable=readable)


@router.post("/groups", responses={304: {"description": "Nothing has changed."}})
@requires(Scope.READ, Target.ANYTHING)
async def groups(
    body: GroupsBody,
    identity: IdentityDep,
    context: ContextDep,
    request: Request,
    named: Annotated[AnyFormat, Query(alias="format")] = None,
) -> Response:
    """Return metrics of many runs aggregated by group, over buckets of steps that all runs share.

    A run contributes the mean of its finite values to a bucket. `mean`, `min`, `max` and `std` (of a sample) are over
    these means, `count` is the number of runs, `low` and `high` are the extremes of all values. Buckets without values
    of a run are neither interpolated nor filled. A run whose keys have several of the selected writers contributes with
    each of them. The request only reads, and `If-None-Match` works as for GET.
    """
    fmt = negotiate_format(request, named, tuple(Format))
    paths = body.paths()
    series_request = body.to_group_request(context.settings, len(paths))
    readable = _readable(identity, paths)
    alive_since = context.alive_since()

    def states(activity: ActivityByRun) -> dict[RunPath, list[Any]] | None:
        return read_states(context.store, readable, activity, alive_since) if body.group_by == STATE else None

    def read(activity: ActivityByRun, limits: QueryLimits) -> bytes:
        by = states(activity) or body.group_names() or body.group_by
        answer = read_groups(context.store, paths, activity, series_request, by, limits, filled=body.filled)
        if fmt is not Format.JSON:
            return table_bytes(groups_table(answer), fmt)
        return json_bytes(groups_json(answer, body.group_by, body.points, body.nan))

    def depends_on(activity: ActivityByRun) -> object:
        return list((states(activity) or {}).values())

    return await _answer(context, request, paths, body, len(paths) * len(body.keys), fmt, read, depends_on, readable)


def _readable(identity: Identity, paths: Sequence[RunPath]) -> list[RunPath]:
    """Return the runs that an identity may read; for it, the others are unknown runs."""
    return [path for path in paths if identity.allows(Scope.READ, path.entity, path.project)]


async def _answer(
    context: Context,
    request: Request,
    paths: Sequence[RunPath],
    series_request: ViewParameters,
    number: int,
    fmt: Format,
    read: Callable[[ActivityByRun, QueryLimits], bytes],
    depends_on: Callable[[ActivityByRun], object] = lambda _: None,
    readable: Sequence[RunPath] | None = None,
) -> Response:
    """Return 304 if the client has the answer, otherwise the cached answer of the tag, otherwise that of `read`.

    Args:
        number: number of requested series, runs × keys.
        depends_on: returns what the answer depends on besides the request and the activity of its runs, as JSON.
        readable: those of the runs that the identity may read; default: all. The others have no activity, like unknown
            runs, so that a tag, and the cached answer that it finds, holds for all identities that it is computed for.
    """
    if_none_match = request.headers.get("if-none-match")
    own = tuple(paths if readable is None else readable)
    limits = QueryLimits.from_settings(context.settings)

    def answer() -> Response:
        # The client may have left while the request waited.
        limits.mark.check()
        activity = context.activity.read(own, partial(read_activity, context.store, own))
        asked = [request.url.path, fmt, series_request.model_dump(mode="json"), depends_on(activity)]
        # An answer changes when rows are removed, although nothing was logged.
        removed = boundaries_of(context.store, activity)
        asked += removed
        tag = entity_tag(asked, paths, activity)
        if has_tag(if_none_match, tag):
            response = Response(status_code=304)
        else:
            content = context.answers.get(tag)
            if content is None:
                content = read(activity, limits)
                context.answers.put(tag, content)
            response = encode_response(content, fmt)
        response.headers["etag"] = tag
        if removed:
            response.headers[RAW_FROM] = str(max(raw_from for _, _, raw_from, _ in removed))
        return response

    end = canceller(SERIES_CANCELLED, partial(limits.mark.end, context.store))
    expected = number * series_request.points * _CELL_SECONDS
    return await run_until_disconnect(context, request, answer, end, expected)
