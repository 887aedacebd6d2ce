"""The ingest loop under seeded faults: nothing is lost or duplicated, and a seed always gives the same schedule."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from functools import cache

import pytest

from reliability.simulation.account import run_some
from reliability.simulation.schedule import run_schedule
from support.paths import TESTS

SEEDS = range(160)
PARTS = [SEEDS[number::4] for number in range(4)]
# A topic that was created again while it was read: the new log was read from its middle before its beginning. Tables
# that were restored in the middle of a flush to a copy that had the position before it. Logs that lost their end under
# an ingestor, and grew again beyond what it had read. A log that was cut under a half-stored flush whose plan went with
# the group's offset. The same, before the flush had written states. An edit before a run began, in a flush that was
# repeated after it had stored the run's document.
RARE = (1108, 776, 1_500_200, 1_500_492, 1_501_048, 2_603_708, 41_003_444, 41_004_301)
REPLAYED = (*range(5), 6, 10, 34)

run_once = cache(run_some)


@pytest.mark.parametrize("seeds", PARTS, ids=str)
def test_no_schedule_loses_or_doubles_anything(seeds: range) -> None:
    _, failures = run_once(seeds)
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("seed", RARE)
def test_rare_schedules_lose_nothing(seed: int) -> None:
    _, failures = run_some([seed])
    assert not failures, "\n".join(failures)


def test_the_schedules_have_what_they_are_for() -> None:
    counts = sum((run_once(seeds)[0] for seeds in PARTS), start=Counter[str]())
    for what in ("kills", "pauses", "leaves", "late commits", "rejoins", "zombie commits refused", "ranks"):
        assert counts[what] > 0, what
    for what in ("inserts dropped", "tokens forgotten", "blocks lost by ClickHouse", "deletions", "shared writers"):
        assert counts[what] > 0, what
    assert counts["rollups"] > len(SEEDS)
    assert counts["flushes"] > 4 * len(SEEDS)
    assert counts["points"] > counts["events"]


@cache
def digest() -> str:
    """Return a summary of some schedules."""
    lines = [line for seed in REPLAYED for line in run_schedule(seed).trace]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_the_same_seed_gives_the_same_trace_in_any_process() -> None:
    code = "from reliability.simulation.account import prepare; prepare();"
    code += "from reliability.simulation.test_simulation import digest; print(digest())"
    hash_seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(TESTS)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest()
