"""Views of series over HTTP, by size: `make bench ARGS=series_view`. STEPWELL_BENCH_STEPS=1000000 bounds the longest.

Writes some 2 GB of points, through the engine itself, into a temporary folder.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

import httpx
import uvicorn
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from stepwell_query.api.app import create_app
from stepwell_query.settings import QuerySettings
from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.logs import configure_logging
from stepwell_schemas.migrations.runner import migrate
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.scale import Scale

_LONGEST: Final = int(os.environ.get("STEPWELL_BENCH_STEPS", str(10**8)))
_LENGTHS: Final = tuple(10**power for power in range(4, 9) if 10**power <= _LONGEST)
_ROLLUPS_ALONE: Final = 10**9
_REQUESTS: Final = 20
_PAGE_RUNS: Final = 50
_PAGE_KEYS: Final = [f"train/metric_{number}" for number in range(20)]
_MANY_KEYS: Final = 100_000
_VIEWERS: Final = 50
_VIEW: Final = "view of 10^6"
_POLL_SECONDS: Final = 0.01

Ask = Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]


@asynccontextmanager
async def served(store: Store, cache_bytes: int = 0) -> AsyncIterator[str]:
    """Serve a store on a socket for the block, without a cache of answers by default; yields the address."""
    app = create_app(QuerySettings(query_cache_bytes=cache_bytes), store)
    config = uvicorn.Config(app, port=0, log_level="warning")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has this flag only
        await asyncio.sleep(_POLL_SECONDS)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


def view(run: RunPath, held: str = "", **query: Any) -> Ask:
    """Return a request for a view of 1,000 points, of the series `loss` unless it names others."""
    headers = {"if-none-match": held} if held else {}
    asked: dict[str, Any] = {"key": "loss", "points": 1_000} | query
    return lambda client: client.get(f"/api/v1/runs/{run}/series", params=asked, headers=headers)


def post(path: str, runs: Sequence[RunPath], keys: Sequence[str], **body: Any) -> Ask:
    """Return a request about many runs."""
    asked = {"runs": [str(run) for run in runs], "keys": list(keys)} | body
    return lambda client: client.post(f"/api/v1/{path}", json=asked)


class Rounds:
    """Requests that are timed in turns, so that other load of the machine affects all of them equally."""

    def __init__(self) -> None:
        self.asks: dict[str, Ask] = {}
        self.times: dict[str, list[float]] = {}
        self.bytes: dict[str, int] = {}

    async def measure(self, client: httpx.AsyncClient, count: int) -> None:
        """Send each request `count` times, after one warm-up request."""
        for number in range(count + 1):
            for name, ask in self.asks.items():
                started = time.perf_counter()
                answer = await ask(client)
                elapsed = (time.perf_counter() - started) * 1_000
                if answer.status_code not in {200, 304}:
                    raise RuntimeError(f"{name}: {answer.status_code} {answer.text[:500]}")
                self.bytes[name] = len(answer.content)
                if number:
                    self.times.setdefault(name, []).append(elapsed)

    def p50(self, name: str) -> float:
        """Return the median of a request's times, in milliseconds."""
        return median(self.times[name])


async def by_length(client: httpx.AsyncClient, scale: Scale) -> tuple[Table, dict[int, RunPath]]:
    """Time the 1,000-point view of series of growing length."""
    runs = {length: await asyncio.to_thread(scale.run, f"steps-{length}", ["loss"], length) for length in _LENGTHS}
    alone = await asyncio.to_thread(scale.rollups_alone, "rollups-alone", "loss", _ROLLUPS_ALONE)
    await asyncio.to_thread(scale.settle)
    rounds = Rounds()
    for length, run in runs.items():
        rounds.asks[f"{length:,}"] = view(run)
    # The run has no last steps: the view ends with the rollups.
    rounds.asks[f"{_ROLLUPS_ALONE:,} (rollups alone)"] = view(alone)
    await rounds.measure(client, _REQUESTS)
    base = rounds.p50(f"{min(10**6, _LONGEST):,}")
    table = Table("steps", "p50 ms", "fastest ms", "slowest ms", "× 10^6", "KB", title="1,000-point view over HTTP")
    for name, times in rounds.times.items():
        p50, size = rounds.p50(name), rounds.bytes[name] / 1_000
        table.add_row(name, f"{p50:.1f}", f"{min(times):.1f}", f"{max(times):.1f}", f"{p50 / base:.2f}", f"{size:.0f}")
    return table, runs


