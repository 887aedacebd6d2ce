"""Projects, runs, and the metrics and sessions of runs."""

from __future__ import annotations

from typing import Annotated, Any

import pyarrow as pa
from fastapi import APIRouter, Query, Request, Response

from stepwell_query.api.dependencies import ContextDep, RunDep
from stepwell_query.api.negotiation import encode_response, negotiate_format
from stepwell_query.api.params.common import RunQuery
from stepwell_query.api.params.runs import ColumnsQuery, MetricsQuery, RunsQuery
from stepwell_query.catalog.series import read_metrics
from stepwell_query.catalog.writers import WriterSelection
from stepwell_query.encoding import Format, json_bytes, table_bytes
from stepwell_query.runs.column_search import search_columns
from stepwell_query.runs.list import check_project, read_projects
from stepwell_query.runs.run_info import read_run
from stepwell_query.runs.sessions import read_session, read_sessions
from stepwell_schemas.access.authorize import Target, requires
from stepwell_schemas.access.grants import Scope
from stepwell_schemas.access.routes import AccessRoute, IdentityDep
from stepwell_schemas.rules.identifiers import check_identifier

router = APIRouter(prefix="/api/v1", tags=["runs"], route_class=AccessRoute)


@router.get("/projects")
@requires(Scope.READ, Target.ANYTHING)
async def projects(context: ContextDep, identity: IdentityDep) -> Response:
    """List the projects that the key may read, the most recently active first."""

    def read() -> dict[str, Any]:
        found = read_projects(context.store)
        return {"projects": [row for row in found if identity.allows(Scope.READ, row["entity"], row["project"])]}

    return await _json(context, read)


@router.get("/projects/{entity}/{project}/runs")
@requires(Scope.READ)
async def runs(entity: str, project: str, query: Annotated[RunsQuery, Query()], context: ContextDep) -> Response:
    """List the runs of a project that match a filter, sorted and in pages; `next` is the cursor of the next page.

    `total` is the number of matching runs. `columns` has the returned columns of config and summary, and the number of
    all columns. `unknown_keys` are the keys of filter, order and columns that no run of the project has. A run that is
    added or changed between two pages moves no other run to another page.
    """
    check_identifier("entity", entity)
    check_identifier("project", project)
    runs_request = query.request(context.alive_since())
    arguments = context.store, entity, project, runs_request, context.known_details
    return encode_response(await context.in_thread(context.known_lists.read, *arguments), Format.JSON)


@router.get("/projects/{entity}/{project}/runs/columns")
@requires(Scope.READ)
async def columns(entity: str, project: str, query: Annotated[ColumnsQuery, Query()], context: ContextDep) -> Response:
    """List the columns of config and summary over a project's runs, the most frequent first.

    Each column has the `name` for filters, order and `columns`, the `kinds` of its values, and the number of `runs`
    that have it. `total` is the number of matching columns.
    `fields` are the fields of every run whose names contain the words.
    """
    check_identifier("entity", entity)
    check_identifier("project", project)

    def read() -> dict[str, Any]:
        check_project(context.store, entity, project)
        return search_columns(context.store, entity, project, query.search, query.limit)

    return await _json(context, read)


@router.get("/runs/{entity}/{project}/{run_id}")
@requires(Scope.READ)
async def run(path: RunDep, query: Annotated[RunQuery, Query()], context: ContextDep) -> Response:
    """Return one run: state, config, summary, and its stored progress."""
    return await _json(context, lambda: read_run(context.store, path, context.alive_since(), query.nan))


@router.get("/runs/{entity}/{project}/{run_id}/metrics")
@requires(Scope.READ)
async def metrics(
    path: RunDep, query: Annotated[MetricsQuery, Query()], context: ContextDep, request: Request
) -> Response:
    """List the metrics of a run: each key and kind of each writer with its first and last step and number of values."""
    fmt = negotiate_format(request, query.format, tuple(Format))
    writers = WriterSelection.parse(query.writer)

    def read() -> bytes:
        run_metrics = read_metrics(context.store, path, writers)
        return json_bytes({"metrics": run_metrics}) if fmt is Format.JSON else table_bytes(_table(run_metrics), fmt)

    return encode_response(await context.in_thread(read), fmt)


@router.get("/runs/{entity}/{project}/{run_id}/sessions")
@requires(Scope.READ)
async def sessions(path: RunDep, context: ContextDep) -> Response:
    """List the sessions that logged to a run, each with the outcome of its records."""
    return await _json(context, lambda: {"sessions": read_sessions(context.store, path)})


@router.get("/runs/{entity}/{project}/{run_id}/sessions/{session}")
@requires(Scope.READ)
async def session(path: RunDep, session: str, context: ContextDep) -> Response:
    """Return the outcome of one session's records, the basis of a receipt; 404 until any of them is stored."""
    return await _json(context, lambda: read_session(context.store, path, session))


def _table(metrics: list[dict[str, Any]]) -> pa.Table:
    schema = pa.schema(
        [
            ("key", pa.string()),
            ("kind", pa.string()),
            ("first_step", pa.int64()),
            ("last_step", pa.int64()),
            ("count", pa.int64()),
            ("stream", pa.string()),
            ("writer", pa.string()),
            ("spellings", pa.list_(pa.string())),
        ]
    )
    return pa.Table.from_pylist(metrics, schema=schema)


async def _json(context: ContextDep, read: Any) -> Response:
    return encode_response(await context.in_thread(lambda: json_bytes(read())), Format.JSON)
