"""Whether journals, log and tables hold the same of a run, and if not, what differs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

from stepwell_deploy.verify.journals import JournalCheck
from stepwell_ingestor.verify.fingerprints import Figures, RollupFigures, RollupKey, SeriesKey
from stepwell_ingestor.verify.replay import LogStart
from stepwell_ingestor.verify.session_digest import Tallies, Tally
from stepwell_schemas.rules.kinds import Kind

Shown = int | str | None


class Verdict(StrEnum):
    """How a comparison ended."""

    SAME = "same"
    DIFFERENT = "different"
    NOT_COMPARABLE = "not comparable"


EXIT_CODES: Final = {Verdict.SAME: 0, Verdict.DIFFERENT: 1, Verdict.NOT_COMPARABLE: 2}


@dataclass(frozen=True)
class Difference:
    """One thing that differs: of which key and kind ("" for the run itself), and what each source says (None: nothing).

    Digests are hexadecimal.
    """

    key: str
    kind: str
    what: str
    journal: Shown = None
    log: Shown = None
    tables: Shown = None


@dataclass(frozen=True)
class Report:
    """What came of a comparison.

    `points` and `series` were compared between log and tables; `journals` were compared with the log. `notes` say what
    was left out. `reason` says why there is no verdict, "" when there is one.
    """

    run: str
    verdict: Verdict
    points: int = 0
    series: int = 0
    journals: int = 0
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()
    reason: str = ""

    @property
    def exit_code(self) -> int:
        """0 same, 1 different, 2 could not compare."""
        return EXIT_CODES[self.verdict]

    def as_json(self) -> dict[str, Any]:
        """Return the report in JSON's types."""
        return asdict(self) | {"verdict": str(self.verdict)}

    def __str__(self) -> str:
        sources = "journal, log and tables" if self.journals else "log and tables"
        points = f"{counted(self.points, 'point')} of {self.series:,} series"
        match self.verdict:
            case Verdict.SAME:
                return f"the same: {points}, {sources}"
            case Verdict.DIFFERENT:
                return f"different: {counted(len(self.differences), 'difference')} between {sources}"
            case Verdict.NOT_COMPARABLE:
                return f"could not compare: {self.reason}"


def not_comparable(run: str, reason: str) -> Report:
    """Return the report of a comparison that could not be made."""
    return Report(run, Verdict.NOT_COMPARABLE, reason=reason)


def is_whole(beginning: LogStart, created: int | None) -> bool:
    """Whether the log still holds the run from its first event on.

    `created` is when the tables say that the run's first event was made, in milliseconds since the epoch; None where
    they don't know the run.
    """
    if beginning.log_begin == 0:
        return True
    return beginning.sequence <= 0 and created in {None, beginning.timestamp}


def compare_tables(log: Figures, tables: Figures) -> list[Difference]:
    """Return what the tables hold otherwise than the log says."""
    found = [
        difference
        for name in sorted(log.series.keys() | tables.series.keys())
        for difference in _series(name, log, tables)
    ]
    if log.metrics is not None and tables.metrics is not None:
        for name in sorted(log.metrics.keys() | tables.metrics.keys()):
            found += _metric(name, log, tables)
    if log.rollups is not None and tables.rollups is not None:
        for place in sorted(log.rollups.keys() | tables.rollups.keys()):
            found += _rollups(place, log.rollups, tables.rollups)
    left, right = log.conflicts, tables.conflicts
    if left.calls != right.calls:
        found.append(Difference("", "", "step conflicts", log=left.calls, tables=right.calls))
    elif left != right:
        found.append(Difference("", "", "what step conflicts say", log=_hex(left.digest), tables=_hex(right.digest)))
    return found


def _series(name: SeriesKey, log: Figures, tables: Figures) -> Iterator[Difference]:
    left, right = log.series.get(name), tables.series.get(name)
    if left is None or right is None:
        points = [0 if side is None else side.points for side in (left, right)]
        yield Difference(*name, "points", log=points[0], tables=points[1])
        return
    plain = (("points", "points"), ("first step", "first_step"), ("last step", "last_step"))
    differing = [
        Difference(*name, what, log=getattr(left, field), tables=getattr(right, field))
        for what, field in plain
        if getattr(left, field) != getattr(right, field)
    ]
    yield from differing
    if not differing and left.digest != right.digest:
        yield Difference(*name, "steps, values or timestamps", log=_hex(left.digest), tables=_hex(right.digest))


