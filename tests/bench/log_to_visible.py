"""Latency of a row from `log()` until `history` returns it, at the default settings, through a stack at rest."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Final

from rich.console import Console

import stepwell
from bench.figure import Figure, make_table
from stepwell.api.paths import run_url
from stepwell_deploy.errors import ServiceRefusedError
from stepwell_deploy.local.background import running_stack
from stepwell_deploy.service_client import ServiceClient
from stepwell_ingestor.settings import IngestorSettings
from stepwell_schemas.rules.identifiers import RunPath

_ROWS: Final = 100
_WAIT_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.01
_PATH: Final = RunPath("bench", "bench", "visible")


def figures() -> Iterator[Figure]:
    """Measure rows, each logged when the previous one was visible."""
    with tempfile.TemporaryDirectory() as folder, running_stack(Path(folder)) as url:
        seconds = sorted(_latencies(url, Path(folder)))
    interval = IngestorSettings().ingestor_flush_seconds
    for name, value in (("p50", median(seconds)), ("p99", seconds[len(seconds) * 99 // 100 - 1])):
        yield Figure(f"log() until visible, {name}", "s", value, "the flush interval", interval, "clock")


def _latencies(url: str, folder: Path) -> Iterator[float]:
    run = stepwell.init(*_PATH[:2], id=_PATH.run_id, dir=folder, settings={"base_url": url})
    with ServiceClient(url) as service:
        run.log({"x": 0.0})  # the run must be stored before it can be read
        _wait(service, 0, optional=True)
        for row in range(1, _ROWS + 1):
            began = time.perf_counter()
            run.log({"x": float(row)})
            _wait(service, row)
            yield time.perf_counter() - began
    run.finish(quiet=True)


def _wait(service: ServiceClient, row: int, *, optional: bool = False) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline:
        try:
            rows = service.get(run_url(_PATH, "history"), key="x", samples=_ROWS + 1)["rows"]
        except ServiceRefusedError:
            if not optional:
                raise
            rows = []
        if any(found["_step"] == row for found in rows):
            return
        time.sleep(_POLL_SECONDS)
    raise SystemExit(f"row {row} did not become visible")


def main() -> None:
    """Print the figures."""
    Console(width=170).print(make_table(list(figures())))


if __name__ == "__main__":
    main()
