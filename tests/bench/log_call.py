"""Cost of a `log()` call in the training loop, compared with `wandb` offline in the same run."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import stepwell

_CALLS = 20_000
_OTHER_CALLS = 2_000
_GOALS = {1: 3.0, 50: 8.0}


def main() -> None:
    """Print medians in microseconds, and the ratio to wandb's."""
    with tempfile.TemporaryDirectory() as folder:
        ours = _ours(folder)
        theirs = _theirs(folder)
    for metrics, goal in _GOALS.items():
        ratio = theirs[metrics] / ours[metrics]
        print(
            f"log() of {metrics} metrics: {ours[metrics]:.2f} us median (goal {goal:g}); "
            f"wandb offline {theirs[metrics]:.1f} us: {ratio:.0f} x"
        )


def _ours(folder: str) -> dict[int, float]:
    run = stepwell.init(project="bench", mode="offline", dir=folder)
    medians = {metrics: _median(run.log, metrics, _CALLS) for metrics in _GOALS}
    run.finish(quiet=True)
    return medians


def _theirs(folder: str) -> dict[int, float]:
    os.environ["WANDB_SILENT"] = "true"
    import wandb

    run = wandb.init(project="bench", mode="offline", dir=folder)
    medians = {metrics: _median(run.log, metrics, _OTHER_CALLS) for metrics in _GOALS}
    run.finish()
    return medians


def _median(log: Callable[[dict[str, Any]], None], metrics: int, calls: int) -> float:
    row = {f"metric_{number}": number / 3 for number in range(metrics)}
    taken = []
    for _ in range(calls):
        began = time.perf_counter_ns()
        log(row)
        taken.append(time.perf_counter_ns() - began)
    return statistics.median(taken) / 1_000


if __name__ == "__main__":
    main()
