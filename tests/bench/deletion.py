"""The cost of deletions next to that of inserts, in rows a second: `make bench ARGS=deletion`.

Rows are those of all tables, as `stepwell delete --dry-run` counts them; these runs have no rollups. Deletions are
lightweight: they mask the rows, and merges remove them from the disk later. A deletion's time hardly depends on its
rows, since it finds them by the tables' sort key; so one of many runs costs little more than one of a single run.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from stepwell_schemas.clickhouse.run_rows import count_rows, delete_rows
from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.limits import VERSION_ROW_BITS
from stepwell_schemas.logs import configure_logging
from stepwell_schemas.migrations.runner import migrate
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.points import RunWriter, gathered

_RUNS: Final = 12
_KEYS: Final = 10
_STEPS: Final = 50_000
_INSERT: Final = "insert"
_AFTER: Final = 1 << (62 - VERSION_ROW_BITS)
"""A logical offset after that of every row."""


class _Cost(NamedTuple):
    rows: int
    seconds: float
    processor: float


def _spend(rows: int, work: Callable[[], Any]) -> _Cost:
    began, processor = time.perf_counter(), time.process_time()
    work()
    return _Cost(rows, time.perf_counter() - began, time.process_time() - processor)


def _insert(store: Store, runs: list[RunPath]) -> _Cost:
    """Write the runs; return the cost of the inserts alone."""
    steps, values = range(_STEPS), np.random.default_rng(0).normal(size=_STEPS)
    with ExitStack() as inserts:
        gathering = inserts.enter_context(gathered(store))
        for run in runs:
            writer = RunWriter(gathering, run, rolled=False).document(display_name=run.run_id)
            for key in range(_KEYS):
                writer.numbers(f"metric_{key}", steps, values)
        cost = _spend(0, inserts.pop_all().close)
    return cost._replace(rows=_rows(store, runs))


def _rows(store: Store, runs: list[RunPath]) -> int:
    return sum(found.rows for found in count_rows(store, "bench", "runs", [run.run_id for run in runs]))


def _measure(store: Store) -> dict[str, _Cost]:
    runs = [RunPath("bench", "runs", f"run-{number:02d}") for number in range(_RUNS)]
    costs = {_INSERT: _insert(store, runs)}
    whole = costs[_INSERT].rows
    some = {"delete 1 run": runs[:1], "delete 5 runs together": runs[1:6], "delete 1 run of half as many": runs[6:7]}
    for name, chosen in some.items():
        rows = _rows(store, chosen)
        costs[name] = _spend(rows, lambda chosen=chosen: delete_rows(store, dict.fromkeys(chosen, _AFTER)))  # type: ignore[misc]
        assert _rows(store, chosen) == 0
    left = _rows(store, runs)
    assert left == whole - sum(cost.rows for cost in costs.values()) + whole
    costs["merge what is left"] = _spend(left, lambda: store.command("OPTIMIZE TABLE {db}.points_number FINAL"))
    return costs


def main() -> None:
    """Print the results."""
    configure_logging("warning")
    console = Console(width=120)
    with tempfile.TemporaryDirectory() as folder, connect(f"chdb://{folder}/engine", "deletions") as store:
        migrate(store)
        before = os.getloadavg()[0]
        costs = _measure(store)
    inserted = costs[_INSERT]
    load = f"load {before:.1f} before, {os.getloadavg()[0]:.1f} after"
    table = Table("", "rows", "s", "rows/s", "× insert", "CPU s", "rows/CPU s", "× insert", title=f"Deletions ({load})")
    for name, cost in costs.items():
        rate, processor = cost.rows / cost.seconds, cost.rows / max(cost.processor, 1e-9)
        clock = [f"{cost.seconds:.2f}", f"{rate:,.0f}", f"{rate * inserted.seconds / inserted.rows:.2f}"]
        own = [f"{cost.processor:.2f}", f"{processor:,.0f}", f"{processor * inserted.processor / inserted.rows:.2f}"]
        table.add_row(name, f"{cost.rows:,}", *clock, *own)
    console.print(table)


if __name__ == "__main__":
    main()
