"""The seconds that each folder of tests took, with those of its fixtures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final, NamedTuple

_DEPTH: Final = 3
_PHASES: Final = ("setup", "call", "teardown")


class Phase(NamedTuple):
    """A phase of a test: its id (`tests/unit/test_mutants.py::test_…`), its name and its seconds."""

    test: str
    name: str
    seconds: float


def seconds_by_folder(phases: Iterable[Phase]) -> list[str]:
    """Return the lines of a table: seconds in all, of each phase, number of tests, folder; the longest come first."""
    seconds: defaultdict[str, dict[str, float]] = defaultdict(lambda: dict.fromkeys(_PHASES, 0.0))
    tests: defaultdict[str, set[str]] = defaultdict(set)
    for phase in phases:
        if phase.name not in _PHASES:
            # The report of a test whose worker died has no phase.
            continue
        folder = "/".join(phase.test.partition("::")[0].split("/")[:-1][:_DEPTH])
        seconds[folder][phase.name] += phase.seconds
        tests[folder].add(phase.test)
    lines = [" seconds" + "".join(f"{name:>10}" for name in _PHASES) + "   tests  folder"]
    for folder, spent in sorted(seconds.items(), key=lambda item: -sum(item[1].values())):
        figures = "".join(f"{spent[name]:10.1f}" for name in _PHASES)
        lines.append(f"{sum(spent.values()):8.1f}{figures}{len(tests[folder]):8}  {folder}")
    return lines
