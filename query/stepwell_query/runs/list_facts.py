"""Facts about a project that the statement of a list of runs depends on: its metrics, config and summary."""

# ruff: noqa: S608 - statements are put together from constants of this module; names and values are parameters.

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from stepwell_query.catalog.conditions import OF_PROJECT
from stepwell_query.runs.filters.ast import Ref, Source
from stepwell_query.runs.filters.summary_paths import Facts, find_candidates, metric_keys
from stepwell_query.runs.filters.validation import without_value
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.keys import fold_key

_CONFIG_FACTS: Final = f"""
SELECT DISTINCT 'config' AS what, path AS name, 0 AS of_writers FROM {{db}}.run_values
WHERE {OF_PROJECT} AND source = 'config' AND path IN {{config_paths:Array(String)}}
"""

_SUMMARY_FACTS: Final = f"""
SELECT 'key' AS what, key AS name, max(writer) != '' AS of_writers FROM {{db}}.series
WHERE {OF_PROJECT} AND (lower(key) IN {{folded:Array(String)}} OR length(key) != lengthUTF8(key)) GROUP BY key
UNION ALL
SELECT DISTINCT 'by hand', path, 0 FROM {{db}}.run_values
WHERE {OF_PROJECT} AND source = 'summary' AND path IN {{paths:Array(String)}}
UNION ALL
SELECT DISTINCT 'definitions', metric_definitions, 0 FROM {{db}}.run_documents
WHERE {OF_PROJECT} AND metric_definitions NOT IN ('', '[]')
"""


def read_facts(store: Store, entity: str, project: str, refs: Iterable[Ref]) -> Facts:
    """Return the facts that a statement with these references depends on. Raises: StoreError."""
    paths: dict[Source, list[str]] = {Source.FIELD: [], Source.CONFIG: [], Source.SUMMARY: []}
    for ref in dict.fromkeys(refs):
        paths[ref.source].append(ref.name)
    facts = {Source.CONFIG: _CONFIG_FACTS, Source.SUMMARY: _SUMMARY_FACTS}
    parts = [sql for source, sql in facts.items() if paths[source]]
    if not parts:
        return Facts()
    keys = list(dict.fromkeys(key for path in paths[Source.SUMMARY] for key in metric_keys(path)))
    parameters = {"entity": entity, "project": project, "folded": [fold_key(key) for key in keys], "paths": keys}
    parameters["config_paths"] = paths[Source.CONFIG]
    found: dict[str, list[str]] = {"key": [], "by hand": [], "definitions": [], "config": []}
    rows = store.query("UNION ALL".join(parts), parameters).to_pylist()
    for row in rows:
        found[row["what"]].append(row["name"])
    of_writers = frozenset(row["name"] for row in rows if row["of_writers"])
    by_hand, config = frozenset(found["by hand"]), frozenset(found["config"])
    return Facts(tuple(found["key"]), tuple(found["definitions"]), by_hand, of_writers, config)


def find_unknown(refs: Iterable[Ref], facts: Facts) -> list[Ref]:
    """Return the references to a config or summary that no run of the project has, each once.

    Of `config.KEY.value` and `config.KEY`, one is enough, if both are among the references: see `without_value`.
    """
    given = dict.fromkeys(refs)
    known = {without_value(ref) for ref in given if _is_known(ref, facts)}
    return [ref for ref in given if without_value(ref) not in known]


def choose_known(ref: Ref, facts: Facts) -> Ref:
    """Return `config.KEY` for `config.KEY.value` if no run of the project has the latter; see `without_value`."""
    return ref if _is_known(ref, facts) else without_value(ref)


def _is_known(ref: Ref, facts: Facts) -> bool:
    match ref.source:
        case Source.CONFIG:
            return ref.name in facts.config
        case Source.SUMMARY:
            return ref.name in facts.by_hand or bool(find_candidates(ref.name, facts))
    return True
