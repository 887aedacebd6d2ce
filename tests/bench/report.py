"""The table of all figures: each module's are measured in a process of its own, one after the other.

An engine, its threads and its caches are a process's; in one of its own, no module measures what another one left.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rich.console import Console

from bench.figure import Circumstances, Figure, make_document, make_table, parse_figures, read_load
from stepwell_schemas.logs import configure_logging

MODULES: Final = (
    "log_call",
    "sdk_to_kafka",
    "kafka_to_clickhouse",
    "ranks_ingest",
    "planning",
    "log_to_visible",
    "viewers",
    "view_cost",
    "runs_list",
    "scan",
    "storage",
)
"""The modules of the table, which have a function `figures()`, in its order."""

_JSON: Final = "STEPWELL_BENCH_JSON"
_WIDTH: Final = 200


def report() -> int:
    """Print the table, and write JSON if a file is named; return the exit code: 1 if a module failed."""
    console = Console(stderr=True)
    commit, began, load_before = read_commit(), time.time(), read_load()
    figures: list[Figure] = []
    failed = []
    for name in MODULES:
        started = time.monotonic()
        try:
            figures += measure(name, "figures")
        except subprocess.CalledProcessError:
            failed.append(name)
        console.print(f"{name}: {time.monotonic() - started:.0f} s")
    circumstances = Circumstances(commit, int(began), os.cpu_count() or 1, load_before, read_load())
    Console(width=_WIDTH).print(make_table(figures))
    minutes = (time.time() - began) / 60
    console.print(f"{minutes:.1f} minutes, {circumstances.cores} cores, load {load_before:.1f} to {read_load():.1f}")
    if path := os.environ.get(_JSON):
        Path(path).write_text(make_document(figures, circumstances), "utf-8")
    if failed:
        console.print(f"failed: {', '.join(failed)}")
    return int(bool(failed))


def measure(module: str, function: str) -> list[Figure]:
    """Return what a module's function measures in a process of its own. Raises: CalledProcessError."""
    with tempfile.NamedTemporaryFile() as found:
        command = [sys.executable, "-m", "bench.report", module, function, found.name]
        subprocess.run(command, check=True, stdout=sys.stderr)
        return parse_figures(Path(found.name).read_text("utf-8"))


def read_commit() -> str:
    """Return the commit of the sources, with a plus sign if they were changed since; "" outside of git."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _measure_here(module: str, function: str, path: str) -> None:
    configure_logging("warning")
    figures: Iterator[Figure] = getattr(importlib.import_module(f"bench.{module}"), function)()
    Path(path).write_text(make_document(list(figures)), "utf-8")


if __name__ == "__main__":
    _measure_here(*sys.argv[1:])
