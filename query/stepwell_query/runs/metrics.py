"""Metrics that several runs of a project have logged, for the page to offer."""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from stepwell_query.catalog.conditions import OF_RUN_IDS
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.keys import fold_key

_METRICS: Final = f"""
SELECT key, kind, min(first_step) AS first_step, max(last_step) AS last_step, uniqExact(run_id) AS runs,
    min(stream) AS stream, uniqExactIf(writer, writer != '') AS writers
FROM {{db}}.series
WHERE {OF_RUN_IDS}
GROUP BY key, kind ORDER BY key, kind
"""


def read_run_metrics(store: Store, entity: str, project: str, run_ids: Sequence[str]) -> dict[str, list[Any]]:
    """Return the metrics of runs in columns, by key and kind; `runs` is the number of runs that have each,
    `writers` the number of named writers that logged it.

    `folded` is the key as all its spellings share it: rows with the same folded key are one metric.

    Raises:
        StoreError: when ClickHouse does not answer.
    """
    parameters = {"entity": entity, "project": project, "run_ids": list(run_ids)}
    columns: dict[str, list[Any]] = store.query(_METRICS, parameters).to_pydict()
    return {**columns, "folded": [fold_key(key) for key in columns["key"]]}
