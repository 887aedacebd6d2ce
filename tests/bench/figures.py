"""The figures of docs/performance.md, by processor time: each with an anchor that is measured in the same process.

Processor time hardly depends on other load of the machine, and ratios to an anchor hardly on the machine. With
STEPWELL_BENCH_JSON=file, the figures are also written as JSON. It takes about two minutes.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from bench.ranks_ingest import Ingestor
from bench.series_view import served, view
from stepwell_ingestor.messages import Message, receive_all
from stepwell_ingestor.planner.plan import plan_flush
from stepwell_ingestor.planner.run_state import RunState
from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.events.codec import Codec, encode
from stepwell_schemas.events.models import Block, LogBatch
from stepwell_schemas.limits import MIB
from stepwell_schemas.logs import configure_logging
from stepwell_schemas.migrations.runner import migrate
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind
from support.factories.scale import Scale

_RANKS: Final = 512
_FLUSHES: Final = 5
_VIEWS: Final = 20
_STEPS: Final = 10**6
_CACHE_BYTES: Final = 64 * MIB
# Runs and metrics of a flush of about the same number of points.
_SHAPES: Final = ((10, 1_000), (200, 50), (2_000, 5), (1, 10_000))
_FIRST_SHAPE: Final = "10 runs of 1,000 metrics"
_READ: Final = (
    "SELECT bucket, last_step, last_value, min_value, max_value, total, count FROM {db}.rollups WHERE"
    " entity = {entity:String} AND project = {project:String} AND run_id = {run_id:String} AND key = 'loss'"
    " AND writer = '' AND level = 7"
)


class Figure(NamedTuple):
    """A measured figure and its anchor, both in the same unit."""

    name: str
    unit: str
    measured: float
    anchor: str
    limit: float


def _milliseconds(work: Callable[[], Any]) -> float:
    began = time.process_time()
    work()
    return (time.process_time() - began) * 1_000


def _ingest(folder: str) -> Iterator[Figure]:
    stores = {name: connect(f"chdb://{folder}", name) for name in ("ranks", "one")}
    sides = {"ranks": Ingestor(stores["ranks"], _RANKS), "one": Ingestor(stores["one"], 1)}
    for number in range(_FLUSHES):
        for side in sides.values():
            side.flush(number)
    many, one = (median(side.spent.processor[1:]) for side in sides.values())
    points = _RANKS * 200
    yield Figure(
        "a series of 512 ranks × 200 metrics, a flush",
        "µs",
        many / points * 1e6,
        "a value of one rank",
        one / points * 1e6,
    )


def _events(runs: list[RunPath], keys: list[str], flush: int) -> list[Message]:
    random = np.random.default_rng(flush)
    step = np.array([flush], "<i8").tobytes()
    return [
        Message(flush * len(runs) + number, 0, None, encode(LogBatch(
            **run._asdict(), session="s", sequence=flush, rows=1, timestamps=step, steps=step,
            blocks=[Block(kind=Kind.NUMBER, keys=keys, packed=random.normal(size=len(keys)).tobytes())],
        )))
        for number, run in enumerate(runs)
    ]  # fmt: skip


def _plan_shape(runs: int, metrics: int) -> tuple[float, float]:
    """Return the microseconds that planning a point takes, and the bytes of state of a series."""
    paths = [RunPath("bench", "shapes", f"run-{number}") for number in range(runs)]
    keys = [f"train/metric_{number:06d}" for number in range(metrics)]
    states = {path: RunState() for path in paths}
    for state in states.values():
        state.measure()
    spent = []
    for flush in range(_FLUSHES):
        received, dead = receive_all(Codec(), _events(paths, keys, flush))
        began = time.process_time()
        plan = plan_flush(received, dead, states, (flush + 1) * runs)
        states = {path: state.settle() for path, state in plan.states.items()}
        spent.append(time.process_time() - began)
    points = runs * metrics
    return median(spent[1:]) / points * 1e6, sum(state.bytes for state in states.values()) / points


def _shapes() -> Iterator[Figure]:
    first = 0.0
    for runs, metrics in _SHAPES:
        cost, size = _plan_shape(runs, metrics)
        name = f"{runs:,} run{'s' * (runs > 1)} of {metrics:,} metrics"
        first = first or cost
        yield Figure(f"planning a point, {name}", "µs", cost, _FIRST_SHAPE, first)
        yield Figure(f"state of a series, {name}", "bytes", size, "the aim", 300)


async def _views(store: Store) -> list[Figure]:
    scale = Scale(store)
    run = await asyncio.to_thread(scale.run, "steps", ["loss"], _STEPS)
    await asyncio.to_thread(scale.settle)
    views, reads, ones = [], [], []
    random = np.random.default_rng(0)
    async with served(store, _CACHE_BYTES) as address, httpx.AsyncClient(base_url=address, timeout=60) as client:
        for number in range(_VIEWS):
            low = int(random.integers(_STEPS // 2))
            zoom: dict[str, Any] = {"from": low, "to": low + _STEPS // 3} if number else {}
            began = time.process_time()
            (await view(run, **zoom)(client)).raise_for_status()
            views.append((time.process_time() - began) * 1_000)
            reads.append(_milliseconds(lambda: store.query(_READ, run._asdict())))
            ones.append(_milliseconds(lambda: store.query("SELECT 1")))
    cost, read, one = (median(times[1:]) for times in (views, reads, ones))
    return [
        Figure("a zoom, 1,000 points of 10^6 steps", "ms", cost, "one read of its rollups", read),
        Figure("one read of its rollups", "ms", read, "SELECT 1", one),
    ]


def main() -> None:
    """Print the figures, and write them as JSON if a file is named."""
    configure_logging("warning")
    with tempfile.TemporaryDirectory() as folder:
        figures = [*_ingest(folder), *_shapes()]
        store = connect(f"chdb://{folder}", "views")
        migrate(store)
        figures += asyncio.run(_views(store))
    table = Table("figure", "measured", "anchor", "ratio", title="Processor time and memory")
    for one in figures:
        anchor = f"{one.limit:.2f} {one.unit}: {one.anchor}"
        table.add_row(one.name, f"{one.measured:.2f} {one.unit}", anchor, f"{one.measured / one.limit:.2f}")
    Console(width=140).print(table)
    if path := os.environ.get("STEPWELL_BENCH_JSON"):
        rows = [one._asdict() | {"ratio": one.measured / one.limit} for one in figures]
        Path(path).write_text(json.dumps(rows, indent=1, ensure_ascii=False), "utf-8")


if __name__ == "__main__":
    main()
