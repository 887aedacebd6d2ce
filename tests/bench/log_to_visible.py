"""Latency of a row from `log()` until `history` returns it, at the default settings, through a running stack."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import stepwell
from stepwell.api.paths import run_url
from stepwell_deploy.errors import ServiceRefusedError
from stepwell_deploy.local.background import running_stack
from stepwell_deploy.service_client import ServiceClient
from stepwell_schemas.rules.identifiers import RunPath

_ROWS = 20
_GOAL_SECONDS = 2.0
_WAIT_SECONDS = 120.0
_POLL_SECONDS = 0.01
_PATH = RunPath("bench", "bench", "visible")


def main() -> None:
    """Print the median and the maximum for some rows, each logged when the previous one was visible."""
    with tempfile.TemporaryDirectory() as folder, running_stack(Path(folder)) as url:
        _measure(url, Path(folder))


def _measure(url: str, folder: Path) -> None:
    run = stepwell.init(*_PATH[:2], id=_PATH.run_id, dir=folder, settings={"base_url": url})
    seconds = []
    with ServiceClient(url) as service:
        run.log({"x": 0.0})  # the run must be stored before it can be read
        _wait(service, 0, optional=True)
        for row in range(1, _ROWS + 1):
            began = time.perf_counter()
            run.log({"x": float(row)})
            _wait(service, row)
            seconds.append(time.perf_counter() - began)
    run.finish(quiet=True)
    median, slowest = statistics.median(seconds), max(seconds)
    print(f"log() until visible in history: median {median:.2f} s, slowest {slowest:.2f} s of {_ROWS}")
    print(f"slowest / goal of {_GOAL_SECONDS:g} s: {slowest / _GOAL_SECONDS:.2f}")


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


if __name__ == "__main__":
    main()
