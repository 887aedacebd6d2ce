"""The 1,000-point view of a series over HTTP, by the series' length: `python tests/bench/series_view.py`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Final

import httpx
import numpy as np
import uvicorn
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from stepwell_query.app import create_app
from stepwell_query.service import configure_logging
from stepwell_query.settings import QuerySettings
from stepwell_schemas.clickhouse import Store, connect
from stepwell_schemas.identifiers import RunPath
from stepwell_schemas.migrate import migrate
from support.points import RunWriter

_LENGTHS: Final = (10**4, 10**6, 10**7)
_REQUESTS: Final = 15
_FLUSH_STEPS: Final = 1_000_000
_POLL_SECONDS: Final = 0.01


def fill(store: Store, length: int) -> RunPath:
    """Write a run with one noisy, falling series of a length, in flushes as the ingestor makes them."""
    run = RunPath("bench", "series", f"steps-{length}")
    writer = RunWriter(store, run).document()
    noise = np.random.default_rng(length)
    for start in range(0, length, _FLUSH_STEPS):
        steps = np.arange(start, min(start + _FLUSH_STEPS, length))
        writer.numbers("loss", steps, 1 / (1 + steps / length) + noise.normal(0, 0.05, len(steps)))
    return run


@asynccontextmanager
async def served(store: Store) -> AsyncIterator[str]:
    """Serve a store on a socket while the block runs; gives the address."""
    config = uvicorn.Config(create_app(QuerySettings(), store), port=0, log_level="warning")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn tells by this flag alone
        await asyncio.sleep(_POLL_SECONDS)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


async def measure(address: str, run: RunPath) -> tuple[list[float], int]:
    """Return the milliseconds of each request, ascending, and the points of the answer."""
    async with httpx.AsyncClient(base_url=address, timeout=60) as client:
        url, query = f"/api/v1/runs/{run}/series", {"key": "loss", "points": "1000"}
        points = len((await client.get(url, params=query)).json()["series"][0]["step"])
        times = []
        for _ in range(_REQUESTS):
            started = time.perf_counter()
            (await client.get(url, params=query)).raise_for_status()
            times.append((time.perf_counter() - started) * 1_000)
    return sorted(times), points


async def _bench(store: Store) -> Table:
    table = Table("steps", "points", "p50 ms", "slowest ms", "× 10^6", title="1,000-point view over HTTP")
    figures = {}
    async with served(store) as address:
        for length in _LENGTHS:
            run = await asyncio.to_thread(fill, store, length)
            figures[length] = await measure(address, run)
    million = median(figures[10**6][0])
    for length, (times, points) in figures.items():
        p50 = median(times)
        table.add_row(f"{length:,}", str(points), f"{p50:.1f}", f"{times[-1]:.1f}", f"{p50 / million:.2f}")
    return table


def main() -> None:
    """Print the figures; p50 at 10^6 steps is to be at most 100 ms."""
    configure_logging("warning")
    with tempfile.TemporaryDirectory() as folder, connect(f"chdb://{folder}/engine", "bench") as store:
        migrate(store)
        Console().print(asyncio.run(_bench(store)))


if __name__ == "__main__":
    main()
