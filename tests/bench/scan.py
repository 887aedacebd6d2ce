"""Values per second of scans over HTTP as Arrow, and of the same SELECT directly from the engine as Arrow."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Final

import httpx
import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from bench.figure import Figure
from bench.series_view import served
from stepwell.api.rows import ReceivedBytes
from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.logs import configure_logging
from stepwell_schemas.migrations.runner import migrate
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.points import RunWriter

_VALUES: Final = 4_000_000
_KEYS: Final = (1, 4, 100)
_ROUNDS: Final = 5
_LONG_ORDER: Final = " ORDER BY key, step"
_EXTREMES: Final = ((1, "long", _LONG_ORDER), (100, "wide", ""))
_ENGINE: Final = "the engine's SELECT as Arrow"

_OF_RUN: Final = "entity = {entity:String} AND project = {project:String} AND run_id = {run_id:String}"
_SELECT: Final = f"SELECT key, step, timestamp, value FROM {{db}}.points_number FINAL WHERE {_OF_RUN}"

Work = Callable[[], None]


def _run(keys: int) -> RunPath:
    return RunPath("bench", "scan", f"keys-{keys}")


def fill(store: Store, keys: int) -> None:
    """Write a run with a number of metrics, and four million values in total."""
    steps = _VALUES // keys
    writer = RunWriter(store, _run(keys), rolled=False).document()
    for key in range(keys):
        noise = np.random.default_rng(key).normal(size=steps).astype(np.float32)
        writer.numbers(f"train/m{key}", np.arange(steps), noise)
    store.command("OPTIMIZE TABLE {db}.points_number FINAL")


def _all(batches: Iterator[pa.RecordBatch], column: str) -> int:
    """Return the number of values of a column in batches, which are read completely."""
    return sum(batch.num_rows for batch in batches if batch.column(column) is not None)


def _straight(store: Store, run: RunPath, order: str) -> Work:
    def work() -> None:
        assert _all(iter(store.stream(_SELECT + order, run._asdict())), "value") == _VALUES

    return work


def _scan(client: httpx.Client, run: RunPath, keys: int, shape: str) -> Work:
    def work() -> None:
        asked = {"format": "arrow", "shape": shape}
        with client.stream("GET", f"/api/v1/runs/{run}/scan", params=asked) as answer:
            received = ReceivedBytes(answer.raise_for_status().iter_raw())
            rows = _all(iter(pa.ipc.open_stream(pa.PythonFile(received, "r"))), "step" if shape == "long" else "_step")
            received.drain()
        assert rows == (_VALUES if shape == "long" else _VALUES // keys)

    return work


def _seconds(works: list[Work]) -> list[tuple[float, float]]:
    """Return the median wall and CPU seconds of each, measured in turns."""
    times: list[list[tuple[float, float]]] = [[] for _ in works]
    for _ in range(_ROUNDS):
        for work, own in zip(works, times, strict=True):
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            own.append((time.perf_counter() - wall, time.process_time() - cpu))
    return [(median(wall for wall, _ in own), median(cpu for _, cpu in own)) for own in times]


def _figures(store: Store, address: str, table: Table) -> None:
    with httpx.Client(base_url=address, timeout=120) as client:
        for keys in _KEYS:
            run = _run(keys)
            for shape, order in (("wide", ""), ("long", _LONG_ORDER)):
                (plain, plain_cpu), (scan, cpu) = _seconds(
                    [_straight(store, run, order), _scan(client, run, keys, shape)]
                )
                rates = [f"{_VALUES / seconds / 1e6:.2f}" for seconds in (plain, scan)]
                table.add_row(f"{keys}", shape, *rates, f"{plain / scan:.0%}", f"{plain_cpu / cpu:.0%}")


async def _bench(store: Store) -> Table:
    columns = ("keys", "shape", "SELECT, M values/s", "scan, M values/s", "of the SELECT's rate", "by processor time")
    table = Table(*columns, title=f"A scan of {_VALUES:,} numbers over HTTP as Arrow")
    async with served(store) as address:
        await asyncio.to_thread(_figures, store, address, table)
    return table


def _shares(store: Store, address: str) -> Iterator[Figure]:
    """Compare the scans that cost the least and the most of those that `main` prints."""
    with httpx.Client(base_url=address, timeout=120) as client:
        for keys, shape, order in _EXTREMES:
            run = _run(keys)
            (plain, plain_cpu), (scan, cpu) = _seconds([_straight(store, run, order), _scan(client, run, keys, shape)])
            name = f"scan as Arrow, {keys} metric{'s' * (keys > 1)}, {shape}"
            rates = [_VALUES / seconds / 1e6 for seconds in (scan, plain, cpu, plain_cpu)]
            yield Figure(name, "M values/s", rates[0], _ENGINE, rates[1], "clock", rate=True)
            name = f"{name}, a second of processor time"
            yield Figure(name, "M values/s", rates[2], _ENGINE, rates[3], "processor", rate=True)


async def _serve_shares(store: Store) -> list[Figure]:
    async with served(store) as address:
        return await asyncio.to_thread(lambda: list(_shares(store, address)))


def figures() -> Iterator[Figure]:
    """Measure scans of four million values."""
    with tempfile.TemporaryDirectory() as folder, connect(f"chdb://{folder}/engine", "bench") as store:
        migrate(store)
        for keys, _, _ in _EXTREMES:
            fill(store, keys)
        yield from asyncio.run(_serve_shares(store))


def main() -> None:
    """Print the results. Goal: three quarters of the SELECT's rate."""
    configure_logging("warning")
    with tempfile.TemporaryDirectory() as folder, connect(f"chdb://{folder}/engine", "bench") as store:
        migrate(store)
        for keys in _KEYS:
            fill(store, keys)
        Console().print(asyncio.run(_bench(store)))


if __name__ == "__main__":
    main()
