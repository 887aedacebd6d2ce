"""`make soak SEEDS=50 [FIRST=1]`: the fault harness on fresh seeds, changes of the environment, and the report."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from reliability.faults.changes import CHANGES, make_change
from reliability.faults.cluster import Cluster, running
from reliability.faults.harness import Harness, Result
from support.mounts import CannotMountError


def main() -> int:
    """Run the seeds; stop at the first failure, keep its folder, and print the command that replays it."""
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=int(time.time()))
    parser.add_argument("--verbose", action="store_true", help="print every fault")
    parser.add_argument("--changes", nargs="*", choices=CHANGES, default=list(CHANGES), help="default: all")
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="stepwell-faults-"))
    results: list[Result] = []
    with running(folder) as cluster:
        harness = Harness(cluster, print if chosen.verbose else lambda _: None)
        for seed in range(chosen.first, chosen.first + chosen.seeds):
            try:
                results.append(harness.run(seed))
            except AssertionError as error:
                print(f"seed {seed}: FAILED: {error}\n{replay(seed, folder)}")
                return 1
            print(results[-1], flush=True)
            if not results[-1].passed:
                print(replay(seed, folder))
                return 1
        if results:
            print(report(results))
        return _make_changes(cluster, chosen.changes)


def _make_changes(cluster: Cluster, names: Sequence[str]) -> int:
    """Make changes one after the other; return 1 if one has failed."""
    failed = 0
    for name in names:
        began = time.monotonic()
        try:
            problems = make_change(cluster, name)
        except CannotMountError as error:
            print(f"{name}: not made: {error}", flush=True)
            continue
        except AssertionError as error:
            problems = [str(error)]
        failed += bool(problems)
        verdict = "FAILED" if problems else "passed"
        print("\n  ".join([f"{name}: {verdict} in {time.monotonic() - began:.0f} s", *problems]), flush=True)
    return 1 if failed else 0


def replay(seed: int, folder: Path) -> str:
    """Return the command that runs a seed again."""
    return f"replay it with: make soak SEEDS=1 FIRST={seed}   (output of the processes: {folder})"


def report(results: list[Result]) -> str:
    """Print the totals of the seeds."""
    done: Counter[str] = Counter()
    for result in results:
        done += result.done
    kills = sum(count for what, count in done.items() if what.endswith("kills"))
    points = sum(result.account.points for result in results)
    lost = sum(result.account.lost for result in results)
    invented = sum(result.account.invented for result in results)
    parts = ", ".join(f"{count} {what}" for what, count in sorted(done.items()))
    return (
        f"{len(results)} seeds in {sum(result.seconds for result in results):.0f} s: {kills} kills, {points:,} points, "
        f"{lost} lost, {invented} duplicated ({parts})"
    )


if __name__ == "__main__":
    sys.exit(main())
