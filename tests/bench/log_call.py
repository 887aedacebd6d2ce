"""Cost of a `log()` call in the training loop, compared with `wandb` offline in the same run.

Each call gets a new dict with new values, as in a training loop, and is timed by itself. Both sides take turns.
`wandb` is no dependency: install it, or run this in an environment of its own that has it.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import stepwell

_TURNS = 20
_CALLS = 1_000
# Few: after more, calls of wandb wait for its process, on a busy machine for milliseconds.
_OTHER_CALLS = 40
_GOALS = {1: 100, 50: 70}


def main() -> None:
    """Print medians in microseconds, and the ratio to wandb's."""
    os.environ["WANDB_SILENT"] = "true"
    import wandb

    with tempfile.TemporaryDirectory() as folder:
        ours = stepwell.init(project="bench", mode="offline", dir=folder)
        theirs = wandb.init(project="bench", mode="offline", dir=folder)
        for metrics, goal in _GOALS.items():
            own, other = list[int](), list[int]()
            for _ in range(_TURNS):
                own += _timed(ours.log, metrics, _CALLS)
                other += _timed(theirs.log, metrics, _OTHER_CALLS)
            mine, wandbs = statistics.median(own) / 1_000, statistics.median(other) / 1_000
            print(
                f"log() of {metrics} metrics: {mine:.2f} us median; wandb offline {wandbs:.1f} us: "
                f"{wandbs / mine:.0f} x (goal {goal} x)"
            )
        ours.finish(quiet=True)
        theirs.finish()


def _timed(log: Callable[[dict[str, Any]], None], metrics: int, calls: int) -> list[int]:
    """Return the nanoseconds of each call."""
    taken = []
    for row in np.random.default_rng().random((calls, metrics)).tolist():
        data = {f"metric_{number}": value for number, value in enumerate(row)}
        began = time.perf_counter_ns()
        log(data)
        taken.append(time.perf_counter_ns() - began)
    return taken


if __name__ == "__main__":
    main()
