"""Search by words among all columns that config and summary make in a project's runs."""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from stepwell_query.catalog.conditions import OF_PROJECT
from stepwell_query.runs.fields import search_fields
from stepwell_query.runs.filters.ast import Ref, Source
from stepwell_query.runs.filters.parser import format_ref
from stepwell_query.runs.filters.summary_paths import DICT, FIGURES, LAST, resolve_outcome
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.keys import fold_key
from stepwell_schemas.rules.kinds import Kind

Row = Mapping[str, Any]

# Rows of an older version of the document do not count.
_STORED: Final = f"""
SELECT source, path, kind, count() AS runs
FROM (SELECT source, path, run_id, kind, version FROM {{db}}.run_values FINAL WHERE {OF_PROJECT} AND path != '') AS v
INNER JOIN
(
    SELECT source, run_id, max(version) AS version FROM {{db}}.run_values WHERE {OF_PROJECT} AND path = ''
    GROUP BY source, run_id
) AS d USING (source, run_id, version)
WHERE kind != 'inner' GROUP BY source, path, kind
"""

_DEFINED: Final = f"""
SELECT run_id, metric_definitions FROM {{db}}.run_documents FINAL
WHERE {OF_PROJECT} AND metric_definitions NOT IN ('', '[]')
"""

_METRICS: Final = f"""
SELECT key, kind, metric_definitions, uniqExact(run_id) AS runs
FROM (SELECT key, kind, run_id FROM {{db}}.series WHERE {OF_PROJECT} AND stream = '') AS s
LEFT JOIN ({_DEFINED}) AS d USING (run_id)
GROUP BY key, kind, metric_definitions
"""


@dataclass(slots=True)
class Column:
    """A column of config or summary, with the kinds of its values and the number of runs that have it.

    For a path that some runs logged and others set by hand, `runs` is the larger of both numbers.
    """

    ref: Ref
    kinds: set[str] = field(default_factory=set)
    runs: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the column as JSON."""
        ref = self.ref
        return {
            "name": format_ref(ref),
            "source": str(ref.source),
            "key": ref.name,
            "kinds": sorted(self.kinds),
            "runs": self.runs,
        }


def search_columns(store: Store, entity: str, project: str, search: str, limit: int) -> dict[str, Any]:
    """Return the columns and fields whose names hold every word of `search` in any case; columns of most runs first.

    Raises:
        StoreError: when ClickHouse does not answer.
    """
    scope = {"entity": entity, "project": project}
    stored = _stored_columns(store.query(_STORED, scope).to_pylist())
    metrics = _metric_columns(store.query(_METRICS, scope).to_pylist())
    words = search.lower().split()
    found = [
        column for column in _merge_columns(stored, metrics) if all(word in str(column.ref).lower() for word in words)
    ]
    found.sort(key=lambda column: (-column.runs, column.ref.source, column.ref.name))
    return {
        "columns": [column.as_json() for column in found[:limit]],
        "total": len(found),
        "fields": search_fields(words),
    }


def _stored_columns(rows: Iterable[Row]) -> list[Column]:
    columns: dict[Ref, Column] = {}
    for row in rows:
        ref = Ref(Source(row["source"]), row["path"])
        column = columns.setdefault(ref, Column(ref))
        column.kinds.add(row["kind"])
        column.runs += row["runs"]
    return list(columns.values())


def _metric_columns(rows: Iterable[Row]) -> list[Column]:
    """Return the columns of metrics: their last values, or the figures that `define_metric` requests."""
    columns: dict[str, Column] = {}

    def add(path: str, kind: str, runs: int) -> None:
        column = columns.setdefault(fold_key(path), Column(Ref(Source.SUMMARY, path)))
        column.kinds.add(kind)
        column.runs += runs

    # The spelling that most runs use names the column.
    for row in sorted(rows, key=lambda row: -row["runs"]):
        key, kind, runs, definitions = row["key"], row["kind"], row["runs"], row["metric_definitions"]
        how = resolve_outcome(key, "", definitions)
        if how == LAST or (how == DICT and kind != Kind.NUMBER):
            add(key, kind, runs)
        elif how == DICT:
            for figure in FIGURES:
                if resolve_outcome(key, figure, definitions) != "none":
                    add(f"{key}.{figure}", kind, runs)
    return list(columns.values())


def _merge_columns(stored: list[Column], metrics: list[Column]) -> list[Column]:
    by_hand = {fold_key(column.ref.name): column for column in stored if column.ref.source is Source.SUMMARY}
    for column in metrics:
        other = by_hand.get(fold_key(column.ref.name))
        if other is None:
            stored.append(column)
        else:
            other.kinds |= column.kinds
            other.runs = max(other.runs, column.runs)
    return stored
