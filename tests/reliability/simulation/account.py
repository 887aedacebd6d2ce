"""Totals of schedules, with the command that reproduces each failed one."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Iterable

from reliability.simulation.schedule import Outcome, run_schedule


def replay_command(seed: int) -> str:
    """Return the command that runs one schedule again and shows its trace."""
    return f"make simulate FIRST={seed} SEEDS=1 ARGS=--trace"


def failure(outcome: Outcome) -> str:
    """Return the report of a failed schedule: its seed, its differences, and the command that reproduces it."""
    lines = [f"seed {outcome.seed}: {len(outcome.differences.problems)} differences", *outcome.differences.problems]
    return "\n  ".join([*lines, f"again: {replay_command(outcome.seed)}"])


class _NoPandas:
    """Import hook that hides pandas: pyarrow imports it if it is installed, which takes a second or more."""

    @staticmethod
    def find_spec(name: str, path: object, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


def prepare() -> None:
    """Optimize this process for schedules."""
    sys.meta_path.insert(0, _NoPandas)
    # Imported objects stay alive, so the garbage collector need not scan them; and a schedule leaves only some thousand
    # objects in cycles, so that it need not run more often than every few hundred schedules. With a tenth of this
    # threshold, it took a tenth of the time; the processes have 370 MB instead of 210.
    gc.freeze()
    gc.set_threshold(1_000_000)


def run_some(seeds: Iterable[int], fail_fast: bool = False) -> tuple[Counter[str], list[str]]:
    """Run schedules one after the other; return the totals, and the reports of failed ones.

    `fail_fast` stops after the first failure.
    """
    counts, failures = Counter[str](), list[str]()
    for seed in seeds:
        outcome = run_schedule(seed)
        counts += outcome.counts
        counts += Counter(schedules=1, lost=outcome.differences.lost, doubled=outcome.differences.doubled)
        if outcome.differences.problems:
            failures.append(failure(outcome))
            if fail_fast:
                break
    return counts, failures