async def other_requests(client: httpx.AsyncClient, scale: Scale, runs: dict[int, RunPath]) -> Table:
    """Time other requests, compared with the 1,000-point view of 10^6 steps."""
    million = runs[min(10**6, _LONGEST)]
    twelve_keys = [f"panel_{number}" for number in range(12)]
    twelve = await asyncio.to_thread(scale.run, "twelve", twelve_keys, min(10**6, _LONGEST))
    page = []
    for number in range(_PAGE_RUNS):
        length = 10_000 + number * 90_000 // _PAGE_RUNS
        config = f'{{"lr": {0.1 ** (1 + number % 3)}}}'
        page.append(await asyncio.to_thread(scale.run, f"page-{number}", _PAGE_KEYS, length, config))
    many = await asyncio.to_thread(scale.run, "many", [f"layer/{number}" for number in range(_MANY_KEYS)], 20)
    zoom: dict[str, Any] = {"from": 450_123, "to": 550_122}
    await asyncio.to_thread(scale.settle)
    rounds = Rounds()
    rounds.asks = {
        _VIEW: view(million),
        "the same, not changed (304)": view(million, held=(await view(million)(client)).headers["etag"]),
        "the same, sampling=lttb": view(million, sampling="lttb"),
        "the same, sampling=random (reads all)": view(million, sampling="random"),
        "the same, smoothing=0.99": view(million, smoothing=0.99),
        "the same, x=_runtime": view(million, x="_runtime"),
        "a zoom to 100,000 steps": view(million, **zoom),
        "one of 100,000 metrics": view(many, key="layer/54321"),
        "12 series of 10^6": view(twelve, key=twelve_keys),
        "50 runs × 20 keys, 200 points": post("series", page, _PAGE_KEYS, points=200),
        "50 runs × 20 keys, 1,000 points": post("series", page, _PAGE_KEYS, points=1_000),
        "the same by config.lr, 1,000 points": post("groups", page, _PAGE_KEYS, points=1_000, group_by="config.lr"),
    }
    await rounds.measure(client, 5)
    table = Table("request", "p50 ms", "fastest ms", "× view of 10^6", "KB", title="Other requests")
    for name, times in rounds.times.items():
        p50, size = rounds.p50(name), rounds.bytes[name] / 1_000
        table.add_row(
            name, f"{p50:.1f}", f"{min(times):.1f}", f"{p50 / rounds.p50('view of 10^6'):.2f}", f"{size:,.0f}"
        )
    return table


async def at_once(client: httpx.AsyncClient, run: RunPath) -> Table:
    """Time concurrent viewers that send the next request as soon as they have an answer."""
    alone = Rounds()
    alone.asks = {"alone": view(run)}
    await alone.measure(client, _REQUESTS)
    times: list[float] = []

    async def viewer(number: int) -> None:
        for turn in range(4):
            started = time.perf_counter()
            # Each viewer reads a different range, so that no answer is shared.
            zoom: dict[str, Any] = {"from": 1 + number * 10 + turn}
            (await view(run, **zoom)(client)).raise_for_status()
            times.append((time.perf_counter() - started) * 1_000)

    started = time.perf_counter()
    await asyncio.gather(*(viewer(number) for number in range(_VIEWERS)))
    rate = len(times) / (time.perf_counter() - started)
    table = Table(
        "viewers", "p50 ms", "p99 ms", "views a second", "× p50 alone", title="Concurrent views of 10^6 steps"
    )
    p50 = alone.p50("alone")
    table.add_row("1", f"{p50:.1f}", f"{max(alone.times['alone']):.1f}", f"{1_000 / p50:.0f}", "1.00")
    p99 = sorted(times)[int(len(times) * 0.99)]
    table.add_row(str(_VIEWERS), f"{median(times):.1f}", f"{p99:.1f}", f"{rate:.0f}", f"{median(times) / p50:.2f}")
    return table


async def _bench(store: Store, console: Console) -> None:
    scale = Scale(store)
    limits = httpx.Limits(max_connections=_VIEWERS)
    async with served(store) as address, httpx.AsyncClient(base_url=address, timeout=120, limits=limits) as client:
        table, runs = await by_length(client, scale)
        console.print(table)
        console.print(await other_requests(client, scale, runs))
        console.print(await at_once(client, runs[min(10**6, _LONGEST)]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_000_000
    console.print(f"peak memory of the engine, the service and this client: {peak:.1f} GB")


def main() -> None:
    """Print the results. Goals: p50 at most 20 ms at 10^6 steps, and at most 1.5 times that at 10^8."""
    configure_logging("warning")
    with tempfile.TemporaryDirectory() as folder, connect(f"chdb://{folder}/engine", "bench") as store:
        migrate(store)
        asyncio.run(_bench(store, Console(width=120)))


if __name__ == "__main__":
    main()
