"""Reads the series that runs have: keys with kinds, their extents and spellings. One run is a list of one."""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from stepwell_query.catalog.conditions import OF_RUN, OF_RUNS, run_parameters, runs_parameters
from stepwell_query.catalog.models import Document, Selection, SeriesByKey, SeriesInfo
from stepwell_query.catalog.progress import DOCUMENTS_STATEMENT, read_progress, rows_by_run, to_documents
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.keys import fold_key
from stepwell_schemas.rules.kinds import Kind, is_kind
from stepwell_schemas.rules.streams import DEFAULT

_SERIES: Final = f"""
SELECT entity, project, run_id, key, kind, min(first_step) AS first, max(last_step) AS last,
    argMax(totals.points, totals.end) AS rows, max(rewritten) AS rewritten, min(stream) AS stream
FROM {{db}}.series PREWHERE {OF_RUNS} AND {{keys}}
GROUP BY entity, project, run_id, key, kind ORDER BY key, kind
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
SELECT key, kind, first_step, last_step, count, stream FROM {{db}}.metrics WHERE {OF_RUN} ORDER BY key, kind
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


def select_series(store: Store, run: RunPath, keys: Sequence[str], stream: str = DEFAULT) -> Selection:
    """Return the series with these keys, of any stream; without keys, all of `stream`. Raises: StoreError."""
    if keys:
        requested = list(dict.fromkeys(keys))
        found = find_series(store, [run], requested)[run]
        # Two spellings of a key name the same series.
        series = list(dict.fromkeys(info for key in requested for info in found[key]))
        return Selection(series, [key for key in requested if not found[key]], named=True, others=[])
    every = read_all_series(store, run)
    own = [info for info in every if info.stream == stream]
    others = list(dict.fromkeys(info.key for info in every if info.stream != stream))
    return Selection(own, [], named=False, others=others, stream=stream)


def read_all_series(store: Store, run: RunPath) -> list[SeriesInfo]:
    """Return every series of a run, by key and kind. Raises: StoreError."""
    by_key = _to_series([run], store.query(_ALL_SERIES, runs_parameters([run])))[run]
    return [info for infos in by_key.values() for info in infos]


def find_series(store: Store, runs: Sequence[RunPath], keys: Iterable[str]) -> SeriesByKey:
    """Return the series of each run with each key, in any spelling of it, one for each kind. Raises: StoreError."""
    requested = list(dict.fromkeys(keys))
    return _add_other_spellings(store, runs, requested, _read_series(store, runs, requested))


def read_documents_and_series(
    store: Store, runs: Sequence[RunPath], keys: Iterable[str]
) -> tuple[dict[RunPath, Document], SeriesByKey]:
    """Return the documents of those runs that have one, and what `find_series` returns. Raises: StoreError."""
    requested = list(dict.fromkeys(keys))
    parameters = runs_parameters(runs)
    documents, series = store.queries(
        [(DOCUMENTS_STATEMENT, parameters), (_SERIES_OF_KEYS, parameters | {"keys": requested})]
    )
    return to_documents(documents), _add_other_spellings(store, runs, requested, _to_series(runs, series))


def read_metrics(store: Store, run: RunPath) -> list[dict[str, Any]]:
    """Return every metric of a run with its exact count, and its key's spellings in the order of their appearance.

    Raises:
        RunNotFoundError: when there is no such run.
        StoreError: when ClickHouse does not answer.
    """
    read_progress(store, run)
    rows: list[dict[str, Any]] = store.query(_METRICS, run_parameters(run)).to_pylist()
    spelled = store.query(_SPELLINGS, run_parameters(run)).to_pylist()
    spellings = {row["key"]: row["spellings"] for row in spelled}
    return [row | {"spellings": spellings.get(row["key"], [row["key"]])} for row in rows]


def _add_other_spellings(store: Store, runs: Sequence[RunPath], keys: Sequence[str], found: SeriesByKey) -> SeriesByKey:
    """Look up the keys that were not found under their other spellings; return the series by requested key."""
    missing = {run: [key for key in keys if key not in found[run]] for run in runs}
    shown = _read_first_spellings(store, [run for run in runs if missing[run]], missing)
    others = {spelling for spellings in shown.values() for spelling in spellings.values()}
    if others:
        more = _read_series(store, [run for run in runs if shown[run]], sorted(others))
        for run, series in more.items():
            found[run] = series | found[run]
    return {run: {key: found[run].get(shown[run].get(key, key), []) for key in keys} for run in runs}


def _read_series(store: Store, runs: Sequence[RunPath], keys: Sequence[str]) -> SeriesByKey:
    if not runs or not keys:
        return {run: {} for run in runs}
    return _to_series(runs, store.query(_SERIES_OF_KEYS, runs_parameters(runs) | {"keys": keys}))


def _to_series(runs: Sequence[RunPath], table: pa.Table) -> SeriesByKey:
    found: SeriesByKey = {run: {} for run in runs}
    for run, row in rows_by_run(table):
        if not is_kind(row["kind"]):
            continue
        info = SeriesInfo(
            row["key"], Kind(row["kind"]), row["first"], row["last"], row["rows"], bool(row["rewritten"]), row["stream"]
        )
        found[run].setdefault(info.key, []).append(info)
    return found


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
