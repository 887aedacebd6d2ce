"""The filtered list of 10,000 runs over HTTP, compared with a plain SELECT of the filtered columns."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from statistics import median
from typing import Any, Final

import httpx
from rich.console import Console
from rich.table import Table

from bench.series_view import served
from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.logs import configure_logging
from stepwell_schemas.migrations.runner import migrate

_RUNS: Final = 10_000
_KEYS: Final = 50
_METRICS: Final = 50
_WIDE_KEYS: Final = 500
_REQUESTS: Final = 21

_DOCUMENTS: Final = """
INSERT INTO {db}.run_documents (entity, project, run_id, display_name, state, config, summary, tags, created_at,
    started_at, metric_definitions, version)
SELECT
    'bench', {project:String}, lower(hex(sipHash64(number))), concat('run ', toString(number)),
    ['running', 'finished', 'failed'][number % 3 + 1],
    concat('{"lr": ', toString(rand(1) / 4294967296), ', "opt": {"name": "', ['adam', 'sgd'][number % 2 + 1], '"}',
        arrayStringConcat(arrayMap(k -> concat(', "group', toString(k % 5), '/k', toString(k), '": ',
            toString((number * 7 + k) % 1000)), range({keys:UInt64}))), '}'),
    '{}', if(number % 10 = 0, ['x'], []), toDateTime64(1700000000 + number, 3), toDateTime64(1700000000 + number, 3),
    '[]', number
FROM numbers({runs:UInt64})
"""

_SERIES: Final = """
INSERT INTO {db}.series (entity, project, run_id, key, kind, first_step, last_step, rewritten, first_version,
    value_min, value_max, last_number, last_text, last_offset, stream, totals)
SELECT
    'bench', {project:String}, lower(hex(sipHash64(intDiv(number, {metrics:UInt64})))),
    concat(['train', 'val', 'perf'][number % {metrics:UInt64} % 3 + 1], '/m', toString(number % {metrics:UInt64})),
    'number', 0, 1000, 0, number, 0, 1, (1000, number, rand(2) / 4294967296), (0, 0, ''), number, '',
    (1, 1000, 1001, 1001, 500, 0, 0, 0, 0)
FROM numbers({runs:UInt64} * {metrics:UInt64})
"""

_ACTIVITY: Final = """
INSERT INTO {db}.run_activity (entity, project, run_id, first_timestamp, last_timestamp, last_step, totals)
SELECT 'bench', {project:String}, lower(hex(sipHash64(number))), toDateTime64(1700000000 + number, 3),
    toDateTime64(1700003600 + number, 3), 1000, (1, 1001, 50050, 0, 0, 0, 0, 0, 0, 0, 0)
FROM numbers({runs:UInt64})
"""

# The simplest statement that a user could write with knowledge of the tables.
_PLAIN: Final = {
    "config": "SELECT run_id FROM {db}.run_documents FINAL WHERE entity = 'bench' AND project = {project:String}"
    " AND JSONExtractFloat(config, 'lr') < 0.1 ORDER BY created_at DESC LIMIT 50",
    "summary": "SELECT run_id, max(last_number).3 AS v FROM {db}.series WHERE entity = 'bench'"
    " AND project = {project:String} AND key = 'val/m1' GROUP BY run_id HAVING v < 0.1 ORDER BY v LIMIT 50",
}

_COLUMNS: Final = ["config.lr", "summary.val/m1", "summary.val/m4"]
_MIXED: Final = 'config.lr > 0.1 and summary.val/m1 < 0.5 and (tags has "x" or state = "finished")'
_ASKED: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "no filter, newest first": ("", {}),
    "config.lr < 0.1": ("config", {"filter": "config.lr < 0.1"}),
    "the same, 3 columns": ("config", {"filter": "config.lr < 0.1", "columns": _COLUMNS}),
    "summary.val/m1 < 0.1, ordered by it": ("summary", {"filter": "summary.val/m1 < 0.1", "order": "summary.val/m1"}),
    "config, summary, tag and state": ("", {"filter": _MIXED, "order": "-config.lr"}),
}


def fill(store: Store, project: str, keys: int) -> None:
    """Write a project of 10,000 runs with a number of config keys, and 50 metrics each."""
    asked = {"project": project, "runs": _RUNS, "keys": keys, "metrics": _METRICS}
    for sql in (_DOCUMENTS, _SERIES, _ACTIVITY):
        used = {name: value for name, value in asked.items() if f"{{{name}:" in sql}
        store.command(sql, used)


def _timed(work: Callable[[], Any]) -> float:
    """Return the median milliseconds of a call."""
    times = []
    for _ in range(_REQUESTS):
        started = time.perf_counter()
        work()
        times.append((time.perf_counter() - started) * 1_000)
    return median(times)


def _figures(store: Store, address: str, table: Table) -> None:
    plain: dict[tuple[str, str], float] = {}
    with httpx.Client(base_url=address, timeout=60) as client:
        for project in ("runs", "wide"):
            for name, sql in _PLAIN.items():
                plain[project, name] = _timed(lambda sql=sql, project=project: store.query(sql, {"project": project}))  # type: ignore[misc]
            for title, (beside, query) in _ASKED.items():
                url = f"/api/v1/projects/bench/{project}/runs"
                total = client.get(url, params=query).raise_for_status().json()["total"]
                p50 = _timed(lambda url=url, query=query: client.get(url, params=query).raise_for_status())  # type: ignore[misc]
                other = plain.get((project, beside))
                shown = ("", "") if other is None else (f"{other:.1f}", f"{p50 / other:.2f}")
                keys = _KEYS if project == "runs" else _WIDE_KEYS
                table.add_row(f"{keys}", title, f"{total:,}", f"{p50:.1f}", *shown)


async def _bench(store: Store) -> Table:
    title = f"A page of 50 among {_RUNS:,} runs over HTTP ({_METRICS} metrics each)"
    table = Table("config keys", "asked", "runs found", "p50 ms", "plain SELECT ms", "ratio", title=title)
    async with served(store) as address:
        await asyncio.to_thread(_figures, store, address, table)
    return table


def main() -> None:
    """Print the results. Goal: at most 50 ms for a filtered page."""
    configure_logging("warning")
    with tempfile.TemporaryDirectory() as folder, connect(f"chdb://{folder}/engine", "bench") as store:
        migrate(store)
        fill(store, "runs", _KEYS)
        fill(store, "wide", _WIDE_KEYS)
        Console().print(asyncio.run(_bench(store)))


if __name__ == "__main__":
    main()
