"""Reads the series that runs have: keys with kinds, their extents and spellings. One run is a list of one."""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from stepwell_query.catalog.conditions import OF_RUN, OF_RUNS, run_parameters, runs_parameters
from stepwell_query.catalog.models import Document, Selection, SeriesByKey, SeriesInfo
from stepwell_query.catalog.progress import DOCUMENTS_STATEMENT, read_progress, rows_by_run, to_documents
from stepwell_query.catalog.retained import add_boundaries
from stepwell_query.catalog.writers import EVERY, PRIMARY, WriterSelection
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.keys import fold_key
from stepwell_schemas.rules.kinds import Kind, is_kind
from stepwell_schemas.rules.streams import DEFAULT

Row = Mapping[str, Any]

# No projection serves these conditions, and to look for one takes an eighth of the statement's time.
_SERIES: Final = f"""
SELECT entity, project, run_id, key, kind, writer, min(first_step) AS first, max(last_step) AS last,
    argMax(totals.points, totals.end) AS rows, max(rewritten) AS rewritten, min(stream) AS stream,
    min(first_version) AS first_version
FROM {{db}}.series PREWHERE {OF_RUNS} AND {{keys}}
GROUP BY entity, project, run_id, key, kind, writer ORDER BY key, kind
SETTINGS optimize_use_projections = 0
"""
_ALL_SERIES: Final = _SERIES.replace("{keys}", "1")
_SERIES_OF_KEYS: Final = _SERIES.replace("{keys}", "key IN {keys:Array(String)}")

_FIRST_SPELLINGS: Final = f"""
SELECT entity, project, run_id, folded, argMin(spelling, first) AS spelling FROM
(
    SELECT entity, project, run_id, folded, spelling, min(first_version) AS first
    FROM {{db}}.key_spellings WHERE {OF_RUNS} AND folded IN {{folded:Array(String)}}
    GROUP BY entity, project, run_id, folded, spelling
)
GROUP BY entity, project, run_id, folded
"""

_METRICS: Final = f"""
SELECT key, kind, first_step, last_step, count, stream, writer FROM {{db}}.metrics WHERE {OF_RUN}
ORDER BY key, kind, writer
"""

_SPELLINGS: Final = f"""
SELECT
    argMin(spelling, first) AS key,
    arraySort((spelling, first) -> first, groupArray(spelling), groupArray(first)) AS spellings
FROM
(
    SELECT folded, spelling, min(first_version) AS first
    FROM {{db}}.key_spellings WHERE {OF_RUN} GROUP BY folded, spelling
)
GROUP BY folded HAVING count() > 1
"""


def select_series(
    store: Store, run: RunPath, keys: Sequence[str], stream: str = DEFAULT, writers: WriterSelection = PRIMARY
) -> Selection:
    """Return the series with these keys, of any stream; without keys, all of `stream`. Raises: StoreError."""
    if keys:
        requested = list(dict.fromkeys(keys))
        found = add_boundaries(store, find_series(store, [run], requested, writers))[run]
        # Two spellings of a key name the same series.
        series = list(dict.fromkeys(info for key in requested for info in found[key]))
        return Selection(series, [key for key in requested if not found[key]], named=True, others=[], of=writers)
    every = _read_all_series(store, run, writers)
    own = [info for info in every if info.stream == stream]
    others = list(dict.fromkeys(info.key for info in every if info.stream != stream))
    return Selection(own, [], named=False, others=others, stream=stream, of=writers)


def find_series(
    store: Store, runs: Sequence[RunPath], keys: Iterable[str], writers: WriterSelection = PRIMARY
) -> SeriesByKey:
    """Return the series of each run with each key, in any spelling of it, by kind and writer. Raises: StoreError."""
    requested = list(dict.fromkeys(keys))
    return _add_other_spellings(store, runs, requested, _read_series(store, runs, requested, writers), writers)


def read_documents_and_series(
    store: Store, runs: Sequence[RunPath], keys: Iterable[str], writers: WriterSelection = PRIMARY
) -> tuple[dict[RunPath, Document], SeriesByKey]:
    """Return the documents of those runs that have one, and what `find_series` returns. Raises: StoreError."""
    requested = list(dict.fromkeys(keys))
    parameters = runs_parameters(runs)
    documents, series = store.queries(
        [(DOCUMENTS_STATEMENT, parameters), (_SERIES_OF_KEYS, parameters | {"keys": requested})]
    )
    found = _to_series(runs, series, writers)
    return to_documents(documents), _add_other_spellings(store, runs, requested, found, writers)


