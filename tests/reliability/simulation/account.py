"""Adds up schedules, and says of those that failed how to see them again."""

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
    """Return what a failed schedule says: its seed, what differed, and how to see it again."""
    lines = [f"seed {outcome.seed}: {len(outcome.differences.problems)} differences", *outcome.differences.problems]
    return "\n  ".join([*lines, f"again: {replay_command(outcome.seed)}"])


class _NoPandas:
    """Hides pandas: pyarrow imports it, for a second or more, wherever it is installed; nothing here needs it."""

    @staticmethod
    def find_spec(name: str, path: object, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


def prepare() -> None:
    """Make this process fit for schedules, and for little else."""
    sys.meta_path.insert(0, _NoPandas)
    # What was imported stays: it need not be looked through whenever a schedule has left garbage.
    gc.freeze()


def run_some(seeds: Iterable[int], fail_fast: bool = False) -> tuple[Counter[str], list[str]]:
    """Run schedules one after the other; return what they add up to, and what the failed ones say.

    `fail_fast` ends behind the first that fails.
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