def _metric(name: SeriesKey, log: Figures, tables: Figures) -> Iterator[Difference]:
    left, right = (log.metrics or {}).get(name), (tables.metrics or {}).get(name)
    for what, field in (
        ("count in metrics", "points"),
        ("first step in metrics", "first_step"),
        ("last step in metrics", "last_step"),
    ):
        values = [None if side is None else getattr(side, field) for side in (left, right)]
        if values[0] != values[1]:
            yield Difference(*name, what, log=values[0], tables=values[1])


def _rollups(
    place: RollupKey, log: Mapping[RollupKey, RollupFigures], tables: Mapping[RollupKey, RollupFigures]
) -> Iterator[Difference]:
    left, right = (side.get(place, RollupFigures()) for side in (log, tables))
    key, level = place
    if left.buckets != right.buckets:
        yield Difference(key, Kind.NUMBER, f"buckets of {1 << level:,} steps", log=left.buckets, tables=right.buckets)
    elif left != right:
        sides = {"log": _hex(left.digest), "tables": _hex(right.digest)}
        yield Difference(key, Kind.NUMBER, f"what buckets of {1 << level:,} steps say", **sides)


def compare_journals(checks: Iterable[JournalCheck]) -> tuple[list[Difference], list[str]]:
    """Return what the log holds otherwise than the journals, and notes on what is no difference.

    Records that a living session has not sent yet are none; those that nobody will send by themselves are.
    """
    found: list[Difference] = []
    notes: list[str] = []
    for check in checks:
        session, account = check.account.info.session, check.account
        found += _tallied(check.held, check.logged)
        waiting = account.records - check.following
        if waiting > 0 and account.living:
            notes.append(f"session {session} is still open: {counted(waiting, 'record')} of its journal not sent yet")
        elif waiting > 0:
            what = f"records of session {session}"
            found.append(Difference("", "", what, journal=account.records, log=check.following))
            found += [
                Difference(*name, "points not sent", journal=one.points) for name, one in sorted(check.pending.items())
            ]
        if account.damage:
            found.append(Difference("", "", f"the journal of session {session}", journal=account.damage))
    return found, notes


def _tallied(held: Tallies, logged: Tallies) -> Iterator[Difference]:
    for name in sorted(held.keys() | logged.keys()):
        left, right = held.get(name, Tally()), logged.get(name, Tally())
        if left.points != right.points:
            yield Difference(*name, "points logged", journal=left.points, log=right.points)
        elif left != right:
            yield Difference(*name, "values logged", journal=_hex(left.digest), log=_hex(right.digest))


def conclude(
    run: str,
    log: Figures,
    differences: Sequence[Difference],
    notes: Sequence[str],
    journals: int,
    partly: str = "",
) -> Report:
    """Return the report of a comparison; `partly` says why not all of the run could be compared, "" when it was."""
    points = sum(one.points for one in log.series.values())
    verdict = Verdict.NOT_COMPARABLE if partly else Verdict.SAME
    if differences:
        verdict, notes = Verdict.DIFFERENT, [*notes, *([partly] if partly else [])]
    return Report(run, verdict, points, len(log.series), journals, tuple(differences), tuple(notes), partly)


def as_notes(differences: Iterable[Difference]) -> list[str]:
    """Return what differs where the log does not say enough to call it a difference."""
    return [
        f"not comparable: {one.key or 'the run'} {one.kind}{' ' if one.kind else ''}{one.what}: "
        f"{_told(one.log)} in the log from there on, {_told(one.tables)} in the tables"
        for one in differences
    ]


def _told(value: Shown) -> str:
    return "nothing" if value is None else f"{value:,}" if isinstance(value, int) else value


def _hex(digest: int) -> str:
    return f"{digest:016x}"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun in the right form."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