def read_metrics(store: Store, run: RunPath, writers: WriterSelection = EVERY) -> list[dict[str, Any]]:
    """Return every metric of a run with its exact count, and its key's spellings in the order of their appearance.

    A metric has a row for each writer; without names in `writers`, for all writers.

    Raises:
        RunNotFoundError: when there is no such run.
        StoreError: when ClickHouse does not answer.
    """
    read_progress(store, run)
    rows: list[dict[str, Any]] = store.query(_METRICS, run_parameters(run)).to_pylist()
    spelled = store.query(_SPELLINGS, run_parameters(run)).to_pylist()
    spellings = {row["key"]: row["spellings"] for row in spelled}
    selected = [row for row in rows if not writers.names or row["writer"] in writers.names]
    return [row | {"spellings": spellings.get(row["key"], [row["key"]])} for row in selected]


def _add_other_spellings(
    store: Store, runs: Sequence[RunPath], keys: Sequence[str], found: SeriesByKey, writers: WriterSelection
) -> SeriesByKey:
    """Look up the keys that were not found under their other spellings; return the series by requested key."""
    missing = {run: [key for key in keys if key not in found[run]] for run in runs}
    shown = _read_first_spellings(store, [run for run in runs if missing[run]], missing)
    others = {spelling for spellings in shown.values() for spelling in spellings.values()}
    if others:
        more = _read_series(store, [run for run in runs if shown[run]], sorted(others), writers)
        for run, series in more.items():
            found[run] = series | found[run]
    return {run: {key: found[run].get(shown[run].get(key, key), []) for key in keys} for run in runs}


def _read_series(store: Store, runs: Sequence[RunPath], keys: Sequence[str], writers: WriterSelection) -> SeriesByKey:
    if not runs or not keys:
        return {run: {} for run in runs}
    return _to_series(runs, store.query(_SERIES_OF_KEYS, runs_parameters(runs) | {"keys": keys}), writers)


def _read_all_series(store: Store, run: RunPath, writers: WriterSelection) -> list[SeriesInfo]:
    by_key = _to_series([run], store.query(_ALL_SERIES, runs_parameters([run])), writers)[run]
    return [info for infos in add_boundaries(store, {run: by_key})[run].values() for info in infos]


def _to_series(runs: Sequence[RunPath], table: pa.Table, writers: WriterSelection) -> SeriesByKey:
    """Return the series of the selected writers; a key without any is left out."""
    found: dict[RunPath, dict[str, list[Row]]] = {run: {} for run in runs}
    for run, row in rows_by_run(table):
        if is_kind(row["kind"]):
            found[run].setdefault(row["key"], []).append(row)
    return {
        run: {key: infos for key, rows in by_key.items() if (infos := _choose(rows, writers))}
        for run, by_key in found.items()
    }


def _choose(rows: Sequence[Row], writers: WriterSelection) -> list[SeriesInfo]:
    """Return the series of the selected writers of one key, by kind and writer."""
    if len(rows) == 1 and writers.is_primary:
        return [_to_info(rows[0], 1)]
    first_versions: dict[str, int] = {}
    for row in rows:
        name, version = row["writer"], row["first_version"]
        first_versions[name] = min(first_versions.get(name, version), version)
    place = {name: index for index, name in enumerate(writers.choose(first_versions))}
    chosen = [row for row in rows if row["writer"] in place]
    chosen.sort(key=lambda row: (row["kind"], place[row["writer"]]))
    return [_to_info(row, len(first_versions)) for row in chosen]


def _to_info(row: Row, writers: int) -> SeriesInfo:
    return SeriesInfo(
        row["key"], Kind(row["kind"]), row["first"], row["last"], row["rows"], bool(row["rewritten"]), row["stream"],
        row["writer"], writers,
    )  # fmt: skip


def _read_first_spellings(
    store: Store, runs: Sequence[RunPath], missing: Mapping[RunPath, Sequence[str]]
) -> dict[RunPath, dict[str, str]]:
    """Return, for each run, the first spelling of those missing keys that were logged in another spelling."""
    if not runs:
        return {run: {} for run in missing}
    folded = {key: fold_key(key) for keys in missing.values() for key in keys}
    spellings: dict[RunPath, dict[str, str]] = {run: {} for run in missing}
    parameters = runs_parameters(runs) | {"folded": sorted(set(folded.values()))}
    for run, row in rows_by_run(store.query(_FIRST_SPELLINGS, parameters)):
        spellings[run][row["folded"]] = row["spelling"]
    return {
        run: {key: spellings[run][folded[key]] for key in keys if folded[key] in spellings[run]}
        for run, keys in missing.items()
    }
