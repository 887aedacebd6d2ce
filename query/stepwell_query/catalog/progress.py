"""Reads how far runs are stored."""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa

from stepwell_query.catalog.conditions import OF_RUN, OF_RUNS, run_parameters, runs_parameters
from stepwell_query.catalog.models import Activity, Document, Progress
from stepwell_query.errors import RunNotFoundError
from stepwell_query.stored_json import read_definitions
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath

_ACTIVITY: Final = f"""
SELECT
    entity, project, run_id, max(last_step) AS step, max(last_offset) AS offset,
    argMax(totals.log_rows, totals.end) AS log_rows, argMax(totals.points, totals.end) AS points,
    toUnixTimestamp64Milli(min(first_timestamp)) AS first_ms, toUnixTimestamp64Milli(max(last_timestamp)) AS last_ms,
    max(rebuilt_at) AS rebuilt_at
FROM {{db}}.run_activity PREWHERE {OF_RUNS} GROUP BY entity, project, run_id
"""

# The same of one run, as its rows: aggregating in ClickHouse costs more than reading them.
_ACTIVITY_OF_RUN: Final = f"""
SELECT last_step, last_offset, totals, first_timestamp, last_timestamp, rebuilt_at
FROM {{db}}.run_activity PREWHERE {OF_RUN}
"""

DOCUMENTS_STATEMENT: Final = f"""
SELECT
    entity, project, run_id, toUnixTimestamp64Milli(created_at) AS created_ms, metric_definitions
FROM {{db}}.run_documents FINAL PREWHERE {OF_RUNS}
"""


def read_progress(store: Store, run: RunPath) -> Progress:
    """Return how far a run is stored. Read before the run's values, it never promises more than they hold.

    Raises:
        RunNotFoundError: when there is no such run.
        StoreError: when ClickHouse does not answer.
    """
    parameters = runs_parameters([run])
    activity, documents = store.queries([(_ACTIVITY, parameters), (DOCUMENTS_STATEMENT, parameters)])
    activities, known = to_activities(activity), to_documents(documents)
    if run not in activities and run not in known:
        raise RunNotFoundError(run)
    return build_progress(activities.get(run), known.get(run))


def read_activity(store: Store, runs: Sequence[RunPath]) -> dict[RunPath, Activity]:
    """Return how far runs are stored; those without a flush are left out.

    Read before the runs' values, it never promises more than they hold. Raises: StoreError.
    """
    if len(runs) != 1:
        return to_activities(store.query(_ACTIVITY, runs_parameters(runs))) if runs else {}
    table = store.query(_ACTIVITY_OF_RUN, run_parameters(runs[0]))
    return {runs[0]: _merge_activity(table)} if table.num_rows else {}


def build_progress(activity: Activity | None, document: Document | None) -> Progress:
    """Return the progress of a run that has at least one of both. Without its document, it began with its first row."""
    begins = [document.created_ms] if document else []
    if activity is None:
        return Progress(-1, -1, 0, begins[0])
    # Rows imported with their old times began before the run was created here.
    started = min([*begins, activity.first_ms])
    return Progress(activity.step if activity.log_rows else -1, activity.offset, activity.log_rows, started)


def to_activities(table: pa.Table) -> dict[RunPath, Activity]:
    """Return the rows of the activity statement by run."""
    names = ("step", "offset", "log_rows", "points", "first_ms", "last_ms", "rebuilt_at")
    return {run: Activity(*(row[name] for name in names)) for run, row in rows_by_run(table)}


def _merge_activity(table: pa.Table) -> Activity:
    """Return the activity that the rows of a run add up to, as the table's engine merges them."""
    steps, offsets, rebuilt = (table.column(name).to_pylist() for name in ("last_step", "last_offset", "rebuilt_at"))
    totals = max(table.column("totals").to_pylist(), key=lambda flush: tuple(flush.values()))
    first, last = (table.column(name).cast(pa.int64()).to_pylist() for name in ("first_timestamp", "last_timestamp"))
    extremes = min(first), max(last), max(rebuilt)
    return Activity(max(steps), max(offsets), totals["log_rows"], totals["points"], *extremes)


def to_documents(table: pa.Table) -> dict[RunPath, Document]:
    """Return the rows of DOCUMENTS_STATEMENT by run."""
    return {
        run: Document(row["created_ms"], read_definitions(row["metric_definitions"])) for run, row in rows_by_run(table)
    }


def rows_by_run(table: pa.Table) -> list[tuple[RunPath, dict[str, Any]]]:
    """Return rows with the run that each is about."""
    return [(RunPath(row["entity"], row["project"], row["run_id"]), row) for row in table.to_pylist()]
