"""A fingerprint of what a project's lists are made of: it differs as soon as a page of them may differ.

| table | what the fingerprint has of each row | because |
|---|---|---|
| `run_documents` | run, version | an edit, a start and an end write a row with a new version |
| `run_activity` | run, last offset, end of its flush, time of its last rebuild | a flush writes it last |
| `run_values` | run, path, version, of the paths of a request | a view fills it a moment after the documents |

Hashes of rows are added up, so that the order of rows does not matter. A merge changes the fingerprint too, without a
change of the content; then a page is read once more than needed.
"""

# ruff: noqa: S608 - statements are put together from constants of this module; names and values are parameters.

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from stepwell_query.catalog.conditions import OF_PROJECT
from stepwell_query.runs.filters.ast import Ref, Source
from stepwell_query.runs.filters.summary_paths import metric_keys
from stepwell_schemas.clickhouse.store import Store

Fingerprint = tuple[tuple[str, int, int], ...]
"""The name of each part, the number of its rows, and the sum of their hashes."""

# A flush replaces no row of `run_activity` before a merge, and the end of its totals grows with each.
_RUNS: Final = f"""
SELECT 'documents' AS part, count() AS rows, sum(sipHash64(run_id, version)) AS hash
FROM {{db}}.run_documents WHERE {OF_PROJECT}
UNION ALL
SELECT 'activity', count(), sum(sipHash64(run_id, last_offset, totals.end, rebuilt_at))
FROM {{db}}.run_activity WHERE {OF_PROJECT}
"""

# The path '' is the document itself: rows of other paths count while they are of its version.
_VALUES: Final = f"""
UNION ALL
SELECT '{{source}}', count(), sum(sipHash64(path, run_id, version))
FROM {{db}}.run_values WHERE {OF_PROJECT} AND source = '{{source}}' AND path IN {{paths}}
"""


def read_fingerprint(store: Store, entity: str, project: str, refs: Iterable[Ref]) -> Fingerprint:
    """Return the fingerprint of lists that refer to some fields, and paths of config and summary.

    A list that is read after this call is of this state of the project, or of a later one. Raises: StoreError.
    """
    paths: dict[Source, list[str]] = {Source.CONFIG: [], Source.SUMMARY: []}
    for ref in dict.fromkeys(refs):
        if ref.source is Source.CONFIG:
            paths[Source.CONFIG].append(ref.name)
        elif ref.source is Source.SUMMARY:
            paths[Source.SUMMARY] += metric_keys(ref.name)
    sql, parameters = _RUNS, dict[str, Any](entity=entity, project=project)
    for source, names in paths.items():
        if names:
            sql += _VALUES.replace("{source}", source).replace("{paths}", f"{{{source}_paths:Array(String)}}")
            parameters[f"{source}_paths"] = ["", *names]
    rows = store.query(sql, parameters).to_pylist()
    return tuple(sorted((row["part"], row["rows"], row["hash"]) for row in rows))
