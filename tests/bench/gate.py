"""The perf gate: ratios of processor times and of bytes, compared with those of `recorded.json`.

make gate                                compare; fails if a ratio is more than a tenth worse
make gate ARGS=--record                  measure five times, print the spread of each ratio, and record the medians
make gate ARGS="--record --runs 9"       the same with another number of runs

A figure that is worse is measured once more, and counts only if it is worse again. Those whose ratios differed by more
than a tenth while they were recorded are not compared.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from bench.figure import Figure, format_value, make_table, read_load
from bench.regressions import TOLERANCE, confirm, find_missing, find_regressions, find_spreads
from bench.report import measure

MODULES: Final = (
    "log_call",
    "planning",
    "view_cost",
    "runs_list",
    "storage",
)
"""The modules with a function `stable_figures()`."""

RECORDED: Final = Path(__file__).parent / "recorded.json"
_RUNS: Final = 5
_WIDTH: Final = 200

Measured = dict[str, list[Figure]]
"""The figures of each module."""


def main(arguments: list[str]) -> int:
    """Compare or record; return the exit code."""
    parser = argparse.ArgumentParser(prog="make gate", description=__doc__)
    parser.add_argument("--record", action="store_true", help="renew recorded.json")
    parser.add_argument("--runs", type=int, default=_RUNS, help="runs that are recorded")
    given = parser.parse_args(arguments)
    console = Console(width=_WIDTH)
    if given.record:
        return _record(console, given.runs)
    return _compare(console, json.loads(RECORDED.read_text("utf-8")))


def _measure_all() -> Measured:
    return {module: measure(module, "stable_figures") for module in MODULES}


def _all(measured: Measured) -> list[Figure]:
    return [figure for figures in measured.values() for figure in figures]


def _compare(console: Console, recorded: Mapping[str, float]) -> int:
    measured = _measure_all()
    figures = _all(measured)
    console.print(make_table(figures))
    if missing := find_missing(figures, recorded):
        console.print(f"FAILED: recorded, but not measured; record them again: {', '.join(missing)}")
        return 1
    worse = find_regressions(figures, recorded)
    if worse:
        console.print(f"measured again: {', '.join(one.name for one in worse)}")
        names = {one.name for one in worse}
        modules = [module for module, own in measured.items() if names & {figure.name for figure in own}]
        again = [figure for module in modules for figure in measure(module, "stable_figures")]
        worse = confirm(worse, find_regressions(again, recorded))
    for one in worse:
        ratios = f"recorded {format_value(one.recorded)}, measured {format_value(one.measured)}"
        console.print(f"FAILED {one.name}: {ratios}, {one.loss:.0%} worse")
    if not worse:
        console.print(f"no ratio is more than {TOLERANCE:.0%} worse than recorded")
    return int(bool(worse))


def _record(console: Console, runs: int) -> int:
    before = read_load()
    measured = []
    for number in range(runs):
        console.print(f"run {number + 1} of {runs}, load {read_load():.1f}")
        measured.append(_all(_measure_all()))
    spreads = find_spreads(measured)
    table = Table(
        "figure", "recorded", "spread", "ratios", title=f"{runs} runs, load {before:.1f} to {read_load():.1f}"
    )
    for one in spreads:
        value = format_value(one.median) if one.is_stable else "not recorded"
        table.add_row(one.name, value, f"{one.spread:.1%}", " ".join(map(format_value, one.ratios)))
    console.print(table)
    ratios = {one.name: float(f"{one.median:.4g}") for one in spreads if one.is_stable}
    RECORDED.write_text(json.dumps(ratios, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
