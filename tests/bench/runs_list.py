"""Lists of 10,000 and of 10^6 runs over HTTP, by processor time, compared with a plain SELECT of the same runs.

STEPWELL_BENCH_RUNS=100000 limits the larger project. Writing 10^6 runs takes some minutes.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from statistics import median
from typing import Any, Final, NamedTuple

import httpx
from rich.console import Console
from rich.table import Table

from bench.figure import Figure
from bench.series_view import served
from bench.turns import lower_quartiles, processor_seconds
from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.limits import MIB
from stepwell_schemas.logs import configure_logging
from stepwell_schemas.migrations.runner import migrate

_RUNS: Final = 10_000
_MANY_RUNS: Final = int(os.environ.get("STEPWELL_BENCH_RUNS", str(10**6)))
_RUNS_AN_INSERT: Final = 100_000
_REQUESTS: Final = 11
_ROUNDS: Final = 21
_CACHE_BYTES: Final = 64 * MIB

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
FROM numbers({first:UInt64}, {runs:UInt64})
"""

_SERIES: Final = """
INSERT INTO {db}.series (entity, project, run_id, key, kind, first_step, last_step, rewritten, first_version,
    value_min, value_max, last_number, last_text, last_offset, stream, totals)
SELECT
    'bench', {project:String}, lower(hex(sipHash64(intDiv(number, {metrics:UInt64})))),
    concat(['train', 'val', 'perf'][number % {metrics:UInt64} % 3 + 1], '/m', toString(number % {metrics:UInt64})),
    'number', 0, 1000, 0, number, 0, 1, (1000, number, rand(2) / 4294967296), (0, 0, ''), number, '',
    (1, 1000, 1001, 1001, 500, 0, 0, 0, 0)
FROM numbers({first:UInt64} * {metrics:UInt64}, {runs:UInt64} * {metrics:UInt64})
"""

_ACTIVITY: Final = """
INSERT INTO {db}.run_activity (entity, project, run_id, first_timestamp, last_timestamp, last_step, totals)
SELECT 'bench', {project:String}, lower(hex(sipHash64(number))), toDateTime64(1700000000 + number, 3),
    toDateTime64(1700003600 + number, 3), 1000, (1, 1001, 50050, 0, 0, 0, 0, 0, 0, 0, 0)
FROM numbers({first:UInt64}, {runs:UInt64})
"""

# The simplest statement that a user could write with knowledge of the tables.
_PLAIN: Final = {
    "page": "SELECT run_id, display_name, state, config, tags, created_at FROM {db}.run_documents FINAL"
    " WHERE entity = 'bench' AND project = {project:String} ORDER BY created_at DESC LIMIT 50",
    "config": "SELECT run_id FROM {db}.run_documents FINAL WHERE entity = 'bench' AND project = {project:String}"
    " AND JSONExtractFloat(config, 'lr') < 0.1 ORDER BY created_at DESC LIMIT 50",
    "summary": "SELECT run_id, max(last_number).3 AS v FROM {db}.series WHERE entity = 'bench'"
    " AND project = {project:String} AND key = 'val/m1' GROUP BY run_id HAVING v < 0.1 ORDER BY v LIMIT 50",
}

_COLUMNS: Final = ["config.lr", "summary.val/m1", "summary.val/m4"]
_MIXED: Final = 'config.lr > 0.1 and summary.val/m1 < 0.5 and (tags has "x" or state = "finished")'
_LISTS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "no filter, newest first": ("page", {}),
    "config.lr < 0.1": ("config", {"filter": "config.lr < 0.1"}),
    "the same, 3 columns": ("config", {"filter": "config.lr < 0.1", "columns": _COLUMNS}),
    "summary.val/m1 < 0.1, ordered by it": ("summary", {"filter": "summary.val/m1 < 0.1", "order": "summary.val/m1"}),
    "config, summary, tag and state": ("", {"filter": _MIXED, "order": "-config.lr"}),
}

# Those of the table of figures.
_PAGES: Final = {
    "unfiltered": "no filter, newest first",
    "by config": "config.lr < 0.1",
    "by summary": "summary.val/m1 < 0.1, ordered by it",
}


class Project(NamedTuple):
    """A project of the benchmark: the keys of the config, and the metrics, of each run."""

    name: str
    runs: int
    keys: int
    metrics: int


# The last two differ in the number of runs only.
_PROJECTS: Final = (
    Project("runs", _RUNS, 50, 50),
    Project("wide", _RUNS, 500, 50),
    Project("few", _RUNS, 2, 2),
    Project("many", _MANY_RUNS, 2, 2),
)


