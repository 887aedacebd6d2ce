"""Views over HTTP of a run with 512 writers of 10^6 steps each, and of one with one: `make bench ARGS=ranks`."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from typing import Final

import httpx
from rich.console import Console
from rich.table import Table

from bench.series_view import Rounds, post, served, view
from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.logs import configure_logging
from stepwell_schemas.migrations.runner import migrate
from support.factories.scale import Scale

_WRITERS: Final = 512
_STEPS: Final = 10**6
_REQUESTS: Final = 3
_GOAL_MS: Final = 300


async def _view_all(store: Store, console: Console) -> None:
    scale = Scale(store)
    writers = [f"rank{rank}" for rank in range(_WRITERS)]
    many = await asyncio.to_thread(scale.of_writers, "many", "loss", writers, _STEPS)
    one = await asyncio.to_thread(scale.of_writers, "one", "loss", [""], _STEPS)
    await asyncio.to_thread(scale.settle)
    asks: dict[str, Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]] = {
        "a run with one writer": view(one),
        "the primary writer": view(many),
        "one writer": view(many, writer="rank300"),
        "a band across writers, 100 points": view(many, across="writers", points=100),
        "a band across writers, 1,000 points": view(many, across="writers"),
        "groups by writer, 200 points": post("groups", [many], ["loss"], group_by="writer", points=200),
    }
    rounds = Rounds()
    rounds.asks = asks
    async with served(store) as address, httpx.AsyncClient(base_url=address, timeout=120) as client:
        await rounds.measure(client, _REQUESTS)
    title = f"Views of {_WRITERS} writers of {_STEPS:,} steps over HTTP (goal: a band in {_GOAL_MS} ms)"
    table = Table("request", "p50 ms", "fastest ms", "× one writer", "KB", title=title)
    base = rounds.p50("a run with one writer")
    for name, times in rounds.times.items():
        p50, size = rounds.p50(name), rounds.bytes[name] / 1_000
        table.add_row(name, f"{p50:.1f}", f"{min(times):.1f}", f"{p50 / base:.2f}", f"{size:,.0f}")
    console.print(table)


def main() -> None:
    """Print the results."""
    configure_logging("warning")
    console = Console(width=120)
    with tempfile.TemporaryDirectory() as folder, connect(f"chdb://{folder}/engine", "views") as store:
        migrate(store)
        asyncio.run(_view_all(store, console))


if __name__ == "__main__":
    main()
