"""Run schedules of the simulated ingest loop, and report their results.

Run it with `python -m reliability.simulation [--first N] [--seeds N]`.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Final

from reliability.simulation.account import prepare, run_some
from reliability.simulation.schedule import run_schedule

_SHOWN: Final = 3
_PARTS: Final = 32
_COLUMNS: Final = (
    "kills", "pauses", "leaves", "late commits", "rejoins", "zombie commits refused", "flushes", "inserts dropped",
    "blocks lost by ClickHouse", "events", "points", "lost", "doubled",
)  # fmt: skip


def main() -> int:
    """Run the schedules; return 1 if one failed."""
    parser = argparse.ArgumentParser(prog="python -m reliability.simulation", description=__doc__)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=2_000, help="how many seeds")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many processes share them")
    parser.add_argument("--trace", action="store_true", help="print what happened in each schedule")
    parser.add_argument("--fail-fast", action="store_true", help="end soon after a schedule has failed")
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.seeds)
    if options.trace:
        for seed in seeds:
            print(*run_schedule(seed).trace, sep="\n")
    began = time.monotonic()
    parts = [seeds[number::_PARTS] for number in range(min(_PARTS, len(seeds)))]
    counts, failures = Counter[str](), list[str]()
    with ProcessPoolExecutor(min(options.jobs, len(parts)), get_context("spawn"), prepare) as pool:
        for part, failed in pool.map(partial(run_some, fail_fast=options.fail_fast), parts):
            counts += part
            failures += failed
            if failures and options.fail_fast:
                pool.shutdown(cancel_futures=True)
                break
    seconds = time.monotonic() - began
    print(*failures[:_SHOWN], sep="\n")
    print(f"{counts['schedules']:,} schedules in {seconds:.1f} s ({counts['schedules'] / seconds:.1f}/s)")
    print(", ".join(f"{name}: {counts[name]:,}" for name in _COLUMNS))
    print(f"{len(failures)} of {counts['schedules']:,} schedules failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