def fill(store: Store, project: Project) -> None:
    """Write the runs of a project."""
    for first in range(0, project.runs, _RUNS_AN_INSERT):
        parameters = {
            "project": project.name,
            "first": first,
            "runs": min(_RUNS_AN_INSERT, project.runs - first),
            "keys": project.keys,
            "metrics": project.metrics,
        }
        for sql in (_DOCUMENTS, _SERIES, _ACTIVITY):
            store.command(sql, {name: value for name, value in parameters.items() if f"{{{name}:" in sql})


def _timed(works: Sequence[Callable[[], Any]]) -> list[tuple[float, float]]:
    """Return the median milliseconds of processor time and of the clock of each, measured in turns."""
    times: list[list[tuple[float, float]]] = [[] for _ in works]
    for _ in range(_REQUESTS):
        for work, own in zip(works, times, strict=True):
            cpu, wall = time.process_time(), time.perf_counter()
            work()
            own.append(((time.process_time() - cpu) * 1_000, (time.perf_counter() - wall) * 1_000))
    return [(median(cpu for cpu, _ in own[1:]), median(wall for _, wall in own[1:])) for own in times]


def _figures(store: Store, addresses: Sequence[str], table: Table) -> None:
    clients = [httpx.Client(base_url=address, timeout=120) for address in addresses]
    for project in _PROJECTS:
        url = f"/api/v1/projects/bench/{project.name}/runs"
        for title, (anchor, query) in _LISTS.items():
            total = clients[0].get(url, params=query).raise_for_status().json()["total"]
            works = [partial(client.get, url, params=query) for client in clients]
            if anchor:
                works.append(partial(store.query, _PLAIN[anchor], {"project": project.name}))
            read, known, *plain = _timed(works)
            row = [f"{project.runs:,} × {project.keys}", title, f"{total:,}"]
            row += [f"{cpu:.0f} ({wall:.0f})" for cpu, wall in (read, known, *plain)]
            row += [f"{read[0] / plain[0][0]:.1f}, {known[0] / plain[0][0]:.1f}"] if plain else ["", ""]
            table.add_row(*row)


async def _bench(store: Store) -> Table:
    columns = ("runs × config keys", "requested", "found", "first", "again", "plain SELECT", "ratios")
    table = Table(*columns, title="A page of 50 runs over HTTP: ms of processor time (by the clock)")
    async with served(store) as address, served(store, _CACHE_BYTES) as caching:
        await asyncio.to_thread(_figures, store, [address, caching], table)
    return table


def _pages(store: Store, addresses: Sequence[str]) -> Iterator[Figure]:
    """Measure a page of the lists that have a plain statement, where its runs are not known, and where they are."""
    project = _PROJECTS[0].name
    clients = [httpx.Client(base_url=address, timeout=120) for address in addresses]
    costs = []
    for title in _PAGES.values():
        plain, query = _LISTS[title]
        works: list[Callable[[], Any]] = [
            partial(client.get, f"/api/v1/projects/bench/{project}/runs", params=query) for client in clients
        ]
        works.append(partial(store.query, _PLAIN[plain], {"project": project}))
        costs += [partial(processor_seconds, work) for work in works]
    taken = iter(cost * 1_000 for cost in lower_quartiles(costs, _ROUNDS))
    for name in _PAGES:
        first, known, plain_cost = (next(taken) for _ in range(3))
        for knowledge, cost in (("", first), (", runs known", known)):
            title = f"a page of 50 among 10,000 runs, {name}{knowledge}"
            yield Figure(title, "ms", cost, "plain SELECT", plain_cost, "processor")


async def _serve_pages(store: Store) -> list[Figure]:
    async with served(store) as address, served(store, _CACHE_BYTES) as caching:
        return await asyncio.to_thread(lambda: list(_pages(store, [address, caching])))


def stable_figures() -> Iterator[Figure]:
    """Measure pages of 10,000 runs of 50 config keys and 50 metrics each."""
    with tempfile.TemporaryDirectory() as folder, connect(f"chdb://{folder}/engine", "bench") as store:
        migrate(store)
        fill(store, _PROJECTS[0])
        yield from asyncio.run(_serve_pages(store))


figures = stable_figures


def main() -> None:
    """Print the results. Goals: at most twice the plain SELECT, and at most five times as much among 10^6 runs."""
    configure_logging("warning")
    with tempfile.TemporaryDirectory() as folder, connect(f"chdb://{folder}/engine", "bench") as store:
        migrate(store)
        for project in _PROJECTS:
            fill(store, project)
        Console(width=140).print(asyncio.run(_bench(store)))


if __name__ == "__main__":
    main()
