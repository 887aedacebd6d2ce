"""Processor time of a 1,000-point view, next to one plain read of the same rollup rows, and to `SELECT 1`.

Service, engine and client are one process, so all of their work is counted. The views of all steps are answered by a
service that keeps no rows, the zooms by one that keeps what it has read. STEPWELL_BENCH_STEPS=1000000 or 10000000
limits the length, which is 10^8 otherwise.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from functools import partial
from itertools import count
from typing import Any, Final

import httpx
import numpy as np
from rich.console import Console

from bench.figure import Figure, make_table
from bench.series_view import served
from bench.turns import Cost, lower_quartiles, processor_seconds
from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.limits import MIB
from stepwell_schemas.logs import configure_logging
from stepwell_schemas.migrations.runner import migrate
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.scale import Scale

_STEPS: Final = 10**6
_LONGEST: Final = int(os.environ.get("STEPWELL_BENCH_STEPS", str(10**8)))
_CACHE_BYTES: Final = 64 * MIB
_ROUNDS: Final = 25
_ZOOMS: Final = 10
_MILLISECONDS: Final = 1_000
_LEAST: Final = "SELECT 1"
_READ: Final = (
    "SELECT bucket, last_step, last_value, min_value, max_value, total, count FROM {db}.rollups WHERE"
    " entity = {entity:String} AND project = {project:String} AND run_id = {run_id:String} AND key = 'loss'"
    " AND writer = '' AND level = {level:UInt8}"
)
# The level that a view of 1,000 points reads.
_LEVELS: Final = {10**6: 7, 10**7: 12, 10**8: 12}


class Views:
    """Requests for views of a run, and the statements that they are compared with."""

    def __init__(self, store: Store, client: httpx.Client, run: RunPath, steps: int) -> None:
        self._store = store
        self._client = client
        self._run = run
        self._steps = steps
        self._rounds = count()

    def whole(self) -> float:
        """Request the view of all steps."""
        return processor_seconds(self._get)

    def zooms(self) -> float:
        """Request some zooms that no request before had; return the mean of their processor times."""
        random = np.random.default_rng(next(self._rounds))
        lows = random.integers(self._steps // 2, size=_ZOOMS).tolist()
        ranges: list[dict[str, Any]] = [{"from": low, "to": low + self._steps // 3} for low in lows]
        return sum(processor_seconds(partial(self._get, **zoom)) for zoom in ranges) / _ZOOMS

    def read(self) -> float:
        """Read the rows of the rollup level that the view of all steps is made from."""
        parameters = self._run._asdict() | {"level": _LEVELS[self._steps]}
        return processor_seconds(partial(self._store.query, _READ, parameters))

    def select_one(self) -> float:
        """Run the least statement."""
        return processor_seconds(partial(self._store.query, "SELECT 1"))

    def _get(self, **query: Any) -> None:
        asked: dict[str, Any] = {"key": "loss", "points": 1_000} | query
        self._client.get(f"/api/v1/runs/{self._run}/series", params=asked).raise_for_status()


def _measure(store: Store, addresses: list[str], lengths: list[int]) -> list[Figure]:
    scale = Scale(store)
    runs = {steps: scale.run(f"steps-{steps}", ["loss"], steps) for steps in lengths}
    scale.settle()
    plain, caching = (httpx.Client(base_url=address, timeout=60) for address in addresses)
    costs: list[Cost] = []
    for steps, run in runs.items():
        views = Views(store, plain, run, steps)
        zooming = Views(store, caching, run, steps)
        costs += [views.whole, zooming.zooms, views.read, views.select_one]
    taken = iter(cost * _MILLISECONDS for cost in lower_quartiles(costs, _ROUNDS))
    found: list[Figure] = []
    for steps in runs:
        first, zoom, read, one = (next(taken) for _ in range(4))
        length = f"10^{len(str(steps)) - 1} steps"
        rows = "one read of its rollup rows"
        found += [
            Figure(f"view of 1,000 points of {length}, nothing kept", "ms", first, rows, read, "processor"),
            Figure(f"zoom into 1,000 points of {length}, rows kept", "ms", zoom, rows, read, "processor"),
            Figure(f"one read of the rollup rows of {length}", "ms", read, _LEAST, one, "processor"),
        ]
    return found


async def _serve(lengths: list[int]) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder, connect(f"chdb://{folder}", "views") as store:
        migrate(store)
        async with served(store) as plain, served(store, _CACHE_BYTES) as caching:
            return await asyncio.to_thread(_measure, store, [plain, caching], lengths)


def stable_figures() -> Iterator[Figure]:
    """Measure views of a million steps."""
    yield from (figure for figure in asyncio.run(_serve([_STEPS])) if figure.anchor != _LEAST)


def figures() -> Iterator[Figure]:
    """Measure views of a million steps, and of the longest series."""
    yield from asyncio.run(_serve(sorted({_STEPS, _LONGEST})))


def main() -> None:
    """Print the figures."""
    configure_logging("warning")
    Console(width=170).print(make_table(list(figures())))


if __name__ == "__main__":
    main()
