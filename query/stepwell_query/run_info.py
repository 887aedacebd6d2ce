"""What the service says of a run, made of its stored document, its activity and its series."""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from stepwell_query.catalog import OF_RUN, run_parameters
from stepwell_query.encode import NotFinite, exact_integer, json_text
from stepwell_query.errors import RunNotFoundError
from stepwell_query.summary import SeriesStats, json_object, summarize
from stepwell_schemas.clickhouse import Store
from stepwell_schemas.definitions import Definition, definition_of
from stepwell_schemas.identifiers import RunPath
from stepwell_schemas.kinds import Kind

Row = Mapping[str, Any]

_OF_RUNS: Final = "entity = {entity:String} AND project = {project:String} AND run_id IN {run_ids:Array(String)}"

_DOCUMENTS: Final = """
SELECT
    d.entity AS entity, d.project AS project, d.run_id AS run_id,
    if(d.display_name = '', d.run_id, d.display_name) AS name,
    d.state AS state, d.exit_code AS exit_code, d.config AS config, d.summary AS summary, d.tags AS tags,
    d.notes AS notes, d.run_group AS run_group, d.job_type AS job_type,
    d.metric_definitions AS metric_definitions, d.client AS client, d.host AS host,
    toUnixTimestamp64Milli(d.created_at) AS created_at,
    toUnixTimestamp64Milli(d.started_at) AS started_at,
    toUnixTimestamp64Milli(d.finished_at) AS finished_at,
    greatest(toUnixTimestamp64Milli(d.started_at), a.last_timestamp) AS heartbeat_at,
    a.last_step AS last_step, a.log_rows AS log_rows, a.points AS points, a.conflicts AS step_conflicts,
    if(a.flushes = 0, -1, a.last_offset) AS last_offset
FROM (SELECT * FROM {db}.run_documents FINAL WHERE {condition}) AS d
LEFT JOIN
(
    SELECT
        run_id, max(last_step) AS last_step, sum(log_rows) AS log_rows, sum(points) AS points, count() AS flushes,
        sum(conflicts) AS conflicts, max(last_offset) AS last_offset,
        toUnixTimestamp64Milli(max(last_timestamp)) AS last_timestamp
    FROM {db}.run_activity WHERE {condition} GROUP BY run_id
) AS a USING (run_id)
"""

_DOCUMENTS_OF_RUNS: Final = _DOCUMENTS.replace("{condition}", _OF_RUNS)

_DOCUMENT_OF_RUN: Final = _DOCUMENTS.replace("{condition}", OF_RUN)

_STATS: Final = f"""
SELECT
    run_id, key, kind,
    max(last_number) AS number, max(last_text) AS text,
    number.1 AS number_step, number.2 AS number_version, number.3 AS number_value,
    text.1 AS text_step, text.2 AS text_version, text.3 AS text_value,
    {{figures}}
FROM {{db}}.series WHERE {_OF_RUNS}
GROUP BY run_id, key, kind HAVING min(stream) = '' ORDER BY run_id, key, kind
"""

_FIGURES: Final = """
    sum(value_sum) / sum(not_nan) AS mean,
    if(sum(not_nan) = 0, nan, min(value_min)) AS low, if(sum(not_nan) = 0, nan, max(value_max)) AS high,
    max(rewritten) AS rewritten
"""

# Where nothing was defined, summaries are last values alone.
_NO_FIGURES: Final = "nan AS mean, nan AS low, nan AS high, 0 AS rewritten"

_FROM_ROWS: Final = f"""
SELECT
    key, argMin(value, step) AS first, min(value) AS low, max(value) AS high, avgIf(value, NOT isNaN(value)) AS mean
FROM {{db}}.points_number FINAL WHERE {OF_RUN} AND key IN {{keys:Array(String)}}
GROUP BY key
"""


def read_run(store: Store, run: RunPath, odd: NotFinite = NotFinite.TEXT) -> dict[str, Any]:
    """Return the RunInfo of one run.

    Raises:
        RunNotFoundError: when there is no such run.
        StoreError: when ClickHouse does not answer.
    """
    rows = store.query(_DOCUMENT_OF_RUN, run_parameters(run)).to_pylist()
    if not rows:
        raise RunNotFoundError(run)
    return run_infos(store, rows, odd)[0]


def read_documents(store: Store, entity: str, project: str, run_ids: Sequence[str]) -> list[Row]:
    """Return the documents of a project's runs with their activity, in the order of the ids. Raises: StoreError."""
    if not run_ids:
        return []
    among = {"entity": entity, "project": project, "run_ids": list(run_ids)}
    found = {row["run_id"]: row for row in store.query(_DOCUMENTS_OF_RUNS, among).to_pylist()}
    return [found[run_id] for run_id in run_ids if run_id in found]


