"""What there is to read of several runs at once: how far they are stored, their documents, their series."""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from stepwell_query.catalog.run import Progress, SeriesInfo
from stepwell_query.stored_json import read_definitions
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.clickhouse.tables import RUNS_CONDITION
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.keys import fold_key
from stepwell_schemas.rules.kinds import Kind, is_kind
from stepwell_schemas.rules.metric_definitions import Definition

Found = dict[RunPath, dict[str, list[SeriesInfo]]]

OF_RUNS: Final = RUNS_CONDITION
"""The condition of several runs, of any projects."""


_ACTIVITY: Final = f"""
SELECT
    entity, project, run_id, max(last_step) AS step, max(last_offset) AS offset, sum(log_rows) AS log_rows,
    sum(points) AS points, toUnixTimestamp64Milli(min(first_timestamp)) AS first_ms,
    toUnixTimestamp64Milli(max(last_timestamp)) AS last_ms
FROM {{db}}.run_activity PREWHERE {OF_RUNS} GROUP BY entity, project, run_id
"""

_DOCUMENTS: Final = f"""
SELECT
    entity, project, run_id, toUnixTimestamp64Milli(created_at) AS created_ms, metric_definitions
FROM {{db}}.run_documents FINAL PREWHERE {OF_RUNS}
"""

_SERIES: Final = f"""
SELECT entity, project, run_id, key, kind, min(first_step) AS first, max(last_step) AS last, sum(points) AS rows,
    max(rewritten) AS rewritten, min(stream) AS stream
FROM {{db}}.series PREWHERE {OF_RUNS} AND key IN {{keys:Array(String)}}
GROUP BY entity, project, run_id, key, kind
"""

_FIRST_SPELLINGS: Final = f"""
SELECT entity, project, run_id, folded, argMin(spelling, first) AS spelling FROM
(
    SELECT entity, project, run_id, folded, spelling, min(first_version) AS first
    FROM {{db}}.key_spellings WHERE {OF_RUNS} AND folded IN {{folded:Array(String)}}
    GROUP BY entity, project, run_id, folded, spelling
)
GROUP BY entity, project, run_id, folded
"""


@dataclass(frozen=True, slots=True)
class Activity:
    """How far a run is stored: sums and extremes over its flushes. Whatever a flush stores changes one of them."""

    step: int
    offset: int
    log_rows: int
    points: int
    first_ms: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class Document:
    """What is known of a run besides its values, as far as views need it."""

    created_ms: int
    definitions: Sequence[Definition]


def read_activity(store: Store, runs: Sequence[RunPath]) -> dict[RunPath, Activity]:
    """Return how far runs are stored; those without a flush are left out.

    Read before the runs' values, it never promises more than they hold. Raises: StoreError.
    """
    names = ("step", "offset", "log_rows", "points", "first_ms", "last_ms")
    return {run: Activity(*(row[name] for name in names)) for run, row in _by_run(store, _ACTIVITY, runs)}


def read_documents_and_series(
    store: Store, runs: Sequence[RunPath], keys: Iterable[str]
) -> tuple[dict[RunPath, Document], Found]:
    """Return the documents of those runs that have one, and what `find_in_runs` finds. Raises: StoreError."""
    asked = list(dict.fromkeys(keys))
    named = _named(runs)
    documents, series = store.queries([(_DOCUMENTS, named), (_SERIES, named | {"keys": asked})])
    return _documents(_rows(documents)), _completed(store, runs, asked, _series(runs, _rows(series)))


def progress_of(activity: Activity | None, document: Document | None) -> Progress:
    """Return the progress of a run that has one of both. Without its document, it began with its first row."""
    begins = [document.created_ms] if document else []
    if activity is None:
        return Progress(-1, -1, 0, begins[0])
    # Rows imported with their old times began before the run was made here.
    started = min([*begins, activity.first_ms])
    return Progress(activity.step if activity.log_rows else -1, activity.offset, activity.log_rows, started)


def find_in_runs(store: Store, runs: Sequence[RunPath], keys: Iterable[str]) -> Found:
    """Return what series of each run each key names, in any spelling of it, one for each kind. Raises: StoreError."""
    asked = list(dict.fromkeys(keys))
    return _completed(store, runs, asked, _by_key(store, runs, asked))


def _completed(store: Store, runs: Sequence[RunPath], asked: Sequence[str], found: Found) -> Found:
    """Look for keys that were not found under other spellings, and return what each of those asked for names."""
    missing = {run: [key for key in asked if key not in found[run]] for run in runs}
    shown = _first_spellings(store, [run for run in runs if missing[run]], missing)
    others = {name for names in shown.values() for name in names.values()}
    if others:
        more = _by_key(store, [run for run in runs if shown[run]], sorted(others))
        for run, series in more.items():
            found[run] = series | found[run]
    return {run: {key: found[run].get(shown[run].get(key, key), []) for key in asked} for run in runs}


def _by_key(store: Store, runs: Sequence[RunPath], keys: Sequence[str]) -> Found:
    return _series(runs, _by_run(store, _SERIES, runs, keys=keys) if keys else [])


def _series(runs: Sequence[RunPath], rows: Iterable[tuple[RunPath, dict[str, Any]]]) -> Found:
    found: Found = {run: {} for run in runs}
    for run, row in rows:
        if not is_kind(row["kind"]):
            continue
        info = SeriesInfo(
            row["key"], Kind(row["kind"]), row["first"], row["last"], row["rows"], bool(row["rewritten"]), row["stream"]
        )
        found[run].setdefault(info.key, []).append(info)
    for series in found.values():
        for infos in series.values():
            infos.sort(key=lambda info: info.kind)
    return found


def _documents(rows: Iterable[tuple[RunPath, dict[str, Any]]]) -> dict[RunPath, Document]:
    return {run: Document(row["created_ms"], read_definitions(row["metric_definitions"])) for run, row in rows}


def _first_spellings(
    store: Store, runs: Sequence[RunPath], missing: Mapping[RunPath, Sequence[str]]
) -> dict[RunPath, dict[str, str]]:
    """Return, of each run, how the missing keys were first spelt, as far as they were logged in another spelling."""
    shown: dict[RunPath, dict[str, str]] = {run: {} for run in missing}
    if not runs:
        return shown
    folded = {key: fold_key(key) for keys in missing.values() for key in keys}
    spellings: dict[RunPath, dict[str, str]] = {run: {} for run in missing}
    for run, row in _by_run(store, _FIRST_SPELLINGS, runs, folded=sorted(set(folded.values()))):
        spellings[run][row["folded"]] = row["spelling"]
    for run, keys in missing.items():
        shown[run] = {key: spellings[run][folded[key]] for key in keys if folded[key] in spellings[run]}
    return shown


def _by_run(store: Store, sql: str, runs: Sequence[RunPath], **more: Any) -> list[tuple[RunPath, dict[str, Any]]]:
    return _rows(store.query(sql, _named(runs) | more)) if runs else []


def _named(runs: Sequence[RunPath]) -> dict[str, Any]:
    return {"runs": [tuple(run) for run in runs]}


def _rows(table: pa.Table) -> list[tuple[RunPath, dict[str, Any]]]:
    return [(RunPath(row["entity"], row["project"], row["run_id"]), row) for row in table.to_pylist()]
