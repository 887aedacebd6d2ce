"""Projects, runs, and what a run has logged."""

from __future__ import annotations

from typing import Annotated, Any

import pyarrow as pa
from fastapi import APIRouter, Query, Request, Response

from stepwell_query.api.context import Run, Shared, chosen_format, encoded
from stepwell_query.api.params.common import FormatQuery, RunQuery
from stepwell_query.api.params.runs import ColumnsQuery, RunsQuery
from stepwell_query.catalog.series import read_metrics
from stepwell_query.encoding import Format, json_bytes, table_bytes
from stepwell_query.runs.column_search import search_columns
from stepwell_query.runs.list import check_project, read_projects, read_runs
from stepwell_query.runs.run_info import read_run
from stepwell_query.runs.sessions import read_session, read_sessions
from stepwell_schemas.rules.identifiers import check_identifier

router = APIRouter(prefix="/api/v1", tags=["runs"])


@router.get("/projects")
async def projects(context: Shared) -> Response:
    """List the projects, the latest active first."""
    return await _json(context, lambda: {"projects": read_projects(context.store)})


@router.get("/projects/{entity}/{project}/runs")
async def runs(entity: str, project: str, query: Annotated[RunsQuery, Query()], context: Shared) -> Response:
    """List a project's runs that pass a filter, in an order, page by page: `next` is the cursor of the next page.

    `total` counts the runs that pass. `columns` says which columns of config and summary are shown, and how many there
    are. A run that comes or changes between two pages moves no other run from one page to the next.
    """
    check_identifier("entity", entity)
    check_identifier("project", project)
    asked = query.request()
    return await _json(context, lambda: read_runs(context.store, entity, project, asked))


@router.get("/projects/{entity}/{project}/runs/columns")
async def columns(entity: str, project: str, query: Annotated[ColumnsQuery, Query()], context: Shared) -> Response:
    """List the columns that config and summary make in a project's runs, those of most runs first.

    Each has the `name` to filter, order and choose columns by, the `kinds` of its values, and how many `runs` have it.
    `total` counts all that were found. `fields` are the fields of every run whose names hold the words.
    """
    check_identifier("entity", entity)
    check_identifier("project", project)

    def read() -> dict[str, Any]:
        check_project(context.store, entity, project)
        return search_columns(context.store, entity, project, query.search, query.limit)

    return await _json(context, read)


@router.get("/runs/{entity}/{project}/{run_id}")
async def run(path: Run, query: Annotated[RunQuery, Query()], context: Shared) -> Response:
    """Describe one run: state, config, summary, and how far it is stored."""
    return await _json(context, lambda: read_run(context.store, path, query.nan))


@router.get("/runs/{entity}/{project}/{run_id}/metrics")
async def metrics(path: Run, query: Annotated[FormatQuery, Query()], context: Shared, request: Request) -> Response:
    """List what a run has logged: each key with each of its kinds, its first and last step, and how many values."""
    fmt = chosen_format(request, query.format, tuple(Format))

    def read() -> bytes:
        found = read_metrics(context.store, path)
        return json_bytes({"metrics": found}) if fmt is Format.JSON else table_bytes(_table(found), fmt)

    return encoded(await context.in_thread(read), fmt)


@router.get("/runs/{entity}/{project}/{run_id}/sessions")
async def sessions(path: Run, context: Shared) -> Response:
    """List the sessions that logged to a run, each with what became of its records."""
    return await _json(context, lambda: {"sessions": read_sessions(context.store, path)})


@router.get("/runs/{entity}/{project}/{run_id}/sessions/{session}")
async def session(path: Run, session: str, context: Shared) -> Response:
    """Say what became of one session's records: what a receipt is made of; 404 while nothing of it is stored."""
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
            ("spellings", pa.list_(pa.string())),
        ]
    )
    return pa.Table.from_pylist(metrics, schema=schema)


async def _json(context: Shared, read: Any) -> Response:
    return encoded(await context.in_thread(lambda: json_bytes(read())), Format.JSON)