def run_infos(
    store: Store,
    documents: Sequence[Row],
    odd: NotFinite = NotFinite.TEXT,
    keys: Collection[str] | None = None,
) -> list[dict[str, Any]]:
    """Return the RunInfos of runs of one project, of their documents.

    Args:
        keys: the metrics whose summary is wanted, as they are stored; None: all.

    Raises:
        StoreError: when ClickHouse does not answer.
    """
    stats = _read_stats(store, documents, keys) if documents and keys != [] else {}
    return [_run_info(store, document, stats.get(document["run_id"], []), odd) for document in documents]


def _read_stats(store: Store, documents: Sequence[Row], keys: Collection[str] | None) -> dict[str, list[Row]]:
    parameters = {
        "entity": documents[0]["entity"],
        "project": documents[0]["project"],
        "run_ids": [row["run_id"] for row in documents],
    }
    defined = any(row["metric_definitions"] not in {"", "[]"} for row in documents)
    sql = _STATS.replace("{figures}", _FIGURES if defined else _NO_FIGURES)
    if keys is not None:
        sql = sql.replace("GROUP BY", "AND key IN {keys:Array(String)} GROUP BY")
        parameters["keys"] = list(keys)
    stats: dict[str, list[Row]] = {}
    for row in store.query(sql, parameters).to_pylist():
        stats.setdefault(row["run_id"], []).append(row)
    return stats


def _run_info(store: Store, row: Row, stats: list[Row], odd: NotFinite) -> dict[str, Any]:
    run = RunPath(row["entity"], row["project"], row["run_id"])
    stored = _list(row["metric_definitions"])
    definitions = [Definition.read(one) for one in stored]
    logged = row["log_rows"] > 0
    return {
        **run._asdict(),
        "path": str(run),
        "name": row["name"],
        "state": row["state"],
        "exit_code": row["exit_code"],
        "config": json_text(row["config"] or "{}"),
        "summary": summarize(_stats(store, run, stats, definitions), definitions, json_object(row["summary"]), odd),
        "tags": row["tags"],
        "notes": row["notes"],
        "group": row["run_group"],
        "job_type": row["job_type"],
        "client": row["client"],
        "host": row["host"],
        "created_at": iso_time(row["created_at"]),
        "started_at": iso_time(row["started_at"]),
        "finished_at": iso_time(row["finished_at"]),
        "heartbeat_at": iso_time(row["heartbeat_at"]),
        "last_step": row["last_step"] if logged else -1,
        "points": row["points"],
        "log_rows": row["log_rows"],
        "step_conflicts": row["step_conflicts"],
        "metric_definitions": stored,
        "complete_to": {"step": row["last_step"] if logged else -1, "offset": row["last_offset"]},
    }


def _stats(store: Store, run: RunPath, rows: list[Row], definitions: list[Definition]) -> Iterable[SeriesStats]:
    """Return the stats of a run's series; those that flushes can't add up are taken from the rows."""
    recounted = [
        row["key"]
        for row in rows
        if row["kind"] == Kind.NUMBER and _needs_rows(row, definition_of(row["key"], definitions))
    ]
    exact: dict[str, Row] = {}
    if recounted:
        found = store.query(_FROM_ROWS, {**run_parameters(run), "keys": recounted}).to_pylist()
        exact = {row["key"]: row for row in found}
    return [_series_stats(row, exact.get(row["key"])) for row in rows]


def _needs_rows(row: Row, definition: Definition) -> bool:
    rules = set(definition.summary)
    return "first" in rules or bool(row["rewritten"] and rules & {"min", "max", "mean", "best"})


def _series_stats(row: Row, exact: Row | None) -> SeriesStats:
    kind = Kind(row["kind"])
    number_at = row["number_step"], row["number_version"]
    text_at = row["text_step"], row["text_version"]
    if kind is not Kind.NUMBER:
        return SeriesStats(row["key"], kind, max(number_at, text_at), _last(kind, row))
    values = exact or row
    # Beside a number, the text is the exact one of an integer; it counts when it is of the same value.
    integer = row["text_value"] if text_at == number_at else ""
    return SeriesStats(
        key=row["key"],
        kind=kind,
        at=number_at,
        last=exact_integer(integer) if integer else row["number_value"],
        low=values["low"],
        high=values["high"],
        mean=values["mean"],
        first=None if exact is None else exact["first"],
    )


def _last(kind: Kind, row: Row) -> Any:
    match kind:
        case Kind.STRING:
            return row["text_value"]
        case Kind.BOOL:
            return row["text_value"] == "true" or bool(row["number_value"])
    return json_text(row["text_value"])


def iso_time(milliseconds: int | None) -> str | None:
    """Return a time as RFC 3339 text in UTC with milliseconds."""
    if milliseconds is None:
        return None
    text = datetime.fromtimestamp(milliseconds / 1_000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _list(text: str) -> list[Row]:
    value = orjson.loads(text or "[]")
    return value if isinstance(value, list) else []
