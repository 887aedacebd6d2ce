"""Cost of a `log()` call in the training loop, compared in turns with a line of JSON, and with `wandb` offline.

The line of JSON is the same dict, appended to a file: a call of the system, like that of `log()`, since the cost of one
differs between machines.

Each call gets a new dict with new values, as in a training loop, and is timed by itself. `wandb` is no dependency of
Stepwell: where it is not installed, its figures are missing.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
from rich.console import Console

import stepwell
from bench.figure import Figure, make_table
from bench.turns import lower_quartiles, medians

_METRICS: Final = (1, 50)
_ROUNDS: Final = 20
_CALLS: Final = 1_000
# Few: after more, calls of wandb wait for its process, on a busy machine for milliseconds.
_WANDB_CALLS: Final = 40

Log = Callable[[dict[str, Any]], object]


def call_microseconds(log: Log, metrics: int, calls: int) -> float:
    """Return the median microseconds of calls with a new dict each, by the clock, which hardly counts interruptions."""
    taken = []
    for row in np.random.default_rng().random((calls, metrics)).tolist():
        data = {f"metric_{number}": value for number, value in enumerate(row)}
        began = time.perf_counter_ns()
        log(data)
        taken.append(time.perf_counter_ns() - began)
    return statistics.median(taken) / 1_000


def stable_figures() -> Iterator[Figure]:
    """Compare with a line of JSON in a file."""
    with _run() as log, _lines() as write:
        for metrics in _METRICS:
            costs = [partial(call_microseconds, work, metrics, _CALLS) for work in (log, write)]
            yield _figure(metrics, "a line of JSON in a file", lower_quartiles(costs, _ROUNDS))


def figures() -> Iterator[Figure]:
    """Compare with a line of JSON in a file, and with `wandb` offline where it is installed."""
    yield from stable_figures()
    if find_spec("wandb") is None:
        return
    with _run() as log, _wandb_run() as other:
        for metrics in _METRICS:
            costs = [
                partial(call_microseconds, log, metrics, _CALLS),
                partial(call_microseconds, other, metrics, _WANDB_CALLS),
            ]
            yield _figure(metrics, "wandb offline", medians(costs, _ROUNDS))


def _figure(metrics: int, anchor: str, costs: list[float]) -> Figure:
    own, other = costs
    name = f"log() of {metrics} metric{'s' * (metrics > 1)}, against {anchor}"
    return Figure(name, "µs", own, anchor, other, "clock")


@contextmanager
def _run() -> Iterator[Log]:
    with tempfile.TemporaryDirectory() as folder:
        run = stepwell.init(project="bench", mode="offline", dir=folder)
        yield run.log
        run.finish(quiet=True)


@contextmanager
def _lines() -> Iterator[Log]:
    with tempfile.TemporaryFile(buffering=0) as file:
        yield lambda data: file.write(json.dumps(data).encode() + b"\n")


@contextmanager
def _wandb_run() -> Iterator[Log]:
    os.environ["WANDB_SILENT"] = "true"
    import wandb

    with tempfile.TemporaryDirectory() as folder:
        run = wandb.init(project="bench", mode="offline", dir=folder)
        yield run.log
        run.finish()


def main() -> None:
    """Print the figures."""
    Console(width=170).print(make_table(list(figures())))


if __name__ == "__main__":
    main()
