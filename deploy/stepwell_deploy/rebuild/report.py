"""The comparison of rebuilt tables with the present ones, and what may be done with them; without I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

from stepwell_deploy.rendering import counted
from stepwell_ingestor.rebuild.ranges import ReplayRange
from stepwell_schemas.rules.identifiers import RunPath

POINT_VIEWS: Final = ("numbers", "strings", "bools", "others", "media")
_RUNS: Final = "runs"
_CONFLICTS: Final = "step_conflicts"


class Outcome(StrEnum):
    """Result of a rebuild."""

    SAME = "same"
    DIFFERENT = "different"
    SWITCHED = "switched"
    REFUSED = "refused"
    NOT_COMPARABLE = "not comparable"


EXIT_CODES: Final = {
    Outcome.SAME: 0,
    Outcome.SWITCHED: 0,
    Outcome.DIFFERENT: 1,
    Outcome.REFUSED: 1,
    Outcome.NOT_COMPARABLE: 2,
}


class Outline(NamedTuple):
    """The rows of a run in a view: their number, and the sum of their hashes."""

    rows: int
    digest: int


Outlines = Mapping[str, Outline]
"""By view, the outline of a run."""

_NOTHING: Final = Outline(0, 0)


class Cells(NamedTuple):
    """Values of a run by key, kind and step: `lost` are in the present tables only, `gained` in the rebuilt ones only.

    `changed` are in both, with another value or time.
    """

    lost: int
    gained: int
    changed: int


@dataclass(frozen=True)
class RunDifference:
    """A run whose rebuilt rows differ from the present ones, in the named views; `fewer`: something would be lost."""

    run: str
    views: tuple[str, ...]
    lost: int
    gained: int
    changed: int
    fewer: bool


@dataclass(frozen=True)
class RebuildReport:
    """The report of a rebuild; `runs` and `points` are those of the rebuilt tables, `reason` is of a refusal."""

    outcome: Outcome
    log: tuple[ReplayRange, ...] = ()
    events: int = 0
    dead_letters: int = 0
    runs: int = 0
    points: int = 0
    differences: tuple[RunDifference, ...] = ()
    reason: str = ""

    @property
    def exit_code(self) -> int:
        """0 the same or switched, 1 different, 2 could not compare."""
        return EXIT_CODES[self.outcome]

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON types."""
        return asdict(self) | {
            "outcome": str(self.outcome),
            "log": [{**part._asdict(), "last": part.last} for part in self.log],
        }


def differing_views(present: Outlines, rebuilt: Outlines) -> tuple[str, ...]:
    """Return the views in which a run's rows differ."""
    return tuple(
        name
        for name in sorted(present.keys() | rebuilt.keys())
        if present.get(name, _NOTHING) != rebuilt.get(name, _NOTHING)
    )


def count_points(outlines: Outlines) -> int:
    """Return the number of a run's values."""
    return sum(outlines.get(name, _NOTHING).rows for name in POINT_VIEWS)


def known_cells(present: Outlines, rebuilt: Outlines) -> Cells | None:
    """Return what became of a run's values if it follows from their numbers; None if the rows must be compared."""
    before, after = count_points(present), count_points(rebuilt)
    if not before or not after:
        return Cells(before, after, 0)
    if not set(differing_views(present, rebuilt)) & set(POINT_VIEWS):
        return Cells(0, 0, 0)
    return None


def run_difference(run: RunPath, present: Outlines, rebuilt: Outlines, cells: Cells) -> RunDifference:
    """Return the difference of a run: `fewer` if a value, a step conflict or the run itself would be lost."""
    gone = any(rebuilt.get(name, _NOTHING).rows < present.get(name, _NOTHING).rows for name in (_RUNS, _CONFLICTS))
    return RunDifference(str(run), differing_views(present, rebuilt), *cells, fewer=gone or cells.lost > 0)


def refusal(differences: Iterable[RunDifference], *, accept_loss: bool) -> str:
    """Return the reason for which the present tables must not be replaced; "" if they may be."""
    fewer = [difference for difference in differences if difference.fewer]
    if not fewer or accept_loss:
        return ""
    lost = sum(difference.lost for difference in fewer)
    return (
        f"the log has less than the tables: {counted(lost, 'value')} of {counted(len(fewer), 'run')} "
        "would be lost; --accept-loss replaces them nevertheless"
    )
